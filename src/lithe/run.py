"""Run a chapter's notebook with other numbers: ``python -m lithe.run 01_dcff --profile small``.

A wrapper round papermill that refuses what papermill lets pass: an unknown parameter only warns
there, ``1e-3`` in YAML is a string, the working directory is the caller's, and a failing run
leaves a file that looks like a finished one. Plain ``papermill`` works on the same notebooks.

The result is ``runs/<notebook>/<profile>-<hash of the parameters>.ipynb``. While it runs the
file is called ``.partial.ipynb``; when it fails or is interrupted, ``.failed.ipynb``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from lithe import profiles
from lithe.files import write_atomic
from lithe.notebooks.environment import QUIET, applied
from lithe.notebooks.refreshing import read_source
from lithe.notebooks.tidying import tidy

__all__ = ["RunError", "main", "parse_parameter", "run"]


RESERVED = {"notebook", "profile", "overrides", "out"}  # arguments of run itself


class RunError(RuntimeError):
    """A cell of the notebook failed.

    Attributes:
        path: the notebook as far as it came, with the error in it.
    """

    def __init__(self, message: str, path: Path):
        super().__init__(message)
        self.path = path


def run(
    notebook: str | Path, profile: str = "smoke", *, out: str | Path | None = None, **params: Any
) -> Path:
    """Execute a notebook at a profile and keep the executed copy outside ``notebooks/``.

    Where a ``.py`` twin exists it is what runs: it is the truth of the pair. The kernel's working
    directory is the notebook's folder, its hash seed is fixed and progress bars are off.

    Args:
        notebook: ``"01_dcff"``, or a path to an ``.ipynb`` or ``.py``.
        profile: ``"smoke"``, ``"small"`` or ``"full"``.
        out: folder for results; ``runs/`` beside the notebooks folder if not given.
        **params: parameters that the notebook declares, or keys of its profiles, which reach it
            as ``overrides``.

    Returns:
        Path of the executed notebook.

    Raises:
        ProfileError: no such notebook, profile or parameter (with the nearest name).
        RunError: a cell failed.
        KeyboardInterrupt: interrupted; what had run is kept as for a failure.
    """
    source = find(notebook)
    node = _read(source)
    parameters = _place(node, source, profile, params)
    done = _destination(source, profile, parameters, out)
    partial, failed = done.with_suffix(".partial.ipynb"), done.with_suffix(".failed.ipynb")
    _make_folder(done.parent)
    try:
        _execute(node, partial, parameters, source.resolve().parent)
    except BaseException as error:
        _keep_failed(partial, failed, error)
        if isinstance(error, Exception):
            raise RunError(f"{source.stem}: {error}", failed) from error
        raise
    _finish(partial, done)
    failed.unlink(missing_ok=True)
    return done


def find(notebook: str | Path) -> Path:
    """Find the file to run: the ``.py`` of a pair, or a lone ``.ipynb``.

    Raises:
        ProfileError: there is no such notebook.
    """
    given = Path(notebook)
    named = given.suffix in {".py", ".ipynb"} or len(given.parts) > 1
    base = given if named else profiles.notebooks_folder() / given.name
    base = base.with_suffix("") if base.suffix in {".py", ".ipynb"} else base
    for suffix in (".py", ".ipynb"):
        candidate = base.with_name(base.name + suffix)
        if candidate.is_file():
            return candidate
    there = sorted({path.stem for path in base.parent.glob("[0-9]*_*.*")})
    raise profiles.ProfileError(
        f"no notebook {str(notebook)!r} (there: {', '.join(there) or 'none'})"
        + profiles.nearest(base.name, there)
    )


def parse_parameter(text: str) -> tuple[str, Any]:
    """Read ``key=value``; the value is YAML 1.2, so ``1e-3`` is a number and ``[1, 2]`` a list.

    Raises:
        ProfileError: no ``=``, a key that is no name, or a value that is not YAML.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier():
        raise profiles.ProfileError(f"parameter {text!r} is not of the form key=value")
    return key, profiles.parse_yaml(value)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the command line.

    Returns:
        0 on success, 1 when a cell failed, 2 when the request makes no sense, 130 on Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    try:
        params = dict(parse_parameter(text) for text in options.parameters)
        for key in RESERVED & params.keys():
            raise profiles.ProfileError(_unknown(key, set()))
        print(run(options.notebook, options.profile, out=options.out, **params))
    except profiles.ProfileError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except RunError as error:
        kept = f"\nkept: {error.path}" if error.path.is_file() else ""
        print(f"error: {error}{kept}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; what had run is kept as .failed.ipynb", file=sys.stderr)
        return 130
    return 0


