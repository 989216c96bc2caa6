"""Budgets in milliseconds, on a machine whose clock the test holds."""

import numpy as np
import pytest
import torch
from torch import nn

from lithe.arm import EdgeTable, Mixed
from lithe.arm import deadline as deadline_module
from lithe.arm import job as job_module
from lithe.arm import pace as pace_module
from lithe.arm import painter as painter_module
from lithe.arm import upscaler as upscaler_module
from lithe.arm.branches import Interpolation
from lithe.arm.budget import BudgetError
from lithe.arm.deadline import lay_floor
from lithe.arm.latencies import Latencies
from lithe.arm.painter import Painter
from lithe.arm.upscaler import Upscaler

PRICES = (0.1, 1.0, 4.0)  # milliseconds a cell, by branch
SIDES = (32, 64, 128)


class Clock:
    """Time passes only when tiles are painted; ``slow`` may change while it runs."""

    def __init__(self):
        self.now, self.slow, self.painted, self.sides = 100.0, lambda branch: 1.0, [], []

    def __call__(self):
        return self.now

    def paint(self, painter, tiles, branch):
        real_paint(painter, tiles, branch)
        cells = sum((tile.side // 32) ** 2 for tile in tiles)
        self.now += cells * PRICES[branch] * self.slow(branch) / 1000
        self.painted.append((branch, len(tiles)))
        self.sides += [tile.side for tile in tiles]


real_paint = Painter.paint


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    for module in (pace_module, deadline_module, job_module, upscaler_module):
        monkeypatch.setattr(module, "perf_counter", clock)
    monkeypatch.setattr(Painter, "paint", lambda *given: clock.paint(*given))
    return clock


class Constant(nn.Module):
    """Paints one gray value: which branch made a pixel can be read from it."""

    halo = 0

    def __init__(self, value):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value / 255))

    def forward(self, x):
        return (0 * x + self.value).repeat_interleave(2, 2).repeat_interleave(2, 3)


