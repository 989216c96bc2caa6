"""A free world to learn in: two corpora that share neither conditions nor motions.

*Talkers* stand and gesture to a voice; nobody says what they do. *Movers* walk, sit, jump and wave,
with captions and without a sound. No sample has speech, prompt and motion together, which is the
problem of the paper (SynTalker spec 1.2, 11.1). Motion is built by kinematics from known causes,
so that for every clip the truth is known: which arm, which action, where the beats are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from lithe.syntalker.captions import ACTIONS, SIDES, caption, held_out
from lithe.syntalker.kinematics import fk
from lithe.syntalker.motion import Motion
from lithe.syntalker.movers import PACES, act
from lithe.syntalker.skeleton import BODY_HANDS, Skeleton
from lithe.syntalker.sound import RATE
from lithe.syntalker.speech import Speech
from lithe.syntalker.talkers import gesture
from lithe.syntalker.voice import speak
from lithe.syntalker.world_pose import Controls, pose

__all__ = ["FPS", "IN_PROGRESS", "Clip", "Truth", "mover", "movers", "talker", "talkers"]

FPS = 30.0
#: Share of movers whose action is already under way at the first frame. More of them, and the
#: first frames tell the action: prompts are then ignored (spec 11.5, lesson 1).
IN_PROGRESS = 0.3


@dataclass(frozen=True, eq=False)
class Truth:
    """What was put into a clip; seconds and metres.

    Attributes:
        action: what the body does, of :data:`lithe.syntalker.captions.ACTIONS`; talkers "talk".
        side: ``"left"``, ``"right"``, ``"both"`` (talkers) or ``None``.
        pace: ``"slow"``, ``"normal"`` or ``"fast"``.
        start: when the action begins; below 0 if it was under way.
        end: when it is over; may lie behind the clip.
        speed: of walking, m/s, negative backward; of a jump, how far it goes.
        turn: radians, positive to the left.
        beats: of the hands' strokes, on stressed vowels.
        iconic: ``(seconds, word)`` of strokes that show a word.
        planted: bool ``(t, 2)``: the ball of the left, right foot must not move.
    """

    action: str
    planted: np.ndarray
    side: str | None = None
    pace: str = "normal"
    start: float = 0.0
    end: float = np.inf
    speed: float = 0.0
    turn: float = 0.0
    beats: tuple[float, ...] = ()
    iconic: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True, eq=False)
class Clip:
    """One sample of a corpus.

    Attributes:
        name: unique in its corpus.
        corpus: ``"talkers"``, ``"movers"``, or where a real clip is from.
        motion: the motion, with its sound if it has one.
        speech: ``None`` where nobody speaks.
        captions: sentences to learn from; none for talkers.
        unseen: a sentence about the same motion that is kept for testing.
        truth: what was put in; ``None`` for real clips.
    """

    name: str
    corpus: str
    motion: Motion
    speech: Speech | None = None
    captions: tuple[str, ...] = field(default=())
    unseen: str | None = None
    truth: Truth | None = None


def _motion(
    controls: Controls, skeleton: Skeleton, speech: Speech | None = None, part: slice = slice(None)
) -> Motion:
    rotations, root = (x[part].astype(np.float32) for x in pose(controls, skeleton))
    sound = None if speech is None else (speech.wave, RATE)
    return Motion(fk(rotations, root, skeleton), FPS, skeleton, rotations, sound)


def talker(seed: int, seconds: float = 8.0, skeleton: Skeleton = BODY_HANDS) -> Clip:
    """One person who stands and talks.

    Args:
        seed: fixes everything.
        seconds: at least 2.
        skeleton: with or without hands.

    Raises:
        ValueError: less than two seconds.
    """
    rng, frames = np.random.default_rng(seed), _frames(seconds)
    utterance = speak(rng, seconds)
    controls, told = gesture(utterance, rng, frames, FPS)
    speech = Speech(utterance.wave, utterance.words)
    truth = Truth(
        "talk", controls.planted, side=told.arms, end=seconds, beats=told.beats, iconic=told.iconic
    )
    return Clip(
        f"talker-{seed}", "talkers", _motion(controls, skeleton, speech), speech, truth=truth
    )


def mover(
    seed: int,
    action: str | None = None,
    seconds: float = 6.0,
    skeleton: Skeleton = BODY_HANDS,
    pace: str | None = None,
    side: str | None = None,
    in_progress: float = IN_PROGRESS,
) -> Clip:
    """One person who does something.

    Args:
        seed: fixes everything that the other arguments leave open.
        action: of :data:`lithe.syntalker.captions.ACTIONS`; drawn by default.
        seconds: at least 2.
        skeleton: with or without hands.
        pace: ``"slow"``, ``"normal"`` or ``"fast"``; drawn by default.
        side: ``"left"`` or ``"right"``, for actions that have one; drawn by default.
        in_progress: chance that the clip begins in the middle of the action.

    Raises:
        ValueError: an action, pace or side that is not known, or less than two seconds.
    """
    rng, frames = np.random.default_rng(seed), _frames(seconds)
    drawn = ACTIONS[rng.integers(len(ACTIONS))], list(PACES)[rng.integers(len(PACES))]
    sides = ("left", "right")[rng.integers(2)]
    action, pace = action or drawn[0], pace or drawn[1]
    side = side or (sides if action in SIDES else None)
    late, share = rng.random() < in_progress, rng.uniform(0.1, 0.35)
    spare = round(1.6 * FPS) if late else 0
    scene = act(rng, action, frames + spare, FPS, pace, side)
    under_way = scene.start + share * (min(scene.end, scene.start + 2.5) - scene.start)
    skip = min(spare, round(under_way * FPS))
    turn = float(scene.controls.yaw[skip + frames - 1] - scene.controls.yaw[skip])
    truth = Truth(
        action, scene.controls.planted[skip:][:frames], side, pace, scene.start - skip / FPS,
        scene.end - skip / FPS, scene.speed, turn,
    )  # fmt: skip
    texts = tuple(dict.fromkeys(caption(action, pace, side, rng) for _ in range(3)))
    motion = _motion(scene.controls, skeleton, part=slice(skip, skip + frames))
    unseen = held_out(action, pace, side, rng)
    return Clip(f"mover-{seed}", "movers", motion, None, texts, unseen, truth)


def talkers(
    count: int,
    generator: torch.Generator,
    seconds: float = 8.0,
    skeleton: Skeleton = BODY_HANDS,
) -> list[Clip]:
    """A corpus of talkers; see :func:`talker`. The first ``n`` clips do not depend on ``count``."""
    return [talker(seed, seconds, skeleton) for seed in _seeds(count, generator)]


def movers(
    count: int,
    generator: torch.Generator,
    seconds: float = 6.0,
    skeleton: Skeleton = BODY_HANDS,
    actions: Sequence[str] = ACTIONS,
) -> list[Clip]:
    """A corpus of movers, the actions in turn; see :func:`mover`."""
    seeds = _seeds(count, generator)
    return [
        mover(seed, actions[k % len(actions)], seconds, skeleton) for k, seed in enumerate(seeds)
    ]


def _seeds(count: int, generator: torch.Generator) -> list[int]:
    if count < 1:
        raise ValueError(f"count is {count}; a corpus has one clip at least")
    return [int(torch.randint(2**48, (), generator=generator)) for _ in range(count)]


def _frames(seconds: float) -> int:
    if not 2 <= seconds < 3600:
        raise ValueError(f"seconds is {seconds}; a clip lasts from 2 s to an hour")
    return round(seconds * FPS)
