"""Patches measured on every branch, and tables made and judged from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lithe.arm.branches import Branches
from lithe.arm.degrade import cut_starts, degrade
from lithe.arm.edge import edge_scores
from lithe.arm.metrics import psnr_of
from lithe.arm.table import EdgeTable, Spacing, Target
from lithe.modes import evaluating

__all__ = ["HeldOut", "Patches", "calibrate", "held_out", "measure", "to_uint8"]

PATCH, STEP = 32, 28


@dataclass(frozen=True, eq=False)
class Patches:
    """What every branch makes of every patch.

    Attributes:
        scores: edge score, float64 ``(n,)``.
        mse: squared error, border left out, float64 ``(m, n)``.
        image: number of the image that each patch is from, int64 ``(n,)``.
        names: of the branches.
        score: name of the edge score.
    """

    scores: np.ndarray
    mse: np.ndarray
    image: np.ndarray
    names: tuple[str, ...]
    score: str = "laplacian"

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def psnr(self) -> np.ndarray:
        """PSNR in dB ``(m, n)``, 80 where there is no error."""
        return psnr_of(self.mse)

    def quality(self, target: Target) -> np.ndarray:
        """What a table of that target averages: ``(m, n)``."""
        return self.psnr if target == "psnr" else self.mse

    def of(self, chosen: np.ndarray) -> Patches:
        """Some of the patches, by mask or index."""
        return Patches(
            self.scores[chosen], self.mse[:, chosen], self.image[chosen], self.names, self.score
        )

    def table(
        self, bins: int = 30, target: Target = "psnr", spacing: Spacing = "even"
    ) -> EdgeTable:
        """The edge table of all these patches; see :meth:`lithe.arm.EdgeTable.build`."""
        return EdgeTable.build(
            self.scores,
            self.quality(target),
            bins,
            target=target,
            spacing=spacing,
            score=self.score,
            names=self.names,
        )


def to_uint8(y: torch.Tensor) -> np.ndarray:
    """Quantise as released: clip to 0..1, times 255, round half to even.

    Source: ARM spec 5.3.

    Args:
        y: ``(n, 3, h, w)``.

    Returns:
        uint8 ``(n, h, w, 3)``.
    """
    pixels = (y.clamp(0, 1) * 255).round().to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()


def measure(
    branches: Branches,
    images: Iterable[np.ndarray],
    *,
    patch: int = PATCH,
    step: int = STEP,
    border: int = 4,
    score: str = "laplacian",
    batch: int = 64,
    progress: Callable[[int], None] | None = None,
) -> Patches:
    """Run every branch on patches of sharp images and measure what comes out.

    Source: ARM spec 4.2. Each image is degraded, cut, enlarged by each branch, quantised and
    compared over RGB with ``border`` pixels left out on each side.

    Args:
        branches: what to measure.
        images: sharp, uint8 ``(h, w, 3)``; those smaller than a patch are passed over.
        patch: side of a patch in the small image.
        step: from one patch to the next; the rest at the border is covered by flush patches
            where more than 12 pixels of 32 would be left (ARM spec 3).
        border: left out, in pixels of the large image.
        score: name of the edge score.
        batch: patches per forward pass.
        progress: called with the number of each image that is done.

    Raises:
        ValueError: no image is large enough for one patch.
    """
    scores, errors, image = [], [], []
    for number, picture in enumerate(images):
        pair = _cut(picture, branches.scale, patch, step)
        if pair is not None:
            small, large = pair
            scores.append(edge_scores(small, score))
            with evaluating(branches):
                errors.append(_errors(branches, small, large, border, batch))
            image.append(np.full(len(small), number))
        if progress is not None:
            progress(number)
    if not scores:
        raise ValueError(f"no image is large enough for one patch of {patch} small pixels")
    joined = np.concatenate(scores), np.concatenate(errors, 1), np.concatenate(image)
    return Patches(*joined, branches.names, score)


def _cut(
    picture: np.ndarray, scale: int, patch: int, step: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Aligned patches of the small and the large image."""
    if min(picture.shape[:2]) < patch * scale:
        return None
    large, small = degrade(picture, scale)
    least = patch * 12 // 32
    rows, columns = (cut_starts(side, patch, step, least) for side in small.shape[:2])
    places = [(r, c) for r in rows for c in columns]
    size = patch * scale
    cuts = [small[r : r + patch, c : c + patch] for r, c in places]
    wholes = [large[r * scale : r * scale + size, c * scale : c * scale + size] for r, c in places]
    return np.stack(cuts), np.stack(wholes)


