"""Really trained networks, pruned at one stroke and not fine-tuned: accuracy and kept L1 norm.

The weights are in the shared data: ResNet-20 and -56 for CIFAR-10, and MobileNet-V2 for ImageNet,
quantised to eight bits and with its norms folded in. Source: 1xN spec A1, A4.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from lithe import data, zoo
from lithe.data.checksum import verify_manifest
from lithe.onexn.contest import kept_l1
from lithe.onexn.counts import released_blocks
from lithe.onexn.eligible import eligible
from lithe.onexn.pattern import block_mask
from lithe.onexn.prune import prune
from lithe.training import evaluate

__all__ = ["ONE_SHOT", "cifar_resnet", "imagenet_photos", "mobilenet_v2_folded", "released_mask"]

SIZES = (2, 4, 8, 16, 32)
Metrics = dict[str, float | dict]
#: Layers of MobileNet-V2 by what they do; every block is expand, depthwise, project.
BLOCKS = [(k, k + 1, k + 2) for k in range(3, 51, 3)]


def cifar_resnet(depth: int, shared: Path) -> nn.Module:
    """The official ResNet-20 or -56, trained on CIFAR-10.

    Args:
        depth: 20 or 56.
        shared: the folder of shared data.
    """
    folder = shared / "data" / "weights"
    if depth == 20:
        name = "resnet20_cifar10.safetensors"
        verify_manifest(folder, [name])
        state = load_file(folder / name)
    else:
        state = _arrays(folder, "resnet56_cifar10_fp16.npz")
    model = zoo.resnet_cifar(depth)
    kept = model.state_dict()
    model.load_state_dict({k: state.get(k, kept[k]).to(kept[k].dtype) for k in kept})
    return model.eval()


def _arrays(folder: Path, name: str) -> dict[str, Tensor]:
    verify_manifest(folder, [name])
    with np.load(folder / name, allow_pickle=False) as file:
        return {key: torch.from_numpy(file[key]) for key in file.files}


class Folded(nn.Module):
    """MobileNet-V2 without norms: inverted residuals between a stem and a head.

    Args:
        stem: the first convolution and the first block, which does not expand.
        blocks: expand, depthwise and project convolution of each.
        residual: whether a block's input is added to its output.
        head: last convolution and classifier.
    """

    def __init__(
        self,
        stem: nn.Sequential,
        blocks: Sequence[nn.Sequential],
        residual: Sequence[bool],
        head: nn.Sequential,
    ) -> None:
        super().__init__()
        self.stem, self.blocks, self.head = stem, nn.ModuleList(blocks), head
        self.residual = tuple(residual)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(n, 1001)`` of images ``(n, 3, 224, 224)`` in [-1, 1]; class 0 is background."""
        x = self.stem(x)
        for block, residual in zip(self.blocks, self.residual):
            x = x + block(x) if residual else block(x)
        return self.head(x)


