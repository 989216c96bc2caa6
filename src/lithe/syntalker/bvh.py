"""Biovision hierarchies: the text format that motion-capture files come in.

Angles are degrees, applied in the order of a joint's channels. Position channels take the place of
the joint's offset, as in Blender. The format names no unit: a skeleton that would be over 10 m tall
is read as centimetres, one that would be over 10 m even so as millimetres.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import numpy as np
import roma
import torch

from lithe.files import write_atomic
from lithe.syntalker.motion import Motion
from lithe.syntalker.skeleton import BODY, BODY_HANDS, Skeleton

__all__ = ["load", "parse", "save"]

#: A rest pose that extends over more than this many units is not in metres.
TALLEST = 10.0
CENTIMETRE, MILLIMETRE = 0.01, 0.001
_CHANNEL = re.compile(r"([xyz])(position|rotation)$", re.IGNORECASE)
#: How saved angles are ordered; the same as in the CMU files.
ORDER = "ZYX"


@dataclass
class _Joint:
    name: str
    parent: int
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    channels: list[str] = field(default_factory=list)  # "Xp", "Zr", ... in the file's order


def load(path: str | Path, scale: float | None = None) -> Motion:
    """Read a ``.bvh`` or ``.bvh.gz`` file.

    Args:
        path: the file.
        scale: metres per unit of the file; by default 1, or 0.01 or 0.001 where the skeleton is too
            tall.

    Returns:
        Motion on the file's own skeleton, its joints in the file's order (canonical joints in
        canonical order); see :func:`lithe.syntalker.retarget.retarget`.

    Raises:
        ValueError: not a BVH file, or one cut short; the message has the line.
    """
    path = Path(path)
    raw = path.read_bytes()
    try:
        text = (gzip.decompress(raw) if path.suffix.lower() == ".gz" else raw).decode(
            "utf-8-sig", "replace"
        )
        return parse(text, scale)
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path.name}: {error}") from error


def parse(text: str, scale: float | None = None) -> Motion:
    """Read the text of a BVH file; see :func:`load`."""
    hierarchy, found, numbers = text.partition("MOTION")
    if not found or not hierarchy.lstrip().startswith("HIERARCHY"):
        raise ValueError("not a BVH file: HIERARCHY and MOTION are missing")
    joints, ends = _hierarchy(hierarchy)
    values, fps = _frames(numbers, sum(len(joint.channels) for joint in joints))
    scale = _scale(joints) if scale is None else scale
    skeleton = _skeleton(joints, ends, scale)
    translations, rotations = _poses(joints, values, scale)
    return _in_canonical_order(_motion(skeleton, translations, rotations, fps, joints))


def save(motion: Motion, path: str | Path) -> Path:
    """Write a motion in centimetres, angles Z Y X; without rotations, those its positions imply.

    Returns:
        The path.
    """
    posed = motion.posed()
    out = io.StringIO()
    out.write("HIERARCHY\n")
    _write_joint(out, posed.skeleton, 0, 0)
    out.write(f"MOTION\nFrames: {len(posed)}\nFrame Time: {1.0 / posed.fps:.8f}\n")
    order = _depth_first(posed.skeleton, 0)
    rotations = torch.from_numpy(posed.rotations[:, order]).double()
    angles = roma.rotmat_to_euler(ORDER, rotations, degrees=True).flatten(1).numpy()
    np.savetxt(out, np.hstack([posed.root / CENTIMETRE, angles]), fmt="%.6f")
    return write_atomic(path, out.getvalue())


def _lines(hierarchy: str) -> Iterator[tuple[int, list[str]]]:
    """Number and words of each line; braces stand on lines of their own."""
    for number, line in enumerate(hierarchy.splitlines(), start=1):
        for piece in line.replace("{", "\n{\n").replace("}", "\n}\n").splitlines():
            if piece.strip():
                yield number, piece.split()


def _hierarchy(text: str) -> tuple[list[_Joint], list[tuple[int, tuple[float, ...]]]]:
    joints: list[_Joint] = []
    ends: list[tuple[int, tuple[float, ...]]] = []
    open_joints: list[int | None] = []  # None is an end site
    coming: int | None = None
    for number, (word, *rest) in _lines(text.partition("HIERARCHY")[2]):
        above = next((k for k in reversed(open_joints) if k is not None), -1)
        try:
            match word.upper():
                case "ROOT" | "JOINT":
                    joints.append(_Joint(" ".join(rest), above))
                    coming = len(joints) - 1
                case "END":
                    coming = None
                case "{":
                    open_joints.append(coming)
                case "}":
                    open_joints.pop()
                case "OFFSET":
                    offset = _three(rest)
                    if open_joints[-1] is None:
                        ends.append((above, offset))
                    else:
                        joints[open_joints[-1]].offset = offset
                case "CHANNELS":
                    joints[open_joints[-1]].channels = _channels(rest)
                case _:
                    raise ValueError(f"{word!r} is not a word of the format")
        except (IndexError, TypeError, ValueError) as error:
            raise ValueError(f"line {number} of the hierarchy, {word!r}: {error}") from error
    if open_joints or not joints:
        raise ValueError("the hierarchy is cut short: no joints, or a brace is not closed")
    return joints, ends


def _three(words: list[str]) -> tuple[float, float, float]:
    x, y, z = (float(word) for word in words)
    return x, y, z


def _channels(words: list[str]) -> list[str]:
    count, names = int(words[0]), words[1:]
    matches = [_CHANNEL.match(name) for name in names]
    if count != len(names) or not all(matches):
        raise ValueError(f"{count} channels promised, found {names}")
    return [m[1].upper() + m[2][0].lower() for m in matches if m]


def _frames(text: str, width: int) -> tuple[np.ndarray, float]:
    head = re.match(r"\s*Frames:\s*(\d+)\s+Frame\s+Time:\s*(\S+)", text, re.IGNORECASE)
    if head is None:
        raise ValueError("MOTION is not followed by 'Frames: n' and 'Frame Time: seconds'")
    count, time = int(head[1]), float(head[2])
    if not (count > 0 and np.isfinite(time) and time > 0):
        raise ValueError(f"{count} frames of {time} s each are no motion")
    values = np.array(text[head.end() :].split(), dtype=np.float64)
    if len(values) != count * width:
        raise ValueError(f"{len(values)} numbers where {count} frames x {width} channels belong")
    if not np.isfinite(values).all():
        raise ValueError("the frames hold NaN or infinity")
    return values.reshape(count, width), _rate(head[2])


def _rate(time: str) -> float:
    """Frame times are written with few digits: 0.033333 means 30, 0.0083333 means 120.

    But 0.0333667 means 29.97: rounded to 30, motion would slip by 60 ms a minute against its sound.
    """
    seconds, digit = float(time), 10.0 ** int(Decimal(time).as_tuple().exponent)
    whole = round(1.0 / seconds)
    close = whole and abs(1.0 / whole - seconds) <= max(digit, 1e-4 * seconds)
    return float(whole) if close else 1.0 / seconds


def _scale(joints: list[_Joint]) -> float:
    places = np.zeros((len(joints), 3))
    for k, joint in enumerate(joints[1:], start=1):
        places[k] = places[joint.parent] + joint.offset
    extent = np.ptp(places, axis=0).max()
    return next((u for u in (1.0, CENTIMETRE) if u * extent <= TALLEST), MILLIMETRE)


def _skeleton(
    joints: list[_Joint], ends: list[tuple[int, tuple[float, ...]]], scale: float
) -> Skeleton:
    offsets = scale * np.array([joint.offset for joint in joints])
    offsets[0] = 0.0  # the root is where its channels say
    names = [joint.name for joint in joints]
    repeated = {name for name in names if names.count(name) > 1}
    names = [f"{name}#{k}" if name in repeated else name for k, name in enumerate(names)]
    tips = [(joint, tuple(scale * x for x in tip)) for joint, tip in ends]
    return Skeleton(tuple(names), tuple(joint.parent for joint in joints), offsets, tuple(tips))


def _poses(joints: list[_Joint], values: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Translation from the parent ``(t, j, 3)`` and local rotation ``(t, j, 3, 3)``, metres."""
    frames = len(values)
    translations = np.tile(np.array([joint.offset for joint in joints]), (frames, 1, 1))
    rotations = np.tile(np.eye(3), (frames, len(joints), 1, 1))
    at = 0
    for k, joint in enumerate(joints):
        own = values[:, at : at + len(joint.channels)]
        at += len(joint.channels)
        turning = [c for c, name in enumerate(joint.channels) if name[1] == "r"]
        for c, name in enumerate(joint.channels):
            if name[1] == "p":
                translations[:, k, "XYZ".index(name[0])] = own[:, c]
        if turning:
            order = "".join(joint.channels[c][0] for c in turning)
            angles = torch.from_numpy(own[:, turning].copy())
            rotations[:, k] = roma.euler_to_rotmat(order, angles, degrees=True).numpy()
    return scale * translations, rotations


