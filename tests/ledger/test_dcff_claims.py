"""The DCFF claims against the sizes that the original models have."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lithe import ledger
from lithe.ledger.claim_files import load_claims

CLAIMS = Path(__file__).parents[2] / "book" / "claims" / "dcff.yml"
KEYS = ["vgg16", "resnet56", "resnet110", "googlenet"] + [
    f"r50_{kind}_{size}" for kind in ("step", "cos") for size in "abc"
]


@pytest.fixture
def judged(book: Path, golden: Path) -> Callable[[], dict[str, ledger.Verdict]]:
    """Records made of the golden sizes; returns the verdicts by claim."""
    sizes = json.loads((golden / "dcff_flops.json").read_text())
    for key in KEYS:
        entry = sizes[key.replace("r50", "resnet50")]
        metrics = {
            "thop_flops": entry["thop_flops"],
            "params": entry["params"],
            "flops_cut_percent": 100 * (1 - entry["thop_flops"] / entry["origin_thop_flops"]),
            "params_cut_percent": 100 * (1 - entry["params"] / entry["origin_params"]),
        }
        ledger.record("dcff", f"structure-{key}", "small", 0, {}, metrics, sources=("lithe.files",))
    (book / "claims" / "dcff.yml").write_bytes(CLAIMS.read_bytes())
    return lambda: {found.claim_id: found for found in ledger.verdicts()}


def test_the_released_sizes_are_reproduced_but_for_two(judged) -> None:
    """All ten configurations agree to the digit; VGG-16's parameters and the abstract do not."""
    verdicts = judged()
    sized = {k: v.verdict for k, v in verdicts.items() if k.endswith(("-flops", "-params"))}
    assert len(sized) == 2 * len(KEYS)
    assert [k for k, v in sized.items() if v != "reproduced"] == ["dcff.readme.vgg16-params"]
    assert sized["dcff.readme.vgg16-params"] == "contradicted"
    assert "1.07" in verdicts["dcff.readme.vgg16-params"].ours
    assert verdicts["dcff.abstract.resnet50-pair"].verdict == "contradicted"


def test_an_accuracy_is_not_run_but_says_how(judged) -> None:
    found = judged()["dcff.readme.r50-step-c-top1"]
    assert found.verdict == "not run"
    assert "--key r50_step_c --data-folder IMAGENET" in found.why
    assert "estimate" in found.why
    assert found.claim.third_party[0].value.startswith("73.96%")


def test_every_row_of_the_released_table_is_a_claim() -> None:
    ids = {claim.id for claim in load_claims(CLAIMS).claims}
    for key in KEYS:
        for kind in ("flops", "params", "top1"):
            assert f"dcff.readme.{key.replace('_', '-')}-{kind}" in ids


def test_every_claim_that_can_be_run_names_its_command() -> None:
    for claim in load_claims(CLAIMS).claims:
        assert claim.command or claim.blocked, claim.id
