"""Footsteps: where and when each foot is lifted and set down along a path of the body."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lithe.syntalker.ik import about
from lithe.syntalker.world_arms import minimum_jerk
from lithe.syntalker.world_pose import FLOOR, FOOT, Controls

__all__ = ["Step", "apply_steps", "plan", "sway", "toes_ahead"]

#: Share of the time between two footfalls that a foot is in the air, and seconds in which the
#: sole comes down after the heel has touched.
SWING, SETTLE = 0.8, 0.12


@dataclass(frozen=True)
class Step:
    """One step of one foot: 0 left, 1 right; seconds; ball of the foot ``(x, z)`` and its yaw."""

    foot: int
    lift: float
    land: float
    place: tuple[float, float]
    yaw: float


def plan(
    path: np.ndarray,
    yaw: np.ndarray,
    stance: np.ndarray,
    start: float,
    end: float,
    period: float,
    first: int,
    fps: float,
) -> list[Step]:
    """Steps that carry a body along a path, the feet together again at its end.

    A foot is set down where the body will be in the middle of its stance, beside it.

    Args:
        path: body on the floor ``(t, 2)``: x, z.
        yaw: heading ``(t,)``.
        stance: ball of each foot relative to the body at heading 0, ``(2, 2)``.
        start: first lift, seconds.
        end: when the body has arrived.
        period: seconds between footfalls.
        first: foot of the first step.
        fps: frames a second.
    """
    count = int(np.ceil((end - start) / period)) + 1
    steps = []
    for k in range(count):
        foot = (first + k) % 2
        lift = start + k * period
        middle = lift + (SWING / 2 + 1) * period if k < count - 2 else np.inf
        at = int(min(round(min(middle, 1e6) * fps), len(path) - 1))
        turn = about(1, yaw[at])
        beside = (turn @ [stance[foot, 0], 0, stance[foot, 1]])[[0, 2]]
        out = (0.12, -0.12)[foot]
        place = path[at] + beside
        land = lift + SWING * period
        steps.append(Step(foot, lift, land, (place[0], place[1]), yaw[at] + out))
    return steps


def apply_steps(
    controls: Controls,
    steps: Sequence[Step],
    fps: float,
    lift: float = 0.07,
    push: float = 0.7,
    heel: float = 0.25,
) -> None:
    """Write steps into the feet of a clip, in place.

    Before a foot leaves, its heel rises about the ball, which stays; it lands on the heel, and
    the sole comes down. Only then is it ``planted``.

    Args:
        controls: feet standing where the first steps find them.
        steps: of both feet; those of one foot in order of time.
        fps: frames a second.
        lift: height of the ball in the middle of a step, metres.
        push: angle of the foot when it leaves, radians.
        heel: toes up at landing, radians.
    """
    times = np.arange(len(controls.root)) / fps
    for foot in (0, 1):
        for step in (s for s in steps if s.foot == foot):
            u = (times - step.lift) / (step.land - step.lift)
            here, before = u >= 0, controls.toes[:, foot].copy()
            at = np.flatnonzero(here)
            if not len(at):
                continue
            share = minimum_jerk(u)
            origin, yaw0 = before[at[0]], controls.foot_yaw[at[0], foot]
            goal = np.array([step.place[0], FLOOR, step.place[1]])
            controls.toes[here, foot] = origin + share[here, None] * (goal - origin)
            controls.foot_yaw[here, foot] = yaw0 + share[here] * (step.yaw - yaw0)
            air = np.clip(u, 0, 1)
            controls.toes[here, foot, 1] = FLOOR + lift * np.sin(np.pi * air[here]) ** 2
            _roll(controls, foot, times, step, push, heel)
            off = (times > step.lift - 1e-9) & (times < step.land + SETTLE)
            controls.planted[off, foot] = False
    toes_up = np.clip(-controls.foot_pitch, 0, None)
    controls.toes[..., 1] += FOOT * np.sin(toes_up)


def _roll(
    controls: Controls, foot: int, times: np.ndarray, step: Step, push: float, heel: float
) -> None:
    """Heel up before the lift, toes up before landing, flat after it."""
    swing = step.land - step.lift
    rise = minimum_jerk((times - (step.lift - 0.22)) / 0.22)
    turn = minimum_jerk((times - step.lift) / (0.85 * swing))
    down = minimum_jerk((times - (step.land - 0.02)) / (SETTLE + 0.02))
    angle = push * rise * (1 - turn) - heel * turn * (1 - down)
    controls.foot_pitch[:, foot] += angle


def toes_ahead(controls: Controls) -> np.ndarray:
    """How far the ball of each foot is ahead of the root, along the heading, ``(t, 2)`` metres."""
    forward = np.stack([np.sin(controls.yaw), np.cos(controls.yaw)], 1)
    relative = controls.toes[..., [0, 2]] - controls.root[:, None, [0, 2]]
    return np.einsum("tfx,tx->tf", relative, forward)


def sway(controls: Controls, fps: float, amount: float = 0.025) -> None:
    """Shift the root over the foot that carries it, in place."""
    from scipy.ndimage import gaussian_filter1d

    carries = controls.planted[:, 0].astype(float) - controls.planted[:, 1]
    side = amount * gaussian_filter1d(carries, 0.12 * fps, mode="nearest")
    controls.root[:, 0] += side * np.cos(controls.yaw)
    controls.root[:, 2] -= side * np.sin(controls.yaw)
