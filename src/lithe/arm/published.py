"""What the released logs hold, and the FLOPs of the published tables recomputed from them.

Nothing here is trained or measured. Source: ARM spec 2.5, 6 and 7.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from lithe.arm.branches import Branches
from lithe.arm.cost import mean_cost, overlap_overhead
from lithe.arm.sampling import sampling_probabilities
from lithe.arm.supernet import BACKBONES, Supernet

__all__ = ["HEADLINES", "LOGS", "Headline", "Log", "costs", "published"]

Metrics = dict[str, float | dict]


@dataclass(frozen=True)
class Log:
    """One released test run: one cell of the published tables.

    Attributes:
        net: backbone.
        images: test set.
        size: row of the table: ``"l"``, ``"m"`` or ``"s"`` of ARM-L, ARM-M, ARM-S.
        k: exchange rate, in units of the largest branch's cost per dB.
        counts: patches that took each branch.
        psnr: dB over RGB, as logged.
    """

    net: str
    images: str
    size: str
    k: float
    counts: tuple[int, int, int, int]
    psnr: float


@dataclass(frozen=True)
class Headline:
    """A saving that is written into the published figure (Test8K).

    Attributes:
        whole: million operations of the network without routing, as plotted.
        routed: million operations of the point that the arrow ends at.
        counts: patches by branch at that point, where a log has them.
    """

    whole: float
    routed: float
    counts: tuple[int, int, int, int] | None = None


#: All released test runs. Source: ARM spec 7.
LOGS = (
    Log("carn", "f2k", "l", 4, (1945, 0, 0, 18698), 28.757),
    Log("carn", "f2k", "m", 1.36, (1945, 2410, 7383, 8905), 28.678),
    Log("carn", "f2k", "s", 1.32, (1945, 6679, 6432, 5587), 28.573),
    Log("carn", "test2k", "l", 1.94, (1950, 0, 877, 9493), 26.036),
    Log("carn", "test2k", "m", 1.38, (1950, 877, 2753, 6740), 26.015),
    Log("carn", "test2k", "s", 1.3, (1950, 3690, 3058, 3622), 25.946),
    Log("carn", "test4k", "l", 1.5, (9919, 2712, 8609, 29800), 27.446),
    Log("carn", "test4k", "m", 1.36, (9919, 4685, 15528, 20908), 27.419),
    Log("carn", "test4k", "s", 1.3, (9919, 15580, 13380, 12161), 27.343),
    Log("carn", "test8k", "l", 1.94, (78623, 0, 49946, 167843), 33.310),
    Log("carn", "test8k", "m", 1.38, (78623, 49946, 81778, 86065), 33.271),
    Log("carn", "test8k", "s", 1.3, (78623, 100492, 74685, 42612), 33.181),
    Log("fsrcnn", "f2k", "l", 4, (1945, 0, 5524, 13174), 27.980),
    Log("fsrcnn", "f2k", "m", 1.5, (1945, 0, 18697, 1), 27.905),
    Log("fsrcnn", "f2k", "s", 0.75, (1945, 11677, 7021, 0), 27.651),
    Log("fsrcnn", "test2k", "l", 4, (1950, 0, 2068, 8302), 25.635),
    Log("fsrcnn", "test2k", "m", 3.45, (1950, 0, 7906, 2464), 25.607),
    Log("fsrcnn", "test2k", "s", 0.85, (1950, 877, 9493, 0), 25.591),
    Log("fsrcnn", "test4k", "l", 4, (9919, 0, 11305, 29816), 26.928),
    Log("fsrcnn", "test4k", "m", 3.6, (9919, 0, 29702, 11419), 26.897),
    Log("fsrcnn", "test4k", "s", 0.85, (9919, 4685, 36420, 16), 26.874),
    Log("fsrcnn", "test8k", "l", 4, (78623, 0, 96800, 120989), 32.746),
    Log("fsrcnn", "test8k", "m", 3.45, (78623, 0, 172012, 45777), 32.726),
    Log("fsrcnn", "test8k", "s", 0.815, (78623, 66318, 151471, 0), 32.663),
    Log("srresnet", "f2k", "l", 7.5, (1945, 0, 5525, 13173), 29.027),
    Log("srresnet", "f2k", "m", 5.8, (1945, 0, 13053, 5645), 29.008),
    Log("srresnet", "f2k", "s", 2.2, (1945, 4450, 14141, 107), 28.966),
    Log("srresnet", "test2k", "l", 7.1, (1950, 0, 2582, 7788), 26.206),
    Log("srresnet", "test2k", "m", 5.8, (1950, 0, 6234, 4136), 26.197),
    Log("srresnet", "test2k", "s", 3.7, (1950, 491, 9539, 340), 26.176),
    Log("srresnet", "test4k", "l", 6.25, (9919, 0, 22412, 18709), 27.658),
    Log("srresnet", "test4k", "m", 5.75, (9919, 0, 27204, 13917), 27.653),
    Log("srresnet", "test4k", "s", 4, (9919, 2712, 35634, 2775), 27.633),
    Log("srresnet", "test8k", "l", 7.5, (78623, 0, 96804, 120985), 33.516),
    Log("srresnet", "test8k", "m", 4.5, (78623, 30375, 165905, 21509), 33.495),
    Log("srresnet", "test8k", "s", 2, (78623, 117492, 98406, 1891), 33.463),
)

#: Points behind "2.5x", "2.4x" and "1.9x"; SRResNet's has no log. Source: ARM spec 6.3.
HEADLINES = {
    "fsrcnn": Headline(468, 187, (78623, 66318, 151471, 0)),
    "carn": Headline(1177, 489, (78623, 100492, 74685, 42612)),
    "srresnet": Headline(5324, 2869),
}


def costs(backbone: str) -> Metrics:
    """What every width costs by the released counter and in truth, for one 32 x 32 patch.

    Args:
        backbone: ``"fsrcnn"``, ``"carn"`` or ``"srresnet"``.
    """
    net = _bare(backbone)
    table: Metrics = {"supernet_params": sum(p.numel() for p in net.parameters())}
    released, true = net.costs(released=True), net.costs()
    chances = sampling_probabilities(released[1:])
    for j, width in enumerate(net.widths[1:], start=1):
        table |= {
            f"released_w{width}": released[j],
            f"macs_w{width}": true[j],
            f"params_w{width}": net.params(j),
            f"released_share_w{width}": _percent(released[j] / released[-1]),
            f"true_share_w{width}": _percent(true[j] / true[-1]),
            f"sampling_w{width}": float(chances[j - 1]),
        }
    return table | _inflated(net)


@cache
def _bare(backbone: str) -> Supernet:
    """An untrained supernet, for its structure."""
    return Supernet(backbone)  # type: ignore[arg-type]


def _inflated(net: Branches) -> Metrics:
    """By how much the released counter is off, in operations (two per multiply-accumulate)."""
    largest = len(net) - 1
    return {
        "overcount": {"value": net.released_cost(largest) / (2 * net.macs(largest)), "unit": "×"}
    }


def published() -> Metrics:
    """FLOPs of every cell of the published tables from its class counts, by both counters.

    ``flops_`` and ``percent_`` follow the released counter, ``true_percent_`` the multiply-
    accumulates, ``area_percent_`` those with the overlap of the patches. ``printed_percent_``
    divides by what the figure calls the whole network. ``free_`` is the share of patches that
    were interpolated.
    """
    table: Metrics = {"overlap": {"value": overlap_overhead(), "unit": "×"}}
    for backbone in BACKBONES:
        net = _bare(backbone)
        released, true = net.costs(released=True), net.costs()
        for log in (log for log in LOGS if log.net == backbone):
            table |= _cell(log, released, true)
        table |= _headline(backbone, released, true)
    return table


def _cell(log: Log, released: list[int], true: list[int]) -> Metrics:
    cell = f"{log.net}_{log.images}_{log.size}"
    spent, multiplied = mean_cost(log.counts, released), mean_cost(log.counts, true)
    return {
        f"flops_{cell}": {"value": spent / 1e6, "unit": "M"},
        f"percent_{cell}": _percent(spent / released[-1]),
        f"printed_percent_{cell}": _percent(spent / 1e6 / HEADLINES[log.net].whole),
        f"true_percent_{cell}": _percent(multiplied / true[-1]),
        f"area_percent_{cell}": _percent(overlap_overhead() * multiplied / true[-1]),
        f"free_{cell}": _percent(log.counts[0] / sum(log.counts)),
        f"logged_psnr_{cell}": {"value": log.psnr, "unit": "dB"},
    }


def _headline(backbone: str, released: list[int], true: list[int]) -> Metrics:
    point = HEADLINES[backbone]
    counted = true if point.counts else released  # no transposed convolution in SRResNet
    left = mean_cost(point.counts, counted) if point.counts else point.routed * 1e6
    return {
        f"headline_{backbone}": {"value": point.whole / point.routed, "unit": "×"},
        f"headline_true_{backbone}": {"value": counted[-1] / left, "unit": "×"},
        f"headline_area_{backbone}": {
            "value": counted[-1] / left / overlap_overhead(),
            "unit": "×",
        },
    }


def _percent(share: float) -> dict[str, object]:
    return {"value": 100 * share, "unit": "%"}
