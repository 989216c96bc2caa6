"""Figures of the chapter on motion: two corpora, onsets, seams, and what is on record of codecs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from lithe import figures, ledger, stats
from lithe.figures import PALETTE
from lithe.syntalker import h3d
from lithe.syntalker.amplitude import amplitude_onset
from lithe.syntalker.sound import RATE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from lithe.syntalker.speech import Speech
    from lithe.syntalker.world import Clip

__all__ = ["DATA", "PAIRS", "corpora", "depth", "ladder", "onsets", "windows"]

DATA = {"world": "generated world", "cmu": "motion capture"}
#: Differences of joint errors that are shown: label, ours, control, metric.
PAIRS = (
    ("all codebooks − one, trained so", "parts", "depth-1", "error"),
    ("all codebooks − two, trained so", "parts", "depth-2", "error"),
    ("dropout − none, first codebook alone", "parts", "no-dropout", "error_layers_1"),
    ("dropout − none, all codebooks", "parts", "no-dropout", "error"),
    ("parts − whole body, a part's size", "parts", "whole", "error"),
    ("parts − whole body, equal size", "parts", "whole-equal", "error"),
    ("codes drawn − nearest codes", "parts", "nearest", "error"),
    ("gradient per codebook − once", "parts", "once", "error"),
)
ENVELOPE_STEP = RATE // 100  # samples between drawn points of an amplitude
_ALL = "error_layers_"


def corpora(talkers: Sequence[Clip], movers: Sequence[Clip]) -> Figure:
    """Where the bodies of two corpora go, seen from above, and what comes with their motion.

    Args:
        talkers: clips of one corpus.
        movers: clips of the other.
    """
    figure, (left, right) = figures.canvas(2, 2.2)
    sides = {"talkers": (talkers, PALETTE["vermilion"]), "movers": (movers, PALETTE["blue"])}
    for name, (clips, colour) in sides.items():
        front = {"lw": 5, "zorder": 3} if name == "talkers" else {"lw": 1.5, "alpha": 0.7}
        for k, clip in enumerate(clips):
            path = clip.motion.root[:, [0, 2]] - clip.motion.root[0, [0, 2]]
            label = name if k == 0 else None
            left.plot(*path.T, color=colour, marker="", label=label, **front)
    left.set(xlabel="metres to the side", ylabel="metres forward")
    left.set_aspect("equal", adjustable="datalim")
    left.legend(fontsize=8)
    for shift, (name, (clips, colour)) in zip((-0.2, 0.2), sides.items()):
        right.bar(np.arange(3) + shift, _conditions(clips), 0.36, color=colour, label=name)
    right.set(xticks=range(3), xticklabels=["speech", "captions", "both"], ylabel="share of clips")
    right.grid(False, axis="x")
    return figure


def _conditions(clips: Sequence[Clip]) -> list[float]:
    """Shares of clips with speech, with captions, and with both."""
    heard = np.array([clip.speech is not None for clip in clips])
    said = np.array([bool(clip.captions) for clip in clips])
    return [float(x.mean()) for x in (heard, said, heard & said)]


def onsets(speech: Speech) -> Figure:
    """Onset flags as released and put right: over one utterance, and in a recording's clips.

    Args:
        speech: the utterance of the left panel; the right one is drawn from its record.
    """
    figure, (left, right) = figures.canvas(2, 2.2)
    corrected = amplitude_onset(speech.wave)
    seconds = np.arange(len(corrected)) / RATE
    shown = slice(None, None, ENVELOPE_STEP)
    left.plot(seconds[shown], corrected[shown, 0], color=PALETTE["gray"], marker="", lw=1)
    top = float(corrected[:, 0].max())
    flags = {"corrected": corrected, "released": amplitude_onset(speech.wave, released=True)}
    for height, colour, (name, found) in zip((1.1, 1.3), _COLOURS, flags.items()):
        at = seconds[found[:, 1] > 0]
        left.plot(at, np.full(len(at), height * top), "|", color=colour, label=name, ms=8)
    left.set(xlabel="seconds", ylabel="amplitude", ylim=(0, 1.75 * top))
    left.legend(fontsize=8, ncols=2, loc="upper right")
    right.set(xlabel="training clip of the recording", ylabel="flags in it")
    records = ledger.find("syntalker/speech/small/0")
    if not records:
        _nothing(right)
        return figure
    curves = ledger.curves(records[0])
    for colour, name in zip(_COLOURS, flags):
        right.plot(curves[name], color=colour, marker="", lw=1.3, label=name)
    return figure


_COLOURS = (PALETTE["blue"], PALETTE["vermilion"])


def windows(features: Mapping[str, np.ndarray], window: int) -> Figure:
    """Movement between frames of one motion, decoded in several ways; dotted: edges of windows.

    Args:
        features: how it was decoded -> features ``(t, d)``, all of one length.
        window: frames of a window.
    """
    figure, (axis,) = figures.canvas(1, 2.1)
    moved = {name: _movement(found) for name, found in features.items()}
    frames = np.arange(1, 1 + len(next(iter(moved.values()))))
    for (name, found), colour in zip(moved.items(), (PALETTE["gray"], *_COLOURS)):
        axis.plot(frames, found, color=colour, marker="", lw=1.3, label=name)
    for edge in range(window, frames[-1] + 1, window):
        axis.axvline(edge, color=PALETTE["ink"], ls=":", lw=1)
    axis.set(xlabel="frame", ylabel="movement (mm)", ylim=(0, None))
    axis.legend(fontsize=8, ncols=len(moved))
    return figure


def _movement(features: np.ndarray) -> np.ndarray:
    """Mean way of a joint from each frame to the next ``(t - 1,)``, root-relative, mm."""
    positions = h3d.recover(features)
    positions = positions - positions[:, :1] * (1.0, 0.0, 1.0)
    return 1000 * np.linalg.norm(np.diff(positions, axis=0), axis=-1).mean(1)


def depth(profile: str = "small") -> Figure:
    """Joint error by the number of codebooks in use: means over seeds, 95% intervals.

    Crosses are codecs that were trained with so few from the start.

    Args:
        profile: whose records.
    """
    figure, axes = figures.canvas(2, 2.4)
    for axis, (data, title) in zip(axes, DATA.items()):
        axis.set(title=title, xlabel="codebooks in use", ylabel="joint error (mm)")
        lines = {"quantise dropout": "parts", "no dropout": "no-dropout"}
        drawn = [_by_depth(axis, data, name, label, profile) for label, name in lines.items()]
        if not any(drawn):
            _nothing(axis)
            continue
        for k, name in enumerate(("depth-1", "depth-2"), start=1):
            values = list(_values(data, name, "error", profile).values())
            label = "trained with so few" if k == 1 else None
            axis.plot([k] * len(values), values, "x", color=PALETTE["ink"], label=label)
        axis.set_xticks(range(1, max(drawn) + 1))
        axis.legend(fontsize=8)
    return figure


def _by_depth(axis: Axes, data: str, name: str, label: str, profile: str) -> int:
    """One variant's curve; the number of its codebooks, 0 if there is no record."""
    records = ledger.find(f"syntalker/{data}-codec-{name}/{profile}/*")
    if not records:
        return 0
    layers = sum(key.startswith(_ALL) for key in records[0].metrics)
    rows = np.array([[r.metric(f"{_ALL}{k + 1}").value for k in range(layers)] for r in records])
    half = [stats.mean_ci(column).half_width for column in rows.T] if len(rows) > 1 else None
    shift = 0.05 if name == "parts" else -0.05  # intervals side by side
    at = np.arange(1, layers + 1) + shift
    axis.errorbar(at, rows.mean(0), half, label=label, capsize=3, ms=4, elinewidth=1.2)
    return layers


