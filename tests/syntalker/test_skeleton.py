"""Skeletons and their kinematics, against matrices of the whole chain multiplied out."""

from __future__ import annotations

import numpy as np
import pytest
import roma
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lithe.syntalker import (
    BODY,
    BODY_HANDS,
    PART_JOINTS,
    Skeleton,
    fit_skeleton,
    fk,
    rotations_from,
    skeleton_for,
    world_rotations,
)
from lithe.syntalker.kinematics import grounded, relengthen, shortest_arc

EXACT = 1e-5  # metres; float32 along ten bones


def random_rotations(frames: int, joints: int, seed: int = 0) -> np.ndarray:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(frames, joints, 3, generator=generator)
    return roma.rotvec_to_rotmat(vectors).numpy()


def multiplied_out(rotations: np.ndarray, root: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Each joint by its own product of 4 x 4 matrices, from the root down."""
    positions = np.zeros((*rotations.shape[:2], 3))
    for t, joint in np.ndindex(rotations.shape[:2]):
        chain = [joint]
        while skeleton.parents[chain[-1]] >= 0:
            chain.append(skeleton.parents[chain[-1]])
        matrix = np.eye(4)
        for k in chain[::-1]:
            step = np.eye(4)
            step[:3, :3] = rotations[t, k]
            step[:3, 3] = skeleton.offsets[k] if k else root[t]
            matrix = matrix @ step
        positions[t, joint] = matrix[:3, 3]
    return positions


def test_canonical_skeletons_have_the_joints_of_the_method(golden) -> None:
    expected = np.load(golden / "syntalker_h3d623.npz")["parents"]
    assert BODY_HANDS.parents == tuple(expected)
    assert BODY.parents == tuple(expected[:22])
    assert BODY.names == BODY_HANDS.names[:22]
    assert BODY.names[15] == "head"
    assert BODY_HANDS.names[22] == "left_index1"
    assert BODY_HANDS.names[51] == "right_thumb3"


def test_rest_pose_is_a_symmetric_adult_facing_forward() -> None:
    rest = BODY_HANDS.rest()
    for name in BODY_HANDS.names:
        if name.startswith("left_"):
            mirrored = rest[BODY_HANDS.index(name.replace("left", "right"))] * (-1, 1, 1)
            np.testing.assert_allclose(rest[BODY_HANDS.index(name)], mirrored, atol=1e-6)
    height = np.ptp(rest[:, 1])
    assert 1.4 < height < 1.7  # to the head joint, below the crown
    assert rest[BODY.index("left_foot"), 2] > rest[BODY.index("left_ankle"), 2]
    assert BODY.root_height == pytest.approx(-rest[:, 1].min())


def test_parts_share_no_joint_and_leave_none_out() -> None:
    together = sorted(joint for part in PART_JOINTS.values() for joint in part)
    assert together == list(range(52))


@pytest.mark.parametrize("skeleton", [BODY, BODY_HANDS], ids=["22", "52"])
def test_fk_equals_the_chain_multiplied_out(skeleton: Skeleton) -> None:
    rotations = random_rotations(3, len(skeleton))
    root = np.array([[0, 1, 0], [1, 2, 3], [-1, 0.5, 2]], dtype=np.float32)
    positions = fk(rotations, root, skeleton)
    assert positions.dtype == np.float32
    np.testing.assert_allclose(positions, multiplied_out(rotations, root, skeleton), atol=EXACT)


def test_fk_of_tensors_equals_that_of_arrays_and_has_gradients() -> None:
    rotations, root = random_rotations(2, 22), np.ones((2, 3), dtype=np.float32)
    tensor = torch.from_numpy(rotations).requires_grad_()
    positions = fk(tensor, torch.from_numpy(root), BODY)
    np.testing.assert_allclose(positions.detach().numpy(), fk(rotations, root, BODY), atol=EXACT)
    positions.sum().backward()
    assert tensor.grad.abs().sum() > 0


def test_world_rotations_compose_down_the_tree() -> None:
    rotations = random_rotations(2, 22)
    world = world_rotations(rotations, BODY)
    expected = rotations[:, 0] @ rotations[:, 3] @ rotations[:, 6]
    np.testing.assert_allclose(world[:, 6], expected, atol=1e-5)


def test_fk_at_rest_is_the_rest_pose() -> None:
    still = np.tile(np.eye(3, dtype=np.float32), (1, 52, 1, 1))
    positions = fk(still, np.zeros((1, 3), dtype=np.float32), BODY_HANDS)
    np.testing.assert_allclose(positions[0], BODY_HANDS.rest(), atol=1e-7)


@settings(deadline=None, max_examples=6)
@given(st.integers(0, 10_000))
def test_rotations_from_positions_pose_a_rigid_body_exactly(seed: int) -> None:
    positions = fk(random_rotations(4, 52, seed), np.zeros((4, 3), np.float32), BODY_HANDS)
    other = BODY_HANDS.scaled(1.2)  # bones of another length, then fitted
    skeleton = fit_skeleton(positions, other)
    rotations = rotations_from(positions, skeleton)
    np.testing.assert_allclose(fk(rotations, positions[:, 0], skeleton), positions, atol=1e-4)
    identity = rotations @ np.swapaxes(rotations, -1, -2)
    np.testing.assert_allclose(identity, np.broadcast_to(np.eye(3), identity.shape), atol=1e-5)


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000))
def test_shortest_arc_turns_start_to_end_and_no_further(seed: int) -> None:
    rng = np.random.default_rng(seed)
    start, end = rng.normal(size=(2, 5, 3))
    start /= np.linalg.norm(start, axis=1, keepdims=True)
    end /= np.linalg.norm(end, axis=1, keepdims=True)
    end[0] = -start[0]  # no shortest way: half a turn
    end[1] = start[1]
    rotation = shortest_arc(start, end)
    np.testing.assert_allclose(np.einsum("nab,nb->na", rotation, start), end, atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(rotation), 1.0, atol=1e-9)
    angle = np.arccos(np.clip((np.trace(rotation, axis1=1, axis2=2) - 1) / 2, -1, 1))
    between = np.arccos(np.clip(np.sum(start * end, axis=1), -1, 1))
    np.testing.assert_allclose(angle, between, atol=1e-6)


def test_relengthen_keeps_directions_and_sets_lengths() -> None:
    positions = fk(random_rotations(2, 22), np.zeros((2, 3), np.float32), BODY)
    lengths = np.linspace(0.1, 0.4, 22)
    moved = relengthen(positions, BODY.parents, lengths)
    for joint, parent in enumerate(BODY.parents[1:], start=1):
        old, new = positions[:, joint] - positions[:, parent], moved[:, joint] - moved[:, parent]
        np.testing.assert_allclose(np.linalg.norm(new, axis=1), lengths[joint], rtol=1e-5)
        np.testing.assert_allclose(np.cross(old, new), 0, atol=1e-6)


def test_grounded_puts_the_lowest_joint_on_the_floor() -> None:
    positions = np.tile(BODY.rest(), (200, 1, 1))
    positions[7, 10, 1] = -5.0  # one glitch among 200 frames
    assert grounded(positions)[0, :, 1].min() == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"parents": (-1, 2, 0)}, "parents come before children"),
        ({"parents": (0, 0, 1)}, "first joint is the root"),
        ({"parents": (-1, 0)}, "do not belong together"),
        ({"names": ("a", "b", "b")}, "more than once"),
        ({"offsets": np.full((3, 3), np.nan)}, "NaN"),
    ],
)
def test_skeletons_that_are_no_tree_are_refused(change: dict, message: str) -> None:
    good = {"names": ("a", "b", "c"), "parents": (-1, 0, 1), "offsets": np.zeros((3, 3))}
    Skeleton(**good)
    with pytest.raises(ValueError, match=message):
        Skeleton(**good | change)


def test_wrong_shapes_and_names_are_refused() -> None:
    with pytest.raises(ValueError, match="22"):
        fk(np.zeros((1, 5, 3, 3)), np.zeros((1, 3)), BODY)
    with pytest.raises(ValueError, match="root"):
        fk(np.zeros((2, 22, 3, 3)), np.zeros((1, 3)), BODY)
    with pytest.raises(ValueError, match="24 joints"):
        skeleton_for(24)
    with pytest.raises(ValueError, match="no joint 'tail'"):
        BODY.index("tail")
