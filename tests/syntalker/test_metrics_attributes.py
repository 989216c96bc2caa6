"""Rules that read actions off joints: on bodies placed by hand, on the world, on real motion."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lithe.syntalker.metrics.attributes import (
    attribute_accuracy,
    lower_action,
    measure,
    upper_action,
)
from lithe.syntalker.skeleton import BODY
from lithe.syntalker.world import movers, talkers


def body(frames: int = 90) -> np.ndarray:
    """A body that stands, arms down."""
    rest = BODY.rest().astype(float)
    for shoulder, elbow, wrist in ((16, 18, 20), (17, 19, 21)):
        rest[elbow], rest[wrist] = rest[shoulder] - [0, 0.26, 0], rest[shoulder] - [0, 0.51, 0]
    return np.tile(rest - [0, rest[:, 1].min(), 0], (frames, 1, 1))


def yawed(p: np.ndarray, angle: np.ndarray) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    turn = np.zeros((len(p), 3, 3))
    turn[:, 0, 0], turn[:, 0, 2], turn[:, 1, 1] = c, s, 1
    turn[:, 2, 0], turn[:, 2, 2] = -s, c
    return np.einsum("tab,tjb->tja", turn, p)


def test_speeds_and_turns_are_those_put_in():
    time = np.arange(90) / 30
    p = body()
    p[..., 2] += 1.3 * time[:, None]
    assert measure(p).forward == pytest.approx(1.3)
    assert lower_action(measure(p)) == ("walk", None)
    assert measure(yawed(p, np.full(90, 2.0))).forward == pytest.approx(1.3)
    spun = measure(yawed(body(), 0.5 * time))
    assert spun.turn == pytest.approx(0.5 * time[-1])
    assert lower_action(spun) == ("turn", "left")
    assert lower_action(measure(yawed(body(), -0.5 * time))) == ("turn", "right")
    aside = body()
    aside[..., 0] -= 0.3 * time[:, None]
    assert measure(aside).sideways == pytest.approx(-0.3)
    assert lower_action(measure(aside)) == ("sidestep", "right")
    back = body()
    back[..., 2] -= 0.6 * time[:, None]
    assert lower_action(measure(back)) == ("walk back", None)


def test_heights_are_those_put_in():
    p = body()
    p[30:33, :, 1] += 0.2
    assert measure(p).flight == pytest.approx(0.2)
    assert lower_action(measure(p)) == ("jump", None)
    raised = body()
    raised[40, 21, 1] = raised[40, 15, 1] + 0.3
    assert measure(raised).hands[1] == pytest.approx(0.3)
    assert upper_action(measure(raised)) == ("raise", "right")


def test_a_body_that_stands_does_nothing():
    assert lower_action(measure(body())) == ("stand", None)
    assert upper_action(measure(body())) == ("stand", None)
    assert attribute_accuracy([body()], [("stand", None)]) == 1
    assert attribute_accuracy([body(), body()], [("walk", None), ("wave", "left")]) == 0


def test_the_world_does_what_it_says():
    clips = movers(48, torch.Generator().manual_seed(7))
    asked = [(clip.truth.action, clip.truth.side) for clip in clips]
    positions = [clip.motion.positions for clip in clips]
    wrong = [a for p, a in zip(positions, asked, strict=True) if not attribute_accuracy([p], [a])]
    assert not wrong, wrong
    other_side = [(a, {"left": "right", "right": "left"}.get(s)) for a, s in asked if s]
    sided = [p for p, (_, s) in zip(positions, asked, strict=True) if s]
    assert attribute_accuracy(sided, other_side) == 0


def test_talkers_stand():
    for clip in talkers(6, torch.Generator().manual_seed(0), seconds=4):
        assert lower_action(measure(clip.motion.positions)) == ("stand", None)


def test_measured_speed_is_the_true_one():
    clips = movers(4, torch.Generator().manual_seed(1), actions=("walk", "walk back"))
    for clip in clips:
        assert measure(clip.motion.positions).forward == pytest.approx(clip.truth.speed, rel=0.1)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="t >= 31"):
        measure(body(20))
    with pytest.raises(ValueError, match="5 joints"):
        measure(np.zeros((60, 5, 3)))
    with pytest.raises(ValueError, match="0 clips for 1 actions"):
        attribute_accuracy([], [("walk", None)])
