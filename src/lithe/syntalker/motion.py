"""A motion: where every joint is in every frame, on what skeleton, with what sound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import roma
import torch

from lithe.syntalker.kinematics import fit_skeleton, fk, rotations_from
from lithe.syntalker.skeleton import Skeleton, skeleton_for
from lithe.syntalker.sound import CHANNELS, scaled

if TYPE_CHECKING:
    from lithe.syntalker.viewer import Viewer

__all__ = ["Motion", "Prompt"]

#: Kinds of file by the end of their name.
SAVED = {".bvh": "bvh", ".npz": "npz", ".glb": "glb", ".mp4": "video"}  # the module that writes it
LOADED = {".bvh": "bvh", ".bvh.gz": "bvh", ".npz": "npz"}


@dataclass(frozen=True)
class Prompt:
    """What was asked of a part of the body, and when.

    Args:
        start, end: seconds.
        text: the words.
        part: ``"upper"``, ``"hands"``, ``"lower"`` or ``"body"``.

    Raises:
        ValueError: the end is not after the start, or either is not finite.
    """

    start: float
    end: float
    text: str
    part: str = "body"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.start) and math.isfinite(self.end) and self.start < self.end):
            raise ValueError(f"prompt {self.text!r} runs from {self.start} s to {self.end} s")


@dataclass(frozen=True, eq=False)
class Motion:
    """Motion of a skeleton; metres, y up, arrays are numpy float32.

    Args:
        positions: joints ``(t, j, 3)`` in metres, y up.
        fps: frames per second.
        skeleton: the ``j`` joints; by default the canonical one of 22 or 52 joints.
        rotations: local rotations ``(t, j, 3, 3)``; the positions are theirs by forward kinematics.
        audio: ``(samples, rate)``, samples ``(n,)`` or ``(n, channels)``, float in -1..1 or
            integer PCM.
        prompts: what was asked for, for the viewer's track.

    Raises:
        ValueError: wrong shapes, no frames, NaN or infinity, or a frame rate that is not positive.
    """

    positions: np.ndarray
    fps: float = 30.0
    skeleton: Skeleton | None = None
    rotations: np.ndarray | None = None
    audio: tuple[np.ndarray, int] | None = None
    prompts: Sequence[Prompt] = ()

    def __post_init__(self) -> None:
        positions = _array(self.positions, "positions")
        if positions.ndim != 3 or positions.shape[2] != 3 or not len(positions):
            raise ValueError(f"positions {positions.shape} are not (t, j, 3) with t of 1 or more")
        skeleton = self.skeleton or skeleton_for(positions.shape[1])
        if len(skeleton) != positions.shape[1]:
            raise ValueError(f"{positions.shape[1]} joints on a skeleton of {len(skeleton)}")
        if not (math.isfinite(self.fps) and self.fps > 0):
            raise ValueError(f"fps is {self.fps}; a positive number of frames a second is needed")
        object.__setattr__(self, "positions", positions)
        object.__setattr__(self, "skeleton", skeleton)
        object.__setattr__(self, "fps", float(self.fps))
        object.__setattr__(self, "prompts", tuple(self.prompts))
        object.__setattr__(self, "rotations", self._checked_rotations())
        object.__setattr__(self, "audio", _checked_audio(self.audio))

    def _checked_rotations(self) -> np.ndarray | None:
        if self.rotations is None:
            return None
        rotations = _array(self.rotations, "rotations")
        if rotations.shape != (*self.positions.shape, 3):
            raise ValueError(
                f"rotations {rotations.shape} do not fit positions {self.positions.shape}; "
                "one (3, 3) per frame and joint is needed"
            )
        return rotations

    @classmethod
    def from_rotations(
        cls,
        rotations: np.ndarray,
        root: np.ndarray,
        skeleton: Skeleton,
        fps: float = 30.0,
        audio: tuple[np.ndarray, int] | None = None,
    ) -> Motion:
        """Pose a skeleton: local rotations ``(t, j, 3, 3)`` and root positions ``(t, 3)``.

        Raises:
            ValueError: see :func:`lithe.syntalker.kinematics.fk`.
        """
        rotations, root = _array(rotations, "rotations"), _array(root, "root")
        return cls(fk(rotations, root, skeleton), fps, skeleton, rotations, audio)

    def __len__(self) -> int:
        return len(self.positions)

    def __repr__(self) -> str:
        sound = f", sound at {self.audio[1]} Hz" if self.audio else ""
        joints = self.positions.shape[1]
        return f"Motion({len(self)} frames, {joints} joints, {self.fps:g} fps{sound})"

    @property
    def seconds(self) -> float:
        """How long it lasts: frames over frame rate."""
        return len(self) / self.fps

    @property
    def root(self) -> np.ndarray:
        """Positions of the root ``(t, 3)``."""
        return self.positions[:, 0]

    def posed(self) -> Motion:
        """The motion with rotations; where it has none, those that its positions imply.

        The skeleton is fitted to the positions. Those of a rigid body are then met exactly. Where
        the bones at a fork (pelvis, chest, wrist) move against each other, as in recorded or
        predicted positions they may by some centimetres, one rotation cannot follow them all.
        """
        if self.rotations is not None:
            return self
        skeleton = fit_skeleton(self.positions, self.skeleton)
        rotations = rotations_from(self.positions, skeleton)
        posed = Motion.from_rotations(rotations, self.root, skeleton, self.fps, self.audio)
        return replace(posed, prompts=self.prompts)

    def cut(self, start: int, end: int | None = None) -> Motion:
        """Frames ``start`` up to, not including, ``end``, with their sound and prompts.

        Raises:
            ValueError: no frames are left.
        """
        start, end, _ = slice(start, end).indices(len(self))
        if end <= start:
            raise ValueError(f"frames {start} to {end} of {len(self)} are none")
        seconds = (start / self.fps, end / self.fps)
        rotations = None if self.rotations is None else self.rotations[start:end]
        return replace(
            self,
            positions=self.positions[start:end],
            rotations=rotations,
            audio=self.audio and _cut_audio(*self.audio, *seconds),
            prompts=_cut_prompts(self.prompts, *seconds),
        )

    def resampled(self, fps: float) -> Motion:
        """The same motion at another frame rate.

        Positions are interpolated linearly; rotations, where there are some, on the sphere, and
        the positions then follow from them. The first frame stays; the last is at or before the
        old last.

        Raises:
            ValueError: the rate is not a positive number.
        """
        if not (math.isfinite(fps) and fps > 0):
            raise ValueError(f"fps is {fps}; a positive number of frames a second is needed")
        count = math.floor((len(self) - 1) * fps / self.fps + 1e-6) + 1
        place = np.minimum(np.arange(count) * (self.fps / fps), len(self) - 1)
        if self.rotations is None:
            return replace(self, positions=_between(self.positions, place), fps=fps)
        rotations = _turned_between(self.rotations, place)
        positions = fk(rotations, _between(self.root, place), self.skeleton)
        return replace(self, positions=positions, rotations=rotations, fps=fps)

    def save(self, path: str | Path) -> Path:
        """Write ``.npz`` (everything), ``.bvh``, ``.glb`` (poses) or ``.mp4`` (picture and sound).

        Returns:
            The path.

        Raises:
            ValueError: another kind of file.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix not in SAVED:
            raise ValueError(f"cannot save {path.name!r}: the ending is one of {', '.join(SAVED)}")
        return import_module(f"lithe.syntalker.{SAVED[suffix]}").save(self, path)

    @staticmethod
    def load(path: str | Path) -> Motion:
        """Read ``.npz`` (ours or SMPL-X), ``.bvh`` or ``.bvh.gz``.

        Raises:
            ValueError: another kind of file, or one that is damaged.
            FileNotFoundError: there is none.
        """
        name = Path(path).name.lower()
        for ending, module in LOADED.items():
            if name.endswith(ending):
                return import_module(f"lithe.syntalker.{module}").load(path)
        raise ValueError(f"cannot load {name!r}: the ending is one of {', '.join(LOADED)}")

    def show(self, *others: Motion, labels: Sequence[str] = ()) -> Viewer:
        """A player for a notebook: 3-D, in time with the sound, other motions beside it."""
        from lithe.syntalker.viewer import Viewer

        return Viewer([self, *others], labels)


