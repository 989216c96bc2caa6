"""Several ways to enlarge the same patch, behind one number."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lithe.arm.cost import released_operations
from lithe.cost import count
from lithe.modes import evaluating

__all__ = ["Branches", "Interpolation", "Mixed"]

REACH = {"nearest": 0, "bilinear": 1, "bicubic": 2}  # input pixels to each side


class Interpolation(nn.Module):
    """Branch 0: plain interpolation, free of multiply-accumulates by convention.

    Source: ARM spec 5.3. ``"bicubic"`` is torch's (a = -0.75, not antialiased, not clipped),
    which the released code runs; see :func:`lithe.arm.imresize` for the other one.

    Args:
        scale: whole number, at least 1.
        mode: ``"bicubic"``, ``"bilinear"`` or ``"nearest"``.

    Raises:
        ValueError: scale or mode is unknown.
    """

    def __init__(self, scale: int = 4, mode: str = "bicubic") -> None:
        super().__init__()
        if mode not in REACH:
            raise ValueError(f"mode is {mode!r}; known are {', '.join(map(repr, REACH))}")
        if not isinstance(scale, int) or scale < 1:
            raise ValueError(f"scale is {scale!r}; it is a whole number, at least 1")
        self.scale, self.mode, self.halo = scale, mode, REACH[mode]

    def forward(self, x: Tensor) -> Tensor:
        """``(n, c, h, w)`` to ``(n, c, scale h, scale w)``."""
        corners = None if self.mode == "nearest" else False
        return F.interpolate(x, scale_factor=self.scale, mode=self.mode, align_corners=corners)


class Branches(nn.Module, ABC):
    """Branches of one enlargement, cheapest first, numbered from 0.

    A subclass gives :meth:`branch`, and may give a faster :meth:`forward`.

    Attributes:
        scale: enlargement, the same for all branches.
        names: one per branch.
    """

    scale: int
    names: tuple[str, ...]

    def __init__(self, scale: int, names: Sequence[str]) -> None:
        super().__init__()
        if not names:
            raise ValueError("no branches; give at least one")
        self.scale, self.names = scale, tuple(names)
        self._known: dict[tuple[Any, ...], int] = {}  # costs: pure functions of the structure

    def __len__(self) -> int:
        return len(self.names)

    @abstractmethod
    def branch(self, index: int) -> nn.Module:
        """One branch as a plain module from ``(n, 3, h, w)`` to ``(n, 3, scale h, scale w)``."""

    def forward(self, x: Tensor, index: int) -> Tensor:
        """Enlarge a batch with one branch.

        Args:
            x: RGB ``(n, 3, h, w)``, float in 0..1.
            index: of the branch.

        Returns:
            ``(n, 3, scale h, scale w)``, not clipped.

        Raises:
            TypeError: the images are not floating point.
            ValueError: there is no such branch, or ``x`` is no batch of images.
        """
        return self.branch(self.checked(index))(images_checked(x))

    @property
    def device(self) -> torch.device:
        """Where the parameters are; the CPU where there are none."""
        return _device(self)

    def deployed(self) -> Mixed:
        """The branches as separate plain modules: faster, and blind to later training."""
        return Mixed([self.branch(index) for index in range(len(self))], self.names)

    def halo(self, index: int) -> int:
        """Receptive field of a branch: input pixels it reads to each side of a pixel.

        A module with an attribute ``halo`` has told it; of others it is found by tracing.
        """
        return self._once(("halo", self.checked(index)), _halo)

    def macs(self, index: int, h: int = 32, w: int = 32) -> int:
        """Multiply-accumulates of a branch on one ``(1, 3, h, w)`` patch; see lithe.cost."""
        return self._once(("macs", self.checked(index)), _macs, h, w)

    def released_cost(self, index: int, h: int = 32, w: int = 32) -> int:
        """Operations by the released counter; see :func:`lithe.arm.released_operations`."""
        return self._once(("released", self.checked(index)), released_operations, h, w)

    def costs(self, h: int = 32, w: int = 32, released: bool = False) -> list[int]:
        """Cost of every branch on one patch: MACs, or what the released counter says."""
        one = self.released_cost if released else self.macs
        return [one(index, h, w) for index in range(len(self))]

    def params(self, index: int) -> int:
        """Trainable and frozen parameters that a branch uses."""
        return sum(p.numel() for p in self.branch(self.checked(index)).parameters())

    def checked(self, index: int) -> int:
        """The index, if there is such a branch.

        Raises:
            ValueError: there is none.
        """
        if isinstance(index, bool) or index not in range(len(self)):
            raise ValueError(f"no branch {index!r}; there are 0..{len(self) - 1}: {self.names}")
        return int(index)

    def _once(self, key: tuple[Any, ...], measure: Any, *size: int) -> int:
        if (*key, *size) not in self._known:
            self._known[(*key, *size)] = measure(self.branch(key[1]), *size)
        return self._known[(*key, *size)]


class Mixed(Branches):
    """Any modules behind one router: interpolation, networks of different kinds, a table look-up.

    Args:
        modules: cheapest first; each enlarges ``(n, 3, h, w)`` by the same whole number, which
            is tried on one small image.
        names: one per module; their class names by default.

    Raises:
        TypeError: something is not a module.
        ValueError: there are none, or they do not enlarge alike.
    """

    def __init__(self, modules: Sequence[nn.Module], names: Sequence[str] | None = None) -> None:
        for module in modules:
            if not isinstance(module, nn.Module):
                raise TypeError(f"a branch is a {type(module).__name__}, not a torch.nn.Module")
        names = [_name(module) for module in modules] if names is None else names
        if len(names) != len(modules):
            raise ValueError(f"{len(modules)} modules but {len(names)} names {tuple(names)}")
        scales = [_scale(module) for module in modules]
        if len(set(scales)) > 1:
            raise ValueError(f"branches enlarge by {scales}; all must enlarge by the same factor")
        super().__init__(scales[0] if scales else 1, names)
        self.branches = nn.ModuleList(modules)

    def branch(self, index: int) -> nn.Module:
        """The module itself."""
        return self.branches[index]

    def deployed(self) -> Mixed:
        """Itself."""
        return self


def _name(module: nn.Module) -> str:
    return module.mode if isinstance(module, Interpolation) else type(module).__name__.lower()


def images_checked(x: Tensor) -> Tensor:
    """``x``, if it is a batch of RGB images in floating point.

    Raises:
        TypeError: it is not floating point.
        ValueError: it is not ``(n, 3, h, w)``.
    """
    if not x.is_floating_point():
        raise TypeError(f"images are {x.dtype}; give float in 0..1, such as x.float() / 255")
    if x.ndim != 4 or x.shape[1] != 3:
        raise ValueError(f"images are of shape {tuple(x.shape)}; give (n, 3, h, w), RGB")
    return x


def _device(module: nn.Module) -> torch.device:
    return next((p.device for p in module.parameters()), torch.device("cpu"))


@torch.no_grad()
def _scale(module: nn.Module) -> int:
    """By how much a module enlarges, tried on a small image."""
    h, w = 24, 16
    with evaluating(module):
        out = tuple(module(torch.zeros(1, 3, h, w, device=_device(module))).shape)
    scale = out[-1] // w
    if scale < 1 or out != (1, 3, scale * h, scale * w):
        raise ValueError(
            f"{type(module).__name__} makes {out} of (1, 3, {h}, {w}); a branch multiplies both "
            "sides by one whole number and keeps three channels"
        )
    return scale


def _halo(module: nn.Module) -> int:
    declared = getattr(module, "halo", None)
    if isinstance(declared, int):
        return declared
    from lithe.arm.receptive import receptive_field

    return receptive_field(module)


def _macs(module: nn.Module, h: int, w: int) -> int:
    example = torch.zeros(1, 3, h, w, device="meta")
    try:  # shapes alone are enough, whatever the size
        return count(copy.deepcopy(module).to("meta"), example).macs
    except ValueError:  # a tensor that is neither parameter nor buffer stays where it is
        return count(module, torch.zeros(1, 3, h, w, device=_device(module))).macs
