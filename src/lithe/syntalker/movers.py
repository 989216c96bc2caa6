"""People who move and say nothing: one action a clip, from rest, and sentences about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lithe.syntalker.captions import SIDES
from lithe.syntalker.ik import about
from lithe.syntalker.noise import slow_noise
from lithe.syntalker.world_arms import POSES, minimum_jerk, oscillate, track
from lithe.syntalker.world_pose import Controls, standing
from lithe.syntalker.world_steps import Step, apply_steps, plan, sway, toes_ahead

__all__ = ["PACES", "Scene", "act"]

#: Speed of everything, by what captions call it.
PACES = {"slow": 0.72, "normal": 1.0, "fast": 1.32}


@dataclass
class Scene:
    """One clip in the making: who moves how, and when the action starts and is over (seconds)."""

    controls: Controls
    rng: np.random.Generator
    fps: float
    action: str
    side: str | None
    pace: str
    start: float
    end: float = np.inf
    speed: float = 0.0

    @property
    def frames(self) -> int:
        """Length of the clip."""
        return len(self.controls.root)

    @property
    def times(self) -> np.ndarray:
        """Seconds of every frame."""
        return np.arange(self.frames) / self.fps

    @property
    def quick(self) -> float:
        """Factor of the pace."""
        return PACES[self.pace]

    @property
    def foot(self) -> int:
        """0 for the left side, 1 for the right, drawn where the action has no side."""
        return {"left": 0, "right": 1}.get(self.side, int(self.rng.integers(2)))

    @property
    def sign(self) -> float:
        """+1 to the left (positive yaw, +x), -1 to the right."""
        return -1.0 if self.side == "right" else 1.0

    def ramp(self, start: float, seconds: float) -> np.ndarray:
        """0 to 1, smoothly, from ``start`` on."""
        return minimum_jerk((self.times - start) / seconds)


def act(
    rng: np.random.Generator,
    action: str,
    frames: int,
    fps: float,
    pace: str = "normal",
    side: str | None = None,
) -> Scene:
    """Do one action from rest.

    Args:
        rng: draws all that varies.
        action: one of :data:`lithe.syntalker.captions.ACTIONS`.
        frames: length of the clip.
        fps: frames a second.
        pace: ``"slow"``, ``"normal"`` or ``"fast"``.
        side: ``"left"`` or ``"right"`` where the action has one.

    Returns:
        The scene, its curves filled.

    Raises:
        ValueError: an action, pace or side that is not known, or a side that is missing.
    """
    if action not in DOERS or pace not in PACES:
        raise ValueError(f"{action!r} at pace {pace!r}; known: {list(DOERS)}, {list(PACES)}")
    if (action in SIDES) != (side in ("left", "right")):
        raise ValueError(f"side is {side!r} for {action!r}; these have a side: {SIDES}")
    controls = standing(frames, POSES["hang"])
    scene = Scene(controls, rng, fps, action, side, pace, start=float(rng.uniform(0.35, 0.8)))
    DOERS[action](scene)
    _alive(scene)
    return scene


def _alive(scene: Scene) -> None:
    """Noise of a body that is alive, kept out of the feet."""
    n, rng, fps, c = scene.frames, scene.rng, scene.fps, scene.controls
    c.spine += slow_noise(rng, n, 3, 2.5, fps) * [0.02, 0.035, 0.015]
    c.head += slow_noise(rng, n, 3, 2, fps) * [0.04, 0.1, 0.03]
    c.root[:, [0, 2]] += slow_noise(rng, n, 2, 4, fps) * [0.006, 0.004]
    c.arms[..., :3] += slow_noise(rng, n, 6, 1.5, fps).reshape(n, 2, 3) * 0.01


# -- on foot ---------------------------------------------------------------------------------


def _travel(scene: Scene, forward: float, left: float, turn: float, period: float) -> None:
    """Move the body at a velocity (m/s) while turning (rad/s), on steps, in place."""
    c, fps = scene.controls, scene.fps
    seconds = scene.rng.uniform(2.8, 4.2) / scene.quick
    scene.end = scene.start + seconds
    going = scene.ramp(scene.start, 0.9) * (1 - scene.ramp(scene.end - 0.9, 0.9))
    c.yaw += np.cumsum(turn * going) / fps
    velocity = about(1, c.yaw) @ np.array([left, 0, forward]) * going[:, None]
    c.root += np.cumsum(velocity, axis=0) / fps
    stance = c.toes[0][:, [0, 2]].copy()
    steps = plan(
        c.root[:, [0, 2]], c.yaw, stance, scene.start, scene.end, period, scene.foot, fps
    )  # fmt: skip
    stride = abs(forward) * 2 * period
    walks = forward > 0.3
    apply_steps(
        c, steps, fps,
        lift=0.04 + 0.03 * min(stride, 1.5),
        push=min(0.75, 0.6 * stride) if walks else 0.12,
        heel=min(0.28, 0.25 * stride) if walks else 0.0,
    )  # fmt: skip
    c.root[:, 1] -= (0.015 + 0.035 * np.clip(stride - 0.9, 0, 1)) * going
    sway(c, fps, 0.028)
    scene.end = max(scene.end, *(s.land for s in steps))
    _swing(scene, stride)


def _swing(scene: Scene, stride: float) -> None:
    """Arms and trunk in antiphase with the legs, in place."""
    from scipy.ndimage import gaussian_filter1d

    c = scene.controls
    ahead = gaussian_filter1d(toes_ahead(c), 0.07 * scene.fps, axis=0, mode="nearest")
    lead = ahead[:, 1] - ahead[:, 0]  # right foot in front
    size = scene.rng.uniform(0.5, 0.85)
    for arm, toward in ((0, lead), (1, -lead)):
        c.arms[:, arm, 2] += size * toward
        c.arms[:, arm, 1] += 0.22 * size * np.clip(toward, 0, None) + 0.03
    c.pelvis[:, 1] += 0.12 * lead
    c.spine[:, 1] -= 0.26 * lead
    c.pelvis[:, 0] += 0.05 * min(stride, 1) * scene.ramp(scene.start, 0.8)


def _walk(scene: Scene) -> None:
    scene.speed = scene.rng.uniform(1.0, 1.2) * scene.quick**1.2
    _travel(scene, scene.speed, 0, 0, 0.54 / scene.quick**0.6)


def _walk_back(scene: Scene) -> None:
    scene.speed = -scene.rng.uniform(0.6, 0.75) * scene.quick
    _travel(scene, scene.speed, 0, 0, 0.56 / scene.quick**0.5)


def _walk_curve(scene: Scene) -> None:
    scene.speed = scene.rng.uniform(0.85, 1.0) * scene.quick
    rate = scene.sign * scene.rng.uniform(0.55, 0.8) * scene.quick
    _travel(scene, scene.speed, 0, rate, 0.54 / scene.quick**0.5)
    scene.controls.head[:, 1] += 0.25 * scene.sign * scene.ramp(scene.start, 0.6)


def _turn(scene: Scene) -> None:
    turn = scene.sign * scene.rng.uniform(1.2, 2.6)
    period = 0.5 / scene.quick
    c, fps = scene.controls, scene.fps
    count = max(2, round(abs(turn) / 0.65))
    scene.end = scene.start + count * period
    c.yaw += turn * scene.ramp(scene.start, scene.end - scene.start)
    stance = c.toes[0][:, [0, 2]].copy()
    first = 0 if scene.sign > 0 else 1
    path = c.root[:, [0, 2]]
    steps = plan(path, c.yaw, stance, scene.start, scene.end, period, first, fps)
    apply_steps(c, steps, fps, lift=0.05, push=0.15, heel=0.0)
    sway(c, fps, 0.03)
    scene.end = max(s.land for s in steps)
    looks = scene.ramp(scene.start - 0.2, 0.4) * (1 - scene.ramp(scene.end - 0.5, 0.6))
    c.head[:, 1] += 0.4 * scene.sign * looks


def _sidestep(scene: Scene) -> None:
    speed = scene.rng.uniform(0.3, 0.4) * scene.quick
    _travel(scene, 0, scene.sign * speed, 0, 0.48 / scene.quick**0.5)
    scene.speed = speed


# -- down and up -----------------------------------------------------------------------------


def _sink(scene: Scene, height: float, back: float, seconds: float, held: float) -> np.ndarray:
    """Lower the root by a share of its height and move it back; stay, or come up after a while."""
    c = scene.controls
    down = scene.ramp(scene.start, seconds)
    if np.isfinite(held):
        down = down * (1 - scene.ramp(scene.start + seconds + held, seconds))
        scene.end = scene.start + 2 * seconds + held
    c.root[:, 1] -= down * (c.root[0, 1] - height)
    c.root[:, 2] -= back * down
    return down


def _squat(scene: Scene) -> None:
    height = scene.rng.uniform(0.46, 0.58)
    down = _sink(scene, height, 0.12, 0.9 / scene.quick, scene.rng.uniform(0.2, 0.8))
    c = scene.controls
    c.pelvis[:, 0] += 0.35 * down
    c.spine[:, 0] += 0.35 * down
    c.head[:, 0] -= 0.4 * down
    c.foot_pitch += 0.25 * down[:, None]
    for side in (0, 1):
        c.arms[:, side] += down[:, None] * (POSES["front"] - POSES["hang"])


def _sit(scene: Scene) -> None:
    seconds = 1.25 / scene.quick
    stays = scene.rng.random() < 0.7
    height, back = scene.rng.uniform(0.48, 0.54), 0.36
    held = np.inf if stays else scene.rng.uniform(0.8, 1.5)
    down = _sink(scene, height, back, seconds, held)
    c = scene.controls
    lean = 4 * down * (1 - down)  # forward on the way, upright on the seat
    c.pelvis[:, 0] += 0.35 * lean - 0.08 * down
    c.spine[:, 0] += 0.3 * lean + 0.1 * down
    c.head[:, 0] -= 0.25 * lean
    for side in (0, 1):
        c.arms[:, side] += down[:, None] * (POSES["thigh"] - POSES["hang"])


def _kneel(scene: Scene) -> None:
    """Step back with one foot, then let the knee of that leg down to the floor."""
    c, fps, foot = scene.controls, scene.fps, scene.foot
    step, down = 0.6 / scene.quick, 0.95 / scene.quick
    ball = c.toes[0, foot]
    yaw = c.foot_yaw[0, foot] * 0.3
    back = Step(foot, scene.start, scene.start + step, (ball[0], ball[2] - 0.52), yaw)
    apply_steps(c, [back], fps, lift=0.05, push=0.1, heel=0.0)
    sway(c, fps, 0.03)
    share = scene.ramp(scene.start + 0.6 * step, down)
    c.foot_pitch[:, foot] += 1.15 * share
    c.root[:, 1] -= share * (c.root[0, 1] - 0.535)
    c.root[:, 2] -= 0.10 * share
    c.spine[:, 0] += 0.5 * share * (1 - share) + 0.1 * share
    c.arms[:, 1 - foot] += share[:, None] * (POSES["thigh"] - POSES["hang"])
    scene.end = scene.start + 0.6 * step + down


def _jump(scene: Scene) -> None:
    """Crouch, push off, fly a parabola, land soft."""
    from scipy.interpolate import CubicHermiteSpline
    from scipy.ndimage import gaussian_filter1d

    c, rng, times = scene.controls, scene.rng, scene.times
    height = rng.uniform(0.17, 0.30) * scene.quick
    v = np.sqrt(2 * 9.81 * height)
    deep, rise, base = rng.uniform(0.22, 0.3), 0.07, c.root[0, 1]
    crouch = scene.start + 0.55 / scene.quick
    push = 3 * (deep + rise) / v / 1.35  # seconds in which legs reach that speed without a jerk
    off, land = crouch + push, crouch + push + 2 * v / 9.81
    keys = np.array([scene.start, crouch, off, land, land + push, land + push + 0.7])
    heights = np.array([0, -deep, rise, rise, -0.75 * deep, 0]) + base
    curve = CubicHermiteSpline(keys, heights, [0, 0, v, -v, 0, 0])
    c.root[:, 1] = np.where(times < keys[0], base, curve(np.clip(times, keys[0], keys[-1])))
    flies = (times > off) & (times < land)
    lift = np.where(flies, np.clip(c.root[:, 1] - base - rise, 0, None), 0.0)
    c.toes[..., 1] += gaussian_filter1d(lift, 0.04 * scene.fps)[:, None]
    c.planted &= ~((times > off - 0.12) & (times < land + 0.12))[:, None]
    far = rng.choice([0.0, rng.uniform(0.25, 0.5)])
    share = minimum_jerk((times - off) / (land - off))
    c.toes[..., 2] += far * share[:, None]
    c.root[:, 2] += far * minimum_jerk((times - crouch) / (land + push - crouch))
    tip = scene.ramp(off - 0.6 * push, 0.6 * push) * (1 - scene.ramp(land - 0.12, 0.2))
    c.foot_pitch += 0.75 * tip[:, None]
    bent = np.clip((base - c.root[:, 1]) / deep, 0, 1)
    c.pelvis[:, 0] += 0.35 * bent
    c.spine[:, 0] += 0.25 * bent
    c.head[:, 0] -= 0.3 * bent
    poses = [(scene.start, "hang"), (crouch, "back"), (off + 0.08, "front"),
             (land + 0.1, "balance"), (land + push + 0.8, "hang")]  # fmt: skip
    arm = track([(t, POSES[name]) for t, name in poses], scene.frames, scene.fps)
    c.arms[:] = arm[:, None]
    scene.end = keys[-1]
    scene.speed = far


# -- with arms and trunk ---------------------------------------------------------------------


def _hold(scene: Scene, name: str, arms: tuple[int, ...], held: float) -> None:
    """Bring arms into a pose, stay, and let them down again."""
    up, down = 0.75 / scene.quick, 0.85 / scene.quick
    pose = POSES[name].copy()
    pose[:3] += scene.rng.normal(0, 0.03, 3)
    top = scene.start + up
    keys = [(scene.start, POSES["hang"]), (top, pose), (top + held, pose)]
    keys.append((top + held + down, POSES["hang"]))
    for arm in arms:
        scene.controls.arms[:, arm] = track(keys, scene.frames, scene.fps)
    scene.end = keys[-1][0]


def _raise(scene: Scene) -> None:
    _hold(scene, "raise", (scene.foot,), scene.rng.uniform(1.2, 2.5))
    scene.controls.spine[:, 2] += 0.06 * scene.sign * _raised(scene, scene.foot)


def _raise_both(scene: Scene) -> None:
    _hold(scene, "raise", (0, 1), scene.rng.uniform(1.2, 2.5))


def _wave(scene: Scene) -> None:
    held = scene.rng.uniform(1.8, 2.8)
    _hold(scene, "wave", (scene.foot,), held)
    top = scene.start + 0.75 / scene.quick
    rate = scene.rng.uniform(1.3, 1.7) * scene.quick
    swing = oscillate(scene.frames, scene.fps, top - 0.1, top + held, rate)
    arm = scene.controls.arms[:, scene.foot]
    arm[:, 0] += 0.17 * swing
    arm[:, 1] -= 0.03 * swing**2


def _point(scene: Scene) -> None:
    _hold(scene, "point", (scene.foot,), scene.rng.uniform(1.0, 2.2))
    scene.controls.spine[:, 1] -= 0.12 * scene.sign * _raised(scene, scene.foot)


def _clap(scene: Scene) -> None:
    held = scene.rng.uniform(1.8, 2.8)
    _hold(scene, "clap", (0, 1), held)
    top = scene.start + 0.75 / scene.quick
    rate = scene.rng.uniform(1.8, 2.3) * scene.quick
    beat = oscillate(scene.frames, scene.fps, top - 0.1, top + held, rate, ease=0.3)
    scene.controls.arms[..., 0] -= 0.13 * beat[:, None]


def _bow(scene: Scene) -> None:
    c = scene.controls
    seconds = 0.9 / scene.quick
    held = scene.rng.uniform(0.4, 1.0)
    deep = scene.rng.uniform(0.8, 1.15)
    down = scene.ramp(scene.start, seconds) * (
        1 - scene.ramp(scene.start + seconds + held, seconds)
    )
    scene.end = scene.start + 2 * seconds + held
    c.pelvis[:, 0] += 0.55 * deep * down
    c.spine[:, 0] += 0.55 * deep * down
    c.head[:, 0] += 0.2 * down
    c.root[:, 2] -= 0.10 * deep * down
    c.arms[..., 2] += 0.12 * down[:, None]


def _stand(scene: Scene) -> None:
    if scene.rng.random() < 0.4:
        pose = POSES[("hip", "ready")[scene.rng.integers(2)]]
        scene.controls.arms[:] = pose
    scene.end = scene.frames / scene.fps


def _raised(scene: Scene, arm: int) -> np.ndarray:
    """0 to 1: how far a hand has come up from hanging."""
    height = scene.controls.arms[:, arm, 1]
    return np.clip((height - POSES["hang"][1]) / 1.6, 0, 1)


DOERS: dict[str, Callable[[Scene], None]] = {
    "walk": _walk,
    "walk back": _walk_back,
    "walk in a curve": _walk_curve,
    "turn": _turn,
    "sidestep": _sidestep,
    "sit": _sit,
    "kneel": _kneel,
    "squat": _squat,
    "jump": _jump,
    "raise": _raise,
    "raise both": _raise_both,
    "wave": _wave,
    "point": _point,
    "clap": _clap,
    "bow": _bow,
    "stand": _stand,
}
