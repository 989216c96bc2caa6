"""Animated skeletons as binary glTF 2.0, which browsers, Blender and phones open.

One mesh, an octahedron per bone, is skinned to the joints: most viewers show nothing without one.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import roma
import torch

from lithe.files import write_atomic
from lithe.syntalker.motion import Motion
from lithe.syntalker.skeleton import Skeleton

__all__ = ["save"]

_TYPES = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
_COMPONENTS = {"float32": 5126, "uint16": 5123}
_ARRAY_BUFFER, _ELEMENT_BUFFER = 34962, 34963
#: Thickness of a bone as a share of its length, and where it is thickest.
THICKNESS, WAIST = 0.1, 0.2


class _Buffer:
    """The one binary buffer, and the accessors into it."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(self, array: np.ndarray, target: int | None = None, bounds: bool = False) -> int:
        """Append an array ``(n,)`` or ``(n, d)``; the index of its accessor."""
        array = np.ascontiguousarray(array)
        width = 1 if array.ndim == 1 else array.shape[1]
        view = {"buffer": 0, "byteOffset": len(self.data), "byteLength": array.nbytes}
        self.views.append(view if target is None else view | {"target": target})
        accessor = {
            "bufferView": len(self.views) - 1,
            "componentType": _COMPONENTS[array.dtype.name],
            "count": len(array),
            "type": _TYPES[width],
        }
        if bounds:
            columns = array.reshape(len(array), -1)
            accessor["min"] = columns.min(axis=0).tolist()
            accessor["max"] = columns.max(axis=0).tolist()
        self.accessors.append(accessor)
        self.data += array.tobytes()
        self.data += b"\0" * (-len(self.data) % 4)
        return len(self.accessors) - 1


def save(motion: Motion, path: str | Path) -> Path:
    """Write skeleton and animation; without rotations, those that its positions imply.

    Returns:
        The path.
    """
    posed = motion.posed()
    buffer = _Buffer()
    skeleton = posed.skeleton
    document = {
        "asset": {"version": "2.0", "generator": "lithe"},
        "scene": 0,
        "scenes": [{"nodes": [0, len(skeleton)]}],
        "nodes": [*_joint_nodes(posed), {"name": "bones", "mesh": 0, "skin": 0}],
        "meshes": [_mesh(skeleton, buffer)],
        "materials": [_material()],
        "skins": [_skin(skeleton, buffer)],
        "animations": [_animation(posed, buffer)],
    }
    document |= {
        "accessors": buffer.accessors,
        "bufferViews": buffer.views,
        "buffers": [{"byteLength": len(buffer.data)}],
    }
    return write_atomic(path, _packed(document, bytes(buffer.data)))


def _packed(document: dict[str, Any], binary: bytes) -> bytes:
    text = json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    chunks += struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def _joint_nodes(motion: Motion) -> list[dict[str, Any]]:
    skeleton = motion.skeleton
    nodes: list[dict[str, Any]] = []
    for joint, name in enumerate(skeleton.names):
        place = motion.root[0] if joint == 0 else skeleton.offsets[joint]
        node: dict[str, Any] = {"name": name, "translation": place.tolist()}
        if children := skeleton.children(joint):
            node["children"] = list(children)
        nodes.append(node)
    return nodes


def _bones(skeleton: Skeleton) -> list[tuple[int, np.ndarray]]:
    """Each bone that has a length: the joint that moves it, and its vector in the rest pose."""
    bones = [(parent, skeleton.offsets[k]) for k, parent in enumerate(skeleton.parents) if k]
    bones += [(joint, np.array(tip, dtype=np.float32)) for joint, tip in skeleton.ends]
    return [(joint, bone) for joint, bone in bones if np.linalg.norm(bone) > 1e-4]


