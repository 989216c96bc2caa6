"""The paper's two spaces: MobileNetV1 with free widths, MobileNetV2 with a width per stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Literal, get_args

from lithe.pssnet.block import Block, Slot
from lithe.pssnet.rounding import make_divisible, snap_resolution
from lithe.pssnet.space import Space

__all__ = ["Head", "RatioSpace", "mobilenet_v1_space", "mobilenet_v2_space"]

Head = Literal["released", "full", "sliced"]

RATIOS = (0.75, 1.0)
RESOLUTIONS = (128, 224)
CLASSES = 1000

#: Base width and stride of every convolution of MobileNetV1. Source: PSS-Net spec 2.2.
V1_LAYERS = (
    (32, 2), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1), (512, 1),
    (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip
#: Base width, expansion, blocks and first stride of the stages of MobileNetV2; the stem stands
#: before them and the head behind. Source: PSS-Net spec 2.3.
V2_STAGES = (
    (16, 1, 1, 1), (24, 6, 2, 2), (32, 6, 3, 2), (64, 6, 4, 2), (96, 6, 3, 1), (160, 6, 3, 2),
    (320, 6, 1, 1),
)  # fmt: skip
V2_STEM, V2_HEAD = 32, 1280


class RatioSpace(Space):
    """A space whose widths are ratios of base widths, drawn on a grid of thousandths.

    Source: PSS-Net spec 2.1. Ratios are uniform in a range and rounded to three decimals, so the
    two ends have half the mass of the others, and so have the two end resolutions.

    Attributes:
        bases: full channels of each free width.
        ratios: smallest and largest ratio.
    """

    def __init__(
        self,
        names: Sequence[str],
        bases: Sequence[int],
        ratios: tuple[float, float] = RATIOS,
        resolutions: tuple[int, int] = RESOLUTIONS,
        fixed: Sequence[int] = (),
        inert: Sequence[int] = (),
    ) -> None:
        low, high = ratios
        if not 0 < low <= high <= 1:
            raise ValueError(f"ratios is {ratios!r}; give 0 < smallest <= largest <= 1")
        first, last = resolutions
        if first % 8 or last % 8 or not 8 <= first <= last:
            raise ValueError(f"resolutions is {resolutions!r}; give two multiples of 8, ascending")
        self.bases = tuple(bases)
        self.ratios = (float(low), float(high))
        self.fixed = tuple(fixed)
        tables = [
            {base: 1.0} if j in self.fixed else _mass(base, low, high)
            for j, base in enumerate(bases)
        ]
        sizes = range(first, last + 1, 8)
        ends = [0.5 if size in (first, last) and len(sizes) > 1 else 1.0 for size in sizes]
        super().__init__(
            names, [list(t) for t in tables], sizes, [list(t.values()) for t in tables], ends, inert
        )

    def channels(self, position: int, ratio: float) -> int:
        """Effective channels: the divisible rounding of base width times ratio."""
        low, high = self.ratios
        if not low - 1e-9 <= ratio <= high + 1e-9:
            raise ValueError(
                f"ratio of {self.names[position]} is {ratio!r}; this space has {low} to {high}"
            )
        if position in self.fixed:
            return self.bases[position]
        return make_divisible(self.bases[position] * ratio)

    def snap(self, pixels: float) -> int:
        """The resolution that a uniform draw of pixels stands for."""
        return snap_resolution(pixels, self.resolutions[0])


class MobileNetV1Space(RatioSpace):
    """14 free widths, none tied: the stem and 13 depthwise-separable blocks."""

    def layout(self, resolution: int) -> tuple[Slot, ...]:
        """Stem, 13 blocks, classifier."""
        return _v1_layout(resolution)


class MobileNetV2Space(RatioSpace):
    """9 widths: the stem, one for each of seven stages, and the head's, which may be inert.

    Attributes:
        head: how the width of the last 1x1 convolution counts.
    """

    def __init__(self, head: Head = "released", **options) -> None:
        if head not in get_args(Head):
            raise ValueError(f"head is {head!r}; it may be {', '.join(get_args(Head))}")
        self.head = head
        names = ["stem", *(f"stage{k}" for k in range(1, 8)), "head"]
        bases = [V2_STEM, *(base for base, *_ in V2_STAGES), V2_HEAD]
        last = len(names) - 1
        super().__init__(
            names,
            bases,
            fixed=(last,) if head == "full" else (),
            inert=(last,) if head == "released" else (),
            **options,
        )

    def layout(self, resolution: int) -> tuple[Slot, ...]:
        """Stem, 17 inverted residuals, head, classifier."""
        return _v2_layout(resolution, self.head == "sliced")


def mobilenet_v1_space(
    ratios: tuple[float, float] = RATIOS, resolutions: tuple[int, int] = RESOLUTIONS
) -> MobileNetV1Space:
    """The paper's MobileNetV1 space. Source: PSS-Net spec 2.2.

    Args:
        ratios: smallest and largest ratio of every width.
        resolutions: smallest and largest input, multiples of 8; all multiples between belong.

    Raises:
        ValueError: a range is empty or out of bounds.
    """
    names = ["stem", *(f"block{k}" for k in range(1, len(V1_LAYERS)))]
    return MobileNetV1Space(names, [base for base, _ in V1_LAYERS], ratios, resolutions)


def mobilenet_v2_space(
    ratios: tuple[float, float] = RATIOS,
    resolutions: tuple[int, int] = RESOLUTIONS,
    head: Head = "released",
) -> MobileNetV2Space:
    """The paper's MobileNetV2 space. Source: PSS-Net spec 2.3 and 8, number 1.

    Args:
        ratios: smallest and largest ratio of every width.
        resolutions: smallest and largest input, multiples of 8; all multiples between belong.
        head: ``"released"``: the head's width is drawn and latency tables believe it, but the
            network always computes 1280 channels; ``"full"``: 1280 everywhere; ``"sliced"``: the
            network is as narrow as the width says.

    Raises:
        ValueError: a range is empty or out of bounds, or ``head`` is unknown.
    """
    return MobileNetV2Space(head, ratios=ratios, resolutions=resolutions)


def _mass(base: int, low: float, high: float) -> dict[int, float]:
    """Probability of every effective width, from ratios in whole thousandths."""
    first, last = round(1000 * low), round(1000 * high)
    mass: Counter[int] = Counter()
    for k in range(first, last + 1):
        half = k in (first, last) and first < last
        mass[make_divisible(base * (k / 1000))] += 0.5 if half else 1.0
    return dict(sorted(mass.items()))


def _halved(size: int) -> int:
    """Spatial size behind a 3x3 convolution of stride 2 and padding 1."""
    return (size + 1) // 2


def _stem(size: int, cout: int) -> Block:
    macs = 27 * cout * _halved(size) ** 2
    return Block("Conv2d", size, 3, cout, None, 3, 2, 1, macs, 29 * cout, cout)


def _separable(size: int, stride: int, cin: int, cout: int) -> Block:
    """Depthwise 3x3 on ``cin`` channels, then 1x1 to ``cout``."""
    out = _halved(size) if stride == 2 else size
    macs = (9 * cin + cin * cout) * out**2
    params = 11 * cin + cin * cout + 2 * cout
    return Block("MBV1Block", size, cin, cout, None, None, stride, None, macs, params, cin + cout)


def _inverted(size: int, stride: int, expand: int, cin: int, cout: int) -> Block:
    """1x1 to ``expand * cin``, depthwise 3x3, 1x1 to ``cout``; no first 1x1 if ``expand`` is 1."""
    out = _halved(size) if stride == 2 else size
    cmid = expand * cin
    macs = (9 * cmid + cmid * cout) * out**2
    params = 11 * cmid + cmid * cout + 2 * cout
    norm = cmid + cout
    if expand > 1:
        macs += cin * cmid * size**2
        params += cin * cmid + 2 * cmid
        norm += cmid
    return Block("MBV2Block", size, cin, cout, cmid, None, stride, None, macs, params, norm)


def _head(size: int, sliced: bool, cin: int, cout: int) -> Block:
    real = cout if sliced else V2_HEAD
    macs, params = cin * real * size**2, cin * real + 2 * real
    return Block("Conv2d", size, cin, cout, None, 1, 1, 0, macs, params, real)


def _classifier(size: int, real: int | None, cin: int) -> Block:
    """Average pooling over ``size`` x ``size``, then linear; tables name the linear layer alone."""
    real = cin if real is None else real
    macs, params = size**2 * real + CLASSES * real, CLASSES * (real + 1)
    return Block("Linear", 1, cin, CLASSES, None, None, None, None, macs, params)


@cache
def _v1_layout(resolution: int) -> tuple[Slot, ...]:
    slots = [Slot((0,), lambda c0: _stem(resolution, c0))]
    size = _halved(resolution)
    for j, (_, stride) in enumerate(V1_LAYERS[1:], start=1):
        slots.append(
            Slot((j - 1, j), lambda cin, cout, s=size, d=stride: _separable(s, d, cin, cout))
        )
        size = _halved(size) if stride == 2 else size
    last = len(V1_LAYERS) - 1
    return (*slots, Slot((last,), lambda cin, s=size: _classifier(s, None, cin)))


@cache
def _v2_layout(resolution: int, sliced: bool) -> tuple[Slot, ...]:
    slots = [Slot((0,), lambda c0: _stem(resolution, c0))]
    size = _halved(resolution)
    for j, (_, expand, repeats, first) in enumerate(V2_STAGES, start=1):
        for k in range(repeats):
            stride = first if k == 0 else 1
            slots.append(_stage_slot(j, k, size, stride, expand))
            size = _halved(size) if stride == 2 else size
    last = len(V2_STAGES)
    real = None if sliced else V2_HEAD
    return (
        *slots,
        Slot((last, last + 1), lambda cin, cout, s=size: _head(s, sliced, cin, cout)),
        Slot((last + 1,), lambda cin, s=size: _classifier(s, real, cin)),
    )


def _stage_slot(stage: int, number: int, size: int, stride: int, expand: int) -> Slot:
    """The first block of a stage leads from the stage before; the others stay inside."""
    if number == 0:
        return Slot(
            (stage - 1, stage), lambda cin, cout: _inverted(size, stride, expand, cin, cout)
        )
    return Slot((stage,), lambda c: _inverted(size, stride, expand, c, c))
