from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from lithe.data import fake_images
from lithe.pssnet import Budget, distillation_loss, performance, policy
from lithe.pssnet.elastic import elastic
from lithe.pssnet.recalibrate import calibration_batches, recalibrate
from lithe.pssnet.supernet_training import (
    PAPER_RECIPE,
    Sandwich,
    evaluate_subnet,
    train_supernet,
)
from lithe.training import CheckpointError, TrainConfig

SCRIPT = Path(__file__).with_name("shared_supernet.py")
CONFIG = TrainConfig(epochs=3, batch_size=8, lr=0.05, device="cpu", checkpoint_every=1)
IMAGES, HELD_OUT = fake_images((3, 8, 8), 5, 32, seed=1), fake_images((3, 8, 8), 5, 16, seed=2)
CLOSE = 1e-6


@pytest.fixture
def network_of(elastic_networks):
    """``network_of()``: a fresh supernet, always the same."""

    def make():
        x = elastic_networks.images(1, 8)
        return elastic(elastic_networks.made("chain"), x, (0.5, 1.0), (6, 8), divisor=4)[0]

    return make


def _policy(network, name="effective", seed=3):
    space = network.space
    low, high = (space.macs(s) for s in (space.smallest(), space.largest()))
    budgets = [Budget("macs", low, high, (high - low) // 3)]
    changes = {} if name == "uniform" else {"capacity": 2}
    if name not in ("uniform", "effective"):
        changes["draws"] = 500
    return policy(name, space, budgets, torch.Generator().manual_seed(seed), **changes)


class _Fixed:
    """A policy that always gives one subnet and remembers what it is told."""

    name, epoch = "fixed", 0

    def __init__(self, choice, resting=()):
        self.choice, self.resting = choice, resting
        self.told, self.rescored = [], []

    def next_subnets(self):
        return (self.choice,)

    def update(self, choice, metric):
        self.told.append((choice, metric))

    def checkups(self):
        return self.resting

    def rescore(self, choice, metric):
        self.rescored.append((choice, metric))


def test_gradients_are_those_of_the_papers_three_backward_passes(network_of):
    network = network_of().train()
    space = network.space
    choice = _policy(network).next_subnets()[0]
    x, y = IMAGES.batch(torch.arange(8))
    fixed = _Fixed(choice, (choice,))
    step = Sandwich(network, fixed)
    step(network, x, y)[0].backward()
    got = {name: p.grad.clone() for name, p in network.named_parameters()}
    network.zero_grad()

    teacher = network.set(space.largest())(x)
    F.cross_entropy(teacher, y).backward()
    with torch.no_grad():
        metric = performance(network.set(choice.subnet)(x), y)
    for subnet in (choice.subnet, space.smallest()):
        distillation_loss(network.set(subnet)(x), teacher).backward()
    for name, parameter in network.named_parameters():
        torch.testing.assert_close(got[name], parameter.grad, atol=CLOSE, rtol=1e-5)
    assert fixed.told == [(choice, pytest.approx(metric))]
    assert fixed.rescored == [(choice, pytest.approx(metric))]


def test_an_iteration_leaves_the_largest_subnet_set_even_if_it_fails(network_of):
    network = network_of()
    x, y = IMAGES.batch(torch.arange(8))

    class Broken(_Fixed):
        def update(self, choice, metric):
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        Sandwich(network, Broken(_policy(network).next_subnets()[0]))(network, x, y)
    assert network.subnet == network.space.largest()


@pytest.mark.parametrize("name", ["uniform", "space", "pool-uniform", "released", "effective"])
def test_every_policy_trains_the_same_number_of_subnets(name, network_of):
    network = network_of()
    before = {key: p.detach().clone() for key, p in network.named_parameters()}
    events = []
    chosen = _policy(network, name)
    history = train_supernet(network, chosen, IMAGES, CONFIG, watch=events.append)
    assert len(events) == 3 * 4
    assert [event["epoch"] for event in events] == [0] * 4 + [1] * 4 + [2] * 4
    assert all(network.space.check(event["choice"].subnet) for event in events)
    assert any(not torch.equal(before[key], p) for key, p in network.named_parameters())
    sources = [key for row in history.rows for key in row if key.startswith("from_")]
    total = sum(row[key] for row in history.rows for key in set(sources) if key in row)
    assert total == 12
    assert chosen.retained()
    assert network.subnet == network.space.largest()


def test_the_recalibrated_max_net_is_measured_after_every_epoch(network_of):
    network = network_of()
    history = train_supernet(network, _policy(network), IMAGES, CONFIG, evaluate=HELD_OUT)
    largest = network.space.largest()
    recalibrate(network, largest, calibration_batches(IMAGES, 8, seed=CONFIG.seed))
    found = evaluate_subnet(network, largest, HELD_OUT, 8)
    assert history["max_top1"][-1] == found["top1"]
    assert history["max_loss"][-1] == pytest.approx(found["loss"], rel=1e-6)


def _state(network, chosen, history):
    rows = [{**row, "seconds": 0} for row in history.rows]
    return rows, chosen.state_dict(), network.state_dict()


def _same(one, other):
    assert one[:2] == other[:2]
    assert all(torch.equal(one[2][key], value) for key, value in other[2].items())


@pytest.mark.parametrize("name", ["released", "effective"])
@pytest.mark.parametrize("way", ["killed", "interrupted"])
def test_a_stopped_run_ends_with_the_same_bits(name, way, network_of, tmp_path):
    whole = network_of()
    chosen = _policy(whole, name)
    expected = _state(whole, chosen, train_supernet(whole, chosen, IMAGES, CONFIG))

    iterations = []

    def stop(event):
        iterations.append(event)
        if len(iterations) == 7:  # in the middle of epoch 1
            if way == "killed":
                raise MemoryError  # nothing is saved but the end of epoch 0
            signal.raise_signal(signal.SIGINT)  # the present step is saved

    first = network_of()
    error = MemoryError if way == "killed" else KeyboardInterrupt
    with pytest.raises(error):
        train_supernet(first, _policy(first, name), IMAGES, CONFIG, watch=stop, directory=tmp_path)

    again, other = network_of(), _policy(whole, name, seed=99)  # the checkpoint brings the seed
    left = []
    history = train_supernet(again, other, IMAGES, CONFIG, watch=left.append, directory=tmp_path)
    assert len(left) == (8 if way == "killed" else 5)
    _same(_state(again, other, history), expected)


def test_a_checkpoint_of_another_policy_is_refused(network_of, tmp_path):
    network = network_of()
    train_supernet(network, _policy(network), IMAGES, CONFIG, directory=tmp_path)
    with pytest.raises((CheckpointError, ValueError)):
        train_supernet(network, _policy(network, "space"), IMAGES, CONFIG, directory=tmp_path)


def test_what_does_not_fit_is_refused(network_of, supernet_of):
    network = network_of()
    chosen = _policy(network)
    with pytest.raises(TypeError, match="network is a Linear"):
        train_supernet(torch.nn.Linear(1, 1), chosen, IMAGES, CONFIG)
    halves = CONFIG.model_copy(update={"accumulate": 2})
    with pytest.raises(ValueError, match="accumulate=2"):
        train_supernet(network, chosen, IMAGES, halves)
    with pytest.raises(ValueError, match="other widths"):
        train_supernet(supernet_of("residual")[0], chosen, IMAGES, CONFIG)


def test_the_papers_recipe():
    assert (PAPER_RECIPE.epochs, PAPER_RECIPE.batch_size, PAPER_RECIPE.lr) == (250, 1024, 0.3)
    assert (PAPER_RECIPE.decay, PAPER_RECIPE.weight_decay) == ("dense", 1e-4)
    assert PAPER_RECIPE.nesterov
    assert PAPER_RECIPE.per_iteration


def _here(folder: Path) -> Path:
    """Run the script in this process."""
    folder.mkdir()
    spec = importlib.util.spec_from_file_location("shared_supernet", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    script.main(folder)
    return folder


def _run(folder: Path, *launcher: str) -> Path:
    folder.mkdir()
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, *launcher, SCRIPT, folder],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_two_processes_keep_equal_pools_and_learn_what_one_learns(tmp_path):
    two = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")
    alone, shared = _here(tmp_path / "one"), _run(tmp_path / "two", *two)
    found = [json.loads((shared / f"found-{rank}.json").read_text()) for rank in (0, 1)]
    assert found[0] == found[1]
    single = json.loads((alone / "found-0.json").read_text())
    assert [row[0] for row in single["seen"]] == [row[0] for row in found[0]["seen"]]
    for one, both in zip(single["seen"], found[0]["seen"]):
        assert both[1] == pytest.approx(one[1], abs=1e-5)
    weights = [load_file(shared / f"weights-{rank}.safetensors") for rank in (0, 1)]
    for name, tensor in load_file(alone / "weights-0.safetensors").items():
        assert torch.equal(weights[0][name], weights[1][name])
        torch.testing.assert_close(weights[0][name], tensor, atol=1e-5, rtol=0)
