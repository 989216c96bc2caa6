"""Reading and writing BVH, against matrices multiplied out, and the CMU clips."""

from __future__ import annotations

import csv
import gzip
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lithe.syntalker import BODY, Motion
from lithe.syntalker.bvh import parse, save
from lithe.syntalker.retarget import retarget

#: What six decimals of a centimetre and of a degree leave of a round trip, metres.
ROUND_TRIP = 1e-4

SMALL = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation
  JOINT Knee
  {
    OFFSET 0 -40 0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 0 -40 5
    }
  }
}
MOTION
Frames: 2
Frame Time: 0.0333333
0 80 0 0 0 0 90 0 0
10 80 -10 0 90 0 0 90 0
"""


def turn(axis: str, degrees: float) -> np.ndarray:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    rows = {
        "X": [[1, 0, 0], [0, c, -s], [0, s, c]],
        "Y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
        "Z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
    }
    return np.array(rows[axis])


def test_a_small_file_by_hand() -> None:
    motion = parse(SMALL)
    assert motion.fps == 30.0
    assert motion.skeleton.names == ("Hips", "Knee")
    tips = [place for _, place in motion.skeleton.ends]
    np.testing.assert_allclose(tips, [(0, -0.4, 0.05)])
    np.testing.assert_allclose(motion.positions[0], [[0, 0.8, 0], [0, 0.4, 0]], atol=1e-6)
    np.testing.assert_allclose(motion.rotations[0, 1], turn("Z", 90), atol=1e-6)
    np.testing.assert_allclose(motion.rotations[1, 0], turn("Y", 90), atol=1e-6)


@st.composite
def files(draw: st.DrawFn) -> tuple[str, np.ndarray, float]:
    """A BVH text with channels in any order, its positions in metres, and its unit."""
    unit = draw(st.sampled_from([1.0, 0.01]))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    joints = draw(st.integers(2, 5))
    parents = [-1] + [draw(st.integers(0, k - 1)) for k in range(1, joints)]
    offsets = rng.uniform(0.2, 0.6, size=(joints, 3)) / unit
    orders = []
    for k in range(joints):
        axes = draw(st.permutations("XYZ"))[: 3 if k == 0 else draw(st.integers(1, 3))]
        names = [f"{axis}rotation" for axis in axes]
        if k == 0:
            at = draw(st.integers(0, 3))
            places = draw(st.permutations("XYZ"))
            names[at:at] = [f"{axis}position" for axis in places]
        orders.append(names)
    rows, positions, lines = [], [], []

    def write(k: int) -> list[int]:
        lines.append(f"{'JOINT' if k else 'ROOT'} j{k} {{ OFFSET {_text(offsets[k] * bool(k))}")
        lines.append(f"CHANNELS {len(orders[k])} {' '.join(orders[k])}")
        order = [k]
        children = [c for c in range(joints) if parents[c] == k]
        for child in children:
            order += write(child)
        if not children:
            lines.append("End Site\n{\nOFFSET 0 1 0\n}")
        lines.append("}")
        return order

    order = write(0)
    for _ in range(3):
        values = {k: rng.uniform(-170, 170, size=len(orders[k])) for k in order}
        rows.append(" ".join(_text(values[k]) for k in order))
        positions.append(_posed(order, parents, offsets, orders, values))
    motion = f"MOTION\nFrames: 3\nFrame Time: 0.00833333\n{chr(10).join(rows)}\n"
    return "HIERARCHY\n" + "\n".join(lines) + "\n" + motion, unit * np.array(positions), unit


def _text(values: np.ndarray) -> str:
    return " ".join(f"{value:.12g}" for value in np.atleast_1d(values))


def _posed(order, parents, offsets, orders, values) -> list[np.ndarray]:
    world, places = {}, {}
    for k in order:
        rotation, place = np.eye(3), offsets[k].copy()
        for name, value in zip(orders[k], values[k]):
            if name.endswith("rotation"):
                rotation = rotation @ turn(name[0], value)
            else:
                place["XYZ".index(name[0])] = value
        above = parents[k]
        world[k] = rotation if k == 0 else world[above] @ rotation
        places[k] = place if k == 0 else places[above] + world[above] @ place
    return [places[k] for k in order]


@settings(deadline=None, max_examples=40)
@given(files())
def test_any_channel_order_and_unit_is_read(file: tuple[str, np.ndarray, float]) -> None:
    text, positions, unit = file
    motion = parse(text, scale=unit)
    assert motion.fps == 120.0
    np.testing.assert_allclose(motion.positions, positions, atol=1e-4)


@settings(deadline=None, max_examples=20)
@given(files())
def test_round_trip(tmp_path_factory, file: tuple[str, np.ndarray, float]) -> None:
    motion = parse(file[0], scale=file[2])
    path = save(motion, tmp_path_factory.mktemp("bvh") / "a.bvh")
    again = Motion.load(path)
    np.testing.assert_allclose(again.positions, motion.positions, atol=ROUND_TRIP)
    np.testing.assert_allclose(again.rotations, motion.rotations, atol=1e-5)
    assert again.fps == motion.fps


def test_metres_and_centimetres_are_told_apart() -> None:
    metres = SMALL.replace("-40", "-0.4").replace(" 80", " 0.8").replace(" 10 ", " 0.1 ")
    np.testing.assert_allclose(parse(metres).positions[0], parse(SMALL).positions[0], atol=1e-6)


def test_bones_that_change_length_keep_their_positions() -> None:
    text = SMALL.replace("CHANNELS 3 Z", "CHANNELS 4 Yposition Z").replace(
        " 90 0 0\n", " -35 90 0 0\n"
    )
    text = text.replace(" 0 90 0\n", " -45 0 90 0\n")
    motion = parse(text)
    assert motion.rotations is None
    lengths = np.linalg.norm(motion.positions[:, 1] - motion.positions[:, 0], axis=1)
    np.testing.assert_allclose(lengths, [0.35, 0.45], atol=1e-6)


def test_canonical_joints_come_back_in_canonical_order(tmp_path) -> None:
    positions = np.tile(BODY.rest(), (3, 1, 1)) + np.array([0.0, 1.0, 0.0])
    again = Motion.load(Motion(positions).save(tmp_path / "rest.bvh"))
    assert again.skeleton.names == BODY.names
    assert again.skeleton.parents == BODY.parents
    np.testing.assert_allclose(again.positions, positions, atol=ROUND_TRIP)


def test_all_cmu_clips_load_and_retarget(shared, tmp_path) -> None:
    folder = shared / "data" / "motion"
    with (folder / "captions.csv").open(newline="") as file:
        clips = list(csv.DictReader(file))
    assert len(clips) == 47
    for clip in clips:
        motion = Motion.load(folder / clip["file"])
        assert (len(motion), motion.fps) == (int(clip["frames"]), 30.0), clip["file"]
        speed = np.linalg.norm(np.diff(motion.root, axis=0)[:, [0, 2]], axis=1).mean() * 30
        assert speed == pytest.approx(float(clip["mean_root_speed_m_s"]), abs=0.02), clip["file"]
        body = retarget(motion)
        assert body.positions.shape == (len(motion), 22, 3)
        assert 1.3 < np.median(body.positions[..., 1].max(axis=1)) < 3.0, clip["file"]


def test_a_cmu_clip_survives_the_round_trip(shared, tmp_path) -> None:
    motion = Motion.load(shared / "data" / "motion" / "cmu" / "141_16.bvh.gz")
    again = Motion.load(motion.save(tmp_path / "wave.bvh"))
    assert np.abs(again.positions - motion.positions).max() <= ROUND_TRIP
    assert again.skeleton.names == motion.skeleton.names
    np.testing.assert_allclose(
        [tip for _, tip in again.skeleton.ends], [tip for _, tip in motion.skeleton.ends], atol=1e-6
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("HIERARCHY", "SKELETON"), "not a BVH file"),
        (("Frames: 2", "Frames: 3"), "18 numbers where 3 frames x 9"),
        (("CHANNELS 3", "CHANNELS 4"), "4 channels promised"),
        (("Frame Time: 0.0333333", "Frame Time: 0"), "no motion"),
        (("10 80", "nan 80"), "NaN"),
        (("OFFSET 0 -40 0\n", "OFFSET 0 -40\n"), "line 8"),
        (("Xposition", "Wposition"), "found"),
        (("}\nMOTION", "MOTION"), "brace"),
        (("JOINT Knee", "JOIN Knee"), "not a word"),
    ],
)
def test_damaged_files_are_refused(change: tuple[str, str], message: str) -> None:
    damaged = SMALL.replace(*change)
    assert damaged != SMALL
    with pytest.raises(ValueError, match=message):
        parse(damaged)


def test_a_broken_gzip_names_the_file(tmp_path) -> None:
    path = tmp_path / "short.bvh.gz"
    path.write_bytes(gzip.compress(SMALL.encode())[:-20])
    with pytest.raises(ValueError, match=r"short\.bvh\.gz"):
        Motion.load(path)
