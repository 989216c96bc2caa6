"""People who stand and talk: gestures locked to their own voice, and no word on what they do."""

from __future__ import annotations

import numpy as np

from lithe.syntalker.noise import slow_noise
from lithe.syntalker.voice import ICONIC, Utterance
from lithe.syntalker.world_arms import POSES, track
from lithe.syntalker.world_pose import Controls, standing

__all__ = ["ARMS", "Gesture", "gesture"]

#: With which arm someone talks.
ARMS = ("left", "right", "both")
#: Seconds of a stroke: from the top of the preparation down to the stressed vowel.
STROKE = 0.3


class Gesture:
    """What a talker's hands were told to do.

    Attributes:
        arms: ``"left"``, ``"right"`` or ``"both"``.
        beats: seconds at which strokes end, on stressed vowels.
        iconic: ``(seconds, word)`` of strokes that show their word.
        amplitude: height of a beat in arm lengths.
    """

    def __init__(self, utterance: Utterance, rng: np.random.Generator) -> None:
        self.arms = ARMS[rng.integers(len(ARMS))]
        self.amplitude = float(rng.uniform(0.16, 0.34))
        self.home = POSES["ready"] if rng.random() < 0.6 else POSES["hang"]
        self.strokes = tuple(_strokes(utterance, self.home))
        self.beats = tuple(time for time, _ in self.strokes)
        self.iconic = tuple((time, word) for time, word in self.strokes if word in ICONIC)


def _strokes(utterance: Utterance, home: np.ndarray) -> list[tuple[float, str]]:
    """Stressed vowels that an arm can reach in time; a word that can be shown goes before."""
    kept: list[tuple[float, str]] = [(0.1, "")]
    for time, word in utterance.accents:
        if not _in_time(kept[-1], (time, word), home):
            if word not in ICONIC or kept[-1][1] in ICONIC or len(kept) < 2:
                continue
            kept.pop()
            if not _in_time(kept[-1], (time, word), home):
                continue
        kept.append((time, word))
    return kept[1:]


def _in_time(before: tuple[float, str], after: tuple[float, str], home: np.ndarray) -> bool:
    start = _target(before[1]) if before[1] else home
    far = np.linalg.norm(_target(after[1])[:3] - start[:3])
    return after[0] - before[0] > 0.42 + 0.5 * far


def _target(word: str) -> np.ndarray:
    return POSES[ICONIC.get(word, "beat")]


def gesture(
    utterance: Utterance, rng: np.random.Generator, frames: int, fps: float
) -> tuple[Controls, Gesture]:
    """A standing body that gestures to an utterance.

    Every stressed vowel is the end of a downward stroke, where the hand comes to rest; words that
    can be shown are shown. Head and trunk nod along, weight shifts slowly, the feet stay.

    Args:
        utterance: what is said.
        rng: draws arm, size and all that varies.
        frames: length of the clip.
        fps: frames a second.

    Returns:
        The curves, and what the hands were told to do.
    """
    told = Gesture(utterance, rng)
    controls = standing(frames, POSES["hang"])
    idle = POSES[("hang", "hang", "ready", "hip")[rng.integers(4)]]
    keys = _keys(told, rng)
    wander = slow_noise(rng, frames, 6, 1.5, fps).reshape(frames, 2, 3) * [0.012, 0.014, 0.016]
    for side, name in enumerate(("left", "right")):
        if told.arms in (name, "both"):
            late = 0.03 * side if told.arms == "both" else 0.0  # hands are never quite together
            own = [(t + late * (0 < k < len(keys) - 1), p) for k, (t, p) in enumerate(keys)]
            controls.arms[:, side] = track(own, frames, fps)
        else:
            controls.arms[:, side] = idle
    controls.arms[..., :3] += wander
    _alive(controls, told, rng, frames, fps)
    return controls, told


def _keys(told: Gesture, rng: np.random.Generator) -> list[tuple[float, np.ndarray]]:
    """Key poses of a talking arm: up before each stressed vowel, down on it, home in long gaps."""
    keys = [(0.0, told.home)]
    times = told.beats
    for k, (time, word) in enumerate(told.strokes):
        low, high = _stroke(word, told.amplitude, rng)
        before = keys[-1][0]
        top = max(time - STROKE * rng.uniform(0.9, 1.2), (before + time) / 2)
        ready = top - rng.uniform(0.3, 0.4)
        if ready > before + 0.1:
            keys.append((ready, keys[-1][1]))
        keys += [(top, high), (time, low)]
        after = times[k + 1] if k + 1 < len(times) else np.inf
        hold = time + (0.3 if word in ICONIC else 0.12)
        if after - time > 1.6:
            keys += [(hold, low), (hold + rng.uniform(0.6, 0.8), told.home)]
    return keys


def _stroke(word: str, size: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Pose at the end of a stroke and pose at its top, which is higher and nearer the body."""
    low = _target(word).copy()
    low[:3] += rng.normal(0, [0.06, 0.04, 0.05])
    if word not in ICONIC:
        low[1] -= size / 2
        low[6] += rng.choice([-0.9, 0.0, 0.5])  # palm up, in or down
    high = low.copy()
    high[:3] += size * np.array([0.15 * rng.normal(), 1.0, -0.25])
    return low, high


def _alive(
    controls: Controls, told: Gesture, rng: np.random.Generator, frames: int, fps: float
) -> None:
    """Nods on the beats; breath, gaze and shifting weight, in place."""
    times = np.arange(frames) / fps
    nod = np.zeros(frames)
    for beat in told.beats:
        nod += rng.uniform(0.5, 1.2) * np.exp(-(((times - beat) / 0.11) ** 2) / 2)
    controls.head[:, 0] += 0.08 * nod + 0.04 * slow_noise(rng, frames, 1, 2, fps)[:, 0]
    controls.head[:, 1:] += slow_noise(rng, frames, 2, 2.5, fps) * [0.14, 0.04]
    controls.spine[:, 0] += 0.025 * nod + 0.015 * np.sin(2 * np.pi * 0.25 * times)
    controls.spine[:, 1:] += slow_noise(rng, frames, 2, 3, fps) * [0.06, 0.03]
    shift = slow_noise(rng, frames, 2, 4, fps) * [0.018, 0.008]
    controls.root[:, [0, 2]] += shift
    controls.root[:, 1] -= 0.004 * nod
    controls.pelvis[:, 2] -= 0.6 * shift[:, 0]
    controls.spine[:, 2] += 0.8 * shift[:, 0]
    controls.pelvis[:, 1] += 0.04 * slow_noise(rng, frames, 1, 4, fps)[:, 0]
