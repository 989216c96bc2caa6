"""One pool as a bandit: the counts of spec 9.3, and the order of its variants."""

import json
from dataclasses import replace
from statistics import mean

import pytest
import torch

from lithe.pssnet import VARIANTS, Game, play

SEEDS = range(3)


@pytest.fixture(scope="module")
def outcomes():
    names = ("pss", "no priority", "always space")
    return {n: [play(VARIANTS[n], torch.Generator().manual_seed(s)) for s in SEEDS] for n in names}


def average(outcomes, name, what):
    return mean(getattr(outcome, what) for outcome in outcomes[name])


def test_as_many_candidates_are_seen_as_in_the_original(golden, outcomes):
    known = json.loads((golden / "pss_bandit_sim.json").read_text())
    centre, spread = known["official"]["n_candidates"]
    assert abs(average(outcomes, "pss", "candidates") - centre) < 4 * spread / len(SEEDS) ** 0.5
    assert average(outcomes, "always space", "candidates") == 7000


def test_priority_finds_and_trains_good_arms(outcomes):
    assert average(outcomes, "pss", "percentile") < average(outcomes, "always space", "percentile")
    late = {name: average(outcomes, name, "late_gain") for name in outcomes}
    assert late["pss"] > late["no priority"] > late["always space"]
    assert abs(late["always space"]) < 0.01
    assert late["pss"] > 0.6 * average(outcomes, "pss", "best")


def test_exploitation_collapses_onto_few_arms(outcomes):
    assert average(outcomes, "pss", "pool_size") < 5
    assert average(outcomes, "no priority", "pool_size") == pytest.approx(50)
    assert all(o.history[0][0] == 28 for o in outcomes["pss"])  # epoch 0 tries new arms alone


def test_without_noise_and_change_the_best_arm_is_kept():
    game = replace(Game(), noise=0.0, first=2.0, epochs=30)
    outcome = play(game, torch.Generator().manual_seed(0))
    assert outcome.percentile == 0.0
    assert outcome.gain == outcome.best
    assert outcome.tau == pytest.approx(1.0)


def test_a_game_is_its_seeds(outcomes):
    again = play(VARIANTS["always space"], torch.Generator().manual_seed(0))
    assert again == outcomes["always space"][0]
