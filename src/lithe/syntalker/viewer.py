"""A player of motions for notebooks and pages: one piece of HTML with everything in it."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from lithe.files import write_atomic
from lithe.syntalker.drawing import HEAD, THIN, Camera, followed, head_of, sides
from lithe.syntalker.motion import Motion
from lithe.syntalker.soundtrack import data_uri

__all__ = ["Viewer", "clip_of"]

#: Poses on the picture that stands in for the player where no script runs.
POSES = 5
_STATIC = Path(__file__).resolve().parents[3] / "book" / "_static"


class Viewer:
    """A player of one motion, or of several side by side in one time.

    In a notebook it shows itself. It loads nothing: positions are 16-bit numbers, the sound is a
    compressed ``data:`` address, and where scripts are off, a drawing and a plain sound player
    stay. The same motions give the same bytes.

    Args:
        motions: one or more.
        labels: what each is called; by default "Motion", or "Motion 1" and so on.

    Raises:
        ValueError: no motions, or another number of labels.
    """

    def __init__(self, motions: Sequence[Motion], labels: Sequence[str] = ()) -> None:
        if not motions:
            raise ValueError("no motions to show")
        if labels and len(labels) != len(motions):
            raise ValueError(f"{len(labels)} labels for {len(motions)} motions")
        names = (
            ["Motion"] if len(motions) == 1 else [f"Motion {k + 1}" for k in range(len(motions))]
        )
        self.motions = list(motions)
        self.labels = list(labels) or names

    def __repr__(self) -> str:
        return f"Viewer({', '.join(self.labels)})"

    def _repr_html_(self) -> str:
        return self.html()

    def html(self) -> str:
        """The player, to be put into any page."""
        data = {"clips": [clip_of(m, label) for m, label in zip(self.motions, self.labels)]}
        text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
        return (
            f'<div class="lithe-motion"><style>{_file("motion-viewer.css")}</style>\n'
            f"{self._poster()}\n{self._sounds()}"
            f'<script type="application/json" data-lm="data">{text}</script></div>\n'
            f"<script>{_file('motion-viewer.js')}</script>\n"
        )

    def save(self, path: str | Path) -> Path:
        """Write a page of its own, which opens from a disk, without a network.

        Returns:
            The path.
        """
        title = html.escape(", ".join(self.labels))
        page = (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            '<meta name="viewport" content="width=device-width, initial-scale=1"></head>\n'
            f"<body>\n{self.html()}</body></html>\n"
        )
        return write_atomic(path, page)

    def _poster(self) -> str:
        labels = html.escape(", ".join(self.labels))
        drawn = _drawing(self.motions[0], f"{self.labels[0]}: {POSES} poses from start to end")
        return (
            f'<figure class="lm-poster">{drawn}<figcaption>{labels}: poses from start to end, left '
            "blue, right orange. With scripts allowed this plays.</figcaption></figure>"
        )

    def _sounds(self) -> str:
        """Each different sound once, filled to the longest motion: its end ends the playing."""
        longest = max(motion.seconds for motion in self.motions)
        sounds: dict[str, str] = {}
        for motion, label in zip(self.motions, self.labels):
            if motion.audio is not None and len(motion.audio[0]):
                sounds.setdefault(data_uri(*motion.audio, longest), label)
        return "".join(
            f'<audio controls preload="auto" data-label="{html.escape(label)}" '
            f'aria-label="Sound of {html.escape(label)}" src="{source}"></audio>\n'
            for source, label in sounds.items()
        )


def clip_of(motion: Motion, label: str) -> dict[str, Any]:
    """A motion as the player's script reads it: places in whole steps of a small length.

    Args:
        motion: of any skeleton.
        label: what the page calls it.
    """
    codes, scale, origin = _quantised(motion.positions)
    return {
        "label": label,
        "fps": motion.fps,
        "frames": len(motion),
        "parents": list(motion.skeleton.parents),
        "sides": sides(motion.skeleton),
        "thin": [int(length < THIN) for length in motion.skeleton.lengths],
        "head": head_of(motion.skeleton),
        "scale": scale,
        "origin": origin,
        "positions": base64.b64encode(codes.tobytes()).decode(),
        "prompts": [
            {"start": p.start, "end": p.end, "text": p.text, "part": p.part} for p in motion.prompts
        ],
    }


def _quantised(positions: np.ndarray) -> tuple[np.ndarray, float, list[float]]:
    """Little-endian int16 ``(t, j, 3)``, metres per step, and the place of 0 ``(3,)``."""
    low, high = positions.min(axis=(0, 1)), positions.max(axis=(0, 1))
    origin = (low.astype(np.float64) + high) / 2.0
    scale = max(float((high - low).max()) / 2.0 / 32767.0, 1e-9)
    codes = np.rint((positions - origin) / scale).astype("<i2")
    return codes, scale, origin.tolist()


def _drawing(motion: Motion, alt: str) -> str:
    """An SVG of poses side by side, 1000 x 360, without fingers."""
    frames = np.linspace(0, len(motion) - 1, POSES).round().astype(int)
    centres = followed(motion)
    named, head = sides(motion.skeleton), head_of(motion.skeleton)
    lengths = motion.skeleton.lengths
    lines = ['<line class="lm-f" x1="20" y1="318" x2="980" y2="318" stroke="#ccc"/>']
    for k, frame in enumerate(frames):
        seen = Camera().project(motion.positions[frame].astype(np.float64), centres[frame])
        pixels = seen[:, :2] * 360.0 + ((k + 0.5) * 1000.0 / POSES, 180.0)
        for joint, parent in enumerate(motion.skeleton.parents):
            if joint and lengths[joint] >= THIN:
                lines.append(_stroke(pixels[parent], pixels[joint], named[joint]))
            if joint == head:
                lines.append(_ball(pixels[joint], HEAD * Camera().zoom * 360.0 / seen[joint, 2]))
    text = html.escape(alt)
    return (
        f'<svg viewBox="0 0 1000 360" role="img" aria-label="{text}"><title>{text}</title>'
        f"{''.join(lines)}</svg>"
    )


def _stroke(start: np.ndarray, end: np.ndarray, side: str) -> str:
    colour = {"left": "#0072b2", "right": "#c24a00", "middle": "#1a1a1a"}[side]
    (x1, y1), (x2, y2) = start, end
    return (
        f'<line class="lm-{side[0]}" x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2:.0f}" '
        f'stroke="{colour}" stroke-width="5"/>'
    )


def _ball(centre: np.ndarray, radius: float) -> str:
    x, y = centre
    return f'<circle cx="{x:.0f}" cy="{y:.0f}" r="{radius:.0f}" fill="#1a1a1a"/>'


@cache
def _file(name: str) -> str:
    path = _STATIC / name
    if not path.is_file():
        raise FileNotFoundError(f"{name} is part of the book: run from the repository (pip -e .)")
    return path.read_text(encoding="utf-8")
