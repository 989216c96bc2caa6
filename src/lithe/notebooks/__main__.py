"""``python -m lithe.notebooks refresh|check|nbval [01 ...]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lithe.notebooks.checks import check, sources
from lithe.notebooks.execution import NotebookError
from lithe.notebooks.refreshing import refresh
from lithe.notebooks.regression import nbval
from lithe.profiles import ProfileError, notebooks_folder

DOES = {
    "refresh": "execute the .py files at smoke and write their .ipynb twins",
    "check": "check pairs, outputs, freshness, sizes and the chapter template; runs nothing",
    "nbval": "check, then execute again and compare every output",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one action on all notebooks, or on those named.

    Returns:
        0 when all is well, 1 when a notebook is not, 2 when the request makes no sense.
    """
    options = _parser().parse_args(arguments)
    try:
        folder = options.folder or notebooks_folder()
        chosen = sources(folder, options.names)
        if not chosen:
            raise ValueError(f"no notebooks (NN_name.py) in {folder}")
    except (ProfileError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return {"refresh": _refresh, "check": _check, "nbval": _nbval}[options.action](chosen)


def _refresh(chosen: list[Path]) -> int:
    failed = 0
    for source in chosen:
        try:
            print(f"{refresh(source).name}: executed", flush=True)
        except (NotebookError, ValueError) as error:
            failed += 1
            print(f"error: {error}", file=sys.stderr)
    return 1 if failed else 0


def _check(chosen: list[Path]) -> int:
    problems = [problem for source in chosen for problem in check(source)]
    for problem in problems:
        print(problem)
    print(f"{len(chosen)} notebooks, {len(problems)} problems")
    return 1 if problems else 0


def _nbval(chosen: list[Path]) -> int:
    return _check(chosen) or nbval([source.with_suffix(".ipynb") for source in chosen])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lithe.notebooks")
    actions = parser.add_subparsers(dest="action", required=True)
    for name, text in DOES.items():
        action = actions.add_parser(name, help=text, description=text)
        action.add_argument("names", nargs="*", metavar="NOTEBOOK", help="01 or 01_dcff; all")
        action.add_argument("--folder", type=Path, help="the notebooks folder")
    return parser


if __name__ == "__main__":
    sys.exit(main())
