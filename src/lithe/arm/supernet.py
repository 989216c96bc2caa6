"""A network whose narrower widths are prefixes of its weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lithe.arm.branches import Branches, Interpolation, images_checked
from lithe.arm.carn import CARN
from lithe.arm.fsrcnn import FSRCNN
from lithe.arm.srresnet import SRResNet

__all__ = ["Supernet", "prefix"]

Make = Callable[[int], nn.Module]
BACKBONES: dict[str, Callable[..., nn.Module]] = {
    "fsrcnn": FSRCNN,
    "carn": CARN,
    "srresnet": SRResNet,
}
WIDTHS = {"fsrcnn": (16, 36, 56), "carn": (36, 52, 64), "srresnet": (36, 52, 64)}


def prefix(tensor: Tensor, shape: Sequence[int]) -> Tensor:
    """The first ``shape[k]`` entries along every axis ``k``, as a view.

    Source: ARM spec 2.1. This one rule is all of prefix slicing: a tensor of the narrow network
    is the prefix of the same tensor of the wide one. It aligns neither groups nor
    concatenations: a grouped weight ``(64, 16, 3, 3)`` gives ``[:36, :9]``, a fusion of two
    64-channel tensors ``(64, 128, 1, 1)`` gives ``[:36, :72]``.
    """
    return tensor[tuple(slice(n) for n in shape)]


class Supernet(Branches):
    """One set of weights, several widths, and interpolation as branch 0.

    Source: ARM spec 2. Width ``w`` is the backbone built at width ``w``, run with the prefixes
    of the full weights; gradients reach the full weights through the views.

    Args:
        backbone: ``"fsrcnn"``, ``"carn"``, ``"srresnet"``, or a function from a width to a
            module whose tensors grow with it.
        scale: enlargement.
        widths: rising, without the interpolation's 0; the published ones by default.
        interpolation: branch 0, see :class:`lithe.arm.Interpolation`; ``None`` for a supernet
            of networks only, whose branch 0 is then the narrowest.
        generator: source of the first weights; torch's global one if none is given.
        options: passed on to the backbone, such as ``blocks=2`` or ``base="bilinear"``.

    Attributes:
        widths: width of every branch, 0 for interpolation.
        full: the backbone at full width; it holds all parameters.

    Raises:
        ValueError: the backbone is unknown, or the widths do not suit.
    """

    def __init__(
        self,
        backbone: Literal["fsrcnn", "carn", "srresnet"] | Make = "fsrcnn",
        scale: int = 4,
        *,
        widths: Sequence[int] | None = None,
        interpolation: str | None = "bicubic",
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> None:
        make = _maker(backbone, scale, options)
        nets = _checked_widths(backbone, widths)
        base = () if interpolation is None else (Interpolation(scale, interpolation),)
        self_widths = (0,) * len(base) + nets
        _refuse_ambiguous(self_widths)
        label = backbone if isinstance(backbone, str) else getattr(backbone, "__name__", "net")
        super().__init__(scale, [*(b.mode for b in base), *(f"{label}-{w}" for w in nets)])
        self.widths = self_widths
        seeded = {} if generator is None else {"generator": generator}
        self.full = make(nets[-1], **seeded)
        # structures without weights, and the interpolation: a tuple, so that none is a submodule
        with torch.device("meta"):
            shells = tuple(make(w) for w in nets)
        self._shells: tuple[nn.Module, ...] = (*base, *(shell.to("meta") for shell in shells))
        _refuse_misfit(self.full, self._shells[len(base) :])

    def index(self, width: int) -> int:
        """The branch of a width, or of its own number.

        No width is as small as the number of branches, so that the two cannot be confused.

        Raises:
            ValueError: neither a width of :attr:`widths` nor a branch.
        """
        if isinstance(width, bool) or width not in (*self.widths, *range(len(self))):
            raise ValueError(
                f"width is {width!r}; this supernet has the widths {self.widths} "
                f"(branches 0..{len(self) - 1})"
            )
        return self.widths.index(width) if width in self.widths else int(width)

    def checked(self, index: int) -> int:
        """The branch number of a width or a branch; see :meth:`index`."""
        return self.index(index)

    def forward(self, x: Tensor, width: int) -> Tensor:
        """Enlarge a batch at one width.

        Args:
            x: RGB ``(n, 3, h, w)``, float in 0..1.
            width: one of :attr:`widths` (0: interpolation), or the number of a branch.

        Returns:
            ``(n, 3, scale h, scale w)``, not clipped.

        Raises:
            TypeError: the images are not floating point.
            ValueError: no such width, or ``x`` is no batch of images.
        """
        shell = self._shells[self.index(width)]
        images_checked(x)
        if isinstance(shell, Interpolation):
            return shell(x)
        return functional_call(shell, self.tensors(width), (x,))

    def tensors(self, width: int) -> dict[str, Tensor]:
        """Parameters and buffers that a width uses: views of the full ones, by name."""
        shell = self._shells[self.index(width)]
        given = {**dict(self.full.named_parameters()), **dict(self.full.named_buffers())}
        wanted = {**dict(shell.named_parameters()), **dict(shell.named_buffers())}
        return {name: prefix(given[name], tensor.shape) for name, tensor in wanted.items()}

    def branch(self, index: int) -> nn.Module:
        """A width as a plain network with its own copy of the weights, in eval mode."""
        shell = self._shells[self.index(index)]
        if isinstance(shell, Interpolation):
            return copy.deepcopy(shell)
        net = copy.deepcopy(shell).to_empty(device=self.device)
        net.load_state_dict({k: t.detach().contiguous() for k, t in self.tensors(index).items()})
        return net.eval()


def _maker(backbone: str | Make, scale: int, options: dict[str, Any]) -> Callable[..., nn.Module]:
    if callable(backbone):
        return lambda width, **seeded: backbone(width, **options, **seeded)
    if backbone not in BACKBONES:
        raise ValueError(
            f"backbone is {backbone!r}; known are {', '.join(map(repr, BACKBONES))}, or give a "
            "function from a width to a module"
        )
    return lambda width, **seeded: BACKBONES[backbone](width, scale=scale, **options, **seeded)


def _checked_widths(backbone: str | Make, widths: Sequence[int] | None) -> tuple[int, ...]:
    if widths is None:
        if not isinstance(backbone, str):
            raise ValueError("a backbone of your own needs widths=, such as (16, 32, 64)")
        widths = WIDTHS[backbone]
    widths = tuple(widths)
    if not widths or list(widths) != sorted({*widths} - {0}):
        raise ValueError(f"widths is {widths}; give channels, above 0 and rising")
    return widths


def _refuse_ambiguous(widths: tuple[int, ...]) -> None:
    mixed = [w for k, w in enumerate(widths) if w < len(widths) and w != k]
    if mixed:
        raise ValueError(
            f"width {mixed[0]} could be taken for a branch number of 0..{len(widths) - 1}; "
            f"widths below {len(widths)} are not supported"
        )


def _refuse_misfit(full: nn.Module, shells: Sequence[nn.Module]) -> None:
    """Refuse backbones whose narrow tensors are no prefixes of the wide ones."""
    shapes = {name: tensor.shape for name, tensor in full.state_dict().items()}
    for shell in shells:
        for name, tensor in shell.state_dict().items():
            wide = shapes.get(name)
            if (
                wide is None
                or len(wide) != tensor.ndim
                or any(a > b for a, b in zip(tensor.shape, wide))
            ):
                found = "nothing" if wide is None else tuple(wide)
                raise ValueError(
                    f"`{name}` is {tuple(tensor.shape)} in a narrow network and {found} in the "
                    "wide one; the narrow must be a prefix of the wide"
                )
