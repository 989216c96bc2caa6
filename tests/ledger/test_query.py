from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lithe import ledger
from lithe.ledger.query import answer, parse

NARROW, WIDE = "\N{NARROW NO-BREAK SPACE}", "\N{NO-BREAK SPACE}"


@pytest.fixture
def records(book: Path) -> None:
    for seed, gain in enumerate((1.0, 2.0, 3.0)):
        for name, top1 in (("method", 60 + 10 * seed + gain), ("scratch", 60 + 10 * seed)):
            metrics = {"top1": {"value": top1, "unit": "%", "n": 1017}, "macs": 2_000_000 + seed}
            ledger.record(
                *("toy", name, "small", seed, {"epochs": 20}, metrics), sources=("lithe.files",)
            )


ONE, ALL = "toy/method/small/0", "toy/method/small/*"
OTHERS = "toy/scratch/small/*"


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        (f"{ONE}:top1", "61.0%"),
        (f"{ONE}:top1|.2f", "61.00%"),
        (f"{ONE}:top1 | .2f | nounit", "61.00"),
        (f"{ONE}:top1|n", "1,017"),
        (f"{ONE}:macs", "2,000,000"),
        (f"{ONE}:macs | M", f"2.00{NARROW}M"),
        (f"{ONE}:macs|.3g", "2e+06"),
        (f"{ONE}:params.epochs", "20"),
        (f"{ALL}:top1 | seeds", "3"),
        (f"{ALL}:top1 | min", "61.0%"),
        (f"{ALL}:top1 ; max ; .0f", "83%"),
        (f"{ALL}:top1 | median", "72.0%"),
        (f"{ALL}:top1 | mean", f"72{NARROW}±{NARROW}27%"),
        (
            f"{ALL}:top1 - {OTHERS}:top1 | diff",
            f"2.00{NARROW}points (95% CI −0.48 to 4.48, n{WIDE}={WIDE}3)",
        ),
        (f"{ONE}:top1 - toy/scratch/small/0:top1", f"1.0{NARROW}points"),
        (f"{ONE}:top1 / {ONE}:top1 | ratio", "1.00×"),
    ],
)
def test_a_question_is_answered_as_printed(records: None, text: str, printed: str) -> None:
    assert answer(parse(text)).text == printed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected paper/"),
        ("top1", "expected paper/"),
        (f"{ONE}:top1 + {ONE}:top1", "expected paper/"),
        (f"{ONE}:top1 | about", "'about' is neither an aggregate nor"),
        (f"{ONE}:top1 | ", "'' is neither"),
        (f"{ONE}:top1 | ratio", "needs two sides, as in a:x / b:x"),
        (f"{ALL}:top1 / {OTHERS}:top1 | diff", "needs two sides, as in a:x - b:x"),
        (f"{ALL}:top1 - {OTHERS}:top1 | max", "a comparison is averaged"),
        (f"{ALL}:top1", "matches 3 records"),
        ("toy/method/small/9:top1", "no record matches toy/method/small/9"),
        ("toy/x:top1", "paper/experiment/profile/seed"),
        (f"{ONE}:macs | n", "does not say how many items"),
        (f"{ONE}:loss", "no field 'loss'"),
    ],
)
def test_a_question_without_an_answer_is_refused(records: None, text: str, message: str) -> None:
    with pytest.raises(ledger.LedgerError, match=message.replace("+", r"\+")):
        answer(parse(text))


def test_the_provenance_names_records_commit_and_day(
    records: None, put: Callable[..., Path]
) -> None:
    found = answer(parse(f"{ALL}:top1 | mean"))
    assert found.provenance.startswith("record toy/method/small/0–2; commit ")
    assert found.records[0].time.date().isoformat() in found.provenance
