"""The Sphinx extension on small projects of its own."""

from __future__ import annotations

import io
import re
import time
import warnings
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import pytest

from lithe import ledger

pytest.importorskip("myst_nb", reason="the book's tools are not installed: pip install -e .[book]")

EXTENSION = Path(__file__).parents[2] / "book" / "_ext"
CONF = f"""
import sys
sys.path.insert(0, {str(EXTENSION)!r})
extensions = ["myst_nb", "lithe_book"]
nb_execution_mode = "off"
html_theme = "basic"
lithe_book_folder = "book"
lithe_scoreboard = "board"
lithe_provenance = "records"
"""
CLAIMS = """
paper: toy
title: Toy
cite: toy2020
claims:
  - id: toy.table.params
    tier: T0
    where: table 1
    says: The net has 1.07M parameters.
    claimed: {value: 1.07, unit: M}
    measure: {records: toy/structure/small/0, field: params, scale: 1.0e-6}
    test: {kind: equal_after_rounding, decimals: 2, reason: the table prints two decimals}
    command: python -m lithe.run toy
    cost: seconds
  - id: toy.abstract.beats-scratch
    tier: T1
    where: abstract
    says: The method beats training from scratch.
    claimed: {value: positive}
    measure:
      records: toy/method/small/*
      field: top1
      against: toy/scratch/small/*
    test: {kind: sign, reason: fixed beforehand}
    control: the same net from scratch
    deviation: D1
    command: python -m lithe.run toy --profile small
    cost: an hour
"""


@dataclass(frozen=True)
class Built:
    """What Sphinx returned and printed."""

    returncode: int
    stdout: str
    stderr: str


