"""A supernet in use: retained subnets, a budget, and a switch between them in microseconds."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite, isnan
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lithe import export
from lithe.cost import latency
from lithe.pssnet import deployed_file
from lithe.pssnet.elastic import Elastic, Statistics
from lithe.pssnet.recalibrate import recalibrate
from lithe.pssnet.sliced import Active
from lithe.pssnet.space import Subnet
from lithe.pssnet.table import LatencyTable

__all__ = ["Deployed", "Retained"]


@dataclass(frozen=True)
class Retained:
    """One subnet that can be switched to.

    Attributes:
        subnet: which one.
        macs: multiply-accumulates of one image.
        score: quality, higher is better; its MACs where none was given.
        ms: time of one image in milliseconds, where it is known.
    """

    subnet: Subnet
    macs: int
    score: float
    ms: float | None = None


class Deployed(nn.Module):
    """Retained subnets of a supernet on one set of weights; a budget says which one computes.

    Source: PSS-Net spec 6. Running statistics are stored for each subnet, and its slices of the
    weights are made beforehand: a switch assigns one pointer, and nothing is copied. The slices
    are views of the shared weights, but for layers behind a concatenation: what these read is no
    prefix, so each subnet keeps a copy of its own, made now. The network is always in eval mode
    and computes without gradients. Not for several threads at once: a switch during a forward
    pass in another thread would mix two subnets.

    Args:
        model: the supernet; its weights are shared, not copied.
        subnets: to retain, at least one; with a mapping, each with its score (accuracy on held-out
            data, say), higher is better. Without scores a larger subnet (in MACs) is better.
        batches: inputs to recalibrate on, once per subnet, see
            :func:`lithe.pssnet.recalibrate.calibration_batches`. Without them the statistics
            already stored on ``model`` are used, and where there are none slices of the shared
            ones: right for a network that was never trained as a supernet, useless otherwise.
        table: predicts the time of each subnet; without it times are measured here, whole
            subnets at batch 1, when a budget in milliseconds is first set.

    Attributes:
        retained: the subnets with what they cost, cheapest first.
        current: the one that computes.

    Raises:
        TypeError: ``model`` is not elastic, ``table`` no latency table, or a batch no tensor.
        ValueError: no subnet, one twice, or one that is not of the model's space; a score that is
            not finite; a batch that is empty, not finite or of another shape than the example.
        lithe.pssnet.table.MissingEntryError: the table lacks a block.
    """

    def __init__(
        self,
        model: Elastic,
        subnets: Sequence[Subnet] | Mapping[Subnet, float],
        *,
        batches: Iterable[Tensor] | None = None,
        table: LatencyTable | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(model, Elastic):
            raise TypeError(f"model is a {type(model).__name__}; make it elastic(...) first")
        if not isinstance(table, LatencyTable | None):
            raise TypeError(f"table is a {type(table).__name__}; LatencyTable.load reads a file")
        self.network = model.twin().eval()
        self.retained = _retained(model, subnets, table)
        if batches is not None:
            images = _checked(batches, model.space.example)
            recalibrate(self.network, [entry.subnet for entry in self.retained], images)
        self._prepare()
        self._switch(self.retained[-1])

    def _prepare(self) -> None:
        """Make every subnet's views and statistics."""
        network = self.network
        self._settings: dict[Subnet, Mapping[str, Active]] = {
            subnet: network.prepared(subnet, network.statistics.get(subnet, {}), weights=True)
            for subnet in (entry.subnet for entry in self.retained)
        }

    def _switch(self, entry: Retained) -> None:
        self.network.switch.setting = self._settings[entry.subnet]
        self.network.subnet = entry.subnet
        self.current = entry

    def set_budget(self, *, macs: float | None = None, ms: float | None = None) -> Subnet:
        """Switch to the best retained subnet within a budget.

        Args:
            macs: most multiply-accumulates for one image.
            ms: or most milliseconds for one image.

        Returns:
            The subnet that computes from now on.

        Raises:
            ValueError: no budget or two, one that is no number, or one below the cheapest subnet:
                the message says what range the retained subnets cover.
        """
        if (macs is None) == (ms is None):
            raise ValueError("give either macs= or ms=, and not both")
        name, limit = ("macs", _number("macs", macs)) if ms is None else ("ms", _number("ms", ms))
        if name == "ms" and any(entry.ms is None for entry in self.retained):
            self.measure()
        costs = [getattr(entry, name) for entry in self.retained]
        within = [entry for entry, cost in zip(self.retained, costs) if cost <= limit]
        if not within:
            raise ValueError(
                f"no retained subnet fits {name}={limit:g}: they need {min(costs):.6g} to"
                f" {max(costs):.6g}"
            )
        self._switch(max(within, key=lambda entry: (entry.score, entry.macs)))
        return self.current.subnet

    def set_subnet(self, subnet: Subnet) -> Subnet:
        """Switch to a retained subnet, whatever it costs.

        Raises:
            ValueError: it was not retained.
        """
        self._switch(self._entry(subnet))
        return subnet

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """``(n, c, h, w)`` to the output of the present subnet."""
        return self.network(x)

    def measure(self, repeats: int = 11, warmup: int = 3, threads: int = 1) -> None:
        """Time every retained subnet on this machine: batch 1, the resize included.

        Args:
            repeats: timed calls of each; the median counts.
            warmup: calls before.
            threads: CPU threads.
        """
        x = self.network.space.input_at(self.network.space.resolutions[-1])
        x = x.to(next(self.network.parameters()))  # where the weights are by now, and their type
        before, timed = self.current.subnet, []
        try:
            for entry in self.retained:
                self._switch(entry)
                found = latency(lambda: self._timed(x), threads, repeats, warmup)
                timed.append(replace(entry, ms=found.median_ms))
            self.retained = tuple(timed)
        finally:
            self._switch(self._entry(before))

    def _timed(self, x: Tensor) -> None:
        self(x)
        if x.is_cuda:
            torch.cuda.synchronize(x.device)

    def extract(self, subnet: Subnet | None = None) -> nn.Module:
        """A retained subnet (the present one if none is named) as a small ordinary network.

        Raises:
            ValueError: it was not retained.
        """
        subnet = self.current.subnet if subnet is None else self._entry(subnet).subnet
        network, where = self.network, next(self.network.parameters())
        example = network.space.example
        if (where.device, where.dtype) != (example.device, example.dtype):
            network = copy.deepcopy(network).to(example)  # the graph is cut where it was traced
        return network.extract(subnet).to(where).eval()

    def save_subnet(self, path: str | Path, subnet: Subnet | None = None) -> Path:
        """Write one subnet as a safetensors plan; see :func:`lithe.export.save`."""
        return export.save(self._portable(subnet), path, self.network.space.example)

    def to_onnx(
        self, path: str | Path, subnet: Subnet | None = None, tolerance: float = 1e-4
    ) -> float:
        """Write one subnet as ONNX and run it beside the network.

        Returns:
            The largest difference found, relative to the largest output.

        Raises:
            lithe.export.ExportError: it cannot be exported, or differs by more than
                ``tolerance``.
        """
        small, example = self._portable(subnet), self.network.space.example
        export.to_onnx(small, path, example)
        return export.check_onnx(path, small, example, tolerance)

    def save(self, path: str | Path) -> Path:
        """Write weights, statistics, subnets, scores and times into one safetensors file.

        Returns:
            ``path``; :meth:`load` reads it back onto a network of the same architecture.
        """
        return deployed_file.write(path, self.network, self.retained)

    @classmethod
    def load(cls, path: str | Path, model: Elastic) -> Deployed:
        """Read what :meth:`save` wrote.

        Args:
            path: the file; nothing in it is executed.
            model: an elastic network of the same architecture and ratios; its weights and stored
                statistics are overwritten.

        Raises:
            TypeError: ``model`` is not elastic.
            ValueError: the file is damaged, of another kind, or of another network; ``model`` is
                then as it was.
        """
        if not isinstance(model, Elastic):
            raise TypeError(f"model is a {type(model).__name__}; make it elastic(...) first")
        stored = deployed_file.read(path, model)
        model.load_state_dict(stored.weights)
        for subnet, held in stored.statistics.items():
            model.statistics[subnet] = {n: t.to(_device(model)) for n, t in held.items()}
        made = cls(model, stored.scores)
        made.retained = tuple(replace(e, ms=stored.times[e.subnet]) for e in made.retained)
        made._switch(made.retained[-1])
        return made

    def train(self, mode: bool = True) -> Deployed:
        """Stay in eval mode: a deployed network does not learn."""
        return super().train(False)

    def _portable(self, subnet: Subnet | None) -> nn.Module:
        """A retained subnet where the example is, and of its type."""
        return self.extract(subnet).to(self.network.space.example)

    def _entry(self, subnet: Subnet) -> Retained:
        for entry in self.retained:
            if entry.subnet == subnet:
                return entry
        raise ValueError(f"{subnet} is not among the {len(self.retained)} retained subnets")

    def _apply(self, fn: Any, recurse: bool = True) -> Deployed:
        """Move weights and statistics, then make the views anew."""
        super()._apply(fn, recurse)
        statistics: dict[Subnet, Statistics] = self.network.statistics
        for subnet, held in statistics.items():
            statistics[subnet] = {name: fn(value) for name, value in held.items()}
        self._prepare()
        self._switch(self.current)
        return self


