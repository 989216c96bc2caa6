"""What the explorer of masks shows: the kernel norms of really trained layers.

``python -m lithe.onexn.exhibits SHARED`` writes the files that the page loads into
``book/_static``. The page itself computes the masks, by the rule of
:func:`lithe.onexn.block_mask`.
"""

from __future__ import annotations

import argparse
import base64
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load_file
from torch import Tensor

from lithe import ledger
from lithe.files import write_atomic
from lithe.onexn.baselines import filter_mask
from lithe.onexn.pattern import block_mask

__all__ = ["MaskedShare", "TrainedLayer", "kept_mass", "quantised_norms", "trained_layers", "write"]

MOBILENET, RESNET = "mobilenetv2_imagenet_int8.npz", "resnet20_cifar10.safetensors"
TABLE_NS = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class TrainedLayer:
    """A layer of a trained network, as the explorer knows it.

    Attributes:
        id: short name.
        title: for the reader.
        kernel: weights per kernel, ``kh kw``.
        norms: L1 norm of each kernel on a scale of 0 to 255, uint8 ``(o, i)``.
    """

    id: str
    title: str
    kernel: int
    norms: np.ndarray

    @property
    def weight(self) -> Tensor:
        """The norms as a weight ``(o, i)``: pruning it is pruning the layer in these steps."""
        return torch.from_numpy(self.norms.astype(np.float32))


@dataclass(frozen=True)
class MaskedShare:
    """How much of a layer's L1 norm a mask keeps.

    Attributes:
        n: filters per block.
        plain: with neighbours in a block.
        rearranged: with filters of similar norm in a block.
    """

    n: int
    plain: float
    rearranged: float


def quantised_norms(weight: np.ndarray) -> np.ndarray:
    """L1 norm of every kernel, the largest of the layer being 255.

    Whole numbers add up alike in every language, so that page and package agree to the bit.

    Args:
        weight: ``(o, i, kh, kw)``.

    Returns:
        uint8 ``(o, i)``.
    """
    norms = np.abs(weight.astype(np.float64)).sum((2, 3))
    return np.rint(255 * norms / norms.max()).astype(np.uint8)


def trained_layers(folder: str | Path) -> list[TrainedLayer]:
    """Layers of MobileNetV2 (ImageNet) and ResNet-20 (CIFAR-10), from wide to square.

    Args:
        folder: with the weights of both, as described in its README.

    Raises:
        FileNotFoundError: they are not there.
    """
    folder = Path(folder)
    resnet = load_file(folder / RESNET)
    found = []
    with np.load(folder / MOBILENET) as mobilenet:
        for index, name, title in (
            ("06", "v2-expand", "MobileNetV2, block 3, expansion: 24 to 144 channels, 1×1"),
            ("08", "v2-project", "MobileNetV2, block 3, projection: 144 to 24 channels, 1×1"),
            ("20", "v2-deep", "MobileNetV2, block 7, projection: 192 to 64 channels, 1×1"),
        ):
            scale = mobilenet[f"{index}_scale"][:, None, None, None]
            norms = quantised_norms(mobilenet[f"{index}_w"] * scale)
            found.append(TrainedLayer(name, title, 1, norms))
    for key, name, title in (
        ("layer2.1.conv1.weight", "r20-middle", "ResNet-20, stage 2: 32 to 32 channels, 3×3"),
        ("layer3.1.conv1.weight", "r20-late", "ResNet-20, stage 3: 64 to 64 channels, 3×3"),
    ):
        found.append(TrainedLayer(name, title, 9, quantised_norms(resnet[key])))
    return found


def kept_mass(layer: TrainedLayer, sparsity: float, ns: Sequence[int]) -> list[MaskedShare]:
    """The share of the L1 norm that stays, by block size."""
    weight = layer.weight
    total = float(weight.sum())

    def share(n: int, rearrange: bool) -> float:
        return float(weight[block_mask(weight, n, sparsity, rearrange)].sum()) / total

    return [MaskedShare(n, share(n, False), share(n, True)) for n in ns]


def write(static: str | Path, folder: str | Path) -> list[Path]:
    """Write data, page fragment and still picture of the explorer.

    Args:
        static: the book's folder of static files.
        folder: with the weights.

    Returns:
        The files written.
    """
    static, layers = Path(static), trained_layers(folder)
    data = static / "onexn-explorer-data.js"
    fragment, picture = static / "onexn-explorer.html", static / "onexn-masks.png"
    write_atomic(data, data_script(layers))
    write_atomic(fragment, page_fragment(layers))
    figure = still_picture(layers[-1])
    figure.savefig(picture, format="png", metadata={"Software": None})
    return [data, fragment, picture]


