"""Figures of the chapter on the aligned space: retrieval by variant, differences, beats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from lithe import figures, ledger, stats
from lithe.figures import PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["BEATS", "DATA", "PAIRS", "beats", "differences", "retrieval"]

DATA = {"world": "generated world", "cmu": "motion capture"}
VARIANTS = ("corrected", "released", "unfiltered", "contrast-only", "unaligned", "shuffled")
WAYS = {"text to motion": "text_to_motion_r1", "motion to text": "motion_to_text_r1"}
#: Differences of recall that are shown: label, control of ``corrected``.
PAIRS = (
    ("with − without the contrast", "unaligned"),
    ("own − exchanged captions", "shuffled"),
    ("filter − none", "unfiltered"),
    ("corrected − released filter", "released"),
    ("all losses − contrast alone", "contrast-only"),
)
#: Rows of the beats' figure: label -> the record's field; the control's ends in ``_other``.
BEATS = {
    "talkers, accents": "world_accents",
    "talkers, accents, narrow": "world_accents_narrow",
    "talkers, onsets": "world_onsets",
    "recording, onsets": "beat2_clean",
    "recording, narrow": "beat2_narrow",
    "recording, released": "beat2_released",
    "recording, released, folded": "beat2_folded",
    "recording with tremor": "beat2_tremor",
}


def retrieval(profile: str = "small") -> Figure:
    """Share of prompts whose motion comes first, and the other way round, for every variant.

    Means over seeds with 95% intervals; the dashed line is what guessing finds.

    Args:
        profile: whose records.
    """
    figure, axes = figures.canvas(2, 2.9, sharey=True)
    for axis, (data, title) in zip(axes, DATA.items()):
        axis.set(title=title, yticks=range(len(VARIANTS)), yticklabels=VARIANTS)
        axis.set(xlabel="R@1 (%)", ylim=(len(VARIANTS) - 0.5, -0.5))
        drawn = [_variants(axis, data, way, profile) for way in WAYS]
        chance = _values(data, VARIANTS[0], "chance_r1", profile)
        if chance:
            axis.axvline(next(iter(chance.values())), color=PALETTE["ink"], ls="--", lw=1)
        if any(drawn):
            axis.set_xlim(0)
        else:
            _nothing(axis)
    if axes[0].lines:
        figure.legend(*axes[0].get_legend_handles_labels(), ncols=2, loc="outside lower center")
    return figure


def _variants(axis: Axes, data: str, way: str, profile: str) -> bool:
    """One direction of search: a point and an interval for each variant; whether there was any."""
    ways = list(WAYS)
    marker, colour = (("o", "blue"), ("s", "vermilion"))[ways.index(way)]
    label: str | None = way
    for place, variant in enumerate(VARIANTS):
        values = list(_values(data, variant, WAYS[way], profile).values())
        if not values:
            continue
        at = place + 0.24 * (ways.index(way) - 0.5)
        middle, half = _interval(values)
        axis.errorbar(middle, at, xerr=half, fmt=marker, color=PALETTE[colour], label=label, ms=5)
        label = None
    return label is None


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean over seeds and half its 95% interval; 0 where there is one seed."""
    if len(values) < 2:
        return values[0], 0.0
    found = stats.mean_ci(values)
    return found.mean, found.half_width


def differences(profile: str = "small", metric: str = "text_to_motion_r1") -> Figure:
    """Paired differences of the corrected space to each control, both corpora, 95% intervals.

    Args:
        profile: whose records.
        metric: a recall of the records.
    """
    rows = {}
    for label, control in PAIRS:
        for data in DATA:
            sides = [_values(data, name, metric, profile) for name in ("corrected", control)]
            seeds = sorted(sides[0].keys() & sides[1].keys())
            if len(seeds) > 1:
                found = stats.paired(*([side[seed] for seed in seeds] for side in sides))
                rows[f"{label}, {data}"] = (found.mean, found.low, found.high)
    if not rows:
        figure, (axis,) = figures.canvas(1, 1.6)
        _nothing(axis)
        return figure
    return figures.differences(rows, unit="R@1, text to motion (points)", zero="control")


def beats(profile: str = "small") -> Figure:
    """Beat consistency with a clip's own sound, and with that of another."""
    records = ledger.find(f"syntalker/metrics/{profile}/0")
    figure, (axis,) = figures.canvas(1, 2.9 if records else 1.6)
    if not records:
        _nothing(axis)
        return figure
    places = np.arange(len(BEATS))
    for marker, colour, label, ending in (
        ("o", "blue", "own sound", ""),
        ("x", "vermilion", "sound of another clip", "_other"),
    ):
        values = [records[0].metric(field + ending).value for field in BEATS.values()]
        axis.plot(values, places, marker, color=PALETTE[colour], ls="", ms=7, label=label)
    axis.set(yticks=places, yticklabels=list(BEATS), xlabel="beat consistency", xlim=(0, 1))
    axis.invert_yaxis()
    axis.legend(fontsize=8, loc="lower left")
    return figure


def _values(data: str, variant: str, metric: str, profile: str) -> dict[int, float]:
    records = ledger.find(f"syntalker/{data}-space-{variant}/{profile}/*")
    return {record.seed: record.metric(metric).value for record in records}


def _nothing(axis: Axes) -> None:
    """An honest empty panel: the figure is made of records, and these are not there."""
    axis.text(0.5, 0.5, "not on record yet", ha="center", va="center", transform=axis.transAxes)
    axis.set(xticks=[], yticks=[])
