"""Figures of the chapter on speech: noise, paths, beats, steps, and what a training changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Generator, Tensor, randn

from lithe import figures, ledger, stats
from lithe.figures import PALETTE
from lithe.syntalker.diffusion import q_sample
from lithe.syntalker.schedule import Schedule

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["BEATS", "METHODS", "VARIANTS", "beats", "noising", "paths", "steps", "variants"]

#: Rows of the beats' figure: label -> variant of stage 3 and prefix of its fields.
BEATS = {
    "unseen talkers": ("full", "real"),
    "through the codec": ("full", "codec"),
    "made, both corpora": ("full", "audio_only"),
    "made, talkers alone": ("talkers-only", "audio_only"),
}
#: Rows of the figure on trainings: label -> variant of stage 3.
VARIANTS = {
    "both corpora": "full",
    "talkers alone": "talkers-only",
    "speech dropped": "speech-drop",
    "normalised twice": "twice",
    "lengths as released": "released-length",
}
#: Walks of the sweep: prefix of the fields -> label.
METHODS = {"ddim": "first order, leading steps (released)", "dpm": "second order, trailing steps"}
#: Panels of the figure on steps: label of the axis -> last part of the fields.
QUALITY = {
    "Fréchet distance": "frechet",
    "beat score": "beat",
    "legs as asked (%)": "action",
}
#: Panels of the figure on trainings: likewise, with the whole field.
EFFECTS = {
    "Fréchet distance": "audio_only_frechet",
    "beat score": "audio_only_beat",
    "legs as asked (%)": "separate_action",
}
OTHER = {"beat": "mismatched", "audio_only_beat": "audio_only_mismatched"}
SHOWN = 2.0  # values of latents and noise up to here have a colour of their own
ASIDE = 0.16  # of a row, from its middle to each of the two markers on it
TOUCHING = 1.5  # ratio of steps below which labels of a logarithmic axis touch


def noising(latents: Tensor, schedule: Schedule, times: Sequence[int], seed: int = 0) -> Figure:
    """One motion's latents with more and more noise: channels down, latent frames across.

    Args:
        latents: clean ``(f, d)``.
        schedule: the chain.
        times: steps of it, one panel each, after one of the clean latents.
        seed: of the noise, which all panels share.
    """
    figure, axes = figures.canvas(1 + len(times), 2.4, sharey=True)
    noise = randn(latents.shape, generator=Generator().manual_seed(seed))
    states = {"clean": latents} | {f"t = {t}": q_sample(latents, t, noise, schedule) for t in times}
    for axis, (title, state) in zip(axes, states.items(), strict=True):
        look = {"cmap": "RdBu_r", "vmin": -SHOWN, "vmax": SHOWN, "interpolation": "nearest"}
        shown = axis.imshow(state.T.numpy(), aspect="auto", **look)
        axis.set(title=title, xlabel="latent frame")
        axis.grid(False)
    axes[0].set_ylabel("channel")
    figure.colorbar(shown, ax=axes, label="value")
    return figure


def paths(walks: Mapping[str, tuple[Sequence[float], Tensor]], exact: Tensor) -> Figure:
    """Where walks from the same noise go, one panel each; rings: where exact ones end.

    Args:
        walks: title -> noise levels visited, and states there ``(levels, n)``.
        exact: ends of the exact paths ``(n,)``.
    """
    figure, axes = figures.canvas(len(walks), 2.3, sharey=True)
    for axis, (title, (levels, states)) in zip(axes, walks.items(), strict=True):
        axis.plot(levels, states.numpy(), color=PALETTE["blue"], marker="", lw=1)
        ends = np.full(len(exact), levels[-1])
        axis.plot(ends, exact.numpy(), "o", mfc="none", mec=PALETTE["vermilion"], ms=8, ls="")
        axis.set(
            title=title, xlabel="amplitude of the noise", xticks=[1, 0.5, 0], xlim=(1.05, -0.05)
        )
    axes[0].set_ylabel("state")
    return figure


def beats(profile: str = "small") -> Figure:
    """How near strokes end to the beats of a clip's own voice, and to those of other voices.

    Means over seeds with 95% intervals.

    Args:
        profile: whose records.
    """
    figure, (axis,) = figures.canvas(1, 2.3)
    drawn = [
        _pair(axis, place, variant, f"{prefix}_beat", f"{prefix}_mismatched", profile)
        for place, (variant, prefix) in enumerate(BEATS.values())
    ]
    axis.set(yticks=range(len(BEATS)), yticklabels=list(BEATS), xlabel="beat score")
    axis.set(ylim=(len(BEATS) - 0.5, -0.5), xlim=(0, 1))
    if not any(drawn):
        _nothing(axis)
        return figure
    axis.plot([], [], "o", color=PALETTE["blue"], label="own voice")
    axis.plot([], [], "x", color=PALETTE["vermilion"], label="voices of others")
    axis.legend(fontsize=8, loc="lower right")
    return figure


def steps(profile: str = "small") -> Figure:
    """What motion is worth by number of steps of the sampler, for both ways to walk.

    Means over seeds with 95% intervals; in the middle panel thin: voices of others.

    Args:
        profile: whose records.
    """
    figure, axes = figures.canvas(3, 2.5)
    colours = dict(zip(METHODS, (PALETTE["blue"], PALETTE["vermilion"])))
    for axis, (label, field) in zip(axes, QUALITY.items(), strict=True):
        axis.set_xlabel("steps")
        axis.set_title(label, fontsize=9)
        drawn = [_curve(axis, m, field, profile, color=colours[m], lw=1.6) for m in METHODS]
        if field in OTHER:
            for method in METHODS:
                _curve(axis, method, OTHER[field], profile, color=colours[method], lw=0.8, ls=":")
        if any(drawn):
            ticks = _apart({n for shown in drawn for n in shown})
            axis.set(xscale="log", xticks=ticks, xticklabels=ticks, ylim=(0, None))
            axis.minorticks_off()
        else:
            _nothing(axis)
    if axes[0].lines:
        for method, label in METHODS.items():
            axes[0].plot([], [], color=colours[method], label=label)
        figure.legend(*axes[0].get_legend_handles_labels(), ncols=2, loc="outside lower center")
    return figure


def variants(profile: str = "small") -> Figure:
    """What a change of stage 3 does: one row each, means over seeds with 95% intervals.

    Args:
        profile: whose records.
    """
    figure, axes = figures.canvas(3, 2.3, sharey=True)
    for axis, (label, field) in zip(axes, EFFECTS.items(), strict=True):
        axis.set(yticks=range(len(VARIANTS)), yticklabels=list(VARIANTS), xlabel=label)
        axis.set_ylim(len(VARIANTS) - 0.5, -0.5)
        axis.grid(False, axis="y")
        drawn = [
            _pair(axis, place, variant, field, OTHER.get(field), profile)
            for place, variant in enumerate(VARIANTS.values())
        ]
        if not any(drawn):
            _nothing(axis, keep_rows=True)
            continue
        axis.set_xlim(left=0)
        for place, there in enumerate(drawn):
            if not there and axis is axes[0]:
                axis.text(
                    *(0.5, place, "not on record yet"),
                    **{"ha": "center", "va": "center", "fontsize": 7, "color": PALETTE["gray"]},
                    transform=axis.get_yaxis_transform(),
                )
    return figure


def _pair(
    axis: Axes, place: int, variant: str, field: str, other: str | None, profile: str
) -> bool:
    """A variant's value on its row, and its control if there is one; whether it is on record."""
    marks = [("o", "blue", field)] + ([("x", "vermilion", other)] if other else [])
    for k, (marker, colour, name) in enumerate(marks):
        values = _values(f"generation-{variant}", name, profile)
        if not values:
            return False
        middle, half = _interval(values)
        at = place + ASIDE * (2 * k - 1) * (len(marks) - 1)
        axis.errorbar(middle, at, xerr=half, fmt=marker, color=PALETTE[colour], ms=6)
    return True


