"""What a record says about the code, the machine and the cost that made it."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata, util
from pathlib import Path
from typing import Any

from lithe.ledger.errors import LedgerError

__all__ = ["code_state", "environment", "meter", "peak_megabytes", "source_files", "source_hash"]


def source_files(sources: Sequence[str]) -> dict[str, Path]:
    """The Python files of some packages or modules, by a name that holds on every machine.

    Args:
        sources: dotted names, e.g. ``("lithe.dcff", "lithe.training")``.

    Raises:
        LedgerError: a name that cannot be found.
    """
    if not sources:
        raise LedgerError("sources: name at least one package whose code decides the result")
    files: dict[str, Path] = {}
    for name in sources:
        spec = _spec(name)
        if spec.submodule_search_locations:
            folder = Path(next(iter(spec.submodule_search_locations)))
            files |= {
                f"{name}/{path.relative_to(folder).as_posix()}": path
                for path in folder.rglob("*.py")
            }
        else:
            files[name] = Path(spec.origin)
    return dict(sorted(files.items()))


def source_hash(sources: Sequence[str]) -> str:
    """SHA-256 over names and contents of the files of ``sources``."""
    digest = hashlib.sha256()
    for name, path in source_files(sources).items():
        digest.update(f"{name}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def code_state(sources: Sequence[str]) -> dict[str, Any]:
    """Commit, dirtiness and hash of the source that a record was made with.

    ``dirty`` tells whether a file of ``sources`` differs from the commit or is not in it; it and
    ``commit`` are None outside a git checkout.
    """
    files = [str(path) for path in source_files(sources).values()]
    folder = Path(files[0]).parent if files else Path.cwd()
    changed = _git(folder, "status", "--porcelain", "--untracked-files=all", "--", *files)
    return {
        "commit": _git(folder, "rev-parse", "HEAD"),
        "dirty": None if changed is None else bool(changed),
        "sources": list(sources),
        "sha256": source_hash(sources),
    }


def environment(device: str | None = None) -> dict[str, Any]:
    """Versions, machine and threads.

    Args:
        device: what the run computed on; without it the name of the first CUDA device if torch is
            loaded and sees one, else ``"cpu"``.
    """
    torch = sys.modules.get("torch")
    return {
        "python": platform.python_version(),
        "torch": _version("torch"),
        "numpy": _version("numpy"),
        "platform": f"{platform.system()} {platform.machine()}",
        "device": device or _device(torch),
        "threads": torch.get_num_threads() if torch else None,
        "cpu": _cpu(),
        "cores": os.cpu_count(),
    }


@contextmanager
def meter() -> Iterator[dict[str, float]]:
    """Measure a block: hand the yielded mapping to ``record(cost=...)``.

    The wall seconds can be read at any time after the block; until then only memory is in it.
    """
    cost: dict[str, float] = {}
    start = time.perf_counter()
    try:
        yield cost
    finally:
        cost["wall_s"] = round(time.perf_counter() - start, 3)
        cost["peak_mb"] = peak_megabytes()


def peak_megabytes() -> float:
    """Peak memory of this process so far in megabytes (1e6 bytes): CUDA's if in use, else RSS."""
    torch = sys.modules.get("torch")
    if torch and torch.cuda.is_available() and torch.cuda.max_memory_allocated():
        return round(torch.cuda.max_memory_allocated() / 1e6, 1)
    try:
        import resource
    except ImportError:  # Windows has no resource module
        return 0.0
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB on Linux
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)


def _spec(name: str) -> Any:
    try:
        spec = util.find_spec(name)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None:
        raise LedgerError(f"sources: no module named {name!r} can be found")
    return spec


def _git(folder: Path, *words: str) -> str | None:
    try:
        answer = subprocess.run(
            ["git", *words], cwd=folder, capture_output=True, text=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _device(torch: Any) -> str:
    if torch and torch.cuda.is_available():
        return torch.cuda.get_device_name(0)
    return "cpu"


def _cpu() -> str:
    """The processor's model name: platform.processor() is empty on many Linux systems."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
