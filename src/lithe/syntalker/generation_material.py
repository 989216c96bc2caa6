"""The free world as stage 3 sees it: talkers with their speech, movers with their captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from lithe.data import generator_for
from lithe.data.checksum import tensor_digest
from lithe.syntalker.ablations import Corpus
from lithe.syntalker.captions import LOWER, SIDES, UPPER, held_out
from lithe.syntalker.clips import FeatureClip
from lithe.syntalker.material import featured
from lithe.syntalker.speech import speech_features
from lithe.syntalker.spoken import SpokenClip
from lithe.syntalker.vocabulary import Vocabulary
from lithe.syntalker.voice import LEXICON
from lithe.syntalker.world import Clip, movers, talkers

__all__ = ["Asked", "Scene", "asked", "lived", "spoken"]

TRAIN, HELD_OUT, TALKERS, MOVERS, WORDING = 0, 1, 0, 1, 2  # random streams
#: One mover in so many keeps its captions where few are labelled.
FEW = 10
Asked = tuple[str, str | None]  # action and side


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything that stage 3 learns from and is judged by.

    Attributes:
        talkers: with speech, without captions.
        movers: silent, with captions.
        unseen_talkers: of other seeds.
        beats: seconds of each unseen talker's strokes.
        unseen_movers: of other seeds, with the one sentence that nobody has learned from.
        does: action and side of each unseen mover.
        vocabulary: of the transcripts.
    """

    talkers: tuple[SpokenClip, ...]
    movers: tuple[SpokenClip, ...]
    unseen_talkers: tuple[SpokenClip, ...]
    beats: tuple[np.ndarray, ...]
    unseen_movers: tuple[SpokenClip, ...]
    does: tuple[Asked, ...]
    vocabulary: Vocabulary

    def corpus(self, few: bool = False) -> Corpus:
        """All motion, for stages 1 and 2.

        Args:
            few: only one mover in ten has captions.
        """
        train = [*self.talkers, *(self.labelled() if few else self.movers)]
        unseen = [*self.unseen_talkers, *self.unseen_movers]
        does = [""] * len(self.unseen_talkers) + [" ".join(filter(None, d)) for d in self.does]
        return Corpus(
            "world",
            [FeatureClip(c.features, c.captions, "", c.name) for c in train],
            [FeatureClip(c.features, c.captions, d, c.name) for c, d in zip(unseen, does)],
        )

    def labelled(self) -> tuple[SpokenClip, ...]:
        """The movers, of whom one in ten keeps its captions."""
        return tuple(
            clip if k % FEW == 0 else replace(clip, captions=())
            for k, clip in enumerate(self.movers)
        )

    def described(self) -> list[dict[str, Any]]:
        """Both halves, as the ledger writes data down."""
        halves = (
            ("train", (*self.talkers, *self.movers)),
            ("held-out", (*self.unseen_talkers, *self.unseen_movers)),
        )
        return [
            {
                "name": f"world-{half}",
                "sha256": tensor_digest(*(clip.features for clip in clips)),
                "sizes": {"clips": len(clips), "frames": sum(len(c.features) for c in clips)},
            }
            for half, clips in halves
        ]


@lru_cache(maxsize=2)
def lived(clips: int, held_out: int, actions: tuple[str, ...]) -> Scene:
    """Generate the world of stage 3.

    Args:
        clips: talkers, and movers, to train on.
        held_out: the same to measure on.
        actions: of the movers, in turn.
    """
    vocabulary = Vocabulary.build(word for words in LEXICON.values() for word in words)
    heard = [
        _talkers(stream, n, vocabulary) for stream, n in ((TRAIN, clips), (HELD_OUT, held_out))
    ]
    seen = movers(clips, generator_for(TRAIN, MOVERS), actions=actions)
    unseen = movers(held_out, generator_for(HELD_OUT, MOVERS), actions=actions)
    return Scene(
        talkers=tuple(clip for clip, _ in heard[0]),
        movers=tuple(_mover(clip, clip.captions) for clip in seen),
        unseen_talkers=tuple(clip for clip, _ in heard[1]),
        beats=tuple(beats for _, beats in heard[1]),
        unseen_movers=tuple(_mover(clip, (clip.unseen,)) for clip in unseen),
        does=tuple((clip.truth.action, clip.truth.side) for clip in unseen),
        vocabulary=vocabulary,
    )


def _talkers(stream: int, count: int, words: Vocabulary) -> list[tuple[SpokenClip, np.ndarray]]:
    found = talkers(count, generator_for(stream, TALKERS))
    return [(spoken(clip, words), np.array(clip.truth.beats)) for clip in found]


def spoken(clip: Clip, vocabulary: Vocabulary) -> SpokenClip:
    """A clip with speech as stage 3 takes it.

    Args:
        clip: of any corpus, such as :func:`lithe.syntalker.beat2`.
        vocabulary: of the transcript.

    Raises:
        ValueError: the clip has no speech.
    """
    if clip.speech is None:
        raise ValueError(f"{clip.name} has no speech")
    features = featured(clip.motion.positions, name=clip.name).features
    sound, words = speech_features(clip.speech, vocabulary, len(features), clip.motion.fps)
    return SpokenClip(features, torch.from_numpy(sound), torch.from_numpy(words), (), clip.name)


def _mover(clip: Clip, captions: Sequence[str | None]) -> SpokenClip:
    features = featured(clip.motion.positions, name=clip.name).features
    return SpokenClip(features, captions=tuple(filter(None, captions)), name=clip.name)


def asked(actions: Sequence[str], part: str, count: int) -> list[tuple[Asked, str]]:
    """What is asked of so many clips, in turn, and the sentences nobody has learned from.

    Args:
        actions: that the movers know.
        part: ``"lower"`` or ``"upper"``.
        count: how many.

    Raises:
        ValueError: no action of this part.
    """
    known = [action for action in (LOWER if part == "lower" else UPPER) if action in actions]
    if not known:
        raise ValueError(f"none of {', '.join(actions)} is an action of the {part} body")
    sided = [(a, s) for a in known for s in (("left", "right") if a in SIDES else (None,))]
    rng = np.random.default_rng(WORDING)
    chosen = [sided[k % len(sided)] for k in range(count)]
    return [((action, side), held_out(action, "normal", side, rng)) for action, side in chosen]
