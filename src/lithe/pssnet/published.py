"""What the published numbers say by themselves: gains, plateaus, and where they disagree."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lithe.pssnet.curves import Difference, difference

__all__ = ["LowEnd", "Published"]

BASELINES = ("USNet", "MutualNet")
#: Panels of the published figure: net, resource, and the series trained for that resource alone.
PANELS = {
    "mbv1_flops_M": "PSS-Net_F",
    "mbv1_gpu_us": "PSS-Net_G",
    "mbv1_cpu_ms": "PSS-Net_C",
    "mbv2_flops_M": "PSS-Net_F",
    "mbv2_gpu_us": "PSS-Net_G",
    "mbv2_cpu_ms": "PSS-Net_C",
}
#: Names of a supernet's resource in the README's table.
README_PANELS = {"FLOPs": "flops_M", "GPU Latency": "gpu_us", "CPU Latency": "cpu_ms"}

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class LowEnd:
    """The cheapest points of a curve that are no better than the min net.

    Attributes:
        low: cost of the min net.
        high: cost of the last point of the plateau.
        points: how many points it has, the min net included.
        least: smallest top-1 on it, percent.
        greatest: greatest top-1 on it, percent.
        next_cost: cost of the first point behind it.
        next_top1: its top-1, percent.
    """

    low: float
    high: float
    points: int
    least: float
    greatest: float
    next_cost: float
    next_top1: float


class Published:
    """The plotted series and the README's table, read but not judged. Source: PSS-Net spec 7.

    Args:
        curves: by panel and series, ``{"x": costs, "top1": percent}``.
        readme: rows of the README: supernet, constraint, pairs of cost and top-1.

    Raises:
        ValueError: a panel or a series is missing, or its two rows are of unequal length.
    """

    def __init__(
        self, curves: Mapping[str, Mapping[str, Mapping]], readme: Sequence[Mapping] = ()
    ) -> None:
        for panel, own in PANELS.items():
            for name in (own, "PSS-Net_M", *BASELINES):
                series = curves.get(panel, {}).get(name)
                if series is None or len(series["x"]) != len(series["top1"]):
                    raise ValueError(f"the published curves lack {name} of {panel}, or part of it")
        self.curves = curves
        self.readme = tuple(readme)

    @classmethod
    def load(cls, folder: str | Path) -> Published:
        """Read ``pss_published_curves.json`` and ``pss_readme_table.json`` from a folder."""
        folder = Path(folder)
        curves = json.loads((folder / "pss_published_curves.json").read_text())
        return cls(curves, json.loads((folder / "pss_readme_table.json").read_text()))

    def points(self, panel: str, series: str) -> Points:
        """Pairs of cost and top-1 of a series, cheapest first."""
        own = self.curves[panel][series]
        return sorted(zip(own["x"], own["top1"]))

    def max_net(self, panel: str, series: str) -> float:
        """Top-1 of the dearest point of a series: the full architecture at full resolution."""
        return self.points(panel, series)[-1][1]

    def max_net_gain(self, net: str, baseline: str) -> float:
        """Top-1 that the max net gains over a baseline at the same architecture, points.

        No choice of mid-size subnets explains it: the architecture is the same.

        Args:
            net: ``"mbv1"`` or ``"mbv2"``; the FLOPs panel is read.
            baseline: ``"USNet"`` or ``"MutualNet"``.
        """
        panel = f"{net}_flops_M"
        return self.max_net(panel, PANELS[panel]) - self.max_net(panel, baseline)

    def low_end(self, net: str, within: float = 0.5) -> LowEnd:
        """How far above the min net's cost subnets stay at its accuracy, both FLOPs series.

        Args:
            net: ``"mbv1"`` or ``"mbv2"``.
            within: points of top-1 above the min net that do not count as better.
        """
        panel = f"{net}_flops_M"
        ends = [self._plateau(self.points(panel, s), within) for s in (PANELS[panel], "PSS-Net_M")]
        flat = [point for run, _ in ends for point in run]
        after = min(behind for _, behind in ends)
        tops = [top for _, top in flat]
        low, high = min(flat)[0], max(flat)[0]
        return LowEnd(low, high, len(flat), min(tops), max(tops), *after)

    def _plateau(self, points: Points, within: float) -> tuple[Points, tuple[float, float]]:
        """The first points that stay within reach of the very first, and the one behind them."""
        limit = points[0][1] + within
        length = next(k for k, (_, top) in enumerate(points) if top > limit)
        return points[:length], points[length]

    def versus(self, panel: str, baseline: str) -> Difference:
        """Envelope of the single-resource supernet minus a baseline's, where all three reach."""
        series = {name: self.points(panel, name) for name in (PANELS[panel], *BASELINES)}
        low = max(points[0][0] for points in series.values())
        high = min(points[-1][0] for points in series.values())
        return difference(series[PANELS[panel]], series[baseline], (low, high))

    def beaten_by(self, net: str, baseline: str) -> list[tuple[float, float, float]]:
        """Baseline points that no published subnet of at most their cost reaches.

        Returns:
            Cost, the baseline's top-1 and the best published top-1 within that cost, for each
            baseline point that the PSS curves (FLOPs panel) do not match; points below the
            cheapest published subnet are left out.
        """
        panel = f"{net}_flops_M"
        ours = self.points(panel, PANELS[panel]) + self.points(panel, "PSS-Net_M")
        lost = []
        for cost, top in self.points(panel, baseline):
            reach = [own for x, own in ours if x <= cost]
            if reach and max(reach) < top:
                lost.append((cost, top, max(reach)))
        return lost

    def reused(self, net: str, resource: str) -> tuple[int, int]:
        """Points of a mixed supernet's latency panel whose top-1 also stands in its FLOPs panel.

        Args:
            net: ``"mbv1"`` or ``"mbv2"``.
            resource: ``"gpu_us"`` or ``"cpu_ms"``.

        Returns:
            How many, and out of how many.
        """
        known = {top for _, top in self.points(f"{net}_flops_M", "PSS-Net_M")}
        tops = [top for _, top in self.points(f"{net}_{resource}", "PSS-Net_M")]
        return sum(top in known for top in tops), len(tops)

    def readme_mismatches(self) -> list[tuple[str, str, float, float]]:
        """README points that no plotted point may be printed as, to the digits it prints.

        Costs may be rounded or cut to whole units, top-1 is rounded to tenths.

        Returns:
            Supernet, constraint, cost and top-1 of each.
        """
        lost = []
        for row in self.readme:
            net = "mbv1" if "MBV1" in row["supernet"] else "mbv2"
            panel = f"{net}_{README_PANELS[row['constraint']]}"
            name = f"PSS-Net_{row['supernet'][-1]}"
            plotted = self.points(panel, name)
            for cost, top in row["points"]:
                if not any(-0.5 <= x - cost < 1 and abs(y - top) < 0.05 + 1e-9 for x, y in plotted):
                    lost.append((row["supernet"], row["constraint"], cost, top))
        return lost
