"""The PSS-Net claims: every published number is a row, and the exact ones hold where they hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lithe import ledger
from lithe.ledger.claim_files import load_claims
from lithe.pssnet import readings, recipes
from lithe.pssnet.contest import ALONE, VARIANTS

CLAIMS = Path(__file__).parents[2] / "book" / "claims" / "pssnet.yml"
CONTRADICTED = {
    "pssnet.abstract.outperforms": "partly",
    "pssnet.exact.reach": "contradicted",
    "pssnet.published.readme-figure": "contradicted",
}


@pytest.fixture(scope="module")
def claims() -> dict:
    return {claim.id: claim for claim in load_claims(CLAIMS).claims}


@pytest.fixture
def judged(tmp_path: Path, shared: Path) -> Callable[[], dict[str, ledger.Verdict]]:
    """Records of the readings that need no training; returns the verdicts by claim."""
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "pssnet.yml").write_bytes(CLAIMS.read_bytes())
    for name in ("space-v1", "space-v2", "published", "sampler", "tables"):
        metrics, curves = readings.EXHIBITS[name]()
        ledger.record(
            *("pssnet", name, "small", 0, {}, metrics),
            sources=("lithe.files",),
            curves=curves or None,
            root=tmp_path,
        )
    return lambda: {found.claim_id: found for found in ledger.verdicts(tmp_path)}


def test_exact_claims_hold_but_for_those_that_do_not(judged):
    verdicts = judged()
    exact = {k: v.verdict for k, v in verdicts.items() if v.claim.tier == "T0"}
    assert len(exact) >= 12
    assert {k: v for k, v in exact.items() if v != "reproduced"} == CONTRADICTED


def test_what_has_not_run_says_how(judged):
    found = judged()["pssnet.readme.v1-g"]
    assert found.verdict == "not run"
    assert "--key mobilenet_v1-G --data-folder IMAGENET --tables TABLES" in found.why


def test_every_point_of_the_readme_is_a_claim(claims, golden):
    points = recipes.readme_points(golden / "pss_readme_table.json")
    for key, rows in points.items():
        short = key.replace("mobilenet_", "").lower()
        found = [
            (part.claimed.value, part.measure.field, part.measure.records)
            for name, claim in claims.items()
            if name == f"pssnet.readme.{short}" or name.startswith(f"pssnet.readme.{short}-")
            for part in claim.comparisons
        ]
        assert found == [
            (top1, recipes.field(key, resource, cost), f"pssnet/{key.lower()}/full/*")
            for resource, cost, top1 in rows
        ]


def test_every_record_of_a_claim_is_one_that_is_written(claims):
    for claim in claims.values():
        for part in claim.comparisons:
            for pattern in part.measure.patterns:
                _, experiment, profile, _ = pattern.split("/")
                if profile == "full":
                    assert experiment in {key.lower() for key in recipes.ROWS}
                elif experiment not in readings.EXHIBITS:
                    data, _, variant = experiment.partition("-")
                    assert data in ("digits", "cifar"), claim.id
                    assert variant in {*VARIANTS, ALONE}, claim.id


def test_training_claims_are_compared_on_seeds_that_both_sides_have(claims):
    for claim in claims.values():
        for part in claim.comparisons:
            if claim.tier == "T1" and part.test.kind == "sign":
                assert part.measure.against.startswith(part.measure.records.split("-")[0])


def test_every_claim_that_can_be_run_names_its_command(claims):
    for claim in claims.values():
        assert claim.command or claim.blocked, claim.id
