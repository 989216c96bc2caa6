"""The 1xN claims: every published number is a row, and golden counts make the exact ones hold."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lithe import ledger
from lithe.ledger.claim_files import load_claims
from lithe.onexn import recipes
from lithe.onexn.contest import VARIANTS
from lithe.onexn.settings import EXHIBITS

CLAIMS = Path(__file__).parents[2] / "book" / "claims" / "onexn.yml"
MODELS = ("mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large", "resnet50")
SPEED = {"speed-layers", "speed-networks", "speed-bars", "break-even"}


@pytest.fixture(scope="module")
def claims() -> dict:
    return {claim.id: claim for claim in load_claims(CLAIMS).claims}


@pytest.fixture(scope="module")
def published(golden: Path) -> dict:
    return json.loads((golden / "onexn_accuracy.json").read_text())


def values(claim) -> list:
    return [part.claimed.value for part in claim.comparisons]


def test_every_row_of_the_results_table_is_a_claim(claims, published):
    for network, rows in published["readme_table1_p50_top1_top5"].items():
        for pattern, numbers in rows.items():
            found = claims[f"onexn.readme.{network.replace('_', '-')}-{pattern}"]
            typo = (network, pattern) == ("mobilenet_v2", "1x4")
            assert values(found) == ([69.706, numbers[1]] if typo else numbers)
            if typo:
                assert "60.706" in found.note
                assert numbers[0] == 60.706


def test_every_point_of_the_figure_is_a_claim(claims, published):
    for network, figure in published["figure4_raw"].items():
        for pattern in figure["top1"]:
            found = claims[f"onexn.figure.{network.replace('_', '-')}-{pattern}"]
            pairs = zip(figure["top1"][pattern], figure["top5"][pattern])
            assert values(found) == [number for pair in pairs for number in pair]
            rates = [f"p{100 * p:.0f}" for p in figure["rates"]]
            records = [part.measure.records for part in found.comparisons]
            assert records == [
                f"onexn/{network}-{pattern}-{p}/full/*" for p in rates for _ in range(2)
            ]


def test_the_rearrangement_table_is_claimed_with_its_gain(claims, published):
    for n, row in published["readme_table_rearrangement_mobilenet_v2_p50"].items():
        found = values(claims[f"onexn.readme.rearrangement-n{n}"])
        assert found[:4] == [*row["with"], *row["without"]]
        assert found[4] == pytest.approx(row["with"][0] - row["without"][0])


def test_every_full_record_of_a_claim_is_one_that_a_row_writes(claims):
    rows = {f"{key}-p{100 * p:.0f}" for key, rates in recipes.ROWS.items() for p in rates if p}
    rows |= {key for key in recipes.ROWS if key.endswith("-dense")}
    for claim in claims.values():
        for part in claim.comparisons:
            for pattern in part.measure.patterns:
                _, experiment, profile, _ = pattern.split("/")
                if profile == "full":
                    assert experiment in rows, claim.id
                else:
                    known = experiment.removeprefix("cifar-") in VARIANTS
                    assert known or experiment in EXHIBITS or experiment in SPEED, claim.id


def test_every_claim_names_its_command_and_every_command_its_row(claims):
    for claim in claims.values():
        assert claim.command, claim.id
        if claim.tier == "T2" and "$" not in claim.command:
            assert claim.command.split("--key ")[1].split()[0] in recipes.ROWS, claim.id


def test_every_deviation_that_a_claim_names_is_described(claims):
    text = (CLAIMS.parents[1] / "deviations.md").read_text()
    for claim in claims.values():
        if claim.deviation:
            assert f"\n({claim.deviation})=\n" in text, claim.id


@pytest.fixture
def judged(tmp_path: Path, golden: Path, monkeypatch) -> Callable[[], dict[str, ledger.Verdict]]:
    """Records made of the golden counts; returns the verdicts by claim."""
    monkeypatch.setenv("LITHE_BOOK", str(tmp_path))
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "onexn.yml").write_bytes(CLAIMS.read_bytes())
    models = json.loads((golden / "onexn_models.json").read_text())
    for key in MODELS:
        entry = models[key]
        ours, released = entry["N4_p0.5_intended"], entry["N4_p0.5_official"]
        metrics = {
            "weights": entry["conv_weights_dense"],
            "macs": entry["conv_macs_dense"],
            "pruned_layers": entry["n_masked"] - (2 if "v3" in key else 1),
            "weights_n4_p50": ours["conv_weights_kept"],
            "macs_n4_p50": ours["conv_macs_kept"],
            "released_weights_n4_p50": released["conv_weights_kept"],
        }
        metrics |= {
            f"straddling_blocks_n{n}": len(entry["Cout_not_multiple"][str(n)][:-1])
            for n in (8, 16, 32)
        }
        ledger.record("onexn", f"exact-{key}", "small", 0, {}, metrics, sources=("lithe.files",))
    return lambda: {found.claim_id: found for found in ledger.verdicts()}


def test_the_counts_of_the_released_code_are_reproduced_but_for_its_defects(judged):
    verdicts = {k: v.verdict for k, v in judged().items()}
    for key in MODELS:
        assert verdicts[f"onexn.exact.{key.replace('_', '-')}"] == "reproduced"
    assert verdicts["onexn.exact.resnet50-classifier"] == "contradicted"
    assert verdicts["onexn.exact.one-channel"] == "partly"


def test_an_accuracy_is_not_run_but_says_how(judged):
    found = judged()["onexn.readme.mobilenet-v2-1x4"]
    assert found.verdict == "not run"
    assert "--key mobilenet_v2-1x4 --weights PRETRAINED --data-folder IMAGENET" in found.why
    assert "estimate" in found.why


def test_the_speed_claims_read_fields_that_the_bench_records(claims):
    """A misspelt field would only show when the first record of a bench is there."""
    from lithe.onexn.speed import recording, trial
    from lithe.onexn.speed.layers import POINTWISE_GROUPS

    groups = [group.replace(" ", "_") for group in (*POINTWISE_GROUPS, "resnet50 3x3")]
    marks = [recording.mark(n, p, t) for n in trial.NS for p in trial.SPARSITIES for t in (1, 2)]
    whole = [recording.mark(4, p, t) for p in trial.SPARSITIES for t in (1, 2)]
    known = {f"{g}_{m}_{what}" for g in groups for m in marks for what in ("ratio", "ms", "earned")}
    known |= {
        f"{key}_{m}_{what}" for key in MODELS for m in whole for what in ("torch", "onnxruntime")
    }
    known |= {f"break_even_n{n}" for n in trial.NS} | {f"worst_1x1_n4_p50_t{t}" for t in (1, 2)}
    known |= {"roof_share_worst", "worst_network", "error", "cold_start", "warm_start"}
    used = 0
    for claim in claims.values():
        for part in claim.comparisons:
            if any(pattern.split("/")[1] in SPEED for pattern in part.measure.patterns):
                fields = {part.measure.field, part.measure.against_field or part.measure.field}
                assert fields <= known, (claim.id, fields - known)
                used += 1
    assert used > 50
