"""The corpora of stages 1 and 2 as features: the free world, and real motion capture."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from lithe.data import DataError, generator_for, shared_folder
from lithe.syntalker import h3d
from lithe.syntalker.ablations import Corpus
from lithe.syntalker.clips import FeatureClip
from lithe.syntalker.skeleton import BODY, skeleton_for

__all__ = ["cmu", "corpus", "featured", "pieces", "world"]

#: Frames of a piece of a long real clip.
PIECE = 128
#: One recording, or one piece, in so many is held out.
EVERY = 4
TRAIN, HELD_OUT, TALKERS, MOVERS = 0, 1, 0, 1  # random streams


def featured(
    positions: np.ndarray,
    captions: Sequence[str] = (),
    label: str = "",
    name: str = "clip",
    released: bool = False,
) -> FeatureClip:
    """A motion as training data, its bones those of the canonical skeleton.

    Args:
        positions: ``(t, j, 3)`` metres, y up, 30 frames a second, 22 or 52 joints.
        captions: what it shows.
        label: the same as one word.
        name: for messages.
        released: keep the released quirks of the features (G23, G25), which models that were
            trained on them expect.
    """
    offsets = skeleton_for(positions.shape[1]).offsets
    features = torch.from_numpy(h3d.encode(positions, offsets, released=released))
    return FeatureClip(features, tuple(captions), label, name)


def pieces(clip: FeatureClip, frames: int = PIECE) -> list[FeatureClip]:
    """A long clip cut into pieces of equal length that keep its captions; a rest is left out."""
    starts = range(0, len(clip.features) - frames + 1, frames)
    if not starts:
        return [clip]
    return [
        FeatureClip(clip.features[at : at + frames], clip.captions, clip.label, f"{clip.name}@{at}")
        for at in starts
    ]


@lru_cache(maxsize=2)
def world(clips: int, held_out: int) -> Corpus:
    """The free world: talkers, who have no captions, and movers, who have.

    Movers that are held out carry the one sentence that nobody has learned from.

    Args:
        clips: of each kind to train on.
        held_out: of each kind, from other seeds.
    """
    return Corpus("world", _lived(TRAIN, clips), _lived(HELD_OUT, held_out))


def _lived(stream: int, count: int) -> list[FeatureClip]:
    from lithe.syntalker.world import movers, talkers

    found = [
        featured(one.motion.positions, name=one.name)
        for one in talkers(count, generator_for(stream, TALKERS))
    ]
    for one in movers(count, generator_for(stream, MOVERS)):
        label = f"{one.truth.action} {one.truth.side or ''}".strip()
        captions = one.captions if stream == TRAIN else (one.unseen,)
        found.append(featured(one.motion.positions, captions, label, one.name))
    return found


def cmu(split: Literal["recording", "piece"] = "recording", folder: Path | None = None) -> Corpus:
    """Real motion capture with captions, on 22 joints.

    Args:
        split: hold out whole recordings (fair for reconstruction), or pieces of recordings of
            which others are learned from (what retrieval needs: a caption that nobody has seen
            a motion of cannot be understood from so few).
        folder: the shared folder; see :func:`lithe.data.shared_folder`.

    Raises:
        lithe.data.DataError: the folder is missing, or has no motion in it.
    """
    recordings = _recordings(shared_folder(folder) / "data" / "motion")
    if split == "recording":
        halves = [clip for k, clip in enumerate(recordings) if k % EVERY]
        return Corpus("cmu", halves, recordings[::EVERY])
    cut = [piece for clip in recordings for piece in pieces(clip)]
    return Corpus("cmu-pieces", [p for k, p in enumerate(cut) if k % EVERY], cut[::EVERY])


@lru_cache(maxsize=1)
def _recordings(folder: Path) -> tuple[FeatureClip, ...]:
    from lithe.syntalker.motion import Motion
    from lithe.syntalker.retarget import retarget

    listing = folder / "captions.csv"
    if not listing.is_file():
        raise DataError(f"{listing} is missing; restore the folder {folder}")
    with listing.open(encoding="utf-8", newline="") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: row["file"])
    found = []
    for row in rows:
        motion = retarget(Motion.load(folder / row["file"]), BODY)
        captions = tuple(dict.fromkeys((row["caption"], row["raw_description"])))
        found.append(featured(motion.positions, captions, name=row["clip"]))
    return tuple(found)


def corpus(
    name: str, clips: int, held_out: int, split: Literal["recording", "piece"] = "recording"
) -> Corpus:
    """A corpus by name: ``"world"`` or ``"cmu"``; see :func:`world` and :func:`cmu`.

    Raises:
        ValueError: another name.
    """
    if name not in ("world", "cmu"):
        raise ValueError(f"no corpus {name!r}; there are: world, cmu")
    return world(clips, held_out) if name == "world" else cmu(split)
