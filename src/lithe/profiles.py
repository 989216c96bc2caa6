"""Profiles: the numbers that turn one notebook into a smoke, a small or a full run.

A profile is ``notebooks/params/<notebook>/<profile>.yaml``: a flat mapping whose keys are fields
of the config class of that notebook. All three profiles run the same code with other numbers.

Numbers follow YAML 1.2: ``1e-3`` is a number here, though PyYAML alone reads it as a string, and
``no`` or ``1:30`` stay the strings they look like.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

__all__ = [
    "PROFILES",
    "ProfileError",
    "keys",
    "load",
    "nearest",
    "notebooks_folder",
    "parse_yaml",
    "profile_path",
    "reasons",
]

PROFILES = ("smoke", "small", "full")

ConfigT = TypeVar("ConfigT", bound=BaseModel)


class ProfileError(ValueError):
    """A profile, a key or a value that does not exist or does not fit."""


def load(
    notebook: str,
    profile: str,
    config_class: type[ConfigT],
    *,
    folder: str | Path | None = None,
    **overrides: Any,
) -> ConfigT:
    """Fill a config from a notebook's profile, with single values replaced by ``overrides``.

    A config that has a field ``profile`` gets the profile's name in it.

    Args:
        notebook: name without suffix, ``"01_dcff"``.
        profile: ``"smoke"``, ``"small"`` or ``"full"``.
        config_class: a pydantic model with ``frozen=True, extra="forbid"``.
        folder: the folder that holds ``params/``; found by :func:`notebooks_folder` if not given.
        **overrides: values that replace those of the profile; fields of ``config_class``.

    Returns:
        An instance of ``config_class``.

    Raises:
        ProfileError: no such profile or key (with the nearest name), or a value out of range.
        TypeError: ``config_class`` is not a frozen pydantic model that forbids extra keys.
    """
    _require_strict(config_class)
    path = profile_path(notebook, profile, folder)
    values = _read(path)
    _refuse_unknown(values, config_class.model_fields, where=f"{_label(path)}: ")
    _refuse_unknown(overrides, config_class.model_fields, where="override: ")
    values |= overrides
    if "profile" in config_class.model_fields:
        values.setdefault("profile", profile)
    try:
        return config_class.model_validate(values)
    except ValidationError as error:
        raise ProfileError(
            f"{_label(path)}: {reasons(error, config_class.model_fields)}"
        ) from error


def profile_path(notebook: str, profile: str, folder: str | Path | None = None) -> Path:
    """Find ``params/<notebook>/<profile>.yaml``.

    Raises:
        ProfileError: the profile is none of :data:`PROFILES`, the notebook's name is not a plain
            name, or the file is missing (the message lists what is there).
    """
    if profile not in PROFILES:
        raise ProfileError(
            f"unknown profile {profile!r}: use one of {', '.join(PROFILES)}"
            + nearest(str(profile), PROFILES)
        )
    root = _params(notebook, folder)
    path = root / f"{profile}.yaml"
    if not path.is_file():
        there = ", ".join(sorted(p.stem for p in root.glob("*.yaml"))) or "none"
        raise ProfileError(f"notebook {notebook!r} has no profile {profile!r} (there: {there})")
    return path


def keys(notebook: str, folder: str | Path | None = None) -> set[str]:
    """All keys that any profile of ``notebook`` sets: what an override may name."""
    found: set[str] = set()
    for path in sorted(_params(notebook, folder).glob("*.yaml")):
        found |= _read(path).keys()
    return found


def notebooks_folder(start: str | Path | None = None) -> Path:
    """Find the folder of the notebooks: from the working directory upwards, else the source tree.

    A folder counts when it holds ``params/``: a kernel runs inside it, a shell beside it.

    Args:
        start: where the search begins; the working directory if not given.

    Raises:
        ProfileError: neither place has one.
    """
    given = os.environ.get("LITHE_NOTEBOOKS")
    if given and not Path(given).is_dir():
        raise ProfileError(f"LITHE_NOTEBOOKS is {given!r}, which is no folder; unset or mend it")
    source_tree = Path(__file__).resolve().parents[2]
    start = Path(given or start or Path.cwd()).resolve()
    for parent in (start, *start.parents, source_tree):
        for candidate in (parent, parent / "notebooks"):
            if (candidate / "params").is_dir():
                return candidate
    raise ProfileError(f"no notebooks/params above {start}: run inside the repository of the book")


def parse_yaml(text: str) -> Any:
    """Read YAML with the scalars of YAML 1.2, refusing a key that is written twice.

    Returns:
        Plain dicts, lists, strings, numbers, booleans and ``None``.

    Raises:
        ProfileError: malformed YAML, a tag or a duplicate key.
    """
    try:
        value = yaml.load(text, Loader=_CoreLoader)  # a SafeLoader: builds plain values only
        json.dumps(value)  # refuses sets, bytes, and a list inside itself
    except (yaml.YAMLError, TypeError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ProfileError(f"not readable as YAML: {reason}") from error
    return value


def nearest(name: str, known: Iterable[str]) -> str:
    """Give ``"; did you mean 'epochs'?"``, or an empty string when nothing is near."""
    found = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {found[0]!r}?" if found else ""


class _CoreLoader(yaml.SafeLoader):
    """SafeLoader with the core schema of YAML 1.2 in place of the one of YAML 1.1."""

    yaml_implicit_resolvers: dict[str, list] = {}  # noqa: RUF012  (PyYAML reads the class attribute)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is not a string", key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is written twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


_SCALARS = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?(0|[1-9][0-9]*)", list("-+0123456789")),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+"
        r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
}
for _tag, (_pattern, _first) in _SCALARS.items():
    _CoreLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first
    )


def _params(notebook: str, folder: str | Path | None) -> Path:
    if not re.fullmatch(r"[\w-]+", notebook):
        raise ProfileError(f"notebook {notebook!r} is not a plain name such as '01_dcff'")
    params = (Path(folder) if folder is not None else notebooks_folder()) / "params"
    if not (params / notebook).is_dir():
        there = sorted(p.name for p in params.glob("*") if p.is_dir())
        raise ProfileError(
            f"no profiles for notebook {notebook!r} (there: {', '.join(there) or 'none'})"
            + nearest(notebook, there)
        )
    return params / notebook


def _read(path: Path) -> dict[str, Any]:
    try:
        values = parse_yaml(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ProfileError) as error:
        raise ProfileError(f"{_label(path)}: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ProfileError(f"{_label(path)}: expected 'key: value' lines, got {values!r}")
    return values


def _refuse_unknown(given: Iterable[str], known: Iterable[str], where: str) -> None:
    known = list(known)
    unknown = [key for key in given if key not in known]
    if unknown:
        hints = " and ".join(f"{key!r}{nearest(key, known)}" for key in unknown)
        raise ProfileError(f"{where}unknown key {hints} (known: {', '.join(known)})")


def _require_strict(config_class: type) -> None:
    if not (isinstance(config_class, type) and issubclass(config_class, BaseModel)):
        raise TypeError(f"config_class must be a pydantic model, got {config_class!r}")
    settings = config_class.model_config
    if not settings.get("frozen") or settings.get("extra") != "forbid":
        raise TypeError(
            f"{config_class.__name__} must set ConfigDict(frozen=True, extra='forbid'), "
            f"has {dict(settings)}"
        )


def reasons(error: ValidationError, known: Iterable[str] = ()) -> str:
    """One line out of pydantic's several: each field, its value, what is wrong with it.

    Args:
        error: of a config.
        known: the config's fields, of which the nearest is offered for an unknown key.
    """
    return "; ".join(_reason(item, list(known)) for item in error.errors())


def _reason(item: Any, known: list[str]) -> str:
    place = ".".join(map(str, item["loc"]))
    if item["type"] == "extra_forbidden":
        return f"unknown key {place!r}{nearest(place, known)}"
    problem = item["msg"].removeprefix("Value error, ")
    return f"{place} = {item['input']!r:.80}: {problem}" if place else problem


def _label(path: Path) -> str:
    return f"params/{path.parent.name}/{path.name}"
