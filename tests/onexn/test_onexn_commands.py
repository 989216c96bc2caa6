"""Options that would be ignored or would exhaust the machine are refused at the command line."""

from __future__ import annotations

import pytest

from lithe.onexn import bench, run


@pytest.mark.parametrize(
    "options", [["--seed", "3"], ["--dry-run"], ["--sparsity", "0.9"], ["--weights", "x"]]
)
def test_options_of_a_row_without_a_row(options, capsys):
    with pytest.raises(SystemExit) as stopped:
        run.main(["--profile", "smoke", *options])
    assert stopped.value.code == 2
    assert "belong to --key" in capsys.readouterr().err


def test_blocks_taller_than_any_layer(capsys):
    with pytest.raises(SystemExit) as stopped:
        bench.main(["--n", "99999999999999"])
    assert stopped.value.code == 2
    assert "at most 2048" in capsys.readouterr().err
