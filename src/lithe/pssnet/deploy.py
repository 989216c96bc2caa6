"""A supernet in use: retained subnets, a budget, and a switch between them in microseconds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from lithe import export
from lithe.cost import latency
from lithe.files import write_with
from lithe.pssnet.elastic import Elastic, Statistics
from lithe.pssnet.recalibrate import recalibrate
from lithe.pssnet.sliced import Active
from lithe.pssnet.space import Subnet
from lithe.pssnet.table import LatencyTable

__all__ = ["Deployed", "Retained"]

FORMAT = "lithe-deployed"
VERSION = "1"


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
    weights, as views, are made beforehand: a switch assigns one pointer, and nothing is copied.
    The network is always in eval mode and computes without gradients. Not for several threads at
    once: a switch during a forward pass in another thread would mix two subnets.

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
        TypeError: ``model`` is not elastic.
        ValueError: no subnet, one twice, or one that is not of the model's space.
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
        self.network = model.twin().eval()
        self.retained = _retained(model, subnets, table)
        if batches is not None:
            recalibrate(self.network, [entry.subnet for entry in self.retained], batches)
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
            ValueError: no budget or two, or one below the cheapest subnet: the message says what
                range the retained subnets cover.
        """
        if (macs is None) == (ms is None):
            raise ValueError("give either macs= or ms=, and not both")
        name, limit = ("macs", macs) if ms is None else ("ms", ms)
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
        before, timed = self.current, []
        for entry in self.retained:
            self._switch(entry)
            found = latency(lambda: self(x), threads, repeats, warmup)
            timed.append(replace(entry, ms=found.median_ms))
        self.retained = tuple(timed)
        self._switch(self._entry(before.subnet))

    def extract(self, subnet: Subnet | None = None) -> nn.Module:
        """A retained subnet (the present one if none is named) as a small ordinary network.

        Raises:
            ValueError: it was not retained.
        """
        subnet = self.current.subnet if subnet is None else self._entry(subnet).subnet
        return self.network.extract(subnet).eval()

    def save_subnet(self, path: str | Path, subnet: Subnet | None = None) -> Path:
        """Write one subnet as a safetensors plan; see :func:`lithe.export.save`."""
        return export.save(self.extract(subnet), path, self.network.space.example)

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
        small, example = self.extract(subnet), self.network.space.example
        export.to_onnx(small, path, example)
        return export.check_onnx(path, small, example, tolerance)

    def save(self, path: str | Path) -> Path:
        """Write weights, statistics, subnets, scores and times into one safetensors file.

        Returns:
            ``path``; :meth:`load` reads it back onto a network of the same architecture.
        """
        tensors = {f"weights/{key}": _own(t) for key, t in self.network.state_dict().items()}
        for k, entry in enumerate(self.retained):
            held = self.network.statistics.get(entry.subnet, {})
            tensors |= {f"statistics/{k}/{name}": _own(value) for name, value in held.items()}
        rows = [[e.subnet.resolution, list(e.subnet.widths), e.score, e.ms] for e in self.retained]
        names = list(self.network.space.names)
        about = {"format": FORMAT, "version": VERSION, "widths": json.dumps(names)}
        about["subnets"] = json.dumps(rows)
        return write_with(path, lambda temporary: save_file(tensors, temporary, about))

    @classmethod
    def load(cls, path: str | Path, model: Elastic) -> Deployed:
        """Read what :meth:`save` wrote.

        Args:
            path: the file; nothing in it is executed.
            model: an elastic network of the same architecture and ratios; its weights and stored
                statistics are overwritten.

        Raises:
            ValueError: the file is damaged, of another kind, or of another network.
        """
        tensors, rows = _read(Path(path), list(model.space.names))
        weights = {k.removeprefix("weights/"): t for k, t in tensors.items() if k[0] == "w"}
        try:
            model.load_state_dict(weights)
        except RuntimeError as error:
            raise ValueError(f"{Path(path).name} is of another network: {error}") from error
        subnets = [Subnet(resolution, tuple(widths)) for resolution, widths, *_ in rows]
        for k, subnet in enumerate(subnets):
            prefix = f"statistics/{k}/"
            held = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
            model.statistics[subnet] = {n: t.to(_device(model)) for n, t in held.items()}
        made = cls(model, {subnet: row[2] for subnet, row in zip(subnets, rows)})
        times = {subnet: row[3] for subnet, row in zip(subnets, rows)}
        made.retained = tuple(replace(e, ms=times[e.subnet]) for e in made.retained)
        made._switch(made.retained[-1])
        return made

    def train(self, mode: bool = True) -> Deployed:
        """Stay in eval mode: a deployed network does not learn."""
        return super().train(False)

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
    listed = list(subnets)
    if not listed:
        raise ValueError("no subnet to retain; give at least one")
    if len(set(listed)) < len(listed):
        raise ValueError("a subnet is listed twice")
    entries = []
    for subnet in listed:
        macs = model.space.macs(subnet)
        score = float(subnets[subnet]) if isinstance(subnets, Mapping) else float(macs)
        ms = None if table is None else table.latency_us(model.space, subnet) / 1000
        entries.append(Retained(subnet, macs, score, ms))
    return tuple(sorted(entries, key=lambda entry: (entry.macs, entry.score)))


def _read(path: Path, names: list[str]) -> tuple[dict[str, Tensor], list]:
    try:
        with safe_open(path, framework="pt") as file:
            about = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from error
    if about.get("format") != FORMAT or about.get("version") != VERSION:
        raise ValueError(f"{path.name} is not a deployed network of version {VERSION}")
    if json.loads(about["widths"]) != names:
        raise ValueError(f"{path.name} is of a network with other free widths")
    return tensors, json.loads(about["subnets"])


def _own(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True).contiguous()


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