def ladder(profile: str = "small") -> Figure:
    """Paired differences of joint errors, with 95% intervals; left of 0 is better.

    Intervals that hold 0 are blue with a dot, others vermilion with a diamond. A comparison with
    fewer than two seeds leaves its line empty.

    Args:
        profile: whose records.
    """
    figure, axes = figures.canvas(2, 0.9 + 0.27 * len(PAIRS))
    for axis, (data, title) in zip(axes, DATA.items()):
        found = [_difference(data, *pair, profile) for _, *pair in PAIRS]
        axis.set(title=title, xlabel="joint error (mm); 0 = control")
        if not any(found):
            _nothing(axis)
        for place, difference in enumerate(found):
            if difference:
                _interval(axis, place, difference)
        axis.set(yticks=range(len(PAIRS)), yticklabels=[""] * len(PAIRS))
        axis.set_ylim(len(PAIRS) - 0.5, -0.5)
        axis.grid(False, axis="y")
    axes[0].set_yticklabels([label for label, *_ in PAIRS], fontsize=8.5)
    return figure


def _difference(
    data: str, ours: str, control: str, metric: str, profile: str
) -> stats.Paired | None:
    a, b = (_values(data, name, metric, profile) for name in (ours, control))
    seeds = sorted(a.keys() & b.keys())
    if len(seeds) < 2:
        return None
    return stats.paired([a[seed] for seed in seeds], [b[seed] for seed in seeds])


def _interval(axis: Axes, place: int, found: stats.Paired) -> None:
    clear = found.low > 0 or found.high < 0
    colour, marker = (PALETTE["vermilion"], "D") if clear else (PALETTE["blue"], "o")
    axis.plot([found.low, found.high], [place, place], color=colour, marker="|", lw=2)
    axis.plot(found.mean, place, color=colour, marker=marker, ms=5)
    axis.axvline(0, color=PALETTE["ink"], lw=1)


def _values(data: str, name: str, metric: str, profile: str) -> dict[int, float]:
    records = ledger.find(f"syntalker/{data}-codec-{name}/{profile}/*")
    return {record.seed: record.metric(metric).value for record in records}


def _nothing(axis: Axes) -> None:
    """An honest empty panel: the figure is made of records, and these are not there."""
    axis.text(0.5, 0.5, "not on record yet", ha="center", va="center", transform=axis.transAxes)
    axis.set(xticks=[], yticks=[])
