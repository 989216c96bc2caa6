"""Claims and records as tables: filtered, printed, written."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from lithe import ledger
from lithe.ledger import tables
from lithe.ledger.__main__ import main

CLAIMS = """
paper: toy
title: Toy
cite: toy2020
claims:
  - id: toy.table.params
    tier: T0
    where: table 1
    says: The net has 7 parameters, "all told".
    claimed: {value: 7}
    measure: {records: toy/structure/small/0, field: params}
    test: {kind: equal_after_rounding, decimals: 0, reason: the table prints whole numbers}
  - id: toy.table.steps
    tier: T0
    where: table 2
    says: It takes 9 steps.
    claimed: {value: 9}
    measure: {records: toy/steps/small/0, field: steps}
    test: {kind: equal_after_rounding, decimals: 0, reason: the table prints whole numbers}
    command: python -m lithe.run toy
    cost: seconds
"""


@pytest.fixture
def book(tmp_path: Path) -> Path:
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "toy.yml").write_text(CLAIMS)
    for seed in (0, 1):
        metrics = {"params": {"value": 7, "unit": "params"}, "loss": 0.25 + seed}
        ledger.record(
            "toy", "structure", "small", seed, {}, metrics, sources=("lithe.files",), root=tmp_path
        )
    return tmp_path


def test_claims_have_a_row_each_and_records_one_a_metric(book):
    assert [row["verdict"] for row in tables.claim_rows(book)] == ["reproduced", "not run"]
    assert [(row["seed"], row["metric"]) for row in tables.record_rows(book)] == [
        *((0, "loss"), (0, "params"), (1, "loss"), (1, "params")),
    ]
    for rows, columns in (
        (tables.claim_rows(book), tables.CLAIM_COLUMNS),
        (tables.record_rows(book), tables.RECORD_COLUMNS),
    ):
        assert all(tuple(row) == columns for row in rows)


def test_filters_of_a_column_add_up_and_columns_narrow_down(book, capsys):
    assert main(["--root", str(book), "table", "--filter", "verdict=not*"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [
        *("claim", "toy.table.steps"),
    ]
    rows, columns = tables.record_rows(book), tables.RECORD_COLUMNS
    both = tables.filtered(rows, ["metric=loss", "metric=params"], columns)
    assert len(both) == 4
    assert len(tables.filtered(rows, ["metric=loss", "seed=1"], columns)) == 1
    assert tables.filtered(rows, ["metric=los"], columns) == []


def test_a_table_is_written_as_csv_and_read_back(book, tmp_path, capsys):
    file = tmp_path / "claims.csv"
    assert main(["--root", str(book), "table", "--csv", str(file)]) == 0
    assert "2 rows" in capsys.readouterr().out
    with file.open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    assert rows[0]["says"] == 'The net has 7 parameters, "all told".'
    assert [row["claim"] for row in rows] == ["toy.table.params", "toy.table.steps"]


def test_records_are_printed(book, capsys):
    words = ["table", "--records", "--filter", "metric=loss", "--filter", "seed=1"]
    assert main(["--root", str(book), *words]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == [
        *("toy/structure/small/1", "loss", "1.25"),
    ]


def test_parquet_reads_back_as_it_was_written(book, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet", reason="no pyarrow: pip install pyarrow")
    rows = tables.record_rows(book)
    file = tables.write(tmp_path / "records.parquet", rows, tables.RECORD_COLUMNS)
    assert parquet.read_table(file).to_pylist() == rows


def test_parquet_without_pyarrow_says_what_is_missing(book, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ledger.LedgerError, match="pip install pyarrow"):
        tables.write(tmp_path / "x.parquet", [], tables.RECORD_COLUMNS)
    assert list(tmp_path.glob("*.parquet")) == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--filter", "paper"], "column=value"),
        (["--filter", "papr=toy"], "did you mean 'paper'"),
        (["--csv", "x.txt"], "suffix has to be .csv or .parquet"),
        (["--records", "--tier", "T0"], "--tier is about claims"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(book, words, says, capsys):
    assert main(["--root", str(book), "table", *words]) == 1
    assert says in capsys.readouterr().err