def _motion(
    skeleton: Skeleton,
    translations: np.ndarray,
    rotations: np.ndarray,
    fps: float,
    joints: list[_Joint],
) -> Motion:
    """Poses to positions. Where bones change length, rotations alone could not tell them."""
    places, world = [translations[:, 0]], [rotations[:, 0]]
    for k, joint in enumerate(joints[1:], start=1):
        turned = np.einsum("tab,tb->ta", world[joint.parent], translations[:, k])
        places.append(places[joint.parent] + turned)
        world.append(world[joint.parent] @ rotations[:, k])
    rigid = np.allclose(translations[:, 1:], skeleton.offsets[1:], atol=1e-6)
    if not rigid:
        skeleton = skeleton.with_offsets(np.median(translations, axis=0))
    return Motion(np.stack(places, 1), fps, skeleton, rotations if rigid else None)


def _in_canonical_order(motion: Motion) -> Motion:
    """A hierarchy lists limb after limb; the canonical skeletons do not."""
    own = motion.skeleton
    for canonical in (BODY, BODY_HANDS):
        if set(own.names) == set(canonical.names):
            order = [own.index(name) for name in canonical.names]
            parents = tuple(order.index(own.parents[k]) if k else -1 for k in order)
            if parents != canonical.parents:
                break
            ends = tuple((order.index(joint), tip) for joint, tip in own.ends)
            skeleton = Skeleton(canonical.names, parents, own.offsets[order], ends)
            rotations = motion.rotations
            rotations = None if rotations is None else rotations[:, order]
            return Motion(motion.positions[:, order], motion.fps, skeleton, rotations)
    return motion


