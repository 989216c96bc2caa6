"""Figures of the chapter on control: what follows prompts, what follows the voice, and both.

All but :func:`schedule` are made of records; where there are none they say so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from lithe import figures, ledger, stats
from lithe.figures import PALETTE
from lithe.syntalker.autoencoder import DOWN

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from lithe.ledger.records import Record
    from lithe.syntalker.timeline import Plan

__all__ = [
    "PAIRS",
    "SAMPLERS",
    "TRAININGS",
    "Pair",
    "alignment",
    "claim",
    "combination",
    "differences",
    "parts",
    "schedule",
    "strengths",
]

FPS = 30.0
#: Ways to use one network: label -> first part of the record's fields.
SAMPLERS = {
    "separate, then combine": "separate",
    "whole body": "whole_body",
    "speech and prompt at once": "joint",
    "stitched afterwards": "stitched",
    "prompt only": "prompt_only",
    "speech only": "audio_only",
}
#: Rows of the figure on training: label -> variant, first part of its fields.
TRAININGS = {
    "aligned space": ("full", "separate"),
    "aligned, asked with motions": ("full", "embedding"),
    "aligned, untrained text encoder": ("full", "untrained_text"),
    "never aligned": ("unaligned", "separate"),
    "never aligned, asked with motions": ("unaligned", "embedding"),
    "sentences, no pseudo-prompts": ("text-only", "separate"),
    "talkers alone": ("talkers-only", "separate"),
    "few captions, aligned": ("few-full", "separate"),
    "few captions, sentences": ("few-text", "separate"),
}
#: What :func:`parts` shows of two prompts at once: label -> first part of the record's fields.
TWO = {"a prompt for each part": "both", "one sentence, whole body": "concatenated"}
STRENGTHS = (1, 2, 4, 7)


class Pair(NamedTuple):
    """A paired difference: ours minus a control, on the seed.

    Attributes:
        label: on the figure.
        ours: experiment after ``generation-``, and its field.
        control: likewise.
    """

    label: str
    ours: tuple[str, str]
    control: tuple[str, str]


_FULL = ("full", "separate_action")
_BOTH = ("full", "separate_joint")
PAIRS = (
    Pair("own − exchanged prompts", _FULL, ("full", "separate_shuffled")),
    Pair("aligned − never aligned", _FULL, ("unaligned", "separate_action")),
    Pair("aligned − untrained text encoder", _FULL, ("full", "untrained_text_action")),
    Pair("pseudo-prompts − sentences", _FULL, ("text-only", "separate_action")),
    Pair(
        "the same, few captions", ("few-full", "separate_action"), ("few-text", "separate_action")
    ),
    Pair("both corpora − talkers alone", _FULL, ("talkers-only", "separate_action")),
    Pair("does and talks: per part − whole body", _BOTH, ("full", "whole_body_joint")),
    Pair("does and talks: per part − prompt only", _BOTH, ("full", "prompt_only_joint")),
    Pair("does and talks: per part − speech only", _BOTH, ("full", "audio_only_joint")),
    Pair(
        "two prompts: per part − one sentence",
        ("full", "both_success"),
        ("full", "concatenated_success"),
    ),
)


def claim(profile: str = "small") -> Figure:
    """Following the prompt against following the voice, for every sampler of one network.

    The ordinate is the beat score minus that with the voices of others. The dotted line is what
    real talkers have of it, the dashed one what is left of that after the codec.

    Args:
        profile: whose records.
    """
    figure, (axis,) = figures.canvas(1, 3.0)
    records = _records("full", profile)
    if not records:
        _nothing(axis)
        return figure
    marks = zip(("o", "s", "^", "D", "v", "x"), _colours(), SAMPLERS.items())
    for marker, colour, (label, name) in marks:
        x, x_half = _interval(_of(records, f"{name}_action"))
        y, y_half = _interval(_margin(records, name))
        style = {"fmt": marker, "color": colour, "ms": 7, "capsize": 2, "elinewidth": 1}
        axis.errorbar(x, y, y_half, x_half, label=label, **style)
    for line, name in ((":", "real"), ("--", "codec")):
        axis.axhline(np.mean(_margin(records, name)), color=PALETTE["ink"], ls=line, lw=1)
    axis.set(
        xlabel="clips that do what was asked (%)", ylabel="own voice − others'", xlim=(-4, 104)
    )
    axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure


def alignment(profile: str = "small") -> Figure:
    """What each way to train can do: follow a prompt, and talk meanwhile.

    Means over seeds with 95% intervals; crosses: judged by what another clip was asked.

    Args:
        profile: whose records.
    """
    figure, axes = figures.canvas(2, 0.9 + 0.27 * len(TRAININGS), sharey=True)
    rows = {
        label: (_records(variant, profile), name) for label, (variant, name) in TRAININGS.items()
    }
    for axis, field, title in zip(axes, ("action", "joint"), ("does what was asked", "and talks")):
        _rows(axis, rows, field, "shuffled" if field == "action" else None)
        axis.set(title=title, xlabel="clips (%)")
    return figure


def combination(profile: str = "small") -> Figure:
    """One network, several samplers: prompt, voice, and both. Crosses are controls.

    Args:
        profile: whose records.
    """
    figure, axes = figures.canvas(3, 0.9 + 0.3 * len(SAMPLERS), sharey=True)
    rows = {label: (_records("full", profile), name) for label, name in SAMPLERS.items()}
    panels = (
        ("action", "shuffled", "does what was asked", "clips (%)"),
        ("beat", "mismatched", "meets the voice", "beat score"),
        ("joint", None, "both", "clips (%)"),
    )
    for axis, (field, control, title, label) in zip(axes, panels):
        _rows(axis, rows, field, control)
        axis.set(title=title, xlabel=label)
    return figure


def parts(profile: str = "small") -> Figure:
    """Legs and arms asked for different things at once: by part, or in one sentence.

    Args:
        profile: whose records.
    """
    figure, (axis,) = figures.canvas(1, 1.9)
    records = _records("full", profile)
    if not records:
        _nothing(axis)
        return figure
    fields = {"legs": "lower", "arms": "upper", "both": "success"}
    for k, (colour, (label, field)) in enumerate(zip(_colours(), fields.items())):
        found = [_interval(_of(records, f"{name}_{field}")) for name in TWO.values()]
        at = np.arange(len(TWO)) + 0.18 * (k - 1)
        middle, half = zip(*found)
        axis.errorbar(middle, at, xerr=half, fmt="osD"[k], color=colour, label=label, ms=6)
    axis.set(yticks=range(len(TWO)), yticklabels=list(TWO), xlabel="clips (%)", xlim=(-4, 104))
    axis.set_ylim(len(TWO) - 0.5, -0.5)
    axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1))
    return figure


def strengths(profile: str = "small") -> Figure:
    """What a stronger prompt gains, and what it costs the voice.

    Args:
        profile: whose records.
    """
    figure, (left, right) = figures.canvas(2, 2.3)
    records = _records("sweeps", profile)
    if not records:
        _nothing(left)
        _nothing(right)
        return figure
    panels = (
        (left, {"does what was asked": "action", "and talks": "joint"}, "clips (%)"),
        (right, {"own voice": "beat", "others' voices": "mismatched"}, "beat score"),
    )
    for axis, fields, label in panels:
        for colour, marker, (name, field) in zip(_colours(), "os", fields.items()):
            found = [_interval(_of(records, f"strength_{s}_{field}")) for s in STRENGTHS]
            middle, half = zip(*found)
            axis.errorbar(
                STRENGTHS, middle, half, color=colour, marker=marker, label=name, capsize=2
            )
        axis.set(xlabel="strength of the prompt", ylabel=label, xticks=STRENGTHS, ylim=(0, None))
        axis.legend(fontsize=8)
    return figure


def differences(profile: str = "small") -> Figure:
    """The paired differences of :data:`PAIRS`, in points, with 95% intervals.

    Args:
        profile: whose records.
    """
    rows = {}
    for pair in PAIRS:
        sides = [_by_seed(experiment, field, profile) for experiment, field in pair[1:]]
        seeds = sorted(sides[0].keys() & sides[1].keys())
        if len(seeds) > 1:
            found = stats.paired(*([side[seed] for seed in seeds] for side in sides))
            rows[pair.label] = (found.mean, found.low, found.high)
    if not rows:
        figure, (axis,) = figures.canvas(1, 1.6)
        _nothing(axis)
        return figure
    return figures.differences(rows, unit="clips (points)", zero="control")


def schedule(plan: Plan) -> Figure:
    """A plan as the sampler sees it: which prompt moves which part when, and who hears the voice.

    Args:
        plan: of one motion; boxes name what a part follows, and how strongly.
    """
    figure, (axis,) = figures.canvas(1, 0.8 + 0.45 * len(plan.parts))
    for row in range(len(plan.parts)):
        for start, end in _stretches(plan, row):
            _box(axis, plan, row, start, end)
    axis.set(yticks=range(len(plan.parts)), yticklabels=plan.parts, xlabel="seconds")
    axis.set_xlim(0, len(plan) * DOWN / FPS)
    axis.invert_yaxis()
    axis.grid(False)
    return figure


def _stretches(plan: Plan, row: int) -> list[tuple[int, int]]:
    """First and last-plus-one latent of every stretch in which a part is told the same."""
    told = [x[:, row].tolist() for x in (plan.index, plan.strength, plan.speech)]
    now = list(zip(*told))
    changes = [k for k in range(1, len(now)) if now[k] != now[k - 1]]
    return list(pairwise([0, *changes, len(now)]))


def _box(axis: Axes, plan: Plan, row: int, start: int, end: int) -> None:
    prompt, strength = int(plan.index[start, row]), float(plan.strength[start, row])
    hears = bool(plan.speech[start, row] > 0)
    colour = _colours()[prompt % len(_colours())] if prompt >= 0 else "#d4d4d4"
    left, width = start * DOWN / FPS, (end - start) * DOWN / FPS
    axis.barh(row, width, 0.7, left, color=colour, edgecolor="white")
    asked = f"prompt {prompt + 1} × {strength:g}" if prompt >= 0 else ""
    text = " + ".join(filter(None, ("voice" if hears else "", asked)))
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
    axis.text(left + width / 2, row, text, ha="center", va="center", fontsize=8, bbox=box)


def _rows(
    axis: Axes, rows: Mapping[str, tuple[list[Record], str]], field: str, control: str | None
) -> None:
    """A dot with its interval for each row, a cross for its control; rows without records stay."""
    drawn = False
    for place, (records, name) in enumerate(rows.values()):
        if not any(f"{name}_{field}" in record.metrics for record in records):
            continue
        drawn = True
        middle, half = _interval(_of(records, f"{name}_{field}"))
        axis.errorbar(middle, place, xerr=half, fmt="o", color=PALETTE["blue"], ms=6, capsize=2)
        if control and f"{name}_{control}" in records[0].metrics:
            other = np.mean(_of(records, f"{name}_{control}"))
            axis.plot(other, place, "x", color=PALETTE["vermilion"], ms=7)
    if not drawn:
        _nothing(axis)
    axis.set(yticks=range(len(rows)), yticklabels=list(rows))
    axis.set_ylim(len(rows) - 0.5, -0.5)
    if drawn:
        axis.set_xlim(left=min(0.0, axis.get_xlim()[0]))


def _records(experiment: str, profile: str) -> list[Record]:
    return ledger.find(f"syntalker/generation-{experiment}/{profile}/*")


def _of(records: Sequence[Record], field: str) -> list[float]:
    return [record.metric(field).value for record in records if field in record.metrics]


def _by_seed(experiment: str, field: str, profile: str) -> dict[int, float]:
    found = _records(experiment, profile)
    return {record.seed: record.metric(field).value for record in found if field in record.metrics}


def _margin(records: Sequence[Record], name: str) -> list[float]:
    """Beat score minus that with the voices of others, by seed."""
    own, others = (_of(records, f"{name}_{field}") for field in ("beat", "mismatched"))
    return [a - b for a, b in zip(own, others, strict=True)]


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean over seeds and half its 95% interval; 0 where there is one seed."""
    if len(values) < 2:
        return values[0], 0.0
    found = stats.mean_ci(values)
    return found.mean, found.half_width


def _colours() -> list[str]:
    return [PALETTE[name] for name in ("vermilion", "blue", "green", "purple", "ochre", "ink")]


def _nothing(axis: Axes) -> None:
    """An honest empty panel: the figure is made of records, and these are not there."""
    axis.text(0.5, 0.5, "not on record yet", ha="center", va="center", transform=axis.transAxes)
    axis.set(xticks=[], yticks=[])
