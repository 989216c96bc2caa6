"""What a motion does, read off its joints: no network, no labels, rules that can be checked.

Source: SynTalker spec 11.3. Thresholds are in metres and radians of an adult; joints are those of
the canonical body (22 or 52).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from lithe.syntalker.metrics.checks import finite_positions

__all__ = ["Attributes", "attribute_accuracy", "lower_action", "measure", "upper_action"]

PELVIS, NECK, HEAD = 0, 12, 15
HIPS, KNEES, TOES = (1, 2), (4, 5), (10, 11)
SHOULDERS, WRISTS = (16, 17), (20, 21)
SIDES = ("left", "right")
#: Above this speed, m/s, both feet leave the floor at every step.
RUN = 1.9


@dataclass(frozen=True)
class Attributes:
    """Numbers of one clip; pairs are left, right.

    Attributes:
        forward: fastest forward velocity held for a second, m/s, negative backward.
        sideways: likewise to the left.
        turn: heading at the end against the start, radians, positive to the left.
        lowest: lowest root height as a share of the height when legs are straight.
        behind: how far the root is behind the balls of the feet when it is lowest, metres.
        flight: how high both feet are off the floor together at most, metres.
        knees: height of each knee above the floor when the root is lowest, metres.
        hands: highest wrist against the head joint, metres.
        reach: largest horizontal distance wrist to shoulder with the hand at shoulder height.
        waving: strokes of the hand back and forth above the elbow, hand at the shoulder or higher.
        gap: smallest distance of the wrists in front of the chest, metres.
        claps: how often the wrists come together.
        bend: largest angle of the trunk to the vertical, radians.
    """

    forward: float
    sideways: float
    turn: float
    lowest: float
    behind: float
    flight: float
    knees: tuple[float, float]
    hands: tuple[float, float]
    reach: tuple[float, float]
    waving: tuple[int, int]
    gap: float
    claps: int
    bend: float


def measure(positions: np.ndarray, fps: float = 30.0) -> Attributes:
    """Measure one clip.

    Args:
        positions: ``(t, j, 3)`` metres, y up, canonical joints; a second or more.
        fps: frames a second.

    Raises:
        ValueError: another shape, fewer than 22 joints, less than a second.
    """
    p = finite_positions(positions, fps, at_least=int(np.ceil(fps)) + 1)
    if p.shape[1] < 22:
        raise ValueError(f"{p.shape[1]} joints; the canonical body has 22, or 52 with hands")
    floor = np.percentile(p[:, TOES, 1].min(1), 5)  # a foot may sink in for a moment
    heading = _heading(p)
    forward, sideways = _velocities(p, heading, fps)
    low = int(p[:, PELVIS, 1].argmin())
    trunk = p[:, NECK] - p[:, PELVIS]
    bend = np.arctan2(np.linalg.norm(trunk[:, [0, 2]], axis=1), trunk[:, 1])
    ahead = np.array([np.sin(heading[low]), np.cos(heading[low])])
    apart = np.linalg.norm(p[:, WRISTS[0]] - p[:, WRISTS[1]], axis=1)
    return Attributes(
        forward=forward,
        sideways=sideways,
        turn=float(heading[-1] - heading[0]),
        lowest=float((p[low, PELVIS, 1] - floor) / _straight_height(p)),
        behind=float((p[low, TOES][:, [0, 2]].mean(0) - p[low, PELVIS, [0, 2]]) @ ahead),
        flight=float(p[:, TOES, 1].min(1).max() - floor),
        knees=tuple(float(p[low, k, 1] - floor) for k in KNEES),
        hands=tuple(float((p[:, w, 1] - p[:, HEAD, 1]).max()) for w in WRISTS),
        reach=tuple(_reach(p, side) for side in (0, 1)),
        waving=tuple(_strokes(p, heading, side, fps) for side in (0, 1)),
        gap=float(apart.min()),
        claps=_valleys(np.where(_before_chest(p), apart, 1.0), 0.04, below=0.22),
        bend=float(bend.max()),
    )


def lower_action(a: Attributes) -> tuple[str, str | None]:
    """What the legs do, and to which side: names of :mod:`lithe.syntalker.captions`."""
    side = SIDES[0] if a.turn > 0 else SIDES[1]
    if a.flight > 0.08 and a.forward < RUN:
        return "jump", None
    if a.lowest < 0.8:
        down = int(np.argmin(a.knees))
        if a.knees[down] < 0.14 and a.knees[1 - down] > 0.25:
            return "kneel", SIDES[down]
        return ("sit", None) if a.behind > 0.33 else ("squat", None)
    if a.forward > 0.3:
        return ("walk in a curve", side) if abs(a.turn) > 0.5 else ("walk", None)
    if a.forward < -0.25:
        return "walk back", None
    if abs(a.sideways) > 0.12:
        return "sidestep", SIDES[0] if a.sideways > 0 else SIDES[1]
    return ("turn", side) if abs(a.turn) > 0.5 else ("stand", None)


def upper_action(a: Attributes) -> tuple[str, str | None]:
    """What arms and trunk do, and with which side; ``"stand"`` where they do nothing of note."""
    high = [hand > 0.12 for hand in a.hands]
    if all(high):
        return "raise both", None
    for side in (0, 1):
        if a.waving[side] >= 2:
            return "wave", SIDES[side]
    for side in (0, 1):
        if high[side]:
            return "raise", SIDES[side]
    if a.claps >= 2:
        return "clap", None
    far = int(np.argmax(a.reach))
    if a.reach[far] > 0.42:
        return "point", SIDES[far]
    return ("bow", None) if a.bend > 0.6 else ("stand", None)


def attribute_accuracy(
    clips: list[np.ndarray], asked: list[tuple[str, str | None]], fps: float = 30.0
) -> float:
    """Share of clips that do what was asked.

    Args:
        clips: positions ``(t, j, 3)`` each.
        asked: action and side of each; actions of the arms are judged on the arms, others on
            the legs, and ``"stand"`` on both.
        fps: frames a second.
    """
    if not clips or len(clips) != len(asked):
        raise ValueError(f"{len(clips)} clips for {len(asked)} actions")
    return float(np.mean([_does(measure(c, fps), *a) for c, a in zip(clips, asked, strict=True)]))


def _does(a: Attributes, action: str, side: str | None) -> bool:
    found = lower_action(a), upper_action(a)
    if action == "stand":
        return all(f[0] == "stand" for f in found)
    return (action, side) in found


def _heading(p: np.ndarray) -> np.ndarray:
    """Yaw ``(t,)`` of the pelvis, unwrapped: from the line of the hips, which points left."""
    across = p[:, HIPS[0]] - p[:, HIPS[1]]
    return np.unwrap(np.arctan2(-across[:, 2], across[:, 0]))


def _velocities(p: np.ndarray, heading: np.ndarray, fps: float) -> tuple[float, float]:
    """Strongest forward and leftward velocity of the root over one second."""
    second = round(fps)
    moved = p[second:, PELVIS] - p[:-second, PELVIS]
    yaw = (heading[second:] + heading[:-second]) / 2
    seconds = second / fps
    forward = (moved[:, 0] * np.sin(yaw) + moved[:, 2] * np.cos(yaw)) / seconds
    left = (moved[:, 0] * np.cos(yaw) - moved[:, 2] * np.sin(yaw)) / seconds
    return float(forward[np.abs(forward).argmax()]), float(left[np.abs(left).argmax()])


def _straight_height(p: np.ndarray) -> float:
    """Height of the root above the ball of the foot on straight legs."""
    leg = [p[:, k] for k in (HIPS[0], KNEES[0], 7)]
    bones = sum(np.linalg.norm(b - a, axis=1).mean() for a, b in pairwise(leg))
    hip = np.linalg.norm(p[:, HIPS].mean(1) - p[:, PELVIS], axis=1).mean()
    return float(bones + hip + 0.05)


def _reach(p: np.ndarray, side: int) -> float:
    """Longest horizontal reach while the wrist is within 0.2 m of shoulder height."""
    line = p[:, WRISTS[side]] - p[:, SHOULDERS[side]]
    level = np.abs(line[:, 1]) < 0.2
    return float(np.where(level, np.linalg.norm(line[:, [0, 2]], axis=1), 0).max())


def _before_chest(p: np.ndarray) -> np.ndarray:
    """Frames ``(t,)`` in which both hands are up: higher than the pelvis by a hand's breadth."""
    return (p[:, WRISTS, 1] > p[:, PELVIS, None, 1] + 0.1).all(1)


def _strokes(p: np.ndarray, heading: np.ndarray, side: int, fps: float) -> int:
    """Turns of the wrist back and forth, against its elbow, while the hand is up."""
    elbow = (18, 19)[side]
    line = p[:, WRISTS[side]] - p[:, elbow]
    up = (p[:, WRISTS[side], 1] > p[:, SHOULDERS[side], 1]) & (line[:, 1] > 0.08)
    left = line[:, 0] * np.cos(heading) - line[:, 2] * np.sin(heading)
    return _valleys(left[up], 0.05) if up.sum() > fps / 2 else 0


def _valleys(x: np.ndarray, prominence: float, below: float = np.inf) -> int:
    """Minima that stand out by ``prominence`` and lie below a level."""
    from scipy.signal import find_peaks

    found, _ = find_peaks(-x, prominence=prominence)
    return int((x[found] < below).sum())
