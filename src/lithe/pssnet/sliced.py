"""Layers that compute with a part of their own weights, without a copy.

A network becomes elastic in place: each layer's class is swapped for a subclass whose
``weight``, ``bias`` and running statistics are properties that give the active part. Names,
parameters, hooks and the forward pass stay those of the layer, so a state dict of the ordinary
network loads into the elastic one and back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

__all__ = ["SLICEABLE", "Active", "Span", "Switch", "restore_", "slice_", "take"]


@dataclass(frozen=True, eq=False)
class Span:
    """Which positions along one axis are active.

    Attributes:
        length: how many.
        index: which ones, ascending, int64; None for the first ``length``.
    """

    length: int
    index: Tensor | None = None
    _copies: dict[torch.device, Tensor] = field(default_factory=dict, repr=False)

    def on(self, device: torch.device) -> Tensor:
        """``index`` on a device, copied there once."""
        if device not in self._copies:
            self._copies[device] = self.index.to(device)
        return self._copies[device]


@dataclass(frozen=True, eq=False)
class Active:
    """What one layer computes with.

    Attributes:
        rows: output channels; None for all.
        columns: input channels (of one group, where there are several); None for all.
        groups: of a convolution or a group norm.
        ready: tensors made beforehand, by name, in place of slicing at every call.
    """

    rows: Span | None
    columns: Span | None = None
    groups: int = 1
    ready: Mapping[str, Tensor] = field(default_factory=dict)


class Switch:
    """Holds the active part of every layer of a network: one pointer is one whole subnet.

    Attributes:
        setting: :class:`Active` by module name; layers that are not in it are whole.
    """

    def __init__(self) -> None:
        self.setting: Mapping[str, Active] = {}


def take(tensor: Tensor, axis: int, span: Span | None) -> Tensor:
    """The active part along an axis: a view where it is a prefix, else a gathered copy."""
    if span is None:
        return tensor
    if span.index is None:
        return tensor.narrow(axis, 0, span.length)
    return tensor.index_select(axis, span.on(tensor.device))


class _Sliced:
    """Mixed into a layer class: tensors and sizes are those of the active part."""

    plain: ClassVar[type[nn.Module]]  # the class of the ordinary layer
    axes: ClassVar[tuple[int, ...]]  # of the weight: where its rows and its columns lie

    @property
    def active(self) -> Active | None:
        """The active part; None for the whole layer."""
        return self._switch.setting.get(self._place)

    def whole(self, name: str) -> Any:
        """The stored parameter or buffer, or None."""
        return self._parameters.get(name, self._buffers.get(name))


def _tensor(name: str) -> property:
    """A property that gives the active part of a parameter or buffer."""

    def read(layer: _Sliced) -> Tensor | None:
        full, active = layer.whole(name), layer.active
        if full is None or active is None:
            return full
        ready = active.ready.get(name)
        if ready is not None:
            return ready
        if name != "weight":
            return take(full, 0, active.rows)
        for axis, span in zip(layer.axes, (active.rows, active.columns)):
            full = take(full, axis, span)
        return full

    return property(read)


def _size(name: str, side: str) -> property:
    """A property that gives the active number of channels on one side."""

    def read(layer: _Sliced) -> int:
        span = None if layer.active is None else getattr(layer.active, side)
        return layer.__dict__[name] if span is None else span.length

    return property(read)


def _groups(name: str) -> property:
    def read(layer: _Sliced) -> int:
        return layer.__dict__[name] if layer.active is None else layer.active.groups

    return property(read)


def _scattered(base: type[nn.Module]) -> Callable[[Any, Tensor], Tensor]:
    """The forward pass of a norm that updates running statistics which are no prefix."""

    def forward(layer: Any, x: Tensor) -> Tensor:
        active = layer.active
        updates = layer.training and layer.track_running_stats
        if active is None or active.rows is None or active.rows.index is None or not updates:
            return base.forward(layer, x)
        names = ("running_mean", "running_var")
        held = {name: take(layer.whole(name), 0, active.rows) for name in names}
        switch = layer._switch
        before = switch.setting
        changed = Active(active.rows, active.columns, active.groups, held)
        switch.setting = {**before, layer._place: changed}
        try:
            out = base.forward(layer, x)
        finally:
            switch.setting = before
        for name, part in held.items():
            layer.whole(name).index_copy_(0, active.rows.on(part.device), part)
        return out

    return forward


def _sliced_class(base: type[nn.Module]) -> type[nn.Module]:
    """The sliced twin of a layer class."""
    transposed = base.__name__.startswith("ConvTranspose")
    members: dict[str, Any] = {
        "plain": base,
        "axes": (1, 0) if transposed else (0, 1),
        "__doc__": f"A ``{base.__name__}`` that computes with its active part.",
        **{name: _tensor(name) for name in ("weight", "bias")},
    }
    if base in _NORMS:
        members |= {name: _tensor(name) for name in ("running_mean", "running_var")}
        members |= {"num_features": _size("num_features", "rows"), "forward": _scattered(base)}
    elif base is nn.GroupNorm:
        members |= {"num_groups": _groups("num_groups")}
    elif base in _CONVOLUTIONS:
        members |= {"groups": _groups("groups")}
    return type(f"Sliced{base.__name__}", (_Sliced, base), members)


_CONVOLUTIONS = tuple(
    getattr(nn, f"{stem}{d}d") for stem in ("Conv", "ConvTranspose") for d in (1, 2, 3)
)
_NORMS = tuple(getattr(nn, f"{stem}Norm{d}d") for stem in ("Batch", "Instance") for d in (1, 2, 3))
#: Layer classes that can be sliced, each with its sliced twin.
SLICEABLE: dict[type[nn.Module], type[nn.Module]] = {
    base: _sliced_class(base)
    for base in (*_CONVOLUTIONS, *_NORMS, nn.GroupNorm, nn.Linear, nn.PReLU)
}


def slice_(network: nn.Module, names: set[str] | frozenset[str]) -> Switch:
    """Let the named layers of a network compute with a part of themselves, in place.

    Args:
        network: changed in place; computes as before until the switch is set.
        names: qualified names of layers whose class is in :data:`SLICEABLE`.

    Returns:
        The switch that all of them obey.

    Raises:
        TypeError: a layer is of another class.
    """
    switch = Switch()
    for name in sorted(names):
        layer = network.get_submodule(name)
        if type(layer) not in SLICEABLE:
            raise TypeError(f"`{name}` is a {type(layer).__name__}, which cannot be sliced")
        layer.__dict__["_switch"], layer.__dict__["_place"] = switch, name
        layer.__class__ = SLICEABLE[type(layer)]  # as torch's own parametrizations do
    return switch


def restore_(network: nn.Module) -> nn.Module:
    """Undo :func:`slice_` in place: ordinary layers with all their weights."""
    for layer in network.modules():
        if isinstance(layer, _Sliced):
            layer.__class__ = type(layer).plain
            for name in ("_switch", "_place"):
                layer.__dict__.pop(name)
    return network
