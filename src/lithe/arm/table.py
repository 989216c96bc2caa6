"""The table that tells, from a patch's edge score, how good each branch will be."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lithe.files import write_json, write_with

__all__ = ["EdgeTable", "TableError"]

FORMAT, VERSION = "lithe.arm.EdgeTable", 1
Target = Literal["psnr", "mse"]
Spacing = Literal["even", "count"]
NARROW = 1e-9  # scores closer than that are taken for one: 8-bit images differ by more
UNIT = {"psnr": "dB", "mse": "squared grey levels, 0..255 ** 2"}


class TableError(ValueError):
    """A file that holds no edge table, or a damaged one."""


@dataclass(frozen=True, eq=False)
class EdgeTable:
    """Mean quality of every branch by bin of the edge score.

    Source: ARM spec 4.2. A score is looked up in the bin whose centre is nearest, so that scores
    outside the range count to the end bins.

    Attributes:
        edges: borders of the bins, float64 ``(bins + 1,)``, rising.
        values: what the table predicts, float64 ``(m, bins)``: dB (``"psnr"``) or squared error
            (``"mse"``). Not a number only where a bin was left empty as in the released code.
        counts: patches that each bin was made of, int64 ``(bins,)``.
        target: ``"psnr"`` (the paper) or ``"mse"``. Image quality adds up in squared error, not
            in dB, and the edge score foretells where squared error can be saved (ARM spec 1).
        score: name of the edge score, see :data:`lithe.arm.SCORES`.
        names: of the branches.
        centres: where each bin is looked up, float64 ``(bins,)``; by default the middles of bins of
            equal width.
    """

    edges: np.ndarray
    values: np.ndarray
    counts: np.ndarray
    target: Target = "psnr"
    score: str = "laplacian"
    names: tuple[str, ...] = ()
    centres: np.ndarray = field(default=None)  # type: ignore[assignment]

    def __post_init__(self) -> None:
        put = object.__setattr__
        for name, kind in (("edges", np.float64), ("values", np.float64), ("counts", np.int64)):
            put(self, name, np.array(getattr(self, name), dtype=kind))
        if self.centres is None:
            put(self, "centres", self.edges[:-1] + (self.edges[1] - self.edges[0]) / 2)
        put(self, "centres", np.array(self.centres, dtype=np.float64))
        put(self, "names", tuple(self.names) or tuple(f"{k}" for k in range(len(self.values))))
        self._check()

    def _check(self) -> None:
        bins = len(self.edges) - 1
        if self.edges.ndim != 1 or bins < 1 or not (np.diff(self.edges) > 0).all():
            raise TableError(f"edges are {self.edges}; give two or more rising numbers")
        if self.values.ndim != 2 or self.values.shape[1] != bins or not len(self.values):
            raise TableError(f"values are {self.values.shape}; {bins} bins need (m, {bins})")
        if self.counts.shape != (bins,) or self.centres.shape != (bins,):
            raise TableError(f"counts {self.counts.shape} and centres must be ({bins},)")
        if len(self.names) != len(self.values):
            raise TableError(f"{len(self.values)} branches but the names {self.names}")
        if self.target not in UNIT:
            raise TableError(f"target is {self.target!r}; known are 'psnr' and 'mse'")
        if np.isinf(self.values).any() or (self.counts < 0).any():
            raise TableError("values must not be infinite, counts not negative")

    @classmethod
    def build(
        cls,
        scores: np.ndarray,
        quality: np.ndarray,
        bins: int = 30,
        *,
        target: Target = "psnr",
        spacing: Spacing = "even",
        empty: Literal["interpolate", "released"] = "interpolate",
        score: str = "laplacian",
        names: Sequence[str] = (),
    ) -> EdgeTable:
        """Average the measured quality of patches in bins of their edge score.

        Source: ARM spec 4.2 and, for empty bins, 4.3.

        Args:
            scores: edge score of each patch ``(n,)``.
            quality: of each branch on each patch ``(m, n)``: PSNR in dB or squared error, as
                ``target`` says; one branch may be given as ``(n,)``.
            bins: how many, from the smallest to the largest score, at least 1.
            target: what ``quality`` is.
            spacing: ``"even"``: bins of equal width (the paper). ``"count"``: bins of equally
                many patches, so that none is empty or rests on a handful of them, looked up by
                their mean score; patches of one score stay together, which may leave fewer bins.
            empty: what a bin without patches gets: its row is interpolated between the bins
                that have some, or is left not-a-number, which the released rule reads as
                "interpolate the patch".
            score: name of the edge score.
            names: of the branches.

        Raises:
            ValueError: shapes do not fit, there are no patches, or a number is not finite.
        """
        scores, quality = np.asarray(scores, np.float64), np.atleast_2d(quality).astype(np.float64)
        if scores.ndim != 1 or not len(scores) or quality.shape[1:] != scores.shape:
            raise ValueError(
                f"scores are {scores.shape} and quality {quality.shape}; give (n,) and (m, n), "
                "at least one patch"
            )
        if not (np.isfinite(scores).all() and np.isfinite(quality).all()):
            raise ValueError("scores and quality must be finite; cap the PSNR of equal patches")
        if isinstance(bins, bool) or not isinstance(bins, int | np.integer) or bins < 1:
            raise ValueError(f"bins is {bins!r}; it is a whole number, at least 1")
        if empty not in ("interpolate", "released"):
            raise ValueError(f"empty is {empty!r}; known are 'interpolate' and 'released'")
        if spacing not in ("even", "count"):
            raise ValueError(f"spacing is {spacing!r}; known are 'even' and 'count'")
        edges = _edges(scores, bins) if spacing == "even" else _quantiles(scores, bins)
        bins = len(edges) - 1
        place = np.clip(np.searchsorted(edges, scores, side="right") - 1, 0, bins - 1)
        counts = np.bincount(place, minlength=bins)
        centres = np.bincount(place, scores) / counts if spacing == "count" else None
        sums = np.stack([np.bincount(place, row, minlength=bins) for row in quality])
        values = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
        table = cls(edges, values, counts, target, score, tuple(names), centres)
        return table.filled() if empty == "interpolate" else table

    def __len__(self) -> int:
        return len(self.values)

    @property
    def bins(self) -> int:
        """How many bins there are."""
        return len(self.centres)

    def filled(self) -> EdgeTable:
        """The table with empty bins interpolated between their neighbours, per branch."""
        known = np.isfinite(self.values).all(0)
        if known.all():
            return self
        rows = [np.interp(self.centres, self.centres[known], row[known]) for row in self.values]
        return self._like(values=np.stack(rows))

    def bin_of(self, scores: np.ndarray | float) -> np.ndarray:
        """Bin of each score: the nearest centre, the lower one of two, int64."""
        scores = np.asarray(scores, dtype=np.float64)
        if not np.isfinite(scores).all():
            raise ValueError("an edge score is not finite")
        above = np.searchsorted(self.centres, scores).clip(1, max(self.bins - 1, 1))
        above = np.minimum(above, self.bins - 1)
        below = np.maximum(above - 1, 0)
        nearer = np.abs(self.centres[below] - scores) <= np.abs(self.centres[above] - scores)
        return np.where(nearer, below, above)

    def predict(self, scores: np.ndarray | float) -> np.ndarray:
        """What the table says of every branch: ``(..., m)`` for scores ``(...)``.

        Of an ``"mse"`` table less is better; :meth:`gains` points up for both.
        """
        return self.values.T[self.bin_of(scores)]

    def psnr(self, width_index: int, score: float | np.ndarray) -> float | np.ndarray:
        """Predicted PSNR of one branch, dB; of an ``"mse"`` table, the PSNR of that error.

        Args:
            width_index: number of the branch, 0 for interpolation.
            score: edge score, or an array of them.
        """
        value = self.values[self._branch(width_index)][self.bin_of(score)]
        if self.target == "mse":
            value = 10 * np.log10(255**2 / np.maximum(value, 255**2 * 1e-8))  # 80 dB at most
        return float(value) if np.ndim(value) == 0 else value

    def gain(self, index: int, scores: np.ndarray) -> np.ndarray:
        """What a branch is expected to win over branch 0, ``(n,)``; more is better.

        Of a ``"psnr"`` table in dB, of an ``"mse"`` table in squared error saved.
        """
        better = self.values[self._branch(index)] - self.values[0]
        return (better if self.target == "psnr" else -better)[self.bin_of(scores)]

    def gains(self, scores: np.ndarray) -> np.ndarray:
        """:meth:`gain` of every branch: ``(n, m)``, as :func:`lithe.arm.allocate` takes it."""
        return np.stack([self.gain(j, scores) for j in range(len(self))], 1)

    def _branch(self, index: int) -> int:
        if isinstance(index, bool) or index not in range(len(self)):
            raise ValueError(f"no branch {index!r} in the table; it has {self.names}")
        return int(index)

    def _like(self, **changes: Any) -> EdgeTable:
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return EdgeTable(**{**fields, **changes})

    def save(self, path: str | Path) -> Path:
        """Write the table, as JSON to be read or as ``.npz``, by the suffix; atomic.

        Raises:
            ValueError: the suffix is neither.
        """
        path = Path(path)
        content = {name: getattr(self, name) for name in self.__dataclass_fields__}
        if path.suffix == ".json":
            plain = {k: _plain(v) if isinstance(v, np.ndarray) else v for k, v in content.items()}
            return write_json(path, {"format": FORMAT, "version": VERSION, **plain})
        if path.suffix == ".npz":
            texts = {k: np.array(v) for k, v in content.items()}
            texts |= {"format": np.array(FORMAT), "version": np.array(VERSION)}
            return write_with(path, lambda file: np.savez(file, **texts))
        raise ValueError(f"{path.name}: an edge table is saved as .json or .npz")

    @classmethod
    def load(cls, path: str | Path) -> EdgeTable:
        """Read what :meth:`save` wrote.

        Raises:
            FileNotFoundError: there is no such file.
            TableError: it is no edge table, of another version, or damaged.
        """
        path = Path(path)
        try:
            content = _read(path)
        except FileNotFoundError:
            raise
        except Exception as error:
            raise TableError(f"{path} cannot be read as an edge table: {error}") from error
        found = (content.pop("format", None), content.pop("version", None))
        if found != (FORMAT, VERSION):
            raise TableError(f"{path} holds {found}; this reads {FORMAT} version {VERSION}")
        if set(content) != set(cls.__dataclass_fields__):
            raise TableError(f"{path} holds the fields {sorted(content)}, not those of a table")
        try:
            return cls(**{k: _array(v) if k in ARRAYS else v for k, v in content.items()})
        except (TypeError, ValueError) as error:
            raise TableError(f"{path} is damaged: {error}") from error


ARRAYS = ("edges", "values", "counts", "centres")


def _edges(scores: np.ndarray, bins: int) -> np.ndarray:
    low, high = scores.min(), scores.max()
    if high - low < NARROW:  # one score only: bins around it, wide enough to have borders
        low, high = low - 0.5, high + 0.5
    return np.linspace(low, high, bins + 1)


def _quantiles(scores: np.ndarray, bins: int) -> np.ndarray:
    """Borders between equally many scores, each of them a score; every bin has some."""
    edges = np.unique(np.quantile(scores, np.linspace(0, 1, bins + 1), method="lower"))
    return edges if len(edges) > 1 else _edges(scores, 1)


def _plain(array: np.ndarray) -> list[Any]:
    """Nested lists with None for what is not a number, which JSON cannot carry."""
    rows = array.tolist()
    if array.ndim > 1:
        return [_plain(row) for row in array]
    return [None if isinstance(x, float) and np.isnan(x) else x for x in rows]


def _array(values: Any) -> np.ndarray:
    return np.array(values, dtype=np.float64)  # None becomes not-a-number


def _read(path: Path) -> dict[str, Any]:
    if path.suffix == ".json":
        content = json.loads(path.read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else {}
    if path.suffix != ".npz":
        raise ValueError("it ends in neither .json nor .npz")
    with np.load(path, allow_pickle=False) as file:
        content = {name: file[name] for name in file.files}
    for name in ("format", "version", "target", "score"):
        if name in content:
            content[name] = content[name].item()
    if "names" in content:
        content["names"] = tuple(content["names"].tolist())
    return content
