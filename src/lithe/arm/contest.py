"""A small supernet trained on real photographs, and what each way of sampling widths is worth.

The network is FSRCNN with the enlarged input added to its output: without that, training from
scratch takes days (ARM spec 10).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lithe.arm import routers
from lithe.arm.anytime import Cells, survey
from lithe.arm.calibrate import Patches, measure
from lithe.arm.observed import measure_again, observations, plotted, tables_compared, whole_images
from lithe.arm.pairs import Pairs, pairs_of
from lithe.arm.supernet import Supernet
from lithe.arm.testsets import Pictures
from lithe.arm.training import train
from lithe.training import TrainConfig

__all__ = ["VARIANTS", "Material", "Outcome", "contend", "fresh"]

#: Variant -> power of the cost in the chance of a width: the dearer, the more often.
VARIANTS = {"squared": 2.0, "uniform": 0.0, "alone": math.inf}


@dataclass(frozen=True, eq=False)
class Material:
    """Images of one contest; no image has two uses.

    Attributes:
        training: to cut crops from.
        calibration: for edge tables.
        sets: to test on.
    """

    training: Pictures
    calibration: Pictures
    sets: tuple[Pictures, ...]

    def described(self) -> list[dict[str, Any]]:
        """All of them, as the ledger writes data down."""
        return [one.described() for one in (self.training, self.calibration, *self.sets)]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What one run came to: numbers, curves, and the trained network with its patches."""

    metrics: dict[str, Any]
    curves: dict[str, list[float]]
    net: Supernet
    patches: Patches


def fresh(widths: tuple[int, ...], seed: int) -> Supernet:
    """The untrained supernet of a seed: the same first weights for all variants."""
    generator = torch.Generator().manual_seed(seed)
    return Supernet("fsrcnn", widths=widths, base="bilinear", generator=generator)


def crops(training: Pictures, size: int, step: int) -> Pairs:
    """Training crops of ``size`` small pixels."""
    images = training.images.values()
    return pairs_of(images, name=training.name, size=size, step=step, least=size // 3)


def contend(
    variant: str,
    net: Supernet,
    material: Material,
    pairs: Pairs,
    recipe: TrainConfig,
    *,
    step: int = 28,
    bins: tuple[int, ...] = (10,),
    directory: Path | None = None,
) -> Outcome:
    """Train one supernet and measure it.

    Args:
        variant: a key of :data:`VARIANTS`; ``"alone"`` trains the largest width only.
        net: untrained; changed in place.
        material: images to calibrate and test on.
        pairs: crops to train on.
        recipe: of the training.
        step: from one calibration patch to the next, small pixels.
        bins: of the edge tables; the first one is that of the routers.
        directory: for checkpoints; a stopped run goes on from there.

    Raises:
        ValueError: no such variant.
    """
    if variant not in VARIANTS:
        raise ValueError(f"no variant {variant!r}; there are: {', '.join(VARIANTS)}")
    history = train(net, pairs, recipe, power=VARIANTS[variant], directory=directory)
    net.eval()
    images = [image for one in material.sets for image in one.images.values()]
    cells = survey(net.deployed(), images, ("laplacian", "variance"))
    patches = measure(net.deployed(), material.calibration.images.values(), step=step)
    metrics = whole_images(cells, list(material.sets)) | {"train_loss": history.last["train_loss"]}
    curves = {"train_loss": history["train_loss"]}
    if variant != "alone":
        more, shown = _routed(cells, patches, material.calibration, step, bins)
        metrics, curves = metrics | more, curves | shown
    return Outcome(metrics, curves, net, patches)


def _routed(
    cells: Cells, patches: Patches, calibration: Pictures, step: int, bins: tuple[int, ...]
) -> tuple[dict[str, Any], dict[str, list[float]]]:
    by_variance = measure_again(patches, calibration, "variance", step)
    curves = routers.compare(cells, patches, by_variance, bins[0])
    pooled = routers.pooled(cells, patches, bins[0])
    metrics = {
        **observations(patches),
        **routers.summary(cells, curves),
        **routers.pooled_summary(cells, pooled),
        **tables_compared(cells, patches, bins),
    }
    return metrics, plotted(curves, pooled)
