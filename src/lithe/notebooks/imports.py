"""Which source files of Lithe a notebook rests on."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

__all__ = ["source_files"]

PACKAGE = Path(__file__).resolve().parents[1]


def source_files(code: str, package: Path = PACKAGE) -> list[Path]:
    """List every file of the package that running ``code`` may execute.

    The closure is over ``import`` statements, those inside functions included, so it errs on the
    side of too much; and a subpackage that is imported counts whole, with its data files. What is
    reached only through ``importlib`` or a subprocess is not seen.

    Args:
        code: Python source of all code cells.
        package: folder of the package; its name is the import name.

    Returns:
        Sorted paths; the package's own ``__init__.py`` is always among them.
    """
    found: set[Path] = {package / "__init__.py"}
    todo = _resolve(_imported(code, package.name), package)
    while todo:
        path = todo.pop()
        if path in found:
            continue
        found.add(path)
        if path.suffix == ".py":
            todo |= _resolve(_names_in(path, path.stat().st_mtime_ns, package), package)
    return sorted(found)


@lru_cache(maxsize=1024)
def _names_in(path: Path, _modified: int, package: Path) -> frozenset[str]:
    parts = path.relative_to(package.parent).with_suffix("").parts
    module = parts[:-1] if parts[-1] == "__init__" else parts
    anchor = module if parts[-1] == "__init__" else module[:-1]
    return frozenset(_imported(path.read_text(encoding="utf-8"), package.name, anchor))


def _imported(code: str, name: str, anchor: tuple[str, ...] = ()) -> set[str]:
    """Dotted names below ``name`` that ``code`` imports; ``from a import b`` yields ``a.b``.

    ``a.b`` after a plain ``import a`` counts too, since the package loads its parts on first use.
    """
    names: set[str] = set()
    tree = list(ast.walk(ast.parse(code)))
    roots = {name}
    for node in tree:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
            roots |= {alias.asname for alias in node.names if alias.asname and alias.name == name}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                kept = anchor[: len(anchor) - node.level + 1]
                base = ".".join([*kept, *filter(None, [node.module])])
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    for node in tree:
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", None) in roots:
            names.add(f"{name}.{node.attr}")
    return {found for found in names if found.split(".")[0] == name}


def _resolve(names: Iterable[str], package: Path) -> set[Path]:
    paths: set[Path] = set()
    for name in names:
        _, *parts = name.split(".")
        for depth in range(1, len(parts) + 1):
            target = package.joinpath(*parts[:depth])
            if target.is_dir():
                paths |= _whole(target)
                break
            if target.with_suffix(".py").is_file():
                paths.add(target.with_suffix(".py"))
                break
    return paths


def _whole(folder: Path) -> set[Path]:
    return {
        path
        for path in folder.rglob("*")
        if path.is_file() and not _hidden(path.relative_to(folder))
    }


def _hidden(path: Path) -> bool:
    return any(part == "__pycache__" or part.startswith(".") for part in path.parts)
