"""Do gestures stop where speech sounds? Beat consistency, as released and clean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, TypeVar

import numpy as np

from lithe.syntalker.metrics.checks import finite_positions

__all__ = ["UPPER", "beat_consistency", "joint_beats", "joint_speed", "mismatched"]

#: Joints whose beats count: the upper body, without hands (SynTalker spec 2.1).
UPPER = (3, 6, 9, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21)
#: Frames left out at both ends as released (2 s at 30 fps).
CROP = 60

Motion = TypeVar("Motion")
Audio = TypeVar("Audio")


def joint_speed(positions: np.ndarray, fps: float = 30.0) -> np.ndarray:
    """Speed of every joint in m/s: central differences, one-sided at both ends.

    Args:
        positions: ``(t, j, 3)`` metres, at least 2 frames.
        fps: frames a second.

    Returns:
        float64 ``(t, j)``.
    """
    p = finite_positions(positions, fps, at_least=2)
    return np.linalg.norm(np.gradient(p, 1 / fps, axis=0), axis=2)


def joint_beats(
    speed: np.ndarray, order: int = 7, threshold: float = 0.3, released: bool = False
) -> list[np.ndarray]:
    """Frames at which each joint comes to a stop: strict local minima of its speed.

    Source: SynTalker spec 8.1 and G4. ``released``: minima are sought in frames ``60 .. t - 60``,
    and kept when the speed exceeds the threshold *at that index of the whole recording*, 60 frames
    too early. At the right index, minima hardly ever exceed the threshold. Clean: the whole clip,
    and a minimum is kept when the joint moved faster than the threshold within ``order`` frames
    of it: a beat is a stop of something that moved.

    Args:
        speed: ``(t, j)``, each joint divided by its mean speed.
        order: a minimum is the lowest of ``2 order + 1`` frames.
        threshold: in units of the mean speed.
        released: as the authors' code does it.

    Returns:
        One int array a joint: frames of the clip, or with ``released`` of the cropped part.
    """
    from scipy.ndimage import maximum_filter1d
    from scipy.signal import argrelextrema

    if order < 1:
        raise ValueError(f"order is {order}; a minimum is compared with 1 frame or more each side")
    beats = []
    for s in np.asarray(speed, np.float64).T:
        inside = s[CROP:-CROP] if released else s
        moving = s if released else maximum_filter1d(s, 2 * order + 1)
        (minima,) = argrelextrema(inside, np.less, order=order)
        beats.append(minima[moving[minima] > threshold])
    return beats


def beat_consistency(
    positions: np.ndarray,
    onsets: np.ndarray,
    fps: float = 30.0,
    *,
    mean_speed: np.ndarray | None = None,
    joints: Sequence[int] = UPPER,
    sigma: float = 0.3,
    order: int = 7,
    threshold: float = 0.3,
    toward: Literal["audio", "gesture"] = "audio",
    released: bool = False,
) -> float:
    """Mean over beats of ``exp(-d² / 2σ²)``, ``d`` seconds to the nearest beat of the other side.

    Source: SynTalker spec 8.1. Motion that stops everywhere scores high (G6): report
    :func:`mismatched` beside it.

    Args:
        positions: ``(t, j, 3)`` metres; take the root's translation out for the speech corpora.
        onsets: audio onsets in seconds from the start of ``positions``.
        fps: frames a second.
        mean_speed: mean speed of each joint ``(j,)`` over a corpus, m/s; by default this clip's.
        joints: whose beats count; the mean over them is returned, a joint without beats giving 0.
        sigma: seconds.
        order: frames each side, see :func:`joint_beats`.
        threshold: see :func:`joint_beats`.
        toward: ``"audio"`` averages over audio beats (the code), ``"gesture"`` over gesture beats
            (the published formula).
        released: the authors' cropping and threshold index (G4).

    Returns:
        0 to 1.

    Raises:
        ValueError: no onset is left, the clip is too short, or a mean speed is not positive.
    """
    p = finite_positions(positions, fps, at_least=2 * CROP + 3 if released else 3)
    speed = joint_speed(p, fps)[:, list(joints)]
    mean = speed.mean(0) if mean_speed is None else np.asarray(mean_speed, float)[list(joints)]
    if mean_speed is not None and not (mean > 0).all():
        raise ValueError(f"mean_speed holds {mean.min()}; speeds to divide by are positive")
    speed = speed / np.where(mean > 0, mean, 1)  # a joint that never moves has no beats
    onsets = _scored_onsets(onsets, len(p), fps, released)
    beats = joint_beats(speed, order, threshold, released)
    scores = [_closeness(onsets, b / fps, sigma, toward) for b in beats]
    return float(np.mean(scores))


def _scored_onsets(onsets: np.ndarray, frames: int, fps: float, released: bool) -> np.ndarray:
    """Onsets inside the part that is scored, in seconds from its start."""
    crop = CROP if released else 0
    times = np.asarray(onsets, np.float64).reshape(-1) - crop / fps
    if not np.isfinite(times).all():
        raise ValueError("onsets hold NaN or infinity; they are seconds")
    times = times[(times >= 0) & (times <= (frames - 2 * crop) / fps)]
    if not len(times):
        raise ValueError(
            f"none of {np.size(onsets)} onsets lies in the scored part of {frames} frames; "
            "silent audio has no beat consistency"
        )
    return times


def _closeness(audio: np.ndarray, gesture: np.ndarray, sigma: float, toward: str) -> float:
    if toward not in ("audio", "gesture"):
        raise ValueError(f"toward is {toward!r}; known are 'audio' and 'gesture'")
    if not len(gesture):
        return 0.0
    gap = np.abs(audio[:, None] - gesture[None]).min(1 if toward == "audio" else 0)
    return float(np.exp(-(gap**2) / (2 * sigma**2)).mean())


def mismatched(
    score: Callable[[Motion, Audio], float],
    motions: Sequence[Motion],
    audios: Sequence[Audio],
    shifts: int = 5,
) -> tuple[float, float]:
    """A score, and the same score with the audio of *another* clip: its control.

    Source: SynTalker spec 11.3, G6. Clip ``k`` meets audio ``k + s`` for ``s = 1 .. shifts``,
    so that no clip ever meets its own, and the control has the same beats in the same numbers.

    Args:
        score: of one motion and one audio.
        motions: ``n`` clips, at least 2.
        audios: theirs, in order.
        shifts: how many foreign audios each clip meets; at most ``n - 1`` are used.

    Returns:
        Mean of the matched pairs, mean of the mismatched.

    Raises:
        ValueError: fewer than 2 clips, or numbers differ.
    """
    n = len(motions)
    if n < 2 or len(audios) != n or shifts < 1:
        raise ValueError(f"{n} motions, {len(audios)} audios, {shifts} shifts; 2, 2 and 1 at least")
    own = [score(m, a) for m, a in zip(motions, audios, strict=True)]
    steps = range(1, min(shifts, n - 1) + 1)
    other = [score(motions[k], audios[(k + s) % n]) for k in range(n) for s in steps]
    return float(np.mean(own)), float(np.mean(other))
