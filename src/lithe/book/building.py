"""Building the book from a copy of the work tree, so that the tree itself stays clean."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from lithe.book.site import pages_of_toc, problems
from lithe.notebooks.environment import applied

__all__ = ["BuildError", "build", "copy_tree"]

BUILDER = "import sys; from jupyter_book.cli.main import main; sys.exit(main())"
REPORTED_LINES = 60
COLOUR = re.compile(r"\x1b\[[\d;]*m")


class BuildError(RuntimeError):
    """The book could not be built, or is not what it has to be; the message lists why."""


def build(root: str | Path, out: str | Path | None = None, *, execute: bool = True) -> Path:
    """Build the book of a checkout as one static folder.

    The files that git knows or would know are copied to ``<out>/source``; there the notebooks are
    executed at the smoke profile and the pages are built with every warning an error.

    Args:
        root: the checkout, which holds ``_config.yml`` and ``_toc.yml``.
        out: where to build; ``_build`` in the checkout without it.
        execute: run the notebooks; without it their stored outputs are shown.

    Returns:
        The page to open.

    Raises:
        BuildError: no checkout there, a page does not build, a page is missing, a page asks for
            something from outside, or an image has no alternative text.
    """
    root = Path(root).resolve()
    out = Path(out).resolve() if out else root / "_build"
    source = out / "source"
    copy_tree(root, source, leave_out=out)
    with applied(_environment(source)):
        if execute:
            _execute(source)
        built = _pages(source, out)
    html = out / "html"
    shutil.rmtree(html, ignore_errors=True)
    shutil.move(built, html)
    pages = pages_of_toc(source / "_toc.yml")
    if found := problems(html, pages):
        raise BuildError("\n".join(found))
    return html / f"{pages[0]}.html"


def copy_tree(root: Path, target: Path, leave_out: Path) -> None:
    """Copy tracked files, and untracked ones that git does not ignore, to a fresh ``target``.

    Raises:
        BuildError: ``root`` is not a git checkout with a book.
    """
    if not (root / "_toc.yml").is_file():
        raise BuildError(f"no _toc.yml in {root}: give the folder of the checkout")
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root, capture_output=True, check=False)
    if listed.returncode:
        raise BuildError(f"{root} is not a git checkout: {listed.stderr.decode().strip()}")
    shutil.rmtree(target, ignore_errors=True)
    for name in sorted(set(os.fsdecode(listed.stdout).split("\0")) - {""}):
        path = root / name
        if path.is_file() and leave_out not in path.parents:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target / name)


def _execute(source: Path) -> None:
    """Run the notebooks of the table of contents in place, at the smoke profile."""
    from lithe.notebooks import execute

    for page in pages_of_toc(source / "_toc.yml"):
        notebook = source / f"{page}.ipynb"
        if notebook.is_file():
            execute(notebook, profile="smoke")


def _pages(source: Path, out: Path) -> Path:
    """Run jupyter-book in a fresh folder: pages that failed once can seem to succeed again."""
    work = out / "pages"
    for stale in (work, out / ".doctrees"):
        shutil.rmtree(stale, ignore_errors=True)
    options = ["-W", "-n", "--keep-going", "--path-output", str(work)]
    command = [sys.executable, "-c", BUILDER, "build", str(source), *options]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    html = work / "_build" / "html"
    if done.returncode or not html.is_dir():
        raise BuildError(_report(done.stdout, done.stderr))
    return html


def _report(stdout: str, stderr: str) -> str:
    """The warnings if there are any, else the end of what was printed."""
    plain = COLOUR.sub("", stderr)
    lines = [line for line in plain.splitlines() if "WARNING" in line or "ERROR" in line]
    return "\n".join(lines or (stdout + plain).splitlines()[-REPORTED_LINES:])


def _environment(source: Path) -> dict[str, str]:
    """Notebooks and autodoc see the copy: its package, and its book for records of smoke runs."""
    folders = [str(source / "src"), os.environ.get("PYTHONPATH")]
    return {
        "PYTHONPATH": os.pathsep.join(filter(None, folders)),
        "LITHE_BOOK": str(source / "book"),
    }
