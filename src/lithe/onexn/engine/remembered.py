"""What was measured on this machine, kept between runs."""

from __future__ import annotations

import hashlib
import json
import platform
from functools import cache
from pathlib import Path
from typing import Any

import torch

from lithe.files import write_json
from lithe.onexn import kernels
from lithe.onexn.kernels.cache import folder
from lithe.onexn.kernels.isa import named

__all__ = ["FILE", "machine", "recall", "remember"]

FILE, VERSION = "choices.json", 1
Times = dict[str, float]


def recall(keys: list[str]) -> dict[str, Times]:
    """Milliseconds by name of alternative, for those keys that were measured before.

    A file that is missing, damaged or of another version counts as empty.
    """
    known = _read()
    return {key: known[key] for key in keys if key in known}


def remember(measured: dict[str, Times]) -> bool:
    """Add measurements; False where the folder cannot be written, which is no error.

    Two processes that write at once may lose each other's additions, never the file.
    """
    try:
        own = folder()
        own.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_json(own / FILE, {"version": VERSION, "times_ms": _read() | measured})
    except OSError:
        return False
    return True


def machine() -> str:
    """What a time depends on beside shapes: processor, torch, and the kernels' source.

    The instruction set is the one that kernels are written for now, less than the host's under
    LITHE_ISA; its features are told apart, for a virtual machine may hide some.
    """
    isa = named()
    features = hashlib.sha256(isa.features.encode()).hexdigest()[:12]
    parts = (platform.machine(), _processor(), isa.name, isa.cpu, features, torch.__version__)
    return " ".join((*parts, _sources()))


@cache
def _sources() -> str:
    digest = hashlib.sha256()
    for source in sorted(Path(kernels.__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:12]


@cache
def _processor() -> str:
    """The model's name where Linux tells it: LLVM knows families only."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _read() -> dict[str, Times]:
    try:
        content = json.loads((folder() / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(content, dict) or content.get("version") != VERSION:
        return {}
    known = content.get("times_ms")
    return {k: v for k, v in known.items() if _sound(v)} if isinstance(known, dict) else {}


def _sound(times: Any) -> bool:
    return isinstance(times, dict) and all(
        isinstance(ms, int | float) and not isinstance(ms, bool) and 0 < ms < float("inf")
        for ms in times.values()
    )