def _read(source: Path) -> NotebookNode:
    try:
        if source.suffix == ".py":
            return read_source(source)
        return nbformat.read(source, as_version=4)
    except Exception as error:  # a damaged notebook makes nbformat raise almost anything
        named = str(error).removeprefix(f"{source.name}: ") or type(error).__name__
        raise profiles.ProfileError(f"{source.name} cannot be read: {named}") from error


def _place(
    node: NotebookNode, source: Path, profile: str, params: dict[str, Any]
) -> dict[str, Any]:
    """Sort parameters into those the notebook declares and entries of its ``overrides``."""
    import papermill

    declared = set(papermill.inspect_notebook(node))
    if "profile" not in declared:
        raise profiles.ProfileError(
            f"{source.name} has no cell tagged 'parameters' that sets profile"
        )
    parameters = {"profile": profile}
    overrides: dict[str, Any] = {}
    allowed = declared - {"profile", "overrides"}
    if "overrides" in declared:
        profiles.profile_path(source.stem, profile, source.parent)  # refuses an unknown profile
        allowed |= profiles.keys(source.stem, source.parent)
    for key, value in params.items():
        if key not in allowed:
            raise profiles.ProfileError(_unknown(key, allowed))
        (parameters if key in declared else overrides)[key] = value
    return parameters | ({"overrides": overrides} if overrides else {})


def _unknown(key: str, allowed: set[str]) -> str:
    if key in RESERVED:
        return f"{key!r} is not set with -p: use --profile, --out, or -p key=value for one value"
    known = ", ".join(sorted(allowed)) or "none"
    return f"unknown parameter {key!r} (known: {known})" + profiles.nearest(key, allowed)


def _destination(
    source: Path, profile: str, parameters: dict[str, Any], out: str | Path | None
) -> Path:
    if profile not in profiles.PROFILES:
        raise profiles.ProfileError(
            f"unknown profile {profile!r}: use one of {', '.join(profiles.PROFILES)}"
        )
    folder = source.resolve().parent
    root = folder.parent if folder.name == "notebooks" else folder
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()[:8]
    return (Path(out) if out else root / "runs") / source.stem / f"{profile}-{digest}.ipynb"


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise profiles.ProfileError(
            f"cannot make the folder {folder} ({error.strerror}): give another one with --out"
        ) from error


def _execute(node: NotebookNode, partial: Path, parameters: dict[str, Any], cwd: Path) -> None:
    import papermill

    with applied(QUIET), warnings.catch_warnings():
        # papermill's own dependencies: event loops closed late, naive datetimes
        warnings.simplefilter("ignore", ResourceWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        papermill.execute_notebook(
            node,
            str(partial.resolve()),
            parameters=parameters,
            cwd=str(cwd),
            progress_bar=False,
            extra_arguments=["--log-level=40"],  # the kernel's start-up notes are no output
        )


def _finish(partial: Path, done: Path) -> None:
    node = nbformat.read(partial, as_version=4)
    tidy(node, pair=False)
    write_atomic(done, nbformat.writes(node) + "\n")
    partial.unlink()


def _keep_failed(partial: Path, failed: Path, error: BaseException) -> None:
    """Rename what was written; an end that left no error in a cell is noted in the last one run."""
    if not partial.is_file():
        return
    node = nbformat.read(partial, as_version=4)
    code = [cell for cell in node.cells if cell.cell_type == "code"]
    outputs = [output for cell in code for output in cell.outputs]
    started = [c for c in code if c.metadata.get("papermill", {}).get("start_time")]
    if started and not any(output.output_type == "error" for output in outputs):
        note = re.sub(r"\s+", " ", str(error))
        started[-1].outputs.append(
            nbformat.v4.new_output("error", ename=type(error).__name__, evalue=note)
        )
    write_atomic(failed, nbformat.writes(node) + "\n")
    partial.unlink()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lithe.run", description="Run a notebook at a profile, through papermill."
    )
    parser.add_argument("notebook", help="01_dcff, or a path")
    parser.add_argument("--profile", default="smoke", metavar="|".join(profiles.PROFILES))
    parser.add_argument(
        "-p", dest="parameters", action="append", default=[], metavar="KEY=VALUE",
        help="a parameter of the notebook, or a key of its profiles; may be repeated",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, help="folder for results (default: runs/)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