def _mesh(skeleton: Skeleton, buffer: _Buffer) -> dict[str, Any]:
    rest = skeleton.rest()
    corners, owners = [], []
    # a mesh needs a triangle: without any bone a point marks the root
    for joint, bone in _bones(skeleton) or [(0, np.array([0.0, 1e-3, 0.0]))]:
        corners.append(rest[joint] + _octahedron(bone))
        owners += [joint] * (corners[-1].shape[0] * 3)
    faces = np.concatenate(corners).astype(np.float32)
    joints = np.zeros((len(owners), 4), dtype=np.uint16)
    joints[:, 0] = owners
    weights = np.tile(np.array([1, 0, 0, 0], dtype=np.float32), (len(owners), 1))
    attributes = {
        "POSITION": buffer.add(faces.reshape(-1, 3), _ARRAY_BUFFER, bounds=True),
        "NORMAL": buffer.add(_normals(faces), _ARRAY_BUFFER),
        "JOINTS_0": buffer.add(joints, _ARRAY_BUFFER),
        "WEIGHTS_0": buffer.add(weights, _ARRAY_BUFFER),
    }
    indices = buffer.add(np.arange(len(owners), dtype=np.uint16), _ELEMENT_BUFFER)
    return {"primitives": [{"attributes": attributes, "indices": indices, "material": 0}]}


def _octahedron(bone: np.ndarray) -> np.ndarray:
    """Triangles ``(8, 3, 3)`` from the origin to ``bone``, outward side counter-clockwise."""
    length = np.linalg.norm(bone)
    helper = np.eye(3)[np.abs(bone).argmin()]
    u = np.cross(bone, helper)
    u *= THICKNESS * length / np.linalg.norm(u)
    v = np.cross(bone, u) / length
    ring = [WAIST * bone + side for side in (u, v, -u, -v)]
    faces = []
    for a, b in zip(ring, ring[1:] + ring[:1]):
        faces += [(np.zeros(3), b, a), (bone, a, b)]
    return np.array(faces)


def _normals(faces: np.ndarray) -> np.ndarray:
    """One flat normal per corner ``(3 n, 3)``."""
    normals = np.cross(faces[:, 1] - faces[:, 0], faces[:, 2] - faces[:, 0])
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    return np.repeat(normals, 3, axis=0).astype(np.float32)


def _material() -> dict[str, Any]:
    colour = {"baseColorFactor": [0.35, 0.55, 0.75, 1.0], "metallicFactor": 0.0}
    return {"name": "bone", "pbrMetallicRoughness": colour | {"roughnessFactor": 0.7}}


def _skin(skeleton: Skeleton, buffer: _Buffer) -> dict[str, Any]:
    inverse = np.tile(np.eye(4, dtype=np.float32), (len(skeleton), 1, 1))
    inverse[:, 3, :3] = -skeleton.rest()  # column-major: the translation is the last row here
    joints = list(range(len(skeleton)))
    matrices = buffer.add(inverse.reshape(-1, 16))
    return {"joints": joints, "skeleton": 0, "inverseBindMatrices": matrices}


def _animation(motion: Motion, buffer: _Buffer) -> dict[str, Any]:
    times = buffer.add((np.arange(len(motion)) / motion.fps).astype(np.float32), bounds=True)
    samplers = [{"input": times, "output": buffer.add(motion.root)}]
    channels = [{"sampler": 0, "target": {"node": 0, "path": "translation"}}]
    quaternions = _quaternions(motion.rotations)
    for joint in range(quaternions.shape[1]):
        samplers.append({"input": times, "output": buffer.add(quaternions[:, joint])})
        channels.append({"sampler": joint + 1, "target": {"node": joint, "path": "rotation"}})
    return {"name": "motion", "samplers": samplers, "channels": channels}


def _quaternions(rotations: np.ndarray) -> np.ndarray:
    """Unit quaternions ``(t, j, 4)`` as x y z w, without jumps of sign along time."""
    quaternions = roma.rotmat_to_unitquat(torch.from_numpy(rotations).double()).numpy()
    turns = np.einsum("tjq,tjq->tj", quaternions[1:], quaternions[:-1])
    signs = np.cumprod(np.where(turns < 0, -1.0, 1.0), axis=0)
    quaternions[1:] *= signs[..., None]
    return quaternions.astype(np.float32)
