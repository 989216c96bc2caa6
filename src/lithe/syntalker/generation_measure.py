"""What generated motion is worth: the rules by which the chapters judge it.

Source: SynTalker spec 11.3. Rules and thresholds are those of
:mod:`lithe.syntalker.metrics.attributes`; beats are the strokes that talkers were told to make.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from lithe.syntalker.generation_material import Asked
from lithe.syntalker.metrics import frechet_distance
from lithe.syntalker.metrics.attributes import (
    Attributes,
    lower_action,
    measure,
    upper_action,
)
from lithe.syntalker.normaliser import Normaliser

__all__ = [
    "BEFORE",
    "beat_scores",
    "coherence",
    "fidelity",
    "joint_success",
    "judged",
    "projected",
    "rate",
    "score",
]

FPS = 30.0
#: Beats in the first seconds belong to the seed, not to what was made.
BEFORE = 0.6
#: Seconds within which the end of a stroke counts as on the beat (3 frames).
SIGMA = 0.1
#: Frames over which a hand's height is smoothed: a codec makes it tremble by a millimetre or two.
SMOOTHING = 1.5
#: Speed at which a hand falls in a stroke, m/s at least, and share of it that is left at its end.
STROKE, LEFT = 0.2, 0.2
WRISTS = (20, 21)
ANKLES, SHOULDERS, HIPS = (7, 8), (16, 17), (1, 2)
#: Strides a second, from dawdling to running: what is slower is sway, what is faster noise.
STRIDES = (0.4, 2.5)
#: Frames of a piece, and numbers that describe one, for Fréchet distances.
PIECE, WIDTH = 32, 24


def judged(clips: np.ndarray) -> list[Attributes]:
    """Attributes of every clip ``(n, t, j, 3)``."""
    return [measure(clip, FPS) for clip in clips]


#: What also counts as done: headings are sums of small turns, so that a straight walk may bend.
_ALSO = {("walk", None): "walk in a curve"}


def rate(found: Sequence[Attributes], asked: Sequence[Asked], part: str = "lower") -> np.ndarray:
    """Which clips do what was asked of a part of the body, bool ``(n,)``."""
    does = lower_action if part == "lower" else upper_action
    done = [(does(one), wanted) for one, wanted in zip(found, asked, strict=True)]
    return np.array([did == wanted or did[0] == _ALSO.get(wanted) for did, wanted in done])


def beat_scores(clips: np.ndarray, beats: Sequence[np.ndarray]) -> np.ndarray:
    """How near the strokes of each clip's hand end to the beats of each voice ``(n, n)``.

    Rows are clips, columns voices: the diagonal is what counts, the rest is the control with the
    sound of another clip. Of the two hands the one that moves more is looked at; the root's path
    is taken out. In this world every stroke goes down and ends on a stressed vowel (SynTalker spec
    11.3 takes the arm's highest points, which its own world puts on the onsets).

    Args:
        clips: ``(n, t, j, 3)`` metres.
        beats: seconds of each voice's strokes; at least one of them inside the clip.

    Raises:
        ValueError: a voice has no beat inside the clip.
    """
    seconds = clips.shape[1] / FPS
    inside = [b[(b >= BEFORE) & (b <= seconds)] for b in beats]
    if not all(len(b) for b in inside):
        raise ValueError("a voice has no beat inside the clips; choose voices that have some")
    scores = np.zeros((len(clips), len(inside)))
    for k, clip in enumerate(clips):
        stops = _stops(clip)
        if len(stops):
            for other, times in enumerate(inside):
                gap = np.abs(times[:, None] - stops).min(1)
                scores[k, other] = np.exp(-(gap**2) / (2 * SIGMA**2)).mean()
    return scores


def _stops(clip: np.ndarray) -> np.ndarray:
    """Seconds at which the busier hand ends a downward stroke: where its fall has died down."""
    from scipy.ndimage import gaussian_filter1d
    from scipy.signal import find_peaks

    height = (clip[:, list(WRISTS)] - clip[:, :1])[..., 1]
    height = height[:, int(height.std(0).argmax())]
    fall = -gaussian_filter1d(height, SMOOTHING, order=1) * FPS
    ends = [
        peak + int(np.argmax(np.append(fall[peak:], 0.0) < LEFT * fall[peak]))
        for peak in find_peaks(fall, height=STROKE)[0]
    ]
    return np.unique(ends) / FPS


def joint_success(right: np.ndarray, scores: np.ndarray) -> float:
    """Share of clips that do what was asked and beat more to their own voice than to others'.

    "More" is above the 95th percentile of all scores with another clip's sound.
    """
    apart = ~np.eye(len(scores), dtype=bool)
    threshold = np.quantile(scores[apart], 0.95)
    return float((right & (np.diag(scores) > threshold)).mean())


def score(clips: np.ndarray, asked: Sequence[Asked], beats: Sequence[np.ndarray]) -> dict[str, Any]:
    """Metrics of clips that were asked something of their legs while they talk.

    Args:
        clips: ``(n, t, j, 3)`` metres.
        asked: of each.
        beats: of each voice.

    Returns:
        Shares in %: ``action``, ``shuffled`` (judged by what another clip was asked), ``walk``
        (of those asked to walk), ``stands``, ``joint``, ``joint_walk``; and ``beat``,
        ``mismatched``, from 0 to 1.
    """
    found, n = judged(clips), len(clips)
    right, scores = rate(found, asked), beat_scores(clips, beats)
    walking = np.array([action == "walk" for action, _ in asked])
    stands = np.array([lower_action(one)[0] == "stand" for one in found])
    wrong = [rate(found, [*asked[k:], *asked[:k]]).mean() for k in range(1, n) if _differ(asked, k)]
    apart = ~np.eye(n, dtype=bool)
    metrics = {
        "action": _share(right.mean(), n),
        "stands": _share(stands.mean(), n),
        "joint": _share(joint_success(right, scores), n),
        "beat": _number(np.diag(scores).mean(), n),
        "mismatched": _number(scores[apart].mean(), n),
    }
    if wrong:
        metrics["shuffled"] = _share(np.mean(wrong), n)
    if walking.any():
        apart_of = np.quantile(scores[apart], 0.95)
        both = right & (np.diag(scores) > apart_of)
        metrics["walk"] = _share(right[walking].mean(), int(walking.sum()))
        metrics["joint_walk"] = _share(both[walking].mean(), int(walking.sum()))
    return metrics


def _differ(asked: Sequence[Asked], shift: int) -> bool:
    """Whether a shift by so many gives every clip another's task."""
    return all(asked[(k + shift) % len(asked)] != one for k, one in enumerate(asked))


def coherence(clips: np.ndarray) -> float:
    """How fixed the phase between legs and trunk is: phase-locking value, 0 to 1.

    Source: SynTalker spec 11.3. Legs: which ankle is ahead; trunk: twist of the shoulders against
    the hips; both at the rates people step at. The first second is left out.

    Args:
        clips: of people who walk ``(n, t, j, 3)``.
    """
    from scipy.signal import butter, hilbert, sosfiltfilt

    band = butter(2, STRIDES, "bandpass", fs=FPS, output="sos")
    values = []
    for p in np.asarray(clips, np.float64)[:, round(FPS) :]:
        hips, shoulders = (_heading(p, pair) for pair in (HIPS, SHOULDERS))
        ahead = np.stack([np.sin(hips), np.cos(hips)], 1)
        legs = ((p[:, ANKLES[0]] - p[:, ANKLES[1]])[:, [0, 2]] * ahead).sum(1)
        twist = np.unwrap(shoulders) - np.unwrap(hips)
        phases = [np.angle(hilbert(sosfiltfilt(band, x))) for x in (legs, twist)]
        values.append(abs(np.exp(1j * (phases[0] - phases[1])).mean()))
    return float(np.mean(values))


def _heading(p: np.ndarray, pair: tuple[int, int]) -> np.ndarray:
    across = p[:, pair[0]] - p[:, pair[1]]
    return np.arctan2(-across[:, 2], across[:, 0])


def projected(features: Sequence[Tensor] | Tensor, normaliser: Normaliser) -> np.ndarray:
    """Pieces of motion as few numbers each: random directions, the same for everyone.

    Source: SynTalker spec 11.3; a stand-in for the features of a trained network, so distances
    compare with each other and with nothing published.

    Args:
        features: ``(t, d)`` each.
        normaliser: of the features.

    Returns:
        ``(pieces, 24)``: mean and deviation over a second of every z-score, projected.
    """
    pieces = [x[: len(x) - len(x) % PIECE].unflatten(0, (-1, PIECE)) for x in features]
    z = normaliser(torch.cat(pieces))
    told = torch.cat([z.mean(1), z.std(1)], 1)
    generator = Generator().manual_seed(0)
    directions = torch.randn(told.shape[1], WIDTH, generator=generator) / told.shape[1] ** 0.5
    return (told @ directions).double().numpy()


def fidelity(made: Sequence[Tensor], real: Sequence[Tensor], normaliser: Normaliser) -> float:
    """Fréchet distance of motion features to those of real clips, by :func:`projected`."""
    return frechet_distance(projected(made, normaliser), projected(real, normaliser))


def _share(value: float, n: int) -> dict[str, Any]:
    return {"value": 100 * float(value), "unit": "%", "n": n}


def _number(value: float, n: int) -> dict[str, Any]:
    return {"value": float(value), "unit": "", "n": n}
