"""The choice between kernels and torch: made once, remembered, never trusted blindly."""

import json

import pytest
import torch
from torch import nn

from lithe.onexn import pack
from lithe.onexn.engine import choice, remembered
from lithe.onexn.engine.choice import DENSE, DENSE_LAST, PACKED, THROUGHOUT
from lithe.onexn.engine.executor import native

pytestmark = pytest.mark.skipif(not native(), reason="no kernels on this machine")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LITHE_CACHE", str(tmp_path))
    return tmp_path / remembered.FILE


@pytest.fixture
def model(judge):
    layers = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)]
    return judge.randomise(nn.Sequential(*layers))


class Clock:
    """Times made up by kind, and how often anything was timed."""

    def __init__(self, monkeypatch, layers, whole):
        self.layers, self.whole, self.calls = layers, whole, []
        monkeypatch.setattr(choice, "time_ms", self)

    def __call__(self, ways, threads):
        for way in ways.values():
            way()
        self.calls.append(tuple(ways))
        alone = set(ways) == {PACKED, DENSE, DENSE_LAST} and len(self.calls) <= 2
        return {name: (self.layers if alone else self.whole)[name] for name in ways}


FAST = {PACKED: 1.0, DENSE: 2.0, DENSE_LAST: 3.0, THROUGHOUT: 4.0}
SLOW = {PACKED: 3.0, DENSE: 2.0, DENSE_LAST: 1.0, THROUGHOUT: 4.0}


def test_layers_of_one_kind_are_timed_once(judge, model, cache, monkeypatch):
    clock = Clock(monkeypatch, FAST, FAST)
    packed = pack(model, judge.images(1, 3, 8, 8), threads=1)
    assert len(clock.calls) == 3  # two kinds of layers and the whole
    assert packed.report.runs == "packed"
    assert [row.why for row in packed.report.layers] == ["2.00x dense"] * 3


def test_what_was_measured_is_remembered(judge, model, cache, monkeypatch):
    x = judge.images(1, 3, 8, 8)
    clock = Clock(monkeypatch, FAST, FAST)
    first = pack(model, x, threads=1)
    assert len(clock.calls) == 3
    again = pack(model, x, threads=1)
    assert len(clock.calls) == 3
    assert again.report.times_ms == first.report.times_ms
    pack(model, x, threads=2)
    assert len(clock.calls) > 3  # another number of threads is another question


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"version": 9}', '{"version": 1}'])
def test_a_damaged_memory_is_made_anew(judge, model, cache, monkeypatch, content):
    clock = Clock(monkeypatch, FAST, FAST)
    cache.write_text(content)
    pack(model, judge.images(1, 3, 8, 8), threads=1)
    assert len(clock.calls) == 3
    assert len(json.loads(cache.read_text())["times_ms"]) == 3


def test_senseless_times_are_not_believed(cache):
    bad = {"a": {"x": -1.0}, "b": {"x": "1"}, "c": 3, "d": {"x": True}, "e": {"x": 1.0}}
    cache.write_text(json.dumps({"version": 1, "times_ms": bad}))
    assert remembered.recall(list(bad)) == {"e": {"x": 1.0}}


def test_a_folder_that_cannot_be_written_is_no_error(judge, model, tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("LITHE_CACHE", str(blocked))
    Clock(monkeypatch, FAST, FAST)
    assert pack(model, judge.images(1, 3, 8, 8), threads=1).report.runs == "packed"


def test_layers_that_torch_runs_faster_go_to_torch(judge, model, cache, monkeypatch):
    x = judge.images(2, 3, 8, 8)
    Clock(monkeypatch, SLOW, FAST)
    packed = pack(model, x, threads=1)
    assert packed.report.runs == "packed"
    assert {row.kind for row in packed.report.layers} == {DENSE_LAST}
    assert len(packed.report.foreign) == packed.report.steps == 3
    with torch.no_grad():
        judge.close(packed(x), model(x))


def test_kernels_alone_where_changing_hands_costs_more(judge, model, cache, monkeypatch):
    x = judge.images(1, 3, 8, 8)
    Clock(monkeypatch, SLOW, FAST | {THROUGHOUT: 0.5})
    packed = pack(model, x, threads=1)
    assert packed.report.runs == "packed throughout"
    assert not packed.report.foreign
    assert all("yet the whole network" in row.why for row in packed.report.layers)
    with torch.no_grad():
        judge.close(packed(x), model(x))


@pytest.mark.parametrize("best", [DENSE, DENSE_LAST])
def test_the_dense_network_where_it_is_faster_as_a_whole(judge, model, cache, monkeypatch, best):
    x = judge.images(1, 3, 8, 8)
    Clock(monkeypatch, FAST, FAST | {best: 0.5})
    packed = pack(model, x, threads=1)
    assert packed.report.runs == best
    one = packed(x)
    with torch.no_grad():
        judge.close(one, model(x))
    kept = one.clone()
    packed(x + 1)
    assert torch.equal(one, kept)


def test_without_kernels_the_reference_runs(judge, model, cache, monkeypatch):
    monkeypatch.setenv("LITHE_KERNELS", "reference")
    x = judge.images(1, 3, 8, 8)
    packed = pack(model, x)
    assert "no kernels here" in packed.report.why
    with torch.no_grad():
        judge.close(packed(x), model(x))


def test_real_times_are_positive(judge):
    times = choice.time_ms({"a": lambda: None, "b": lambda: judge.images(8)}, threads=1)
    assert all(ms > 0 for ms in times.values())
