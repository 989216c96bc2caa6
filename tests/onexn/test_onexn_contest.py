"""The contest: one start, one rate, masks held, honest bookkeeping."""

from __future__ import annotations

import pytest
import torch

from lithe import data
from lithe.onexn import contest, masked_layers
from lithe.training import TrainConfig

WIDTHS = (8, 16, 16)
DENSE = TrainConfig(epochs=2, batch_size=32, lr=0.05, schedule="cosine", seed=3)
TUNE = TrainConfig(epochs=3, batch_size=32, lr=0.01, schedule="cosine", seed=3)
SHORT = TUNE.model_copy(update={"epochs": 1})
#: Both rates run the same code; one of them is enough here.
RUN = [name for name in contest.VARIANTS if name.endswith("-p75")] + ["tuned", "1x4-random-p50"]


@pytest.fixture(scope="module")
def digits():
    train, test = data.cluttered_digits(128, 64, seed=0)
    return train.resize(16), test.resize(16)


@pytest.fixture(scope="module")
def dense(digits):
    return contest.train_dense(*digits, DENSE, WIDTHS)[0]


@pytest.fixture(scope="module")
def outcomes(digits, dense):
    return {name: contest.contend(name, dense, *digits, SHORT) for name in RUN}


def test_there_is_a_row_for_every_pattern_size_and_rate():
    names = {"tuned", "1x4-gradual-p75"}
    for p in (50, 75):
        names |= {f"{name}-p{p}" for name in ("weight", "kernel", "filter", "1x4-row")}
        names |= {f"1x{n}{kind}-p{p}" for n in (2, 4, 8, 16) for kind in ("", "-plain", "-random")}
    assert set(contest.VARIANTS) == names


def test_every_variant_keeps_the_share_it_names(outcomes):
    for name, outcome in outcomes.items():
        if name == "tuned":
            assert not masked_layers(outcome.model)
            continue
        kept = 100 - int(name.rpartition("-p")[2])
        if name != "1x4-gradual-p75":  # one epoch is too short for its schedule
            assert outcome.metrics["kept_share"]["value"] == pytest.approx(kept, abs=0.5), name


def test_masks_are_held_while_fine_tuning(outcomes, dense):
    for name, outcome in outcomes.items():
        for layer, masked in masked_layers(outcome.model).items():
            assert not masked.weight[~masked.mask].any(), (name, layer)
            assert masked.mask.any()
            before = dense.get_submodule(layer).weight
            assert not torch.equal(masked.weight.sort().values, before.sort().values)


def test_first_convolution_and_classifier_stay_dense(outcomes):
    for name, outcome in outcomes.items():
        if name != "tuned":
            assert len(masked_layers(outcome.model)) == len(WIDTHS) - 1
            assert not {"0", "12"} & set(masked_layers(outcome.model))


def test_rearranged_variants_move_every_layer_and_keep_more(outcomes):
    for n in (2, 4, 8):
        ours, plain = (outcomes[f"1x{n}{kind}-p75"].metrics for kind in ("", "-plain"))
        assert ours["moved_layers"] == ours["pruned_layers"]
        assert plain["moved_layers"] == 0
        assert ours["kept_l1"]["value"] >= plain["kept_l1"]["value"] - 0.5


def test_finer_patterns_keep_more_of_the_norm(outcomes):
    names = ["weight", "kernel", "1x2-plain", "1x4-plain", "1x8-plain", "1x16-plain"]
    kept = [outcomes[f"{name}-p75"].metrics["kept_l1"]["value"] for name in names]
    assert kept == sorted(kept, reverse=True)
    random = outcomes["1x4-random-p75"].metrics["kept_l1"]["value"]
    assert random == pytest.approx(25, abs=6)


def test_the_row_budget_gives_every_row_as_many_blocks(outcomes):
    for layer in masked_layers(outcomes["1x4-row-p75"].model).values():
        assert layer.grid.kept(layer.mask).sum(1).unique().numel() == 1


def test_gradual_reaches_the_full_sparsity_and_never_gives_back(digits, dense):
    outcome = contest.contend("1x4-gradual-p75", dense, *digits, TUNE)
    curve = outcome.curves["sparsity"]
    assert curve == sorted(curve)
    assert curve[0] < 0.7
    assert curve[-1] == pytest.approx(0.75, abs=0.01)
    assert outcome.metrics["kept_share"]["value"] == pytest.approx(25, abs=0.5)
    assert "kept_l1" not in outcome.metrics  # of a mask that was not the final one


def test_gradual_goes_on_where_it_was_interrupted(digits, dense, tmp_path):
    whole = contest.contend("1x4-gradual-p75", dense, *digits, TUNE)
    short = TUNE.model_copy(update={"checkpoint_every": 1})

    class Stop(Exception):
        pass

    class Stopping(contest.Gradual):
        def on_epoch_start(self, state):
            if state.epoch == 2:
                raise Stop
            super().on_epoch_start(state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contest, "Gradual", Stopping)
        Stopping.__qualname__ = contest.Gradual.__qualname__ = "Gradual"
        with pytest.raises(Stop):
            contest.contend("1x4-gradual-p75", dense, *digits, short, tmp_path)
    again = contest.contend("1x4-gradual-p75", dense, *digits, short, tmp_path)
    assert again.curves == whole.curves
    for name, tensor in again.model.state_dict().items():
        assert torch.equal(tensor, whole.model.state_dict()[name]), name


def test_the_dense_network_is_left_as_it_is(digits):
    dense = contest.train_dense(*digits, DENSE, WIDTHS)[0]
    before = {k: v.clone() for k, v in dense.state_dict().items()}
    contest.contend("1x4-p75", dense, *digits, SHORT)
    contest.contend("tuned", dense, *digits, SHORT)
    assert all(torch.equal(v, before[k]) for k, v in dense.state_dict().items())


def test_same_seed_same_outcome_other_seed_other_blocks(digits, dense, outcomes):
    again = contest.contend("1x4-random-p50", dense, *digits, SHORT)
    assert again.curves == outcomes["1x4-random-p50"].curves
    other = SHORT.model_copy(update={"seed": 4})
    elsewhere = contest.contend("1x4-random-p50", dense, *digits, other).model
    pairs = zip(masked_layers(again.model).values(), masked_layers(elsewhere).values())
    assert any(not torch.equal(a.mask, b.mask) for a, b in pairs)


def test_kept_norm_is_that_of_the_masks_by_hand(digits, dense):
    model = contest._pruned(contest.VARIANTS["weight-p50"], dense, 0.5, digits[0], 0)
    kept = whole = 0.0
    for name in masked_layers(model):
        magnitude = dense.get_submodule(name).weight.detach().double().abs().flatten()
        kept += float(magnitude.sort().values[len(magnitude) // 2 :].sum())
        whole += float(magnitude.sum())
    assert contest.kept_l1(model, dense) == pytest.approx(kept / whole)


def test_the_callers_random_state_is_left_alone(digits):
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    dense, _ = contest.train_dense(*digits, SHORT, WIDTHS)
    contest.contend("1x4-random-p50", dense, *digits, SHORT)
    assert torch.equal(torch.rand(3), expected)


def test_unknown_variant_is_refused_by_name(digits, dense):
    with pytest.raises(KeyError, match="fancy"):
        contest.contend("fancy", dense, *digits, SHORT)
