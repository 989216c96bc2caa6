"""Records of full runs: every published point finds its number, whatever the sampler reaches."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lithe import ledger, zoo
from lithe.data import fake_images
from lithe.ledger.claim_files import load_claims
from lithe.pssnet import Budget, Subnet, policy, recipes
from lithe.pssnet import full as full_run
from lithe.pssnet.elastic import elastic

CLAIMS = Path(__file__).parents[2] / "book" / "claims" / "pssnet.yml"
STEP = 10**6


def test_a_budget_without_a_pool_gets_the_best_of_the_cheaper_ones():
    budgets = [Budget("macs", 10 * STEP, 60 * STEP, 10 * STEP), Budget("cpu", 0, 30, 10)]
    tops = {("macs", 30 * STEP): [70.0, 72.0, 71.0], ("macs", 40 * STEP): [69.0]}
    found = full_run.served(tops, budgets, least=60.0)
    best = [found[f"best5_macs_{k}"] for k in (20, 30, 40, 50)]
    assert best == [60.0, 72.0, 69.0, 72.0]
    assert [found[f"top1_macs_{k}"] for k in (20, 30, 40, 50)] == [60.0, 70.0, 69.0, 70.0]
    assert (found["best5_cpu_10"], found["top1_cpu_20"]) == (60.0, 60.0)


@pytest.mark.parametrize("key", recipes.ROWS)
def test_every_claim_of_a_supernet_is_a_number_that_its_run_records(key):
    chosen = recipes.recipe(key)
    recorded = {"max_top1", "min_top1", *full_run.served({}, chosen.budgets, 0.0)}
    pattern = f"pssnet/{chosen.experiment}/full/*"
    asked = {
        part.measure.field
        for claim in load_claims(CLAIMS).claims
        for part in claim.comparisons
        if part.measure.records == pattern
    }
    assert asked
    assert asked <= recorded


def test_a_full_record_without_the_top_pools_can_be_judged(tmp_path):
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "pssnet.yml").write_bytes(CLAIMS.read_bytes())
    budgets = recipes.recipe("mobilenet_v1-F").budgets
    reached = [t for t in budgets[0].targets if t <= 510 * STEP]  # as the released sampler
    tops = {("macs", target): [70.0] for target in reached}
    metrics = {"max_top1": 74.0, "min_top1": 68.0} | full_run.served(tops, budgets, 68.0)
    args = ("pssnet", "mobilenet_v1-f", "full", 0, {}, metrics)
    ledger.record(*args, sources=("lithe.files",), root=tmp_path)
    verdicts = {found.claim_id: found for found in ledger.verdicts(tmp_path)}
    assert verdicts["pssnet.readme.v1-f"].verdict == "partly"  # the min net alone is close


def test_what_a_supernet_retains_is_recalibrated_and_recorded():
    model = zoo.small_cnn(4, (16, 32), generator=torch.Generator().manual_seed(0))
    network, space = elastic(model, torch.zeros(1, 3, 32, 32), (0.5, 1.0), (16, 32))
    budget = Budget("macs", 0, 9 * STEP, STEP)  # the upper ones are out of reach
    chosen = policy("effective", space, [budget], torch.Generator().manual_seed(0), capacity=2)
    images = fake_images((3, 32, 32), 4, 12)
    for _ in range(12):
        for choice in chosen.next_subnets():
            chosen.update(choice, -1.0)
    found = full_run._retained(network, chosen, images, images, 6, [budget])
    pools = len(chosen.retained())
    assert found["pools_macs"] == pools < len(budget.targets)
    assert found["best5_macs_1"]["n"] == 12
    assert {f"best5_macs_{k}" for k in range(1, 9)} <= set(found)
    kept: set[Subnet] = {s for row in chosen.retained(5).values() for s in row}
    assert kept | {space.smallest(), space.largest()} == set(network.statistics)


def test_the_mixed_v1_script_draws_a_million(monkeypatch):
    seen = {}

    def policy_of(*args, **changes):
        seen.update(changes)
        raise InterruptedError

    monkeypatch.setattr(recipes, "policy", policy_of)
    monkeypatch.setattr(recipes.Recipe, "_tables", lambda *_: {})

    class Network:
        space = type("Space", (), {"resolutions": (128, 224)})

    for key, draws in (("mobilenet_v1-M", 1_000_000), ("mobilenet_v2-M", None)):
        seen.clear()
        with pytest.raises(InterruptedError):
            recipes.recipe(key).policy(Network)
        assert seen.get("draws") == draws
    with pytest.raises(InterruptedError):
        recipes.recipe("mobilenet_v1-M").policy(Network, draws=2000)
    assert seen["draws"] == 2000
