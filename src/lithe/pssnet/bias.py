"""How far the released sampler is from the space it samples, budget by budget."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lithe.pssnet.exact import ExactSampler
from lithe.pssnet.released import ReleasedSampler
from lithe.pssnet.space import Space, Subnet

__all__ = ["Bias", "Spread", "bias", "spread"]


@dataclass(frozen=True)
class Spread:
    """What subnets of one bin look like.

    Attributes:
        resolutions: share of each resolution.
        ratio_mean: mean over subnets of their mean ratio to full width.
        ratio_std: standard deviation over subnets of that mean ratio.
        correlation: of resolution and mean ratio; ``nan`` where one of them does not vary.
        distinct: different subnets among those looked at.
        drawn: how many were looked at.
    """

    resolutions: dict[int, float]
    ratio_mean: float
    ratio_std: float
    correlation: float
    distinct: int
    drawn: int


@dataclass(frozen=True)
class Bias:
    """One bin as the space has it, and as the released sampler draws it.

    Attributes:
        target: of the bin.
        truth: under the space's own law, given the bin.
        released: as drawn.
        distance: total variation between the two laws of the resolution, 0 to 1.
        trials: configurations that the released sampler tried for one that fits.
    """

    target: float
    truth: Spread
    released: Spread
    distance: float
    trials: float


def bias(
    released: ReleasedSampler,
    truth: ExactSampler,
    target: float,
    n: int,
    generator: torch.Generator,
) -> Bias:
    """Draw one bin both ways and compare. Source: PSS-Net spec 3.2.

    Args:
        released: the sampler in question.
        truth: an exact sampler of the same space and resource with ``law="space"``.
        target: one of the released sampler's targets.
        n: draws of each, at least 2.
        generator: where the randomness comes from.

    Raises:
        ValueError: ``truth`` follows another law or space, or ``n`` is below 2.
        EmptyBinError: the released sampler has no histogram for the target.
    """
    if truth.law != "space" or truth.space is not released.space:
        raise ValueError("truth must be an ExactSampler of the same space with law='space'")
    if n < 2:
        raise ValueError(f"n is {n!r}; a spread needs at least 2 draws")
    draws = [released.draw(target, generator) for _ in range(n)]
    ours = spread(released.space, [draw.subnet for draw in draws])
    subnets = truth.draw_many(target, released.budget.tolerance, n, generator)
    theirs = spread(released.space, subnets)
    apart = sum(
        abs(ours.resolutions.get(r, 0.0) - theirs.resolutions.get(r, 0.0))
        for r in released.space.resolutions
    )
    trials = float(np.mean([draw.trials for draw in draws]))
    return Bias(target, theirs, ours, apart / 2, trials)


def spread(space: Space, subnets: Sequence[Subnet]) -> Spread:
    """What a sample of subnets of ``space`` looks like; at least 2 of them."""
    full = np.array([row[-1] for row in space.choices])
    sizes = np.array([subnet.resolution for subnet in subnets], dtype=float)
    ratios = (np.array([subnet.widths for subnet in subnets]) / full).mean(1)
    varied = sizes.std() > 0 and ratios.std() > 0
    together = float(np.corrcoef(sizes, ratios)[0, 1]) if varied else float("nan")
    counts = Counter(subnet.resolution for subnet in subnets)
    return Spread(
        {r: counts[r] / len(subnets) for r in sorted(counts)},
        float(ratios.mean()),
        float(ratios.std(ddof=1)),
        together,
        len({space.effective(subnet) for subnet in subnets}),
        len(subnets),
    )
