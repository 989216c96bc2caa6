"""The ten released configurations: architecture, pruning rates and what was published for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from types import MappingProxyType
from typing import Literal

import torch
from torch import nn

from lithe import zoo
from lithe.dcff.fused import FusedConv2d
from lithe.dcff.rates import RoundingHazard, rounding_hazards, widths

__all__ = ["PAPER_CONFIGS", "PaperConfig", "Published", "paper_model"]

Kind = Literal["dense", "fused", "compact"]


@dataclass(frozen=True)
class Published:
    """A row of the released results table, as printed (DCFF spec, sections 5 and 6.1)."""

    flops: str
    flops_cut_percent: float
    params: str
    params_cut_percent: float
    top1: float
    top5: float | None = None
    recipe: str = "step"


@dataclass(frozen=True)
class PaperConfig:
    """One released configuration.

    Attributes:
        key: its name in :data:`PAPER_CONFIGS`.
        arch: ``vgg16``, ``resnet56``, ``resnet110``, ``googlenet`` or ``resnet50``.
        rates: pruning rates as released, in the order of the released list.
        layer_rates: the same by convolution name, in order of execution.
        filters: filters of every fused convolution by name.
        published: what the released table says.
        classes: size of the output.
        resolution: side of the square RGB input, pixels.
    """

    key: str
    arch: str
    rates: tuple[float, ...]
    layer_rates: Mapping[str, float] = field(repr=False)
    filters: Mapping[str, int] = field(repr=False)
    published: Published
    classes: int = 10
    resolution: int = 32

    @property
    def widths(self) -> dict[str, int]:
        """Channels that each fused convolution passes on."""
        return widths(self.filters, self.layer_rates)

    @property
    def hazards(self) -> list[RoundingHazard]:
        """Layers whose width depends on double-precision rounding."""
        return rounding_hazards(self.filters, self.layer_rates)

    def example(self, device: str | torch.device = "cpu") -> torch.Tensor:
        """A zero image ``(1, 3, resolution, resolution)``."""
        return torch.zeros(1, 3, self.resolution, self.resolution, device=device)


def paper_model(
    key: str, kind: Kind = "fused", generator: torch.Generator | None = None
) -> nn.Module:
    """Build a released configuration with fresh weights.

    Source: DCFF spec, section 3. Weights follow the released initialisation; the fused kind has
    to be refreshed before its first forward pass.

    Args:
        key: a key of :data:`PAPER_CONFIGS`.
        kind: ``"dense"`` full width; ``"fused"`` all filters as parameters, few exposed;
            ``"compact"`` plain convolutions at the kept widths.
        generator: source of the first weights; torch's global one if none is given.

    Returns:
        The network; see :mod:`lithe.zoo` for input and output.

    Raises:
        ValueError: ``key`` or ``kind`` is unknown.
    """
    if key not in PAPER_CONFIGS:
        raise ValueError(f"key is {key!r}; known are {', '.join(PAPER_CONFIGS)}")
    if kind not in ("dense", "fused", "compact"):
        raise ValueError(f"kind is {kind!r}; known are 'dense', 'fused', 'compact'")
    config = PAPER_CONFIGS[key]
    kept = None if kind == "dense" else config.widths
    make_conv = _fused_conv if kind == "fused" else None
    if config.arch in ("resnet56", "resnet110"):
        depth = int(config.arch.removeprefix("resnet"))
        pooled = kind != "dense"  # as released; the published counts see it
        return zoo.resnet_cifar(
            depth, config.classes, kept, make_conv, pool_module=pooled, generator=generator
        )
    build = {"vgg16": zoo.vgg16, "googlenet": zoo.googlenet, "resnet50": zoo.resnet50}
    return build[config.arch](config.classes, kept, make_conv, generator)


def _fused_conv(
    name: str,
    in_channels: int,
    filters: int,
    kept: int,
    kernel_size: int,
    *,
    stride: int = 1,
    padding: int = 0,
    bias: bool = False,
) -> FusedConv2d:
    return FusedConv2d(in_channels, filters, kept, kernel_size, stride, padding, bias=bias)


def _filters(build: Callable[..., nn.Module]) -> dict[str, int]:
    """Filters of every convolution an architecture asks the factory for, in order."""
    found: dict[str, int] = {}

    def record(name: str, *args: int, **options: object) -> nn.Module:
        found[name] = args[1]
        return nn.Identity()  # its name and size are all that is wanted, so no weights are drawn

    with torch.device("meta"):
        build(make_conv=record)
    return found


def _by_block(rates: tuple[float, ...], blocks: int, per_block: int, stage_of: list[int]) -> list:
    """Interleave per-block rates with the rate of the block's stage."""
    columns = [rates[index * blocks : (index + 1) * blocks] for index in range(per_block)]
    stages = [rates[per_block * blocks + stage] for stage in stage_of]
    return list(chain.from_iterable(zip(*columns, stages)))


def _layer_rates(arch: str, rates: tuple[float, ...]) -> list[float]:
    """Rates in order of the convolutions, from the released list layouts (spec 3.2 to 3.5)."""
    if arch in ("vgg16", "googlenet"):
        return list(rates)
    if arch == "resnet50":
        stage_of = [stage for stage, blocks in enumerate((3, 4, 6, 3)) for _ in range(blocks)]
        return [rates[0], *_by_block(rates[1:], 16, 2, stage_of)]
    blocks = (len(rates) - 3) // 3
    stage_of = [stage for stage in range(3) for _ in range(blocks)]
    return [rates[3 * blocks], *_by_block(rates, 3 * blocks, 1, stage_of)]


