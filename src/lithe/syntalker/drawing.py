"""A motion drawn as sticks, from a camera that walks along."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy.ndimage import gaussian_filter1d

from lithe.figures import PALETTE
from lithe.syntalker.motion import Motion
from lithe.syntalker.skeleton import Skeleton

__all__ = ["HEAD", "THIN", "Camera", "draw", "followed", "head_of", "sides"]

_COLOURS = {"left": PALETTE["blue"], "right": PALETTE["vermilion"], "middle": PALETTE["ink"]}
_FLOOR, _SHADOW = "#d4d4d4", "#b5b5b5"
#: Radius of the disc that stands for the head, metres.
HEAD = 0.09
#: Bones shorter than this, metres, are drawn thin: fingers.
THIN = 0.06
#: Drawn this many times larger, then shrunk: PIL's lines have no smooth edges.
OVERSAMPLING = 2


@dataclass(frozen=True)
class Camera:
    """Where the picture is taken from.

    Args:
        yaw: turn about the upright axis, radians; 0 looks a person facing +z in the face.
        pitch: height of the camera, radians above level.
        distance: to the point looked at, metres.
        zoom: focal length in heights of the picture.
    """

    yaw: float = 0.5
    pitch: float = 0.2
    distance: float = 4.0
    zoom: float = 1.6

    def project(self, points: np.ndarray, centre: np.ndarray) -> np.ndarray:
        """Points ``(..., 3)`` seen with ``centre`` in the middle.

        Returns:
            ``(..., 3)``: right and down of the middle in heights of the picture, and depth, metres.
        """
        x, y, z = np.moveaxis(points - centre, -1, 0)
        x, z = (
            np.cos(self.yaw) * x - np.sin(self.yaw) * z,
            np.sin(self.yaw) * x + np.cos(self.yaw) * z,
        )
        y, z = (
            np.cos(self.pitch) * y - np.sin(self.pitch) * z,
            (np.sin(self.pitch) * y + np.cos(self.pitch) * z),
        )
        depth = np.maximum(self.distance - z, 0.1)
        return np.stack([self.zoom * x / depth, -self.zoom * y / depth, depth], axis=-1)


def sides(skeleton: Skeleton) -> list[str]:
    """``"left"``, ``"right"`` or ``"middle"`` for every joint, by its name."""
    return [_side(name.rpartition(":")[2]) for name in skeleton.names]


def head_of(skeleton: Skeleton) -> int:
    """Index of the joint named head, -1 if there is none."""
    plain = [name.rpartition(":")[2].lower() for name in skeleton.names]
    return plain.index("head") if "head" in plain else -1


def followed(motion: Motion, seconds: float = 0.5) -> np.ndarray:
    """The point a camera should look at in every frame ``(t, 3)``: the root's path, smoothed."""
    root = motion.root.astype(np.float64)
    root = gaussian_filter1d(root, max(seconds * motion.fps, 1e-3), axis=0, mode="nearest")
    root[:, 1] = motion.positions[..., 1].max() / 2.0
    return root


def draw(
    motion: Motion,
    frame: int,
    size: tuple[int, int] = (640, 480),
    camera: Camera | None = None,
    centre: np.ndarray | None = None,
) -> Image.Image:
    """One frame as a picture: the floor, a shadow, left blue and right vermilion.

    Args:
        motion: what to draw.
        frame: which one.
        size: width and height in pixels.
        camera: by default a little to the side and above.
        centre: point looked at ``(3,)``; by default the root, of the same height in every frame.

    Returns:
        RGB picture.
    """
    camera = camera or Camera()
    centre = followed(motion)[frame] if centre is None else centre
    large = (size[0] * OVERSAMPLING, size[1] * OVERSAMPLING)
    picture = Image.new("RGB", large, "white")
    pen = _Pen(ImageDraw.Draw(picture), large, camera, centre)
    _floor(pen, centre)
    pose = motion.positions[frame].astype(np.float64)
    _bones(pen, motion.skeleton, pose * (1.0, 0.0, 1.0), shadow=True)
    _bones(pen, motion.skeleton, pose)
    return picture.reduce(OVERSAMPLING)


@dataclass
class _Pen:
    draw: ImageDraw.ImageDraw
    size: tuple[int, int]
    camera: Camera
    centre: np.ndarray

    def line(self, ends: np.ndarray, colour: str, width: float) -> None:
        """A line between two points ``(2, 3)`` of the world, ``width`` metres wide."""
        seen = self.camera.project(ends, self.centre)
        w, h = self.size
        pixels = [(w / 2 + h * u, h / 2 + h * v) for u, v, _ in seen]
        thick = max(1, round(width * self.camera.zoom * h / seen[:, 2].mean()))
        self.draw.line(pixels, fill=colour, width=thick)

    def ball(self, place: np.ndarray, colour: str, radius: float) -> None:
        """A disc about a point ``(3,)`` of the world, ``radius`` metres."""
        u, v, depth = self.camera.project(place, self.centre)
        w, h = self.size
        x, y, r = w / 2 + h * u, h / 2 + h * v, radius * self.camera.zoom * h / depth
        self.draw.ellipse([x - r, y - r, x + r, y + r], fill=colour)


def _floor(pen: _Pen, centre: np.ndarray) -> None:
    x, z = np.round(centre[[0, 2]])
    for k in np.arange(-3.0, 4.0):
        pen.line(np.array([[x + k, 0, z - 3], [x + k, 0, z + 3]]), _FLOOR, 0.008)
        pen.line(np.array([[x - 3, 0, z + k], [x + 3, 0, z + k]]), _FLOOR, 0.008)


def _bones(pen: _Pen, skeleton: Skeleton, pose: np.ndarray, shadow: bool = False) -> None:
    depth = pen.camera.project(pose, pen.centre)[:, 2]
    named, head, lengths = sides(skeleton), head_of(skeleton), skeleton.lengths
    order = sorted(range(1, len(skeleton)), key=lambda joint: -depth[joint])
    for joint in order:
        colour = _SHADOW if shadow else _COLOURS[named[joint]]
        thin = lengths[joint] < THIN
        pen.line(pose[[skeleton.parents[joint], joint]], colour, 0.012 if thin else 0.035)
        if joint == head:
            pen.ball(pose[joint], colour, HEAD)


def _side(name: str) -> str:
    lower = name.lower()
    for side in ("left", "right"):
        if side in lower or (
            name[:1].lower() == side[0] and (name[1:2].isupper() or name[1:2] == "_")
        ):
            return side
    return "middle"