def _array(values: np.ndarray, what: str) -> np.ndarray:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    values = np.asarray(values, dtype=np.float32)
    if not np.isfinite(values).all():
        raise ValueError(f"{int((~np.isfinite(values)).sum())} of the {what} are NaN or infinite")
    return values


def _checked_audio(audio: tuple[np.ndarray, int] | None) -> tuple[np.ndarray, int] | None:
    if audio is None:
        return None
    samples, rate = audio
    samples = _array(scaled(np.asarray(samples)), "samples of the sound")
    shaped = samples.ndim == 1 or (samples.ndim == 2 and samples.shape[1] <= CHANNELS)
    if not shaped or not (int(rate) == rate and rate > 0):
        raise ValueError(
            f"sound is (samples, rate) with (n,) or (n, channels), not {samples.shape} at {rate}"
        )
    return samples, int(rate)


def _cut_audio(samples: np.ndarray, rate: int, start: float, end: float) -> tuple[np.ndarray, int]:
    return samples[round(start * rate) : round(end * rate)], rate


def _cut_prompts(prompts: Sequence[Prompt], start: float, end: float) -> list[Prompt]:
    inside = [p for p in prompts if p.start < end and p.end > start]
    return [
        replace(p, start=max(p.start, start) - start, end=min(p.end, end) - start) for p in inside
    ]


def _between(values: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Linear interpolation of ``(t, ...)`` at fractional frames ``place``."""
    low = np.floor(place).astype(int)
    high = np.minimum(low + 1, len(values) - 1)
    share = (place - low).reshape(-1, *[1] * (values.ndim - 1)).astype(values.dtype)
    return (1 - share) * values[low] + share * values[high]


def _turned_between(rotations: np.ndarray, place: np.ndarray) -> np.ndarray:
    low = np.floor(place).astype(int)
    high = np.minimum(low + 1, len(rotations) - 1)
    start, end = torch.from_numpy(rotations[low]), torch.from_numpy(rotations[high])
    turn = roma.rotmat_to_rotvec(start.mT @ end)
    share = torch.from_numpy(place - low).to(turn.dtype)[:, None, None]
    return (start @ roma.rotvec_to_rotmat(turn * share)).numpy()
