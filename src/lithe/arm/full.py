"""Rows of the paper's tables at full length: one network, one test set, three exchange rates."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from lithe import data, ledger
from lithe.arm.calibrate import measure
from lithe.arm.cost import mean_cost
from lithe.arm.degrade import degrade
from lithe.arm.metrics import psnr
from lithe.arm.prepare import prepared
from lithe.arm.published import LOGS, Log
from lithe.arm.supernet import Supernet
from lithe.arm.table import EdgeTable
from lithe.arm.testsets import bundled
from lithe.arm.training import recipe, train
from lithe.arm.upscaler import Upscaler

__all__ = ["ROWS", "dry_run", "evaluate", "full"]

#: Network and test set -> the three published runs, ARM-L, ARM-M, ARM-S.
ROWS: dict[str, tuple[Log, ...]] = {}
for _log in LOGS:
    ROWS[f"{_log.net}-{_log.images}"] = (*ROWS.get(f"{_log.net}-{_log.images}", ()), _log)

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"}
BINS = 30


def full(key: str, pairs: str | Path, valid: str | Path, test: str | Path, seed: int = 0) -> None:
    """Train a supernet as released, build its table, evaluate three rows, and record them.

    The training of a network is kept beside the book; its other test sets start from there.

    Args:
        key: a key of :data:`ROWS`.
        pairs: training pairs, made by ``python -m lithe.arm.prepare`` of DIV2K's training set.
        valid: folder of sharp images that the table is built on, DIV2K's validation set.
        test: folder of sharp test images.
        seed: of first weights, order, widths and augmentation.

    Raises:
        lithe.data.DataError: a folder is missing, empty or damaged.
    """
    code = ledger.code_state(("lithe.arm", "lithe.training", "lithe.data"))
    backbone = ROWS[key][0].net
    known, tests = (_paths(folder) for folder in (valid, test))
    chosen = recipe(backbone, seed=seed)
    net = Supernet(backbone, generator=torch.Generator().manual_seed(seed))  # type: ignore[arg-type]
    training = prepared(pairs)
    with ledger.meter() as spent:
        place = ledger.book_root().parent / "runs" / "checkpoints" / "arm" / "full" / backbone
        train(net, training, chosen, directory=place / str(seed))
        if torch.distributed.is_initialized() and torch.distributed.get_rank():
            return
        table = measure(net.deployed(), _opened(known)).table(BINS)
        metrics = evaluate(net, table, _opened(tests), ROWS[key])
    used = [
        {"name": training.name, "sha256": training.fingerprint, "sizes": {"n": len(training)}},
        *(
            {"name": Path(f).name, "sizes": {"n": len(p)}}
            for f, p in ((valid, known), (test, tests))
        ),
    ]
    params = {"key": key, "bins": BINS, "train": chosen.model_dump(mode="json")}
    ledger.record("arm", key, "full", seed, params, metrics, data=used, code=code, cost=spent)


def evaluate(
    net: Supernet, table: EdgeTable, images: Iterable[np.ndarray], rows: tuple[Log, ...]
) -> dict[str, Any]:
    """PSNR and cost of the released inference at each row's exchange rate, and without routing.

    Args:
        net: trained.
        table: of PSNR by edge score.
        images: sharp, uint8 ``(h, w, 3)``.
        rows: whose ``k`` to use.
    """
    upscaler, costs = Upscaler(net, table), net.costs(released=True)
    rates = {row.size: row.k * costs[-1] for row in rows} | {"whole": None}
    quality: dict[str, list[float]] = {name: [] for name in rates}
    counts = {name: np.zeros(len(net), int) for name in rates}
    for picture in images:
        large, small = degrade(picture, net.scale)
        for name, eta in rates.items():
            found = upscaler(small, eta=eta, released=True)
            h, w = found.image.shape[:2]
            quality[name].append(psnr(found.image, large[:h, :w], net.scale))
            counts[name] += np.bincount(found.routes.ravel(), minlength=len(net))
    table_: dict[str, Any] = {}
    for name, values in quality.items():
        table_[f"psnr_{name}"] = {"value": float(np.mean(values)), "unit": "dB", "n": len(values)}
        spent = mean_cost(counts[name].tolist(), costs)
        table_[f"flops_{name}"] = {"value": spent / 1e6, "unit": "M"}
    return table_


def dry_run(key: str) -> dict[str, float]:
    """The same path in seconds: two steps on bundled photographs, a table, one test image.

    Returns:
        PSNR and cost of each row; after two steps they mean nothing.
    """
    from lithe.arm.pairs import pairs_of

    backbone = ROWS[key][0].net
    [image] = bundled(("chelsea",)).cut(160).images.values()
    net = Supernet(backbone, generator=torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    short = {"epochs": 1, "batch_size": 2}
    train(net, pairs_of([image], step=8), recipe(backbone, **short), progress=False)
    table = measure(net.deployed(), [image], step=8).table(5)
    found = evaluate(net, table, [image], ROWS[key])
    return {name: entry["value"] for name, entry in found.items()}


def _paths(folder: str | Path) -> list[Path]:
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise data.DataError(f"no folder of images at {folder}")
    paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    if not paths:
        raise data.DataError(f"{folder} holds no images ({', '.join(sorted(SUFFIXES))})")
    return paths


def _opened(paths: Iterable[Path]) -> Iterator[np.ndarray]:
    for path in paths:
        try:
            with Image.open(path) as image:
                yield np.array(image.convert("RGB"))
        except (OSError, ValueError) as error:
            raise data.DataError(f"{path} is no readable image: {error}") from None
