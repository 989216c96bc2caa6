"""Training a supernet: one sampled width a step, Adam, cosine, L1."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lithe.arm.branches import Branches
from lithe.arm.calibrate import to_uint8
from lithe.arm.degrade import degrade
from lithe.arm.metrics import psnr
from lithe.arm.sampling import WidthSampling, sampling_probabilities
from lithe.modes import evaluating
from lithe.training import TrainConfig, fit
from lithe.training.history import History
from lithe.training.state import TrainState

__all__ = ["RELEASED_LR", "ImageQuality", "recipe", "train"]

RELEASED_LR = {"fsrcnn": 1e-3, "carn": 2e-4, "srresnet": 2e-4}
RELEASED_EPOCHS = 20  # 2 million steps of 16 out of 1.59 million pairs


def recipe(backbone: str = "fsrcnn", **changes: Any) -> TrainConfig:
    """The released optimiser and schedule.

    Source: ARM spec 3: Adam (0.9, 0.99) without weight decay, batch 16, cosine from 1e-3 (FSRCNN)
    or 2e-4 to 1e-7 stepped every iteration, no warm-up, no clipping.

    Args:
        backbone: which network; others than the published take the rate of CARN.
        changes: fields of :class:`lithe.training.TrainConfig`.
    """
    released: dict[str, Any] = {
        "epochs": RELEASED_EPOCHS,
        "batch_size": 16,
        "optimizer": "adamw",  # without decay, AdamW is Adam
        "weight_decay": 0.0,
        "betas": (0.9, 0.99),
        "lr": RELEASED_LR.get(backbone, 2e-4),
        "lr_end": 1e-7,
        "schedule": "cosine",
        "per_iteration": True,
    }
    return TrainConfig(**{**released, **changes})


def train(
    branches: Branches,
    pairs: Any,
    config: TrainConfig,
    *,
    power: float = 2.0,
    costs: Sequence[float] | None = None,
    images: Sequence[np.ndarray] = (),
    directory: str | Path | None = None,
    resume: bool = True,
    progress: bool | None = None,
) -> History:
    """Train the widths of a supernet in place.

    Source: ARM spec 3.

    Args:
        branches: a :class:`lithe.arm.Supernet` or :class:`lithe.arm.Slimmable`; branches
            without parameters are left out.
        pairs: training pairs, :class:`lithe.arm.Pairs`.
        config: see :func:`recipe`.
        power: of the cost in the sampling; 2 as released, 0 for uniform sampling.
        costs: of each branch, by default those of the released counter.
        images: sharp images on which the PSNR of every branch is measured after each epoch.
        directory: where checkpoints go; a stopped run continues there with the same bits.
        resume: continue from a checkpoint; ``False`` drops it.
        progress: show a bar; by default only on a terminal.

    Returns:
        One row per epoch; with ``images``, ``psnr_<name>`` in dB for every branch.

    Raises:
        ValueError: no branch has anything to train, or the pairs are of another scale.
        DivergenceError, CheckpointError, KeyboardInterrupt: as :func:`lithe.training.fit`.
    """
    if pairs.scale != branches.scale:
        raise ValueError(f"pairs of scale {pairs.scale} for branches of scale {branches.scale}")
    costs = branches.costs(released=True) if costs is None else list(costs)
    trained = [j for j in range(len(branches)) if branches.params(j)]
    if not trained:
        raise ValueError(f"none of the branches {branches.names} has parameters to train")
    chances = sampling_probabilities([costs[j] for j in trained], power)
    sampling = WidthSampling(trained, chances, config.seed, config.accumulate)
    quality = [ImageQuality(branches, images)] if len(images) else []
    return fit(
        branches,
        pairs,
        config,
        step=sampling,
        callbacks=[sampling, *quality],
        directory=directory,
        resume=resume,
        progress=progress,
    )


class ImageQuality:
    """Callback: PSNR of every branch on whole images, into the history.

    Args:
        branches: the supernet that is trained.
        images: sharp, uint8 ``(h, w, 3)``.
        border: pixels of the large image left out on each side.
    """

    def __init__(
        self, branches: Branches, images: Sequence[np.ndarray], border: int | None = None
    ) -> None:
        self.border = branches.scale if border is None else border
        self.pairs = [degrade(image, branches.scale) for image in images]

    def on_epoch_end(self, state: TrainState) -> None:
        """Measure."""
        for j, name in enumerate(state.model.names):
            state.metrics[f"psnr_{name}"] = self.of(state.model, j)

    @torch.no_grad()
    def of(self, branches: Branches, index: int) -> float:
        """Mean PSNR over the images of one branch, whole images, RGB, dB."""
        found = []
        with evaluating(branches):
            for large, small in self.pairs:
                x = torch.from_numpy(small).permute(2, 0, 1)[None].float().to(branches.device) / 255
                found.append(psnr(to_uint8(branches(x, index))[0], large, self.border))
        return float(np.mean(found))
