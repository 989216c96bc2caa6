"""The ARM claims: every cell of the tables is a row, and the exact ones come out as they should."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lithe import ledger
from lithe.arm import published
from lithe.arm.contest import VARIANTS
from lithe.arm.full import ROWS
from lithe.arm.settings import EXHIBITS
from lithe.ledger.claim_files import load_claims

CLAIMS = Path(__file__).parents[2] / "book" / "claims" / "arm.yml"


@pytest.fixture(scope="module")
def claims() -> dict:
    return {claim.id: claim for claim in load_claims(CLAIMS).claims}


def test_every_cell_of_the_tables_is_a_claim_three_times_over(claims):
    for net, images in {(log.net, log.images) for log in published.LOGS}:
        for kind, tier in (("flops", "T0"), ("percent", "T0"), ("psnr", "T2")):
            found = claims[f"arm.tables.{net}-{images}-{kind}"]
            assert found.tier == tier
            assert len(found.comparisons) == 3


def test_the_printed_psnr_is_what_the_logs_say_but_for_the_misprint(claims):
    """The claimed values were typed from pictures of tables: the logs check the typing."""
    for log in published.LOGS:
        found = claims[f"arm.tables.{log.net}-{log.images}-psnr"]
        part = found.comparisons["lms".index(log.size)]
        assert part.claimed.value == pytest.approx(log.psnr, abs=0.0051)
        assert part.measure.field == f"psnr_{log.size}"
    assert claims["arm.tables.misprint"].claimed.value == 32.27


def test_every_record_of_a_claim_is_one_that_is_written(claims):
    trained = {f"shared-{variant}" for variant in VARIANTS}
    for claim in claims.values():
        for part in claim.comparisons:
            for pattern in part.measure.patterns:
                paper, experiment, profile, _ = pattern.split("/")
                assert paper == "arm"
                known = ROWS if profile == "full" else {*trained, *EXHIBITS, "speed-aims"}
                assert experiment in known, claim.id


def test_every_claim_names_its_command_and_every_command_its_row(claims):
    for claim in claims.values():
        assert claim.command, claim.id
        if claim.tier == "T2":
            key = claim.command.split("--key ")[1].split()[0]
            assert claim.id == f"arm.tables.{key}-psnr"
            assert "research only" in claim.cost


def test_trained_claims_have_controls_and_at_least_three_seeds(claims):
    from lithe import profiles
    from lithe.arm.settings import Config

    small = profiles.load("04_arm", "small", Config)
    assert len(small.seeds) >= 3
    for claim in claims.values():
        if any("shared-" in p for part in claim.comparisons for p in part.measure.patterns):
            assert claim.control, claim.id
            assert all(part.measure.against for part in claim.comparisons), claim.id


def test_every_deviation_that_a_claim_names_is_described(claims):
    text = (CLAIMS.parents[1] / "deviations.md").read_text()
    for claim in claims.values():
        if claim.deviation:
            assert f"\n({claim.deviation})=\n" in text, claim.id


@pytest.fixture(scope="module")
def exact() -> dict[str, dict]:
    costs = {f"costs-{net}": published.costs(net) for net in ("fsrcnn", "carn", "srresnet")}
    return costs | {"published": published.published()}


@pytest.fixture
def judged(
    tmp_path: Path, exact: dict[str, dict], monkeypatch: pytest.MonkeyPatch
) -> Callable[[], dict[str, ledger.Verdict]]:
    """Records of what needs no data; returns the verdicts by claim."""
    monkeypatch.setenv("LITHE_BOOK", str(tmp_path))
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "arm.yml").write_bytes(CLAIMS.read_bytes())
    for name, metrics in exact.items():
        ledger.record("arm", name, "small", 0, {}, metrics, sources=("lithe.files",))
    return lambda: {found.claim_id: found for found in ledger.verdicts()}


def test_published_costs_are_reproduced_and_their_faults_are_found(judged):
    verdicts = {k: v.verdict for k, v in judged().items()}
    for net in ("fsrcnn", "carn", "srresnet"):
        assert verdicts[f"arm.costs.{net}"] == "reproduced"
    flops = {k: v for k, v in verdicts.items() if k.endswith("-flops")}
    assert {k for k, v in flops.items() if v != "reproduced"} == SLIPS
    assert verdicts["arm.costs.transposed"] == "contradicted"
    assert verdicts["arm.tables.misprint"] == "contradicted"
    assert verdicts["arm.tables.whole"] == "partly"
    assert verdicts["arm.headline.fsrcnn"] == "partly"


SLIPS: set[str] = {"arm.tables.srresnet-test4k-flops"}  # 3.2487G is printed as 3.24G


def test_a_row_that_needs_data_is_not_run_but_says_how(judged):
    found = judged()["arm.tables.carn-test8k-psnr"]
    assert found.verdict == "not run"
    assert "--key carn-test8k --train DIV2K_PAIRS" in found.why
    assert "DIV8K 1401-1500" in found.why
