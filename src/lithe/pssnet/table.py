"""Latency tables: microseconds of every block, and their sum for a subnet."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from copy import copy
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from lithe.files import write_json
from lithe.pssnet.block import Block
from lithe.pssnet.space import Space, Subnet

__all__ = ["LatencyTable", "MissingEntryError"]

FORMAT = "lithe-latency-table"
VERSION = 1
FIELDS = ("kind", "in_size", "cin", "cout", "cmid", "kernel", "stride", "padding")
#: Codes of the published tables' ``block`` column.
KINDS = ("Conv2d", "MBV1Block", "MBV2Block", "Linear")


class MissingEntryError(LookupError):
    """A latency table has no entry for a block; the message names the block."""


class LatencyTable:
    """Measured time of blocks on one device or several.

    Args:
        times: for each device, microseconds of each block.
        device: the device that is asked when none is named; the first if left out.
        spread: for each device, 10th and 90th percentile of the blocks that have them,
            microseconds.
        about: how it was measured: fingerprint of the machine, threads, repeats and so on;
            anything JSON can carry.

    Attributes:
        device: the device that is asked when none is named.
        devices: all devices.
        about: as given.

    Raises:
        ValueError: no device, an unknown one, or a time that is not positive and finite.
    """

    def __init__(
        self,
        times: Mapping[str, Mapping[Block, float]],
        device: str | None = None,
        spread: Mapping[str, Mapping[Block, tuple[float, float]]] | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        if not times:
            raise ValueError("a latency table needs at least one device")
        self.times = {name: dict(column) for name, column in times.items()}
        self.spread = {name: dict((spread or {}).get(name, {})) for name in times}
        self.about = dict(about or {})
        self.device = self._known(next(iter(times)) if device is None else device)
        for name, column in self.times.items():
            _check_times(name, column)

    @property
    def devices(self) -> tuple[str, ...]:
        """Names of all devices."""
        return tuple(self.times)

    def __len__(self) -> int:
        return len(self.times[self.device])

    def __eq__(self, other: object) -> bool:
        """Whether ``other`` gives the same times for the same device."""
        if not isinstance(other, LatencyTable):
            return NotImplemented
        return (self.device, self.times, self.spread) == (other.device, other.times, other.spread)

    def __hash__(self) -> int:
        return hash((self.device, tuple((name, len(t)) for name, t in self.times.items())))

    def on(self, device: str) -> LatencyTable:
        """The same table, asked about ``device``."""
        other = copy(self)  # shares the entries
        other.device = self._known(device)
        return other

    def block_us(self, block: Block) -> float:
        """Microseconds of one block on ``self.device``.

        Raises:
            MissingEntryError: the table lacks it.
        """
        try:
            return self.times[self.device][block]
        except KeyError:
            raise MissingEntryError(
                f"the {self.device} table has no entry for {block}; it has {len(self)} others"
            ) from None

    def latency_us(self, space: Space, subnet: Subnet, device: str | None = None) -> float:
        """Predicted latency of a subnet: the plain sum over its blocks. Source: spec 5.2.

        Args:
            space: where the subnet comes from.
            subnet: what to predict.
            device: which column; ``self.device`` if left out.

        Returns:
            Microseconds.

        Raises:
            MissingEntryError: a block is not in the table; the message names it.
            ValueError: the subnet is not of this space, or the device is unknown.
        """
        table = self if device is None else self.on(device)
        return float(sum(table.block_us(block) for block in space.blocks(space.check(subnet))))

    def missing(self, blocks: Iterable[Block]) -> list[Block]:
        """Those of ``blocks`` that the table lacks, each once, in order."""
        return [block for block in dict.fromkeys(blocks) if block not in self.times[self.device]]

    @classmethod
    def load(cls, path: str | Path, device: str | None = None) -> LatencyTable:
        """Read a table: the published ``.npz``, or JSON as :meth:`save` writes it.

        Args:
            path: the file; never unpickled.
            device: the device to ask; the first of the file (``"cpu"`` of the published ones)
                if left out.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it holds no latency table; the message says why.
        """
        path = Path(path)
        if path.suffix == ".npz":
            return cls(_read_npz(path), device, about={"source": path.name})
        return cls._from_json(path, device)

    @classmethod
    def measure(cls, space: Space, device: str = "cpu", **options: Any) -> LatencyTable:
        """Measure this machine, block by block; see :func:`lithe.pssnet.measure.measure`."""
        from lithe.pssnet.measure import measure

        return measure(space, device=device, **options)

    def save(self, path: str | Path) -> Path:
        """Write the table as JSON, atomically; :meth:`load` reads it back equal."""
        entries = {
            device: [
                [*_fields(block), us, *self.spread[device].get(block, ())]
                for block, us in column.items()
            ]
            for device, column in self.times.items()
        }
        document = {"format": FORMAT, "version": VERSION, "fields": list(FIELDS)}
        return write_json(
            path, document | {"about": self.about, "device": self.device, "entries": entries}
        )

    @classmethod
    def _from_json(cls, path: Path, device: str | None) -> LatencyTable:
        try:
            document = json.loads(path.read_text())
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{path.name} is not JSON: {error}") from None
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise ValueError(f"{path.name} is no latency table: its format is not {FORMAT!r}")
        if document.get("version") != VERSION or document.get("fields") != list(FIELDS):
            raise ValueError(f"{path.name} is of another version; this one reads {VERSION}")
        times: dict[str, dict[Block, float]] = {}
        spread: dict[str, dict[Block, tuple[float, float]]] = {}
        try:
            for name, rows in document["entries"].items():
                times[name], spread[name] = _read_rows(path, rows)
            return cls(times, device or document["device"], spread, document["about"])
        except (KeyError, AttributeError, TypeError) as error:
            raise ValueError(f"{path.name} is damaged: {type(error).__name__}: {error}") from error

    def _known(self, device: str) -> str:
        if device not in self.times:
            raise ValueError(f"no device {device!r} in this table; it has {', '.join(self.times)}")
        return device


def _fields(block: Block) -> list:
    return [getattr(block, name) for name in FIELDS]


def _read_rows(path: Path, rows: list) -> tuple[dict, dict]:
    times, spread = {}, {}
    width = len(FIELDS)
    for row in rows:
        if not isinstance(row, list) or len(row) not in (width + 1, width + 3):
            raise ValueError(f"{path.name}: the entry {row!r} should be {width} fields and a time")
        block = Block(*row[:width])
        if block in times:
            raise ValueError(f"{path.name} lists a block twice: {block}")
        times[block] = row[width]
        if len(row) == width + 3:
            spread[block] = tuple(row[width + 1 :])
    return times, spread


def _read_npz(path: Path) -> dict[str, dict[Block, float]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            columns = {name: file[name].tolist() for name in file.files}
    except FileNotFoundError:
        raise
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise ValueError(f"{path.name} is no readable .npz: {error}") from None
    names = ("block", *FIELDS[1:], "cpu_us", "gpu_us")
    lacking = [name for name in names if name not in columns]
    if lacking:
        raise ValueError(f"{path.name} lacks the columns {', '.join(lacking)}")
    try:
        rows = list(zip(*(columns[name] for name in names), strict=True))
        blocks = [_block(row[:8]) for row in rows]
    except (ValueError, TypeError, IndexError) as error:
        raise ValueError(f"{path.name} is damaged: {error}") from error
    return {name: dict(zip(blocks, columns[f"{name}_us"])) for name in ("cpu", "gpu")}


def _block(row: tuple[int, ...]) -> Block:
    """A row of the published tables; -1 stands for none."""
    kind, *rest = row
    return Block(KINDS[kind], *(None if x < 0 else x for x in rest))


def _check_times(device: str, column: Mapping[Block, float]) -> None:
    for block, us in column.items():
        if not isinstance(us, (int, float)) or not 0 < us < float("inf"):
            raise ValueError(f"{device}: {block} takes {us!r} us; a time is positive and finite")