def mobilenet_v2_folded(shared: Path) -> Folded:
    """MobileNet-V2 for ImageNet, its eight-bit weights as float32.

    Args:
        shared: the folder of shared data.
    """
    folder = shared / "data" / "weights"
    arrays = _arrays(folder, "mobilenetv2_imagenet_int8.npz")
    verify_manifest(folder, ["mobilenetv2_layers.csv"])
    with (folder / "mobilenetv2_layers.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    layers = [_folded_layer(k, row, arrays) for k, row in enumerate(rows)]
    blocks = [nn.Sequential(*(part for k in three for part in layers[k])) for three in BLOCKS]
    residual = [_residual(block, rows[three[1]]) for block, three in zip(blocks, BLOCKS)]
    head = [*layers[51], nn.AdaptiveAvgPool2d(1), *layers[52], nn.Flatten()]
    stem = nn.Sequential(*layers[0], *layers[1], *layers[2])
    return Folded(stem, blocks, residual, nn.Sequential(*head)).eval()


def _folded_layer(k: int, row: dict[str, str], arrays: dict[str, Tensor]) -> list[nn.Module]:
    """One convolution with bias; TensorFlow pads an even image at the right and bottom only."""
    weight = arrays[f"{k:02d}_w"].float() * arrays[f"{k:02d}_scale"].reshape(-1, 1, 1, 1)
    o, i, side = weight.shape[:3]
    stride, groups = int(row["stride"]), o if row["kind"] == "depthwise" else 1
    before = [nn.ZeroPad2d((0, 1, 0, 1))] if stride == 2 else []
    padding = 0 if stride == 2 else side // 2
    conv = nn.Conv2d(i * groups, o, side, stride, padding, groups=groups)
    conv.weight.data, conv.bias.data = weight, arrays[f"{k:02d}_b"].float()
    return [*before, conv, *([nn.ReLU6()] if row["relu6"] == "1" else [])]


def _residual(block: nn.Sequential, depthwise: dict[str, str]) -> bool:
    convs = [part for part in block if isinstance(part, nn.Conv2d)]
    return depthwise["stride"] == "1" and convs[0].in_channels == convs[-1].out_channels


def imagenet_photos(shared: Path) -> data.Images:
    """Fifty photographs of as many ImageNet classes, as MobileNet-V2 takes them.

    Args:
        shared: the folder of shared data.

    Returns:
        uint8 ``(50, 3, 224, 224)``, scaled to [-1, 1] in batches; labels start at 1.
    """
    from PIL import Image

    folder = shared / "data" / "imagenet_like"
    with (folder / "labels.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    verify_manifest(folder, ["labels.csv", *(row["file"] for row in rows)])
    pixels = []
    for row in rows:
        with Image.open(folder / row["file"]) as image:
            pixels.append(torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1))
    labels = torch.tensor([int(row["label"]) + 1 for row in rows])
    classes = tuple(str(k) for k in range(1001))
    half = (0.5, 0.5, 0.5)
    return data.Images(torch.stack(pixels), labels, classes, "imagenet-like", half, half)


def released_mask(weight: Tensor, n: int, sparsity: float) -> Tensor:
    """The mask of the released code, whose blocks may straddle input channels.

    For comparison only: where ``n`` does not divide the filters it cannot be stored as 1xN.
    Source: 1xN spec A1, A7.1.

    Args:
        weight: ``(o, i, kh, kw)``.
        n: kernels per block.
        sparsity: share of blocks to drop, in [0, 1).

    Raises:
        ValueError: ``n`` does not divide the kernels.
    """
    count = released_blocks(weight.shape, n)
    kernels = weight.detach().double().abs().flatten(2).sum(-1).T.reshape(count, n)
    gone = kernels.sum(1).argsort(stable=True)[: int(sparsity * count)]
    kept = torch.ones(count, 1, dtype=torch.bool).index_fill_(0, gone, False).expand(-1, n)
    kept = kept.reshape(weight.shape[1], weight.shape[0]).T
    return kept[..., None, None].expand(weight.shape).clone()


def one_shot(
    model: nn.Module,
    images: data.Images,
    rates: Sequence[float],
    sizes: Sequence[int] = SIZES,
    batch_size: int = 50,
) -> Metrics:
    """Accuracy and kept L1 norm of every pattern at every rate, without fine-tuning.

    ``moved``: filters rearranged in the network, layers that meet in a sum in one order;
    ``rows``: each layer rearranged for itself, the order kept in its rows; ``plain``: as they
    stand; ``random``: blocks at random.

    Args:
        model: a trained network.
        images: to test on.
        rates: shares of weights to drop.
        sizes: filters per block.
        batch_size: images in one pass.
    """
    table: Metrics = {"top1_dense": _top1(model, images, batch_size)}
    example = torch.zeros(1, *images.shape)
    for p in rates:
        for name, how in _ways(sizes).items():
            chosen = {"example": example} if name.endswith("moved") else {}
            pruned = prune(model, sparsity=p, **how(), **chosen)
            cell = f"{name}_p{100 * p:.0f}"
            table[f"top1_{cell}"] = _top1(pruned, images, batch_size)
            table[f"kept_l1_{cell}"] = {"value": 100 * kept_l1(pruned, model), "unit": "%"}
    return table


def _ways(sizes: Sequence[int]) -> dict[str, Callable[[], dict[str, Any]]]:
    ways: dict[str, Callable[[], dict[str, Any]]] = {
        name: partial(dict, n=1, rearrange=False, pattern=name)
        for name in ("weight", "kernel", "filter")
    }
    for n in sizes:
        ways[f"1x{n}_plain"] = partial(dict, n=n, rearrange=False)
        ways[f"1x{n}_moved"] = ways[f"1x{n}_rows"] = partial(dict, n=n, rearrange=True)
        ways[f"1x{n}_random"] = partial(_random, n)
    return ways


def _random(n: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    return {"n": n, "rearrange": False, "pattern": "random", "generator": generator}


def _top1(model: nn.Module, images: data.Images, batch_size: int) -> dict[str, Any]:
    found = evaluate(model, images, batch_size)["top1"]
    return {"value": found, "unit": "%", "n": len(images)}


def kept_by_layer(model: nn.Module, sparsity: float = 0.5, moved: Sequence[str] = ()) -> Metrics:
    """What rearranging each layer for itself adds to its kept L1 norm, and what straddling costs.

    Args:
        model: a trained network.
        sparsity: share of blocks to drop.
        moved: layers that the released code rearranges, counted by themselves.
    """
    layers, _ = eligible(model)
    table: Metrics = {"layers": len(layers)} | ({"moved_layers": len(moved)} if moved else {})
    for n in SIZES:
        gains = [
            _kept(x, n, sparsity, True) - _kept(x, n, sparsity, False) for x in layers.values()
        ]
        table[f"layers_gaining_n{n}"] = sum(gain > 0 for gain in gains)
        chosen = [gain for name, gain in zip(layers, gains) if name in moved]
        if chosen:
            table[f"moved_layers_gaining_n{n}"] = sum(gain > 0 for gain in chosen)
        table[f"gain_mean_n{n}"] = {"value": 100 * sum(gains) / len(gains), "unit": "points"}
        table[f"gain_min_n{n}"] = {"value": 100 * min(gains), "unit": "points"}
        table |= _straddled([x.weight.detach() for x in layers.values()], n, sparsity)
    return table


def _straddled(weights: Sequence[Tensor], n: int, sparsity: float) -> Metrics:
    """Our blocks against the released ones in the layers whose filters ``n`` does not divide."""
    ragged = [w for w in weights if len(w) % n]
    if not ragged:
        return {}
    ours = [block_mask(w, n, sparsity) for w in ragged]
    theirs = [released_mask(w, n, sparsity) for w in ragged]
    lost = [_share(w, a) - _share(w, b) for w, a, b in zip(ragged, ours, theirs)]
    size = sum(mask.numel() for mask in ours)
    more = sum(int(a.sum()) - int(b.sum()) for a, b in zip(ours, theirs)) / size
    return {
        f"ragged_layers_n{n}": len(ragged),
        f"l1_ours_minus_released_n{n}": {"value": 100 * sum(lost) / len(lost), "unit": "points"},
        f"weights_ours_minus_released_n{n}": {"value": 100 * more, "unit": "points"},
    }


def _kept(layer: nn.Module, n: int, sparsity: float, rearrange: bool) -> float:
    weight = layer.weight.detach()
    return _share(weight, block_mask(weight, n, sparsity, rearrange))


def _share(weight: Tensor, mask: Tensor) -> float:
    magnitude = weight.double().abs()
    return float(magnitude[mask].sum() / magnitude.sum())


def _resnet(depth: int) -> tuple[Metrics, list[dict[str, Any]]]:
    shared = data.shared_folder()
    model = cifar_resnet(depth, shared)
    _, test = data.cifar10_subset()
    test = test.normalised(data.IMAGENET_MEAN, data.IMAGENET_STD)  # as its authors did
    table = one_shot(model, test, (0.1, 0.25, 0.5), SIZES[:-1]) | kept_by_layer(model)
    return table, [_described(test), _weights_file(shared, f"resnet{depth}")]


def _mobilenet() -> tuple[Metrics, list[dict[str, Any]]]:
    shared = data.shared_folder()
    model, photos = mobilenet_v2_folded(shared), imagenet_photos(shared)
    expand = [f"blocks.{k}.0" for k in range(len(BLOCKS))]
    table = one_shot(model, photos, (0.05, 0.1, 0.5))
    table |= kept_by_layer(model, moved=[*expand, "head.0"])
    return table, [_described(photos), _weights_file(shared, "mobilenetv2_imagenet_int8")]


def _described(images: data.Images) -> dict[str, Any]:
    return {"name": images.name, "sha256": images.sha256, "sizes": {"n": len(images)}}


def _weights_file(shared: Path, stem: str) -> dict[str, Any]:
    [path] = (shared / "data" / "weights").glob(f"{stem}*.[ns]*")
    return {"name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


#: Records on real weights, by name: metrics and the data used.
ONE_SHOT: dict[str, Callable[[], tuple[Metrics, list[dict[str, Any]]]]] = {
    "oneshot-resnet20": partial(_resnet, 20),
    "oneshot-resnet56": partial(_resnet, 56),
    "oneshot-mobilenet_v2": _mobilenet,
}
