"""Reading ``claims/<paper>.yml``, with errors that name file, line, claim and key."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from lithe.ledger.errors import LedgerError
from lithe.ledger.place import claims_folder
from lithe.ledger.schema import Claim, ClaimFile

__all__ = ["claim", "claims", "load_claims", "problems"]

COMPUTED = {"verdict", "ours", "why"}


def claims(root: str | Path | None = None) -> list[Claim]:
    """All claims of the book, file by file, in their order.

    Raises:
        LedgerError: a file does not follow the schema; one line per problem.
    """
    files = sorted(claims_folder(root).glob("*.yml"))
    return [claim for path in files for claim in load_claims(path).claims]


def claim(claim_id: str, root: str | Path | None = None) -> Claim:
    """The claim of an id.

    Raises:
        LedgerError: no claim has it.
    """
    paper = claim_id.partition(".")[0]
    papers = sorted(path.stem for path in claims_folder(root).glob("*.yml"))
    if paper not in papers:
        known = ", ".join(papers) or "none"
        raise LedgerError(
            f"no claim {claim_id!r}: an id is paper.group.name, and the papers are {known}"
        )
    found = {one.id: one for one in load_claims(claims_folder(root) / f"{paper}.yml").claims}
    if claim_id not in found:
        near = get_close_matches(claim_id, found, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise LedgerError(f"no claim {claim_id!r} in claims/{paper}.yml{hint}")
    return found[claim_id]


def load_claims(path: Path) -> ClaimFile:
    """Read one claims file.

    Raises:
        LedgerError: it does not follow the schema; one line per problem.
    """
    stamp = (path.stat().st_mtime_ns, path.stat().st_size)
    if path not in _READ or _READ[path][0] != stamp:
        faults, read = _parse(path)
        if faults or read is None:
            raise LedgerError("\n".join(faults))
        _READ[path] = (stamp, read)
    return _READ[path][1]


_READ: dict[Path, tuple[tuple[int, int], ClaimFile]] = {}


def problems(path: Path) -> list[str]:
    """What is wrong with a claims file, as ``file:line: claim: key: problem``."""
    return _parse(path)[0]


def _parse(path: Path) -> tuple[list[str], ClaimFile | None]:
    name = f"claims/{path.name}"
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
        repeated = _duplicates(node)
    except (OSError, RecursionError, ValueError) as error:  # bytes, dates, a node inside itself
        return [f"{name}:1: cannot be read: {error}"], None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        return [f"{name}:{line}: not YAML: {getattr(error, 'problem', error)}"], None
    if not isinstance(data, dict):
        return [f"{name}:1: must be a mapping with paper, title, cite and claims"], None
    faults = [f"{name}:{line}: {key!r} is given twice" for key, line in repeated]
    if data.get("paper") != path.stem:
        faults.append(
            f"{name}:1: paper must be {path.stem!r} as the file, got {data.get('paper')!r}"
        )
    try:
        read = ClaimFile.model_validate(data)
    except ValidationError as error:
        return faults + [_fault(name, node, data, entry) for entry in error.errors()], None
    return faults, read


def _fault(name: str, node: yaml.Node, data: Any, entry: dict[str, Any]) -> str:
    loc = entry["loc"]
    row = ""
    if len(loc) > 1 and loc[0] == "claims" and isinstance(loc[1], int):
        item = data["claims"][loc[1]]
        row = f" {item.get('id', f'claim {loc[1] + 1}') if isinstance(item, dict) else item}:"
        loc = loc[2:]
    key = ".".join(str(part) for part in loc)
    problem = entry["msg"].removeprefix("Value error, ")
    if entry["type"] == "extra_forbidden":
        problem = "verdicts are computed, never typed" if key in COMPUTED else "unknown key"
    line = _line(node, entry["loc"])
    return f"{name}:{line}:{row} {key + ': ' if key else ''}{problem}"


def _line(node: yaml.Node, loc: tuple[Any, ...]) -> int:
    """The line of the deepest key of ``loc`` that the file has."""
    line = node.start_mark.line + 1
    for key in loc:
        if isinstance(node, yaml.SequenceNode) and isinstance(key, int):
            node = node.value[key]
        elif isinstance(node, yaml.MappingNode):
            pair = next(((k, v) for k, v in node.value if k.value == key), None)
            if pair is None:
                return line
            line, node = pair[0].start_mark.line + 1, pair[1]
            continue
        else:
            return line
        line = node.start_mark.line + 1
    return line


def _duplicates(node: yaml.Node | None) -> list[tuple[str, int]]:
    """Keys that a mapping has twice: YAML would silently keep the last."""
    found: list[tuple[str, int]] = []
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            found += _duplicates(item)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                found.append((key.value, key.start_mark.line + 1))
            seen.add(key.value)
            found += _duplicates(value)
    return found
