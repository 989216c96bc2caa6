"""The players of the chapter on motion, in the built book: moved by hand, with their sound."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

PAGE = "notebooks/05_syntalker_motion.html"
PLAYERS = """() => [...document.querySelectorAll('.lithe-motion')].map(root => ({
  seconds: root.player ? root.player.length : 0,
  sound: Boolean(root.querySelector('audio')),
  wide: root.getBoundingClientRect().right > document.documentElement.clientWidth + 1,
}))"""


def test_players_survive_the_book(site: Path, open_tab: Callable[..., Any]) -> None:
    tab = open_tab("phone")
    tab.page.goto((site / PAGE).as_uri())
    players = tab.page.evaluate(PLAYERS)
    assert players, "no player in the chapter"
    assert all(one["seconds"] > 0 and not one["wide"] for one in players)
    assert any(one["sound"] for one in players), "none of them is heard"
    assert tab.errors == []
    assert tab.outside == []