@torch.inference_mode()
def _errors(
    branches: Branches, small: np.ndarray, large: np.ndarray, border: int, batch: int
) -> np.ndarray:
    """Squared error ``(m, n)`` of every branch on every patch."""
    errors = np.empty((len(branches), len(small)))
    inside = slice(border, -border or None)
    for first in range(0, len(small), batch):
        cut = slice(first, first + batch)
        x = torch.from_numpy(small[cut]).to(branches.device).permute(0, 3, 1, 2).float() / 255
        truth = large[cut, inside, inside].astype(np.float64)
        for j in range(len(branches)):
            made = to_uint8(branches(x, j))[:, inside, inside]
            errors[j, cut] = ((made - truth) ** 2).mean((1, 2, 3))
    return errors


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What tables say of patches that they have not seen.

    Attributes:
        predicted: ``(m, n)``, in the unit of ``target``; each patch by the table of all images
            but its own.
        measured: ``(m, n)``, the same of the patches themselves.
        target: ``"psnr"`` or ``"mse"``.
        bins: of the tables.
    """

    predicted: np.ndarray
    measured: np.ndarray
    target: Target
    bins: int

    @property
    def bias(self) -> np.ndarray:
        """Mean of predicted minus measured, per branch ``(m,)``."""
        return (self.predicted - self.measured).mean(1)

    @property
    def rmse(self) -> np.ndarray:
        """Root mean squared difference, per branch ``(m,)``."""
        return np.sqrt(((self.predicted - self.measured) ** 2).mean(1))

    @property
    def gain_rmse(self) -> float:
        """The same of the gain over branch 0, all others together: what routing rests on."""
        gains = [x[1:] - x[:1] for x in (self.predicted, self.measured)]
        return float(np.sqrt(((gains[0] - gains[1]) ** 2).mean())) if len(gains[0]) else 0.0


def held_out(
    patches: Patches, bins: int = 30, target: Target = "psnr", spacing: Spacing = "even"
) -> HeldOut:
    """Predict the patches of each image by a table of all the other images.

    Source: ARM spec 8.5 (leave one image out).

    Raises:
        ValueError: the patches are all from one image.
    """
    images = np.unique(patches.image)
    if len(images) < 2:
        raise ValueError("the patches are from one image; holding one out needs two or more")
    predicted = np.empty_like(patches.mse)
    for number in images:
        own = patches.image == number
        table = patches.of(~own).table(bins, target, spacing)
        predicted[:, own] = table.predict(patches.scores[own]).T
    return HeldOut(predicted, patches.quality(target), target, bins)


def calibrate(
    patches: Patches,
    target: Target = "psnr",
    bins: Sequence[int] = (5, 10, 15, 30),
    spacing: Spacing = "even",
) -> tuple[EdgeTable, HeldOut]:
    """The table with the number of bins that foretells gains best on images it has not seen.

    Args:
        patches: measured on at least two images.
        target: of the table.
        bins: numbers of bins to try; of equal ones the first.
        spacing: of the bins; see :meth:`lithe.arm.EdgeTable.build`.

    Returns:
        The table of all patches with that number of bins, and how such tables did on held-out
        images.
    """
    if not bins:
        raise ValueError("no numbers of bins to try")
    trials = [held_out(patches, k, target, spacing) for k in bins]
    best = min(trials, key=lambda trial: trial.gain_rmse)
    return patches.table(best.bins, target, spacing), best
