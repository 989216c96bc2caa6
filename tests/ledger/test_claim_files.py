from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lithe import ledger
from lithe.ledger.__main__ import main

REPOSITORY = Path(__file__).parents[2]
GOOD = """\
paper: toy
title: Toy
cite: toy2020
claims:
  - id: toy.table.top1
    tier: T1
    where: table 1
    says: The method beats training from scratch.
    control: the same net from scratch
    command: python -m lithe.run toy
    cost: an hour
    claimed: {value: positive}
    measure:
      records: toy/method/small/*
      field: top1
      against: toy/scratch/small/*
    test:
      kind: sign
      reason: fixed beforehand, same seeds
"""


def errors(book: Path, text: str) -> str:
    (book / "claims" / "toy.yml").write_text(text)
    with pytest.raises(ledger.LedgerError) as caught:
        ledger.claims()
    return str(caught.value)


def test_a_good_file_is_read(book: Path) -> None:
    (book / "claims" / "toy.yml").write_text(GOOD)
    [claim] = ledger.claims()
    assert claim.id == "toy.table.top1"
    assert ledger.claim("toy.table.top1") == claim


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("tier: T1", "tier: T9", ":6: toy.table.top1: tier:"),
        (
            "tier: T1",
            "tier: T1\n    verdict: reproduced",
            ":7: toy.table.top1: verdict: verdicts",
        ),
        ("tier: T1", "tier: T1\n    colour: red", ":7: toy.table.top1: colour: unknown key"),
        ("      reason: fixed beforehand, same seeds\n", "", ":17: toy.table.top1: test.reason:"),
        ("      field: top1\n", "", ":13: toy.table.top1: measure.field:"),
        ("kind: sign", "kind: about", ":18: toy.table.top1: test.kind:"),
        ("    control: the same net from scratch\n", "", "control: a training claim names the run"),
        ("    cost: an hour\n", "", "command and cost come together"),
        ("id: toy.table.top1", "id: toy.top1", ":5: toy.top1: id:"),
        (
            "id: toy.table.top1",
            "id: other.table.top1",
            "other.table.top1 is not one of 'toy'",
        ),
        ("value: positive", "value: better", "positive or negative"),
        ("value: positive", "value: 1e-3", "is text to YAML: write a number"),
        ("      against: toy/scratch/small/*\n", "", "needs measure.against"),
        ("toy/method/small/*", "toy/method/smoke/*", "only small and full records answer"),
        ("toy/method/small/*", "toy/method/*/*", "only small and full records answer"),
        ("toy/method/small/*", "toy/method", "paper/experiment/profile/seed"),
        ("tier: T1", "tier: T2", "a T2 claim is measured by full records alone"),
        ("tier: T1", "tier: T1\n    tier: T0", ":7: 'tier' is given twice"),
        ("paper: toy", "paper: play", ":1: paper must be 'toy'"),
        ("kind: sign", "kind: within", "needs a tolerance"),
        ("kind: sign", "kind: equal_after_rounding", "needs a number or a truth value"),
        ("kind: sign", "kind: order", "list of names"),
        ("kind: sign", "kind: [sign", ":19: not YAML"),
    ],
)
def test_a_fault_is_reported_with_file_line_claim_and_key(
    book: Path, old: str, new: str, message: str
) -> None:
    assert old in GOOD
    report = errors(book, GOOD.replace(old, new))
    assert "claims/toy.yml:" in report
    assert message in report


def test_smoke_and_small_records_cannot_satisfy_tier_2(book: Path) -> None:
    for profile in ("smoke", "small", "*"):
        text = GOOD.replace("tier: T1", "tier: T2").replace("/small/", f"/{profile}/")
        assert "a T2 claim is measured by full records alone" in errors(book, text)
    (book / "claims" / "toy.yml").write_text(
        GOOD.replace("tier: T1", "tier: T2").replace("/small/", "/full/")
    )
    assert [v.verdict for v in ledger.verdicts()] == ["not run"]


def test_one_id_cannot_stand_twice(book: Path) -> None:
    row = GOOD[GOOD.index("  - id") :]
    assert "stands here twice" in errors(book, GOOD + row)


def test_an_unknown_claim_is_named(book: Path) -> None:
    (book / "claims" / "toy.yml").write_text(GOOD)
    for name in ("toy.table.top5", "nobody.table.top1"):
        with pytest.raises(ledger.LedgerError, match=name):
            ledger.claim(name)


