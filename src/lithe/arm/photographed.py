"""The released router on the photographs of scikit-image, which have large smooth areas.

Set5, Set14, B100 and Urban100 are small pictures full of things; these are nearer to the large
photographs of the published tables. Source: ARM spec 8.3.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from lithe import data
from lithe.arm import routers
from lithe.arm.anytime import FRACTIONS, anytime, chord_curve, survey
from lithe.arm.observed import plotted, whole_images
from lithe.arm.official import load_official, official_table
from lithe.arm.testsets import bundled

__all__ = ["EXHIBITS", "photographed"]

#: The colour photographs. The released networks have seen none of them.
COLOUR = (
    *("astronaut", "chelsea", "coffee", "rocket"),
    *("motorcycle", "ihc", "hubble", "retina"),
)


def photographed(backbone: str) -> tuple[dict, dict[str, list[float]], list[dict[str, Any]]]:
    """Released network and released table on eight photographs, against chance and hindsight.

    Args:
        backbone: ``"fsrcnn"`` or ``"carn"``.
    """
    golden = data.shared_folder() / "golden"
    net = load_official(golden / f"arm_{backbone}_official.safetensors", backbone).deployed()
    table, _ = official_table(golden / "arm_lut_official.npz", backbone)
    photos = bundled(COLOUR)
    cells = survey(net, photos.images.values())
    curves = {
        "released": routers.with_table(cells, table),
        "chord": chord_curve(cells),
        "oracle": anytime(cells, -cells.error),
    }
    shares = cells.costs / cells.costs.max()
    mixed = np.stack([np.interp(FRACTIONS, shares, row) for row in cells.psnr.T])
    pooled = {"released": routers.pooled_table(cells, table), "chord": mixed}
    metrics = {
        **whole_images(cells, [photos]),
        **routers.summary(cells, curves),
        **routers.pooled_summary(cells, pooled),
    }
    return metrics, plotted(curves, pooled), [photos.described()]


#: Records without training, by name: metrics, curves and the data used.
EXHIBITS: dict[str, Callable[[], tuple]] = {
    f"photographs-{net}": partial(photographed, net) for net in ("fsrcnn", "carn")
}
