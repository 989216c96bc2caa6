"""The scoreboard's filter in a browser: by key alone, and absent without scripts."""

from __future__ import annotations

from pathlib import Path

import pytest

STATIC = Path(__file__).resolve().parents[2] / "book" / "_static"
CLAIMS = [
    *(("dcff.a.one", "T0", "reproduced"), ("dcff.a.two", "T1", "not reproduced")),
    *(("arm.b.one", "T0", "reproduced"), ("arm.b.two", "T2", "not run")),
]
VISIBLE = """() => [...document.querySelectorAll('table.claims tbody tr')]
  .filter(row => row.checkVisibility()).map(row => row.id)"""
HEADS = "() => [...document.querySelectorAll('h2')].filter(h => h.checkVisibility()).map(h => h.id)"


def row(name: str, tier: str, verdict: str) -> str:
    kind = verdict.replace(" ", "-")
    return (
        f'<tr id="claim-{name.replace(".", "-")}"><td><p>It says T3.</p><p class="claim-place">'
        f"<code>{name}</code> · {tier} · table 1</p></td><td></td><td></td>"
        f'<td><p><span class="verdict verdict-{kind}">x {verdict}</span></p></td></tr>'
    )


@pytest.fixture
def page(tmp_path: Path) -> str:
    """What the directives make of four claims of two papers."""
    parts = []
    for paper in ("dcff", "arm"):
        rows = "".join(row(*claim) for claim in CLAIMS if claim[0].startswith(paper))
        parts.append(
            f'<section><h2 id="{paper}">{paper}</h2>'
            f'<table class="ledger claims"><tbody>{rows}</tbody></table></section>'
        )
    box = '<div class="verdict-box"><p>4 claims</p></div>'
    script = '<script defer src="scoreboard-filter.js"></script>'
    style = '<link rel="stylesheet" href="scoreboard-filter.css">'
    body = f"<article><section><h1>Scoreboard</h1>{box}{''.join(parts)}</section></article>"
    file = tmp_path / "scoreboard.html"
    for name in ("scoreboard-filter.js", "scoreboard-filter.css"):
        (tmp_path / name).write_text((STATIC / name).read_text())
    file.write_text(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>s</title>{style}'
        f"{script}</head><body>{body}</body></html>"
    )
    return file.as_uri()


def test_every_choice_narrows_the_table_down(open_tab, page) -> None:
    tab = open_tab()
    tab.page.goto(page)
    assert len(tab.page.evaluate(VISIBLE)) == 4
    assert tab.page.locator("output").text_content() == "4 of 4 claims"
    tab.page.get_by_label("Paper").select_option("arm")
    assert tab.page.evaluate(VISIBLE) == ["claim-arm-b-one", "claim-arm-b-two"]
    assert tab.page.evaluate(HEADS) == ["arm"]
    tab.page.get_by_label("Tier").select_option("T2")
    assert tab.page.evaluate(VISIBLE) == ["claim-arm-b-two"]
    tab.page.get_by_label("Verdict").select_option("reproduced")
    assert tab.page.evaluate(VISIBLE) == []
    assert tab.page.locator("output").text_content() == "0 of 4 claims"
    tab.page.get_by_role("button", name="Show all").click()
    tab.page.wait_for_function("document.querySelector('output').textContent.startsWith('4')")
    assert len(tab.page.evaluate(VISIBLE)) == 4
    assert (tab.errors, tab.outside) == ([], [])


def test_it_is_worked_by_keys_alone(open_tab, page) -> None:
    tab = open_tab("phone")
    tab.page.goto(page)
    tab.page.keyboard.press("Tab")
    tab.page.keyboard.press("Tab")
    tab.page.keyboard.press("Tab")
    assert tab.page.evaluate("document.activeElement.name") == "verdict"
    tab.page.keyboard.press("ArrowDown")
    tab.page.keyboard.press("ArrowDown")
    assert tab.page.evaluate(VISIBLE) == ["claim-dcff-a-two"]
    tab.page.keyboard.press("Tab")
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_function("document.querySelector('output').textContent.startsWith('4')")
    assert len(tab.page.evaluate(VISIBLE)) == 4


def test_a_link_to_a_claim_shows_it(open_tab, page) -> None:
    tab = open_tab()
    tab.page.goto(page)
    tab.page.get_by_label("Paper").select_option("arm")
    tab.page.evaluate("location.hash = 'claim-dcff-a-one'")
    tab.page.wait_for_function("document.querySelector('output').textContent.startsWith('4')")
    assert "claim-dcff-a-one" in tab.page.evaluate(VISIBLE)


def test_without_scripts_the_page_is_the_whole_table(browser, page) -> None:
    context = browser.new_context(java_script_enabled=False)
    try:
        tab = context.new_page()
        tab.goto(page)
        assert tab.locator("table.claims tbody tr").count() == 4
        assert tab.locator(".claims-filter").count() == 0
    finally:
        context.close()
