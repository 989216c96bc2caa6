"""A deployed network as one safetensors file, and all that is checked before it is believed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lithe.files import write_with
from lithe.pssnet.elastic import Elastic, Statistics, tracking_norms
from lithe.pssnet.space import Space, Subnet

if TYPE_CHECKING:
    from lithe.pssnet.deploy import Retained

__all__ = ["Stored", "read", "write"]

FORMAT = "lithe-deployed"
VERSION = "1"


@dataclass(frozen=True, eq=False)
class Stored:
    """What a file holds; it fits the network that it was read for.

    Attributes:
        weights: a state dict of the supernet.
        scores: of every retained subnet.
        times: milliseconds of those that have been timed, else None.
        statistics: running statistics of the subnets that have them.
    """

    weights: dict[str, Tensor]
    scores: dict[Subnet, float]
    times: dict[Subnet, float | None]
    statistics: dict[Subnet, Statistics]


def write(path: str | Path, network: Elastic, retained: Sequence[Retained]) -> Path:
    """Write weights, statistics, subnets, scores and times, atomically.

    Returns:
        ``path``; :func:`read` reads it back.
    """
    tensors = {f"weights/{key}": _own(value) for key, value in network.state_dict().items()}
    for k, entry in enumerate(retained):
        held = network.statistics.get(entry.subnet, {})
        tensors |= {f"statistics/{k}/{name}": _own(value) for name, value in held.items()}
    rows = [[e.subnet.resolution, list(e.subnet.widths), e.score, e.ms] for e in retained]
    about = {"format": FORMAT, "version": VERSION, "subnets": json.dumps(rows)}
    about["widths"] = json.dumps(list(network.space.names))
    return write_with(path, lambda temporary: save_file(tensors, temporary, about))


def read(path: str | Path, network: Elastic) -> Stored:
    """Read a file for a network, which stays as it is.

    Raises:
        ValueError: the file is damaged, of another kind, or of another network.
    """
    path = Path(path)
    about, tensors = _opened(path)
    if (about.get("format"), about.get("version")) != (FORMAT, VERSION):
        raise ValueError(f"{path.name} is not a deployed network of version {VERSION}")
    try:
        if json.loads(about["widths"]) != list(network.space.names):
            raise ValueError(f"{path.name} is of a network with other free widths")
        rows = json.loads(about["subnets"])
    except (KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path.name} is damaged: no list of its widths or subnets") from error
    found = [_row(path, row, network.space) for row in rows]
    scores = {subnet: score for subnet, score, _ in found}
    if not found or len(scores) < len(found):
        raise ValueError(f"{path.name} is damaged: it lists no subnet, or one twice")
    statistics = {s: _below(tensors, f"statistics/{k}/") for k, (s, *_) in enumerate(found)}
    for subnet, held in statistics.items():
        shapes = {name: tuple(value.shape) for name, value in held.items()}
        if held and shapes != _shapes(network, subnet):
            raise ValueError(f"{path.name} is damaged: the statistics of {subnet} do not fit it")
    return Stored(
        _fitting(path, _below(tensors, "weights/"), network),
        scores,
        {subnet: ms for subnet, _, ms in found},
        {subnet: held for subnet, held in statistics.items() if held},
    )


def _opened(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            return file.metadata() or {}, tensors
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path.name} cannot be read: {error}") from error


def _row(path: Path, row: Any, space: Space) -> tuple[Subnet, float, float | None]:
    """One subnet with its score and its time."""
    match row:
        case [int(resolution), [*widths], Real() as score, (None | Real()) as ms] if (
            -inf < score < inf and (ms is None or 0 < ms < inf)
        ):
            try:
                return space.check(Subnet(resolution, tuple(widths))), float(score), ms
            except (TypeError, ValueError) as error:
                raise ValueError(f"{path.name} is of another space: {error}") from error
    raise ValueError(f"{path.name} is damaged: {row!r} is no subnet with a score and a time")


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Tensors of one folder of the file."""
    return {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}


def _fitting(path: Path, weights: dict[str, Tensor], network: Elastic) -> dict[str, Tensor]:
    """The weights, if each has its place in the network."""
    wanted = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    given = {key: tuple(value.shape) for key, value in weights.items()}
    for key in sorted({*wanted, *given}):
        there, here = given.get(key, "missing"), wanted.get(key, "missing")
        if there != here:
            raise ValueError(
                f"{path.name} is of another network: `{key}` is {there} in it, {here} in yours"
            )
    return weights


def _shapes(network: Elastic, subnet: Subnet) -> dict[str, tuple[int]]:
    """Shapes of all running statistics of a subnet: its active channels."""
    setting = network.space.setting(subnet)
    shapes = {}
    for place, norm in tracking_norms(network.body).items():
        rows = setting[place].rows if place in setting else None
        channels = len(norm.whole("running_mean")) if rows is None else rows.length
        shapes |= {f"{place}.{key}": (channels,) for key in ("running_mean", "running_var")}
    return shapes


def _own(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True).contiguous()
