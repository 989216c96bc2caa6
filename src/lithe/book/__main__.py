"""``python -m lithe.book build | lint | readme``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lithe.book.building import BuildError, build
from lithe.book.lint import lint
from lithe.book.readme import ReadmeError, update
from lithe.book.site import pages_of_toc


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (BuildError, ReadmeError) as error:
        print(error, file=sys.stderr)
        return 1


def build_command(options: argparse.Namespace) -> int:
    """Build, and print the path to open."""
    page = build(options.root, options.out, execute=options.execute)
    count = len(pages_of_toc(options.root / "_toc.yml"))
    print(f"{count} pages: open {page}")
    return 0


def lint_command(options: argparse.Namespace) -> int:
    """Print every measured number that was typed into prose; exit 1 if there is one."""
    paths = options.paths or pages(options.root)
    found = lint(paths)
    for bare in found:
        print(bare)
    if not found:
        print(f"{len(paths)} pages, no typed measurement")
    return 1 if found else 0


def readme_command(options: argparse.Namespace) -> int:
    """Write the scoreboard and the picture of README.md afresh."""
    update(options.root)
    return 0


def pages(root: Path) -> list[Path]:
    """The sources of the book's prose: ``book/**/*.md`` and ``notebooks/*.py``."""
    return sorted((root / "book").rglob("*.md")) + sorted((root / "notebooks").glob("*.py"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lithe.book", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path.cwd(), help="the checkout (default: .)")
    commands = parser.add_subparsers(required=True)
    built = commands.add_parser("build", help="make the static site")
    built.add_argument("--out", type=Path, help="where to build (default: _build)")
    built.add_argument(
        "--no-execute", dest="execute", action="store_false", help="show the stored outputs"
    )
    built.set_defaults(run=build_command)
    linted = commands.add_parser("lint", help="find measured numbers that were typed")
    linted.add_argument("paths", nargs="*", type=Path, help="pages (default: all of the book)")
    linted.set_defaults(run=lint_command)
    made = commands.add_parser("readme", help="write the made parts of README.md afresh")
    made.set_defaults(run=readme_command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
