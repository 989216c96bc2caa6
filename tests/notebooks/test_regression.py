"""nbval on a small notebook: equal outputs pass, a changed one fails."""

from __future__ import annotations

from pathlib import Path

import nbformat

from lithe.notebooks.regression import nbval


def test_equal_outputs_pass_and_a_changed_output_fails(pair: Path, capfd):
    good = pair.rename(pair.with_name("01_good.ipynb"))
    notebook = nbformat.read(good, as_version=4)
    notebook.cells[4].outputs[0].data["text/plain"] = "43"
    nbformat.write(notebook, pair.with_name("02_changed.ipynb"))
    status = nbval([pair.parent])
    out = capfd.readouterr().out
    assert status == 1
    assert "1 failed, 7 passed" in out
    assert "02_changed.ipynb::Cell 3" in out