def test_a_claim_can_be_blocked_with_its_reason(book: Path) -> None:
    head = GOOD[: GOOD.index("    command")]
    blocked = "    claimed: {value: 68% top-1}\n    blocked: the rates were never released\n"
    (book / "claims" / "toy.yml").write_text(head + blocked)
    [found] = ledger.verdicts()
    assert (found.verdict, found.why) == ("not run", "the rates were never released")
    assert found.paper == "68% top-1"


def test_check_exits_1_with_file_and_line(book: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = book / "claims" / "toy.yml"
    path.write_text(GOOD)
    assert main(["check"]) == 0
    path.write_text(GOOD.replace("tier: T1", "tier: T7").replace("kind: sign", "kind: sing"))
    assert main(["check"]) == 1
    report = capsys.readouterr().err
    assert "claims/toy.yml:6:" in report
    assert "claims/toy.yml:18:" in report


def test_check_finds_a_damaged_record(book: Path, put, capsys: pytest.CaptureFixture[str]) -> None:
    (book / "claims" / "toy.yml").write_text(GOOD)
    path = put("toy/other/small", 0, top1=1.0)
    path.write_text(path.read_text().replace('"value": 1.0', '"value": "1,0"'))
    assert main(["check"]) == 1
    assert "results/toy/other/small/0.json" in capsys.readouterr().err


def test_table_and_explain_print_the_numbers(
    book: Path, put, capsys: pytest.CaptureFixture[str]
) -> None:
    (book / "claims" / "toy.yml").write_text(GOOD)
    for seed in range(3):
        put("toy/method/small", seed, top1=61.0 + seed)
        put("toy/scratch/small", seed, top1=60.0 + seed)
    assert main(["table", "--paper", "toy", "--tier", "T1", "--verdict", "reproduced"]) == 0
    assert "toy.table.top1" in capsys.readouterr().out
    assert main(["table", "--verdict", "contradicted"]) == 0
    assert "toy.table.top1" not in capsys.readouterr().out
    assert main(["explain", "toy.table.top1"]) == 0
    text = capsys.readouterr().out
    for piece in (
        "table 1",
        "toy/method/small/1  62  against toy/scratch/small/1 61: 1",
        "fixed beforehand",
        "mean paired difference 1 points, 95% CI 1 to 1, n = 3",
        "python -m lithe.run toy",
    ):
        assert piece in text
    assert main(["explain", "toy.table.nothing"]) == 1


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"paper: &p {x: *p}\n", b"paper: !!timestamp 9999-99-99\n"]
)
def test_a_file_that_cannot_be_read_is_a_line_not_a_traceback(
    book: Path, capsys: pytest.CaptureFixture, content: bytes
) -> None:
    (book / "claims" / "toy.yml").write_bytes(content)
    assert main(["check"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("claims/toy.yml:1: cannot be read: ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["explain", "nonsense"], "an id is paper.group.name, and the papers are toy"),
        (["explain", "toy.table.top"], "did you mean 'toy.table.top1'?"),
        (["explain", "../../toy"], "the papers are toy"),
        (["table", "--paper", "toi"], "no paper 'toi'; there are: toy"),
        (["--root", "nowhere", "check"], "no folder nowhere/claims"),
    ],
)
def test_a_mistyped_request_says_what_there_is(
    book: Path, capsys: pytest.CaptureFixture, arguments: list[str], message: str
) -> None:
    (book / "claims" / "toy.yml").write_text(GOOD)
    assert main(arguments) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert message in line


def test_the_claims_of_the_book_follow_the_schema() -> None:
    assert main(["--root", str(REPOSITORY / "book"), "check"]) == 0


def test_every_deviation_that_a_claim_names_is_in_the_register() -> None:
    register = (REPOSITORY / "book" / "deviations.md").read_text()
    named = {claim.deviation for claim in ledger.claims(REPOSITORY / "book")} - {None}
    assert named
    assert [label for label in sorted(named) if f"({label})=" not in register] == []


def test_a_reader_that_stops_early_is_no_error() -> None:
    command = [sys.executable, "-m", "lithe.ledger", "--root", str(REPOSITORY / "book"), "table"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()  # gone before the first line
        assert (process.stderr.read(), process.wait()) == (b"", 0)
