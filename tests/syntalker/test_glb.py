"""The glTF file, read by the rules of its specification, and posed again from what it says."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
import roma
import torch

from lithe.syntalker import BODY_HANDS, Motion
from lithe.syntalker.skeleton import Skeleton

WIDTHS = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}
TYPES = {5126: np.dtype("<f4"), 5123: np.dtype("<u2")}


class Document:
    """The two chunks of a GLB file; every accessor is checked against its view."""

    def __init__(self, raw: bytes) -> None:
        magic, version, length = struct.unpack_from("<4sII", raw)
        assert (magic, version, length) == (b"glTF", 2, len(raw))
        size, kind = struct.unpack_from("<I4s", raw, 12)
        assert kind == b"JSON"
        assert size % 4 == 0
        self.json: dict[str, Any] = json.loads(raw[20 : 20 + size])
        binary_size, kind = struct.unpack_from("<I4s", raw, 20 + size)
        assert kind == b"BIN\0"
        self.binary = raw[28 + size :]
        assert len(self.binary) == binary_size
        assert self.json["buffers"] == [{"byteLength": binary_size}]

    def array(self, accessor: int) -> np.ndarray:
        entry = self.json["accessors"][accessor]
        view = self.json["bufferViews"][entry["bufferView"]]
        kind, width = TYPES[entry["componentType"]], WIDTHS[entry["type"]]
        assert view["byteOffset"] % 4 == 0
        assert view["byteOffset"] + view["byteLength"] <= len(self.binary)
        assert view["byteLength"] == entry["count"] * width * kind.itemsize
        flat = np.frombuffer(self.binary, kind, entry["count"] * width, view["byteOffset"])
        array = flat.reshape(entry["count"], width)
        if "min" in entry:
            np.testing.assert_array_equal(array.min(axis=0), np.float32(entry["min"]))
            np.testing.assert_array_equal(array.max(axis=0), np.float32(entry["max"]))
        return array


@pytest.fixture(scope="module")
def motion() -> Motion:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.cumsum(0.2 * torch.randn(20, 52, 3, generator=generator), 0)
    root = torch.cumsum(0.1 * torch.randn(20, 3, generator=generator), 0)
    return Motion.from_rotations(roma.rotvec_to_rotmat(vectors), root, BODY_HANDS, 25.0)


@pytest.fixture(scope="module")
def document(motion: Motion, tmp_path_factory: pytest.TempPathFactory) -> Document:
    path = motion.save(tmp_path_factory.mktemp("glb") / "a.glb")
    return Document(path.read_bytes())


def test_every_accessor_fits_its_view(document: Document) -> None:
    for k in range(len(document.json["accessors"])):
        assert np.isfinite(document.array(k).astype(float)).all()


def test_the_scene_is_a_tree_of_joints_and_a_skinned_mesh(document: Document) -> None:
    nodes = document.json["nodes"]
    assert [node["name"] for node in nodes[:52]] == list(BODY_HANDS.names)
    children = [child for node in nodes for child in node.get("children", [])]
    assert sorted(children) == list(range(1, 52))  # each once, the root and the mesh not
    assert document.json["scenes"] == [{"nodes": [0, 52]}]
    assert (nodes[52]["mesh"], nodes[52]["skin"]) == (0, 0)
    assert document.json["skins"][0]["joints"] == list(range(52))


def test_the_animation_poses_the_skeleton_like_the_motion(
    document: Document, motion: Motion
) -> None:
    animation = document.json["animations"][0]
    moved: dict[tuple[int, str], np.ndarray] = {}
    for channel in animation["channels"]:
        sampler = animation["samplers"][channel["sampler"]]
        times = document.array(sampler["input"])[:, 0]
        np.testing.assert_allclose(times, np.arange(20) / 25.0, atol=1e-6)
        target = channel["target"]
        moved[target["node"], target["path"]] = document.array(sampler["output"])
    nodes = document.json["nodes"]
    for frame in (0, 7, 19):
        places, world = {0: moved[0, "translation"][frame]}, {}
        for joint in range(52):
            q = moved[joint, "rotation"][frame]
            assert np.linalg.norm(q) == pytest.approx(1.0, abs=1e-6)
            own = roma.unitquat_to_rotmat(torch.tensor(q)).numpy()
            world[joint] = world[BODY_HANDS.parents[joint]] @ own if joint else own
            for child in nodes[joint].get("children", []):
                places[child] = places[joint] + world[joint] @ nodes[child]["translation"]
        found = np.array([places[joint] for joint in range(52)])
        np.testing.assert_allclose(found, motion.positions[frame], atol=1e-5)


def test_quaternions_do_not_jump_in_sign(document: Document) -> None:
    animation = document.json["animations"][0]
    for channel in animation["channels"][1:]:
        q = document.array(animation["samplers"][channel["sampler"]]["output"])
        assert (np.sum(q[1:] * q[:-1], axis=1) > 0).all()


def test_the_mesh_lies_on_the_rest_pose_and_faces_outward(document: Document) -> None:
    primitive = document.json["meshes"][0]["primitives"][0]
    arrays = {name: document.array(k) for name, k in primitive["attributes"].items()}
    inverse = document.array(document.json["skins"][0]["inverseBindMatrices"])
    rest = BODY_HANDS.rest()
    for joint in range(52):
        bind = inverse[joint].reshape(4, 4).T  # column-major
        np.testing.assert_allclose(bind @ [*rest[joint], 1.0], [0, 0, 0, 1], atol=1e-6)
    np.testing.assert_array_equal(arrays["WEIGHTS_0"].sum(axis=1), 1.0)
    assert arrays["JOINTS_0"].max() < 52
    indices = document.array(primitive["indices"])[:, 0]
    assert len(indices) == 51 * 24
    assert indices.max() < len(arrays["POSITION"])
    bones = arrays["POSITION"].reshape(51, 24, 3)
    faces, normals = bones.reshape(51, 8, 3, 3), arrays["NORMAL"].reshape(51, 8, 3, 3)[:, :, 0]
    outward = faces.mean(axis=2) - bones.mean(axis=1, keepdims=True)
    assert (np.sum(outward * normals, axis=-1) > 0).all()


def test_a_skeleton_of_one_bone_is_still_a_file(tmp_path) -> None:
    point = Skeleton(("only", "tip"), (-1, 0), [[0, 0, 0], [0, 0.3, 0]])
    path = Motion(np.zeros((1, 2, 3)) + point.rest(), 30.0, point).save(tmp_path / "a.glb")
    assert Document(path.read_bytes()).json["asset"]["version"] == "2.0"


@pytest.mark.parametrize("joints", [1, 2])
def test_without_any_bone_the_mesh_is_a_point_that_can_be_drawn(tmp_path, joints: int) -> None:
    names, parents = ("only", "same")[:joints], (-1, 0)[:joints]
    nothing = Skeleton(names, parents, np.zeros((joints, 3)))
    path = Motion(np.zeros((2, joints, 3)), 30.0, nothing).save(tmp_path / "a.glb")
    document = Document(path.read_bytes())
    assert all(entry["count"] > 0 for entry in document.json["accessors"])
    assert all(np.isfinite(document.array(k)).all() for k in range(len(document.json["accessors"])))
