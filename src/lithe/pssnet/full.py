"""One of the paper's supernets, trained at full length and put on record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from lithe import data, ledger
from lithe.pssnet import recipes
from lithe.pssnet.budget import Budget
from lithe.pssnet.choice import Place, Policy
from lithe.pssnet.elastic import Elastic
from lithe.pssnet.recalibrate import calibration_batches, recalibrate
from lithe.pssnet.settings import described
from lithe.pssnet.space import Subnet
from lithe.pssnet.supernet_training import evaluate_subnet, train_supernet

__all__ = ["full", "served"]

SOURCES = ("lithe.pssnet", "lithe.channels", "lithe.training", "lithe.data", "lithe.zoo")


def full(
    key: str,
    folder: str | Path | None = None,
    tables: str | Path | None = None,
    seed: int = 0,
) -> None:
    """Train one supernet of the paper from random weights, and record what it retains.

    Args:
        key: a key of ``lithe.pssnet.recipes.ROWS``.
        folder: of ImageNet, with ``train/`` and ``val/`` inside.
        tables: folder of the published latency tables; F supernets need none.
        seed: of weights, order, augmentation and sampling.

    Raises:
        lithe.data.DataError: images or tables are missing or damaged.
    """
    code = ledger.code_state(SOURCES)
    chosen = recipes.recipe(key, seed)
    if folder is None:
        raise data.DataError("name the folder of ImageNet, by path: --data-folder")
    train, test = data.imagenet_folder(folder)
    network = chosen.supernet()
    policy = chosen.policy(network, tables)
    runs = ledger.book_root().parent / "runs" / "checkpoints" / "pssnet" / "full"
    with ledger.meter() as spent:
        train_supernet(
            network, policy, train, chosen.train, directory=runs / chosen.experiment / str(seed)
        )
        metrics = _retained(network, policy, train, test, chosen.train.batch_size, chosen.budgets)
    if torch.distributed.is_initialized() and torch.distributed.get_rank():
        return
    params = {"key": key, "train": chosen.train.model_dump(mode="json")}
    used = [described(train), described(test)]
    ledger.record(
        "pssnet",
        chosen.experiment,
        "full",
        seed,
        params,
        metrics,
        data=used,
        code=code,
        cost=spent,
    )


def _retained(
    network: Elastic,
    policy: Policy,
    train: Any,
    test: Any,
    batch_size: int,
    budgets: Sequence[Budget],
) -> dict[str, dict]:
    """Top-1 of both ends and of every pool: its first, and the best of five as published."""
    batches = calibration_batches(train, batch_size)

    def top1(subnet: Subnet) -> float:
        recalibrate(network, subnet, batches)
        return evaluate_subnet(network, subnet, test, batch_size)["top1"]

    space, retained = network.space, policy.retained(5)
    found = {"max_top1": top1(space.largest()), "min_top1": top1(space.smallest())}
    tops = {place: [top1(subnet) for subnet in row] for place, row in retained.items()}
    percent = found | served(tops, budgets, found["min_top1"])
    return {name: {"value": x, "unit": "%", "n": len(test)} for name, x in percent.items()} | {
        f"pools_{budget.resource}": sum((budget.resource, t) in tops for t in budget.targets)
        for budget in budgets
    }


def served(
    tops: Mapping[Place, Sequence[float]], budgets: Sequence[Budget], least: float
) -> dict[str, float]:
    """What every budget gets: of its pool, or of cheaper ones where it has none.

    The released sampler has no candidates for some budgets of the published figure (spec 8, number
    2). A device with such a budget runs the best cheaper subnet there is, and so does the record.

    Args:
        tops: top-1 of what each pool retained, its first one first.
        budgets: whose targets are wanted.
        least: top-1 of the min net, which every budget can afford.

    Returns:
        ``top1_...`` of a pool's first subnet and ``best5_...`` of its best, for all targets.
    """
    found = {}
    for budget in budgets:
        within = {"top1": least, "best5": least}
        for target in budget.targets:
            row = tops.get((budget.resource, target))
            own = {"top1": row[0], "best5": max(row)} if row else within
            for kind, top in own.items():
                found[recipes.place_name(kind, budget.resource, target)] = top
            within = {kind: max(top, own[kind]) for kind, top in within.items()}
    return found
