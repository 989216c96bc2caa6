"""In every room two processes train as one does, and each record is written once."""

from __future__ import annotations

import json

import pytest
import torch
from rooms_together import ROOMS
from safetensors.torch import load_file
from starting import HERE, alone, finished, torchrun

from lithe import ledger

CLOSE = 1e-6
#: Codes that nobody used are replaced by vectors of the first process's part: after one step the
#: codebooks differ.
FIRST_STEP = {"codec"}
#: Measured with running statistics of batch norm, which are the first process's.
BY_STATISTICS = {("onexn", "test_loss"), ("onexn", "top1"), ("dcff", "top1"), ("dcff", "test_loss")}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of the same runs on one process and on two."""
    one, two = (tmp_path_factory.mktemp(name) for name in ("one", "two"))
    script = HERE / "rooms_together.py"
    finished(torchrun(script, two), alone(script, one))
    return one, two


def _gradients(folder, room, rank=0):
    return list(load_file(folder / f"{room}-{rank}.safetensors").items())


def _records(folder, room):
    return {r.id: r for r in ledger.find("*/*/smoke/*", root=folder / room)}


@pytest.mark.parametrize("room", ROOMS)
def test_two_processes_have_the_gradients_of_one(runs, room):
    one, two, other = (_gradients(runs[k], room, rank) for k, rank in ((0, 0), (1, 0), (1, 1)))
    assert len(one) == len(two) == len(other) > 0
    last = 1 if room in FIRST_STEP else None
    for (_, single), (_, shared), (_, beside) in list(zip(one, two, other))[:last]:
        assert single.abs().max() > 100 * CLOSE  # there is something to compare
        torch.testing.assert_close(shared, single, atol=CLOSE, rtol=0)
        assert torch.equal(shared, beside)


@pytest.mark.parametrize("room", ROOMS)
def test_two_processes_record_what_one_records(runs, room):
    one, two = (_records(folder, room) for folder in runs)
    assert one.keys() == two.keys()
    assert one
    for name, record in one.items():
        assert two[name].params == record.params
        assert two[name].metrics.keys() == record.metrics.keys()
        for key, metric in record.metrics.items():
            if (room, key) not in BY_STATISTICS and room not in FIRST_STEP:
                found = two[name].metrics[key]
                assert found.value == pytest.approx(metric.value, abs=1e-5, rel=1e-5), key


@pytest.mark.parametrize("room", ROOMS)
def test_the_first_process_writes_each_record_once_and_the_others_none(runs, room):
    written = [json.loads((runs[1] / f"{room}-{rank}.json").read_text()) for rank in (0, 1)]
    ids = {f"{room}/results/{name}.json" for name in _records(runs[1], room)}
    assert set(written[0]) == ids
    assert len(written[0]) == len(ids)
    assert written[1] == []


def test_a_room_that_knows_of_processes_says_how_many_there_were(runs):
    one, two = (_records(folder, "arm") for folder in runs)
    assert one["arm/bundled-squared/smoke/0"].env.device == "cpu"
    assert two["arm/bundled-squared/smoke/0"].env.device == "2 x cpu"
    assert two["arm/costs-fsrcnn/smoke/0"].env.device == "cpu"  # nothing trains