def upscaler(known=True, base=True):
    first = Interpolation(2, "nearest") if base else Constant(60.0)
    branches = Mixed([first, Constant(100.0), Constant(200.0)])
    ms = {side: tuple((side // 32) ** 2 * p for p in PRICES) for side in SIDES}
    latencies = Latencies(ms, dict.fromkeys(SIDES, (4, 2, 1)), (0, 0, 0), 1)
    gain = np.outer([0, 1, 1.6], [1.0, 2, 3, 4])
    table = EdgeTable(np.linspace(0, 120, 5), 30 + gain, np.ones(4))
    return Upscaler(branches, table, latencies=latencies if known else None)


def image(cells=8):
    rng = np.random.default_rng(0)
    contrast = np.linspace(0, 30, 32 * cells)[None, :, None]
    noise = 30 + contrast * rng.random((32 * cells, 32 * cells, 3))  # below 61: no branch's value
    return noise.astype(np.uint8)


@pytest.mark.parametrize("budget", [20.0, 50.0, 90.0, 150.0, 230.0])
@pytest.mark.parametrize("slow", [0.6, 1.0, 1.7])
def test_the_time_meant_is_the_time_taken(clock, budget, slow):
    clock.slow = lambda branch: slow
    result = upscaler()(image(), ms=budget)
    least, most = 6.4 * slow, 256 * slow  # all cells on the first branch, and on the last
    assert result.ms == pytest.approx(np.clip(budget, least, most), rel=0.05, abs=4 * slow)


def test_a_machine_that_slows_down_halfway_is_followed(clock):
    clock.slow = lambda branch: 1.0 if clock.now < 100.06 else 2.5
    result = upscaler()(image(), ms=120.0)
    assert result.ms == pytest.approx(120, rel=0.05)


def test_one_branch_that_is_slower_than_measured_is_learnt(clock):
    clock.slow = lambda branch: 2.0 if branch == 2 else 1.0
    assert upscaler()(image(), ms=130.0).ms == pytest.approx(130, rel=0.05)


def test_a_budget_below_the_cheapest_is_refused(clock):
    with pytest.raises(BudgetError, match=r"below 6\.4"):
        upscaler()(image(), ms=5.0)


def test_a_plan_that_is_not_steered_takes_large_tiles(clock):
    made = upscaler()(image(), ms=120.0, steered=False)
    assert made.ms <= 120
    assert max(clock.sides) == 128
    clock.sides.clear()
    upscaler()(image(), ms=120.0)
    assert set(clock.sides) == {32}  # the next larger would take 16 ms in the dearest branch


def gray_of(result):
    return np.bincount(result.image[::2, ::2, 0].ravel(), minlength=256)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("base", [True, False])
@pytest.mark.parametrize("budget", [1.0, 10.0, 60.0, 150.0, 400.0])
@pytest.mark.parametrize("slow", [0.5, 1.0, 2.0])
def test_a_deadline_is_never_missed(clock, known, base, budget, slow):
    rng = np.random.default_rng(1)
    clock.slow = lambda branch: slow * rng.uniform(0.8, 1.25)  # a restless machine
    result = upscaler(known, base)(image(), deadline_ms=budget)
    assert result.ms <= budget
    assert (result.image > 0).all()  # every pixel has been painted by something


def test_more_time_gives_more(clock):
    up, totals = upscaler(), []
    for budget in (1.0, 20.0, 60.0, 120.0, 240.0, 400.0):
        routes = up(image(), deadline_ms=budget).routes
        gains = np.take_along_axis(up.gains(image()), routes.clip(0)[..., None], -1)
        totals.append(float(gains.sum()))
    assert totals == sorted(totals)
    assert totals[0] == 0
    assert (routes == 2).all()


def test_without_time_the_floor_remains(clock):
    result = upscaler(base=False)(image(), deadline_ms=2.0)
    assert (result.routes == -1).all()
    assert result.macs == 0
    assert abs(result.image[::2, ::2].astype(int) - image()).mean() < 5


def test_time_left_over_buys_upgrades(clock):
    clock.slow = lambda branch: 0.2  # far faster than the plan expects
    result = upscaler()(image(), deadline_ms=150.0)
    assert (result.routes == 2).all()


def test_the_dearest_first_when_they_gain_most_per_time(clock):
    upscaler()(image(), deadline_ms=60.0)
    assert clock.painted[0][0] == 1  # 1.0 a millisecond, against 0.4 of the last branch


@pytest.mark.parametrize("kind", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_floor_is_bicubic_and_has_no_seams(kind, channels):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (150, 40, channels)).astype(np.uint8)
    pixels = {np.uint8: pixels, np.uint16: pixels.astype(np.uint16) * 257}.get(
        kind, (pixels / 255).astype(np.float32)
    )
    strips = Painter(pixels, [], [], 3)
    assert lay_floor(strips, float("inf"))
    once = Painter(pixels, [], [], 3)
    before, deadline_module.STRIP = deadline_module.STRIP, 150
    try:
        lay_floor(once, float("inf"))
    finally:
        deadline_module.STRIP = before
    one = painter_module.full_scale(pixels.dtype)
    assert np.abs(strips.canvas / one - once.canvas / one).max() < 1.01 / 65535


def test_a_floor_without_time_repeats_pixels():
    pixels = np.random.default_rng(0).integers(0, 256, (70, 9, 3), dtype=np.uint8)
    painter = Painter(pixels, [], [], 2)
    assert not lay_floor(painter, float("-inf"))
    np.testing.assert_array_equal(painter.canvas, pixels.repeat(2, 0).repeat(2, 1))


def test_latencies_are_measured_saved_and_fit_small_images(tmp_path):
    up = upscaler(known=False)
    measured = Latencies.measure(up.nets, up.halos, 2, sides=(32,), repeats=1)
    assert min(measured.ms[32]) > 0
    path = measured.save(tmp_path / "here.json")
    assert Latencies.load(path) == measured
    assert measured.executors == ("torch",) * 3
    clipped = measured.costs(32, 16, 100)
    shares = np.array([32, 32, 32, 4])[None, :, None] * 16 / 32**2
    np.testing.assert_allclose(clipped, shares * np.array(measured.ms[32]))
    (tmp_path / "other.json").write_text('{"format": "x", "version": 1}')
    with pytest.raises(ValueError, match="not a table of latencies"):
        Latencies.load(tmp_path / "other.json")
    with pytest.raises(ValueError, match="latencies are for margins"):
        Upscaler(Mixed([Interpolation(2)]), latencies=measured)