def _retained(
    model: Elastic, subnets: Sequence[Subnet] | Mapping[Subnet, float], table: LatencyTable | None
) -> tuple[Retained, ...]:
    listed = [subnets] if isinstance(subnets, Subnet) else list(subnets)
    if not listed:
        raise ValueError("no subnet to retain; give at least one")
    for subnet in listed:
        if not isinstance(subnet, Subnet):
            raise TypeError(f"{subnet!r} is a {type(subnet).__name__}; give Subnets of the space")
    if len(set(listed)) < len(listed):
        raise ValueError("a subnet is listed twice")
    entries = []
    for subnet in listed:
        macs = model.space.macs(subnet)
        score = float(subnets[subnet]) if isinstance(subnets, Mapping) else float(macs)
        if not isfinite(score):
            raise ValueError(f"the score of {subnet} is {score}; scores are finite")
        ms = None if table is None else table.latency_us(model.space, subnet) / 1000
        entries.append(Retained(subnet, macs, score, ms))
    return tuple(sorted(entries, key=lambda entry: (entry.macs, entry.score)))


def _checked(batches: Iterable[Tensor], example: Tensor) -> list[Tensor]:
    """Batches to recalibrate on; one that is not finite would spoil every subnet unseen."""
    if isinstance(batches, Tensor):
        raise TypeError("batches is one tensor; give a list of tensors")
    images = list(batches)
    for x in images:
        if not isinstance(x, Tensor):
            raise TypeError(f"batches holds a {type(x).__name__}; give tensors, without labels")
        if x.ndim != example.ndim or x.shape[1] != example.shape[1] or not len(x):
            raise ValueError(
                f"a batch is {tuple(x.shape)}; give at least one input like the example,"
                f" {tuple(example.shape)}"
            )
        if not x.isfinite().all():
            raise ValueError(f"a batch of shape {tuple(x.shape)} holds NaN or infinity")
    return images


def _number(name: str, value: Any) -> float:
    try:
        number = float("nan") if isinstance(value, str | bool) else float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if isnan(number):
        raise ValueError(f"{name} is {value!r}; give a number")
    return number


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
