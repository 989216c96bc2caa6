from __future__ import annotations

import nbformat
import pytest
from nbformat import NotebookNode

from lithe.notebooks import chapter

VERDICTS = "```{verdicts} dcff\n```"
STEPS = [f"### Step {i}" for i in (1, 2, 3)]
HEADS = [f"## {name} and more" for name in chapter.PARTS]


def notebook(parts: list[str], steps: list[str], opening: str = VERDICTS) -> NotebookNode:
    v4 = nbformat.v4
    cells = [v4.new_markdown_cell(f"# Fuse filters\n\n{opening}")]
    for part in parts:
        cells.append(v4.new_markdown_cell(part))
        if "Build it up" in part:
            for step in steps:
                cells += [v4.new_markdown_cell(step), v4.new_code_cell("x = 1\nassert x == 1")]
    return v4.new_notebook(cells=[*cells, v4.new_markdown_cell("### Further reading")])


def messages(node: NotebookNode) -> list[str]:
    return [message for _, message in chapter.parts(node)]


def test_a_whole_chapter_passes():
    assert messages(notebook(HEADS, STEPS)) == []


def test_other_headings_may_stand_between():
    assert messages(notebook([*HEADS[:3], "## An aside", *HEADS[3:]], STEPS)) == []


@pytest.mark.parametrize("index", range(len(HEADS)))
def test_a_missing_part_is_named_with_the_order(index: int):
    found = messages(notebook(HEADS[:index] + HEADS[index + 1 :], STEPS))
    assert found[0].startswith(f"part missing: a heading '## {list(chapter.PARTS)[index]} ...'")
    assert "What you will do | The claim in one picture" in found[0]
    assert len(found) == 1


def test_parts_out_of_order_are_found():
    swapped = [HEADS[1], HEADS[0], *HEADS[2:]]
    assert "'The claim in one picture' is out of order" in messages(notebook(swapped, STEPS))[0]


def test_a_part_given_twice_is_found():
    assert "more than once" in messages(notebook([*HEADS, HEADS[-1]], STEPS))[0]


def test_a_heading_inside_a_fence_is_no_part():
    fenced = [f"```\n{HEADS[0]}\n```", *HEADS[1:]]
    assert len(messages(notebook(fenced, STEPS))) == 1


@pytest.mark.parametrize("count", [0, 2, 7])
def test_build_it_up_has_three_to_six_steps(count: int):
    found = messages(notebook(HEADS, [f"### Step {i}" for i in range(count)]))
    assert found == [f"'Build it up' has {count} '###' steps, should have 3 to 6"]


def test_each_step_has_an_assert():
    node = notebook(HEADS, STEPS)
    cell = next(cell for cell in node.cells if cell.cell_type == "code")
    cell.source = "x = 1  # no assert here"
    assert messages(node) == ["step 'Step 1' has no cell with an assert: show that it holds"]


def test_the_verdict_box_stands_before_the_first_part():
    late = [HEADS[0] + "\n\n" + VERDICTS, *HEADS[1:]]
    for node in (notebook(HEADS, STEPS, opening="words"), notebook(late, STEPS, opening="words")):
        assert [text[:14] for text in messages(node)] == ["no verdict box"]


def test_the_verdict_box_may_share_a_cell_with_the_first_part():
    joined = [VERDICTS + "\n\n" + HEADS[0], *HEADS[1:]]
    assert messages(notebook(joined, STEPS, opening="words")) == []


def test_title_and_further_reading_are_required():
    node = notebook(HEADS, STEPS)
    node.cells[0].source = VERDICTS
    node.cells.pop()
    assert len(messages(node)) == 2


@pytest.mark.parametrize(
    ("stem", "expected"),
    [
        ("01_dcff", True),
        ("05_syntalker", True),
        ("06_syntalker_space", True),
        ("00_start", False),
        ("01_dcff_extra", False),
    ],
)
def test_only_the_chapters_of_papers_follow_the_template(stem: str, expected: bool):
    assert chapter.is_chapter(stem) is expected