def _depth_first(skeleton: Skeleton, joint: int) -> list[int]:
    below = [k for child in skeleton.children(joint) for k in _depth_first(skeleton, child)]
    return [joint, *below]


def _write_joint(out: io.StringIO, skeleton: Skeleton, joint: int, depth: int) -> None:
    pad, inner = "\t" * depth, "\t" * (depth + 1)
    offset = skeleton.offsets[joint] / CENTIMETRE if joint else np.zeros(3)
    position = "" if joint else "Xposition Yposition Zposition "
    rotation = " ".join(f"{axis}rotation" for axis in ORDER)
    out.write(f"{pad}{'JOINT' if joint else 'ROOT'} {skeleton.names[joint]}\n{pad}{{\n")
    out.write(f"{inner}OFFSET {_numbers(offset)}\n")
    out.write(f"{inner}CHANNELS {3 if joint else 6} {position}{rotation}\n")
    children = skeleton.children(joint)
    for child in children:
        _write_joint(out, skeleton, child, depth + 1)
    tips = [np.array(tip) / CENTIMETRE for at, tip in skeleton.ends if at == joint]
    for tip in tips or ([] if children else [np.zeros(3)]):
        out.write(f"{inner}End Site\n{inner}{{\n{inner}\tOFFSET {_numbers(tip)}\n{inner}}}\n")
    out.write(f"{pad}}}\n")


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.6f}" for value in values)