class Project:
    """A book of a few pages: write pages and records, build, look at what came out."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.book = folder / "book"
        (self.book / "claims").mkdir(parents=True)
        (self.book / "claims" / "toy.yml").write_text(CLAIMS)
        (folder / "conf.py").write_text(CONF)
        self.page("index", "# Index\n\n```{toctree}\n:glob:\n*\n```\n")

    def page(self, name: str, text: str) -> None:
        (self.folder / f"{name}.md").write_text(text)

    def record(self, experiment: str, seed: int, unit: str = "%", **metrics: float) -> Path:
        entries = {name: {"value": value, "unit": unit} for name, value in metrics.items()}
        return ledger.record(
            *("toy", experiment, "small", seed, {}, entries),
            sources=("lithe.files",),
            cost=2.0,
            root=self.book,
        )

    def build(self, *options: str) -> Built:
        from sphinx.cmd.build import build_main

        out, err = io.StringIO(), io.StringIO()
        words = ["-b", "html", "-n", "--no-color", *options, str(self.folder)]
        with redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those of the tools; the project's own are in err
            status = build_main([*words, str(self.folder / "_out")])
        return Built(status, out.getvalue(), err.getvalue())

    def html(self, name: str) -> str:
        return (self.folder / "_out" / f"{name}.html").read_text()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "a project")


def read_pages(built: Built) -> set[str]:
    """The pages that Sphinx read in a build."""
    return set(re.findall(r"reading sources\.\.\. \[\s*\d+%\] (\S+)", built.stdout))


def test_numbers_verdicts_and_tables_reach_the_page(project: Project) -> None:
    project.record("structure", 0, unit="params", params=1_071_248)
    for seed, gain in enumerate((1.0, 2.0, 3.0)):
        project.record("method", seed, top1=60 + seed + gain)
        project.record("scratch", seed, top1=60 + seed)
    project.page(
        "page",
        "# Page\n\n"
        "Params {result}`toy/structure/small/0:params`, {result}`toy/structure/small/0:params | M`."
        "\n\nMean {result}`toy/method/small/*:top1 | mean`, gain "
        "{result}`toy/method/small/*:top1 - toy/scratch/small/*:top1 | diff`.\n\n"
        "It was {claim}`toy.abstract.beats-scratch`; the paper has {given}`93.5% | paper: table 1`."
        "\n\n```{verdict-box}\n:paper: toy\n```\n",
    )
    project.page("board", "# Board\n\n```{claims-table}\n```\n")
    options = ":tier: T0\n:verdict: reproduced\n"
    project.page("some", f"# Some\n\n```{{claims-table}}\n{options}```\n")
    for name, option in (("only", "toy.t toy.x"), ("without", "toy.t")):
        project.page(name, f"# {name}\n\n```{{claims-table}}\n:{name}: {option}\n```\n")
    row = "| net | {result}`toy/method/small/*:top1 ; mean` | {given}`93.5% ; paper` |"
    project.page("tabled", f"# Tabled\n\n| a | b | c |\n|---|---|---|\n{row}\n")
    project.page("deviations", "# Deviations\n\n(D1)=\n## The first\n\nText.\n")
    project.page("records", "# Records\n\n```{records-table}\n```\n")
    built = project.build("-W", "--keep-going")
    assert built.returncode == 0, built.stderr
    page = project.html("page")
    text = re.sub(r"<[^>]+>", "", page).replace("\N{NARROW NO-BREAK SPACE}", " ")
    assert "1,071,248 params" in text
    assert "1.07 M" in text
    assert re.search(r"Mean 63\.0 ± 5\.0%", text)
    assert "2.00 points (95% CI −0.48 to 4.48, n\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}3)" in text
    assert re.search(
        r'<a class="verdict verdict-not-reproduced[^>]*href="board.html#claim-toy', page
    )
    assert re.search(r'<a [^>]*href="records.html#record-toy-method-small"', page)
    assert "record toy/method/small/0–2" in page
    assert "1 reproduced" in text
    assert "1 not reproduced" in text
    assert "Our cost: 7 records in 14 s" in text
    assert 'title="stated by the paper: table 1"' in page
    assert "± " not in project.html("tabled")  # joined without a breaking space
    assert 'title="record toy/method/small/0–2' in project.html("tabled")
    assert 'title="stated by the paper"' in project.html("tabled")
    board = project.html("board")
    assert 'id="claim-toy-abstract-beats-scratch"' in board
    assert 'href="deviations.html#d1"' in board
    assert "python -m lithe.run toy --profile small" in re.sub(r"<[^>]+>", "", board)
    assert "toy.table.params" in project.html("some")
    assert "toy.abstract.beats-scratch" not in project.html("some")
    ids = ("toy.table.params", "toy.abstract.beats-scratch")
    assert [i in project.html("only") for i in ids] == [True, False]
    assert [i in project.html("without") for i in ids] == [False, True]
    assert 'id="record-toy-method-small"' in project.html("records")


BAD = [
    ("{result}`toy/nothing/small/0:top1`", "no record matches toy/nothing/small/0"),
    ("{result}`toy/method/small/0:top5`", "no field 'top5'"),
    ("{result}`toy/method/small/*:top1`", "matches 2 records: say which of mean"),
    ("{result}`toy/method/small/0`", "expected paper/experiment/profile/seed:field"),
    ("{result}`toy/method/small/0:top1 | .2q`", "'.2q' is neither an aggregate nor"),
    ("{result}`toy/method/small/0:top1 | diff`", "'diff' needs two sides"),
    ("{claim}`toy.table.nothing`", "no claim 'toy.table.nothing'"),
    ("{claim}`nobody.table.nothing`", "no claim 'nobody.table.nothing'"),
    ("{given}`93.5%`", "given: write number | source"),
    ("{given}`93.5% | somebody`", "given: write number | source"),
]


def test_what_is_missing_fails_the_build_with_file_and_line(project: Project) -> None:
    for seed in (0, 1):
        project.record("method", seed, top1=60.0)
    project.page("page", "# Page\n\n" + "\n\n".join(f"So {text}." for text, _ in BAD) + "\n")
    built = project.build("-W", "--keep-going")
    assert built.returncode != 0
    for index, (_, problem) in enumerate(BAD):
        report = rf"page\.md:{3 + 2 * index}: WARNING: .*{re.escape(problem)}"
        assert re.search(report, built.stderr), (problem, built.stderr)


def test_a_claim_without_record_and_command_fails_the_build(project: Project) -> None:
    text = CLAIMS.replace("    command: python -m lithe.run toy\n    cost: seconds\n", "")
    (project.book / "claims" / "toy.yml").write_text(text)
    project.page("board", "# Board\n\n```{claims-table}\n```\n")
    built = project.build("-W", "--keep-going")
    assert built.returncode != 0
    assert "board.md:3: WARNING: claim toy.table.params: no record" in built.stderr


def test_a_typed_verdict_fails_the_build_with_its_line(project: Project) -> None:
    text = CLAIMS.replace("tier: T0", "tier: T0\n    verdict: reproduced")
    (project.book / "claims" / "toy.yml").write_text(text)
    project.page("page", "# Page\n\n{claim}`toy.table.params`\n")
    built = project.build("-W")
    assert built.returncode != 0
    assert "claims/toy.yml:8: toy.table.params: verdict: verdicts are computed" in built.stderr


def test_roles_work_in_notebook_cells_and_report_them(project: Project) -> None:
    import nbformat

    project.record("method", 0, top1=61.5)
    notebook = nbformat.v4.new_notebook()
    good = "# Chapter\n\nIt is {result}`toy/method/small/0:top1`."
    notebook.cells = [nbformat.v4.new_markdown_cell(text) for text in (good, "Bad {claim}`x.y.z`.")]
    nbformat.write(notebook, project.folder / "chapter.ipynb")
    built = project.build("--keep-going")
    assert built.returncode == 0, built.stderr
    assert "61.50%" in project.html("chapter")
    assert re.search(r"chapter\.ipynb:2\d*: WARNING: no claim 'x\.y\.z'", built.stderr)


def test_only_the_pages_that_use_a_file_are_built_again(project: Project) -> None:
    """Three pages: one on a record, one on a glob of another experiment, one on a claim."""
    project.record("method", 0, top1=60.0)
    project.record("other", 0, top1=50.0)
    project.page("one", "# One\n\n{result}`toy/method/small/0:top1`\n")
    project.page("many", "# Many\n\n{result}`toy/other/small/*:top1 | seeds`\n")
    project.page("claimed", "# Claimed\n\n{claim}`toy.table.params`\n")
    changes = {
        "nothing": (lambda: None, set()),
        "a record edited": (lambda: project.record("method", 0, top1=70.0), {"one"}),
        "a record of a glob edited": (lambda: project.record("other", 0, top1=55.0), {"many"}),
        "a record added": (lambda: project.record("other", 1, top1=55.0), {"many"}),
        "a record removed": (
            lambda: (project.book / "results/toy/other/small/0.json").unlink(),
            {"many"},
        ),
        "a claim's first record": (
            lambda: project.record("structure", 0, params=1_071_248),
            {"claimed"},
        ),
        "the claims edited": (
            lambda: (project.book / "claims/toy.yml").write_text(CLAIMS + "\n"),
            {"claimed"},
        ),
    }
    assert project.build("-W").returncode == 0
    assert "not run" in project.html("claimed")
    for name, (change, expected) in changes.items():
        time.sleep(0.01)  # Sphinx compares times of modification in microseconds
        change()
        built = project.build("-W")
        assert built.returncode == 0, (name, built.stderr)
        assert read_pages(built) == expected, name
    assert "70.00%" in project.html("one")
    assert re.search("✓.reproduced", project.html("claimed"))
