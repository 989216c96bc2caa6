from __future__ import annotations

import sys

import pytest

from lithe.training.progress import progress_bar, watched


@pytest.mark.parametrize(
    ("asked", "terminal", "ci", "shown"),
    [
        (None, True, "", True),
        (None, False, "", False),
        (None, True, "true", False),
        (True, False, "true", True),
        (False, True, "", False),
    ],
)
def test_a_bar_needs_a_terminal_outside_ci_unless_told(asked, terminal, ci, shown, monkeypatch):
    monkeypatch.setenv("CI", ci)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    assert watched(asked) is shown


def test_a_hidden_bar_writes_nothing(capsys):
    with progress_bar(3, "epoch", show=False) as bar:
        bar.update()
    captured = capsys.readouterr()
    assert captured.out + captured.err == ""
