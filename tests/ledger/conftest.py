"""A book of its own for each test: an empty claims folder, and a way to write records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lithe import ledger


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "some place" / "book"
    (folder / "claims").mkdir(parents=True)
    monkeypatch.setenv("LITHE_BOOK", str(folder))
    return folder


@pytest.fixture
def put(book: Path) -> Callable[..., Path]:
    """``put("toy/method/small", 1, top1=90.0)`` writes a record of the test's book."""

    def write(group: str, seed: int, unit: str = "%", **metrics: float) -> Path:
        paper, experiment, profile = group.split("/")
        entries = {name: {"value": value, "unit": unit} for name, value in metrics.items()}
        return ledger.record(
            paper, experiment, profile, seed, {"lr": 0.1}, entries, sources=("lithe.files",)
        )

    return write


CLAIM = """
  - id: toy.table.accuracy
    tier: {tier}
    where: table 1, row 1
    says: The method reaches its accuracy.
    control: the same net from scratch
    command: python -m lithe.run toy
    cost: an hour
    claimed: {{value: {value}, unit: "%"}}
    measure: {{records: {records}, field: top1{measure}}}
    test: {{kind: {kind}{limits}, reason: because it was fixed beforehand}}
"""


@pytest.fixture
def judge(book: Path) -> Callable[..., ledger.Verdict]:
    """Write a single claim and return its verdict."""

    def verdict(
        kind: str,
        value: object,
        limits: str = "",
        measure: str = "",
        tier: str = "T1",
        records: str = "toy/method/small/*",
    ) -> ledger.Verdict:
        row = CLAIM.format(
            kind=kind,
            value=value,
            limits=limits and f", {limits}",
            measure=measure and f", {measure}",
            tier=tier,
            records=records,
        )
        head = "paper: toy\ntitle: Toy\ncite: toy2020\nclaims:"
        (book / "claims" / "toy.yml").write_text(head + row)
        [found] = ledger.verdicts()
        return found

    return verdict