def data_script(layers: Sequence[TrainedLayer]) -> str:
    """The layers as a script: a page opened from a file may not fetch JSON."""
    entries = [
        {
            "id": layer.id,
            "title": layer.title,
            "filters": layer.norms.shape[0],
            "inputs": layer.norms.shape[1],
            "kernel": layer.kernel,
            "norms": base64.b64encode(layer.norms.tobytes()).decode(),
        }
        for layer in layers
    ]
    return f"globalThis.onexnLayers = {json.dumps(entries, indent=0, ensure_ascii=False)};\n"


def page_fragment(layers: Sequence[TrainedLayer], sparsity: float = 0.5) -> str:
    """What a page of the book includes: the explorer, and what stands there without scripts.

    Args:
        layers: of the table.
        sparsity: of the table and the picture.
    """
    head = "".join(f'<th scope="col">N = {n}</th>' for n in TABLE_NS)
    rows = "".join(_row(layer, sparsity) for layer in layers)
    last = html.escape(layers[-1].title)
    return f"""<link rel="stylesheet" href="../_static/onexn-explorer.css">
<div class="onexn-explorer" data-onexn-explorer></div>
<noscript>
<figure class="onexn-still">
<img src="../_static/onexn-masks.png" alt="Masks of one layer at 50 %: with N = 1 the kept
kernels are strewn, with N = 4 and N = 16 they form ever longer columns.">
<figcaption>Masks of {last}, at {sparsity:.0%}. Kept kernels are blue, dropped ones orange; the
stronger the colour, the larger the norm.</figcaption>
</figure>
<table class="onexn-table">
<caption>Share of the L1 norm kept at {sparsity:.0%}: neighbours in a block / filters of similar
norm in a block / whole filters.</caption>
<thead><tr><th scope="col">Layer</th>{head}<th scope="col">whole filters</th></tr></thead>
<tbody>{rows}</tbody>
</table>
</noscript>
<script defer src="../_static/onexn-explorer-data.js"></script>
<script defer src="../_static/onexn-explorer.js"></script>
"""


def _row(layer: TrainedLayer, sparsity: float) -> str:
    cells = "".join(
        f"<td>{share.plain:.1%} / {share.rearranged:.1%}</td>"
        for share in kept_mass(layer, sparsity, TABLE_NS)
    )
    weight = layer.weight
    filters = float(weight[filter_mask(weight, sparsity)].sum() / weight.sum())
    name = html.escape(layer.title)
    return f'\n<tr><th scope="row">{name}</th>{cells}<td>{filters:.1%}</td></tr>'


def still_picture(layer: TrainedLayer, sparsity: float = 0.5, ns: Sequence[int] = (1, 4, 16)):
    """Masks of a layer side by side: kept kernels blue, dropped ones orange, by strength.

    Returns:
        A matplotlib figure.
    """
    from matplotlib.colors import to_rgb

    from lithe.figures import PALETTE, canvas

    figure, axes = canvas(len(ns), 2.7)
    blue, orange = np.array(to_rgb(PALETTE["blue"])), np.array(to_rgb(PALETTE["vermilion"]))
    strength = (layer.norms / 255.0)[..., None]
    for axis, n in zip(axes, ns):
        kept = block_mask(layer.weight, n, sparsity).numpy()[..., None]
        ink = np.where(kept, blue, orange)
        share = np.where(kept, 0.3 + 0.7 * strength, 0.08 + 0.5 * strength)
        axis.imshow(1 + share * (ink - 1), interpolation="nearest")
        axis.set(title=f"N = {n}", xlabel="input channel", xticks=[], yticks=[])
        axis.grid(False)
    axes[0].set_ylabel("filter")
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the explorer's files from the command line."""
    parser = argparse.ArgumentParser(prog="python -m lithe.onexn.exhibits", description=__doc__)
    parser.add_argument("shared", type=Path, help="the folder of shared data")
    options = parser.parse_args(arguments)
    folder = options.shared / "data" / "weights"
    if not folder.is_dir():
        parser.error(f"no weights at {folder}")
    for path in write(ledger.book_root() / "_static", folder):
        print(path.name)


if __name__ == "__main__":
    main()