def _curve(axis: Axes, method: str, field: str, profile: str, **look: object) -> list[int]:
    """One curve over steps; the numbers of steps it has."""
    found = dict(_swept(method, field, profile))
    if not found:
        return []
    middle, half = zip(*(_interval(values) for values in found.values()))
    axis.errorbar(list(found), middle, yerr=half, marker=".", ms=5, **look)
    return list(found)


def _swept(method: str, field: str, profile: str) -> Iterator[tuple[int, list[float]]]:
    """Numbers of steps of a walk on record, rising, with the values of all seeds."""
    records = ledger.find(f"syntalker/generation-sweeps/{profile}/*")
    ends = f"_{field}"
    counts = {
        int(name.removeprefix(f"{method}_").removesuffix(ends))
        for record in records
        for name in record.metrics
        if name.startswith(f"{method}_") and name.endswith(ends)
    }
    for count in sorted(counts):
        yield count, _values("generation-sweeps", f"{method}_{count}{ends}", profile)


def _apart(counts: Iterable[int]) -> list[int]:
    """Rising, without those whose labels would touch the one before."""
    kept: list[int] = []
    for count in sorted(counts):
        if not kept or count >= TOUCHING * kept[-1]:
            kept.append(count)
    return kept


def _values(experiment: str, field: str, profile: str) -> list[float]:
    """A field of all seeds of an experiment that have it."""
    records = ledger.find(f"syntalker/{experiment}/{profile}/*")
    return [float(r.metrics[field].value) for r in records if field in r.metrics]


def _interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean over seeds and half its 95% interval; 0 where there is one seed."""
    if len(values) < 2:
        return values[0], 0.0
    found = stats.mean_ci(values)
    return found.mean, found.half_width


def _nothing(axis: Axes, keep_rows: bool = False) -> None:
    """An honest empty panel: the figure is made of records, and these are not there."""
    axis.text(0.5, 0.5, "not on record yet", ha="center", va="center", transform=axis.transAxes)
    axis.set(xticks=[])
    if not keep_rows:
        axis.set(yticks=[])