def _inception_rates() -> tuple[float, ...]:
    interior = (0.8, 0.9, 0.9, 0.9, 0.8, 0.8, 0.8, 0.9, 0.9)
    return (0.0, *chain.from_iterable((0.0, r, 0.0, r, r, 0.0, 0.0) for r in interior))


def _repeat(*runs: tuple[float, int]) -> tuple[float, ...]:
    return tuple(chain.from_iterable((rate,) * times for rate, times in runs))


RESNET56 = (
    *(0.7, 0.7, 0.5, 0.5, 0.5, 0.3, 0.3, 0.4, 0.8),
    *(0.7, 0.7, 0.8, 0.8, 0.8, 0.8, 0.4, 0.2, 0.2),
    *(0.7, 0.3, 0.8, 0.4, 0.4, 0.7, 0.3, 0.4, 0.8),
    *(0.0, 0.0, 0.0),
)
RESNET110 = (
    *(0.2, 0.0, 0.2, 0.3, 0.7, 0.7, 0.1, 0.3, 0.3, 0.4, 0.7, 0.7, 0.5, 0.1, 0.3, 0.0, 0.6, 0.0),
    *(0.2, 0.5, 0.0, 0.7, 0.7, 0.5, 0.7, 0.7, 0.4, 0.4, 0.0, 0.3, 0.1, 0.5, 0.1, 0.1, 0.1, 0.7),
    *(0.1, 0.1, 0.3, 0.3, 0.3, 0.3, 0.3, 0.5, 0.7, 0.2, 0.4, 0.7, 0.7, 0.7, 0.7, 0.7, 0.5, 0.1),
    *(0.6, 0.2, 0.5),
)
RESNET50 = {
    "step_a": _repeat((0.0, 1), (0.8, 10), (0.7, 6), (0.6, 10), (0.4, 6), (0.3, 4)),
    "step_b": _repeat((0.0, 1), (0.6, 10), (0.5, 6), (0.5, 10), (0.4, 6), (0.2, 4)),
    "step_c": _repeat((0.0, 1), (0.35, 10), (0.3, 6), (0.4, 10), (0.3, 6), (0.1, 4)),
    "cos_a": _repeat((0.0, 1), (0.5, 32), (0.25, 3), (0.0, 1)),
    "cos_b": _repeat((0.0, 1), *((0.7, 7), (0.45, 9)) * 2, (0.24, 3), (0.0, 1)),
    "cos_c": _repeat((0.0, 1), *((0.43, 7), (0.73, 9)) * 2, (0.45, 3), (0.0, 1)),
}
PUBLISHED = {
    "vgg16": Published("72.77M", 76.83, "1.06M", 92.80, 93.47),
    "resnet56": Published("55.84M", 55.88, "0.38M", 54.95, 93.26),
    "resnet110": Published("85.30M", 66.55, "0.56M", 67.86, 93.80),
    "googlenet": Published("457.22M", 70.11, "2.08M", 66.28, 94.92),
    "r50_step_a": Published("0.96B", 76.70, "7.40M", 71.03, 71.54, 90.57),
    "r50_step_b": Published("1.49B", 63.75, "10.58M", 58.60, 74.21, 91.93),
    "r50_step_c": Published("2.25B", 45.30, "15.16M", 40.67, 75.18, 92.56),
    "r50_cos_a": Published("1.52B", 62.96, "11.05M", 56.77, 75.60, 92.55, "cos"),
    "r50_cos_b": Published("1.38B", 66.41, "11.81M", 53.77, 74.85, 92.41, "cos"),
    "r50_cos_c": Published("1.02B", 75.11, "6.56M", 74.33, 73.81, 91.59, "cos"),
}


def _configs() -> dict[str, PaperConfig]:
    rates = {
        "vgg16": _repeat((0.5, 2), (0.4, 2), (0.35, 3), (0.85, 6)),
        "resnet56": RESNET56,
        "resnet110": RESNET110,
        "googlenet": _inception_rates(),
        **{f"r50_{run}": values for run, values in RESNET50.items()},
    }
    builders: dict[str, Callable[..., nn.Module]] = {
        "vgg16": zoo.VGG,
        "resnet56": lambda make_conv: zoo.CifarResNet(9, make_conv=make_conv),
        "resnet110": lambda make_conv: zoo.CifarResNet(18, make_conv=make_conv),
        "googlenet": zoo.GoogLeNet,
        "resnet50": zoo.ImageNetResNet,
    }
    filters = {arch: MappingProxyType(_filters(build)) for arch, build in builders.items()}
    configs = {}
    for key, values in rates.items():
        arch = "resnet50" if key.startswith("r50") else key
        layer_rates = dict(zip(filters[arch], _layer_rates(arch, values), strict=True))
        size = {"classes": 1000, "resolution": 224} if arch == "resnet50" else {}
        configs[key] = PaperConfig(
            key,
            arch,
            values,
            MappingProxyType(layer_rates),
            filters[arch],
            PUBLISHED[key],
            **size,
        )
    return configs


#: The ten released configurations by key.
PAPER_CONFIGS: Mapping[str, PaperConfig] = MappingProxyType(_configs())
