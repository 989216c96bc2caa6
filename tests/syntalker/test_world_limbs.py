"""The parts that the world is built of: inverse kinematics, steps, ways of a hand, slow noise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lithe.syntalker.ik import about, frame, reach_height, soft_minimum, two_bone, unit
from lithe.syntalker.kinematics import fk
from lithe.syntalker.noise import slow_noise
from lithe.syntalker.skeleton import BODY_HANDS
from lithe.syntalker.world_arms import POSES, glide, minimum_jerk, track
from lithe.syntalker.world_pose import FLOOR, pose, standing
from lithe.syntalker.world_steps import Step, apply_steps

LENGTHS = (0.38, 0.40)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6))
def test_two_bones_reach_what_can_be_reached(seed):
    rng = np.random.default_rng(seed)
    start, pole = rng.normal(size=(2, 9, 3))
    target = start + unit(rng.normal(size=(9, 3))) * rng.uniform(0.05, 0.76, (9, 1))
    a, b, hinge = two_bone(start, target, pole, LENGTHS)
    np.testing.assert_allclose(start + LENGTHS[0] * a + LENGTHS[1] * b, target, atol=1e-9)
    middle = start + LENGTHS[0] * a
    line = unit(target - start)
    aside = middle - start - ((middle - start) * line).sum(1, keepdims=True) * line
    assert ((aside * pole).sum(1) >= -1e-9).all()  # the middle joint stands out to the pole
    for bone in (a, b):
        np.testing.assert_allclose((bone * hinge).sum(1), 0, atol=1e-9)
        np.testing.assert_allclose(np.linalg.norm(bone, axis=1), 1, atol=1e-12)


def test_a_target_out_of_reach_is_pointed_at():
    a, b, _ = two_bone(np.zeros((1, 3)), np.array([[0, -5.0, 0]]), np.array([[0, 0, 1.0]]), LENGTHS)
    tip = LENGTHS[0] * a + LENGTHS[1] * b
    np.testing.assert_allclose(tip, [[0, -0.985 * 0.78, 0]], atol=1e-9)


def test_frames_and_turns_are_rotations():
    rng = np.random.default_rng(0)
    for r in (frame(*rng.normal(size=(2, 5, 3))), about(1, rng.normal(size=5))):
        np.testing.assert_allclose(
            r @ np.swapaxes(r, 1, 2), np.tile(np.eye(3), (5, 1, 1)), atol=1e-12
        )
        np.testing.assert_allclose(np.linalg.det(r), 1)
    np.testing.assert_allclose(
        about(1, np.pi / 2) @ [0, 0, 1], [1, 0, 0], atol=1e-12
    )  # to the left


def test_soft_minimum_is_below_and_near():
    x, y = np.linspace(-1, 1, 101), np.zeros(101)
    s = soft_minimum(x, y, width=0.02)
    assert (s <= np.minimum(x, y)).all()
    assert (np.minimum(x, y) - s).max() <= 0.02 * np.log(2) + 1e-12
    assert np.abs(np.diff(s, 2)).max() < 0.02


def test_reach_height_is_where_the_leg_is_straight():
    ankle, hip = np.array([[0.3, 0.1, 0.0]]), np.array([[0.0, -0.05, 0.1]])
    root = reach_height(ankle, hip, 0.8)
    distance = np.linalg.norm(ankle - hip - [[0, root[0], 0]])
    assert distance == pytest.approx(0.985 * 0.8)


def test_a_standing_body_stands_on_its_feet_with_arms_down():
    rotations, root = pose(standing(2, POSES["hang"]))
    p = fk(rotations, root, BODY_HANDS)[0]
    np.testing.assert_allclose(p[[10, 11], 1], FLOOR, atol=1e-9)
    np.testing.assert_allclose(p[[7, 8], 1], FLOOR + 0.06, atol=1e-9)
    assert (p[[20, 21], 1] < p[0, 1]).all()
    assert p[15, 1] > 1.35
    np.testing.assert_allclose(p[20] * [-1, 1, 1], p[21], atol=1e-9)  # left is right, mirrored
    palm = np.cross(p[22] - p[20], p[28] - p[20])  # of the left hand: index and pinky knuckles
    assert abs(unit(palm)[0]) > 0.7  # looks to the thigh


@pytest.mark.parametrize("name", sorted(POSES))
def test_hands_go_where_they_are_told(name):
    controls = standing(1, POSES[name])
    rotations, root = pose(controls)
    p = fk(rotations, root, BODY_HANDS)[0]
    length = np.linalg.norm(BODY_HANDS.offsets[[18, 20]], axis=1).sum()
    asked = POSES[name][:3]
    for shoulder, wrist, side in ((16, 20, 1), (17, 21, -1)):
        found = (p[wrist] - p[shoulder]) / length * [side, 1, 1]
        assert np.linalg.norm(found - asked) < 0.035, (found, asked)


def test_a_hand_moves_from_rest_to_rest_and_around_its_shoulder():
    u = np.linspace(0, 1, 201)
    s = minimum_jerk(u)
    assert (s[0], s[100], s[-1]) == pytest.approx((0, 0.5, 1))
    assert np.abs(np.gradient(s, u))[[0, -1]].max() < 1e-3
    way = glide(POSES["hang"], POSES["raise"], s)
    np.testing.assert_allclose(way[[0, -1]], [POSES["hang"], POSES["raise"]])
    assert np.linalg.norm(way[:, :3], axis=1).min() > 0.4


def test_a_track_is_still_outside_its_keys():
    keys = [(0.5, POSES["hang"]), (1.0, POSES["point"])]
    found = track(keys, 60, 30)
    np.testing.assert_array_equal(found[:15], np.tile(POSES["hang"], (15, 1)))
    np.testing.assert_array_equal(found[30:], np.tile(POSES["point"], (30, 1)))


def test_a_step_goes_from_place_to_place_through_the_air():
    controls = standing(60, POSES["hang"])
    before = controls.toes[0].copy()
    apply_steps(controls, [Step(0, 0.5, 1.0, (0.3, 0.6), 0.2)], fps=30)
    np.testing.assert_array_equal(controls.toes[:, 1], np.tile(before[1], (60, 1)))
    np.testing.assert_array_equal(controls.toes[:15, 0], np.tile(before[0], (15, 1)))
    np.testing.assert_allclose(controls.toes[-1, 0], [0.3, FLOOR, 0.6])
    assert controls.toes[:, 0, 1].max() > FLOOR + 0.06
    assert controls.toes[:, 0, 1].min() >= FLOOR
    assert (controls.foot_yaw[0, 0], controls.foot_yaw[-1, 0]) == pytest.approx((0.12, 0.2))
    assert np.flatnonzero(~controls.planted[:, 0]).tolist() == list(range(15, 34))
    assert controls.foot_pitch[15, 0] > 0.6  # the heel is up when the ball leaves
    assert controls.foot_pitch[-1, 0] == pytest.approx(0, abs=1e-12)


def test_slow_noise_is_slow_and_of_variance_one():
    x = slow_noise(np.random.default_rng(0), 20_000, 2, period=1.0, fps=30)
    np.testing.assert_allclose(x.std(0), 1, atol=0.1)
    assert np.abs(np.diff(x, axis=0)).max() < 0.6
    crossings = (np.diff(np.sign(x[:, 0])) != 0).sum() / (20_000 / 30)
    assert 0.5 < crossings < 2
