"""The contest: equal cost, equal batches, honest bookkeeping."""

from __future__ import annotations

import pytest
import torch

from lithe import data, zoo
from lithe.dcff import contest
from lithe.training import TrainConfig

WIDTHS = (8, 8, 16)
TINY = TrainConfig(epochs=4, batch_size=32, lr=0.05, seed=3)


@pytest.fixture(scope="module")
def digits():
    return data.cluttered_digits(128, 64, seed=0)


@pytest.fixture(scope="module")
def outcomes(digits):
    return {
        name: contest.contend(name, *digits, TINY, widths=WIDTHS, rate=0.5)
        for name in contest.VARIANTS
    }


@pytest.mark.parametrize("epochs", [4, 20, 40])
@pytest.mark.parametrize("ratio", [1.5, 3.8])
def test_stages_of_the_pruned_variant_cost_what_a_compact_run_costs(epochs, ratio):
    plan = contest.stages(contest.VARIANTS["pretrained-l1"], epochs, 0.1, ratio)
    spent = plan[0].epochs * ratio + plan[1].epochs
    assert abs(spent - epochs) <= ratio


def test_long_stages_cost_the_same_for_pruning_and_for_scratch():
    pruned, scratch = (
        contest.stages(contest.VARIANTS[name], 40, 0.1, 3.8)
        for name in ("pretrained-l1-long", "scratch-long")
    )
    spent = pruned[0].epochs * 3.8 + pruned[1].epochs
    assert scratch[0].epochs == pytest.approx(spent, abs=0.5)


def test_every_variant_ends_in_the_same_compact_shape(outcomes, digits):
    shape = [tuple(p.shape) for p in zoo.small_cnn(10, (4, 4, 8)).parameters()]
    for name, outcome in outcomes.items():
        compact = contest_shape(outcome.model)
        if name == "dense":
            assert compact != shape
        else:
            assert compact == shape, name


def contest_shape(model):
    from lithe import dcff

    return [tuple(p.shape) for p in dcff.compact(model).parameters()]


def test_equal_cost_variants_spend_the_same_macs(outcomes):
    spent = {name: o.metrics["train_macs"]["value"] for name, o in outcomes.items()}
    plain = {"released", "intended", "scratch", "constant-t1"} | {
        name for name in outcomes if name.startswith("onehot")
    }
    assert len({spent[name] for name in plain}) == 1
    assert spent["dense"] > spent["scratch"]
    assert spent["pretrained-l1-long"] == pytest.approx(spent["scratch-long"], rel=0.05)


def test_released_fuses_for_one_epoch_and_never_reselects(outcomes):
    metrics = outcomes["released"].metrics
    assert metrics["max_proxy_epoch0"] < 1
    assert metrics["max_proxy_epoch1"] == 1
    assert metrics["fused_epochs"] == 1
    assert metrics["selection_changes"] == 0
    assert metrics["nan_layers_epoch1"] == len(WIDTHS)


def test_intended_fuses_longer_with_finite_scores(outcomes):
    metrics = outcomes["intended"].metrics
    assert metrics["fused_epochs"] > 1
    assert metrics["nan_layers_epoch1"] == 0


def test_constant_temperature_never_becomes_one_hot(outcomes):
    assert outcomes["constant-t1"].metrics["fused_epochs"] == TINY.epochs


@pytest.mark.parametrize("name", ["onehot-l1", "onehot-random", "onehot-fpgm"])
def test_one_hot_controls_never_fuse_and_never_reselect(outcomes, name):
    metrics = outcomes[name].metrics
    assert metrics["fused_epochs"] == 0
    assert metrics["selection_changes"] == 0


def test_the_one_hot_controls_differ_in_what_they_select(digits):
    chosen = {}
    for name in ("onehot-l1", "onehot-random"):
        short = TINY.model_copy(update={"epochs": 1})
        model = contest.contend(name, *digits, short, widths=WIDTHS, rate=0.5).model
        chosen[name] = model.get_submodule("0").selected.tolist()
    assert chosen["onehot-l1"] != chosen["onehot-random"]


def test_same_seed_same_outcome_other_seed_other_outcome(digits, outcomes):
    again = contest.contend("scratch", *digits, TINY, widths=WIDTHS, rate=0.5)
    other = contest.contend(
        "scratch", *digits, TINY.model_copy(update={"seed": 4}), widths=WIDTHS, rate=0.5
    )
    assert again.curves == outcomes["scratch"].curves
    assert other.curves != outcomes["scratch"].curves


def test_the_callers_random_state_is_left_alone(digits):
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    contest.contend(
        "scratch", *digits, TINY.model_copy(update={"epochs": 1}), widths=WIDTHS, rate=0.5
    )
    assert torch.equal(torch.rand(3), expected)


def test_unknown_variant_is_refused_by_name(digits):
    with pytest.raises(KeyError, match="fancy"):
        contest.contend("fancy", *digits, TINY, widths=WIDTHS, rate=0.5)
