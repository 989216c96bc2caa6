"""The policies against each other: one supernet, one grid of budgets, the same batches for all.

Source: PSS-Net spec 9.2. Every variant of one seed starts from the same weights and sees the same
images in the same order, for the same number of iterations; only the middle subnet of the sandwich
differs. What is retained is judged twice: as the pools rank it, which costs nothing, and as the
best of five on held-out images. Test images choose none of
them; the envelope of a curve, drawn afterwards, passes over what a cheaper subnet beats.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from lithe import cost, zoo
from lithe.data import Images
from lithe.pssnet.budget import Budget
from lithe.pssnet.choice import Policy
from lithe.pssnet.diary import Diary
from lithe.pssnet.elastic import Elastic, Resized, elastic
from lithe.pssnet.elastic_space import ElasticSpace
from lithe.pssnet.jury import Jury
from lithe.pssnet.policies import policy
from lithe.pssnet.space import Subnet
from lithe.pssnet.supernet_training import Watcher, train_supernet
from lithe.training import History, TrainConfig, evaluate, fit

__all__ = [
    "ALONE",
    "VARIANTS",
    "Outcome",
    "Shape",
    "Split",
    "Variant",
    "alone",
    "build",
    "contend",
    "grid",
]

ALONE = "alone"
POLICY_STREAM, FIRST_WEIGHTS = 1, 0  # random streams of a seed


class Split(NamedTuple):
    """Images to train on, to choose with, and to report on."""

    train: Images
    held_out: Images
    test: Images


@dataclass(frozen=True)
class Shape:
    """The supernet and its budgets; see :class:`lithe.pssnet.settings.Config`."""

    widths: tuple[int, ...]
    ratios: tuple[float, float]
    resolutions: tuple[int, ...]
    divisor: int
    targets: int
    capacity: int
    draws: int


@dataclass(frozen=True)
class Variant:
    """One way to choose the middle subnet.

    Attributes:
        says: what it is, in a phrase for tables.
        policy: a key of :data:`lithe.pssnet.policies.POLICIES`.
        changes: settings of the policy that differ.
    """

    says: str
    policy: str
    changes: Mapping[str, Any] = field(default_factory=dict)


#: The five policies, and two steps between ``released`` and ``effective``.
VARIANTS: dict[str, Variant] = {
    "uniform": Variant("one ratio for all widths, full resolution", "uniform"),
    "space": Variant("always from the space; pools only watch", "space"),
    "pool-uniform": Variant("from the pools without priority", "pool-uniform"),
    "released": Variant("PSS-Net as released", "released"),
    "keys": Variant("released, equal subnets counted once", "released", {"keys": "effective"}),
    "rescored": Variant(
        "the same, resting entries measured again",
        "released",
        {"keys": "effective", "rescore": 1},
    ),
    "effective": Variant("the same, candidates drawn without bias", "effective"),
}


@dataclass(frozen=True)
class Outcome:
    """What one variant came to.

    Attributes:
        metrics: numbers for the record; see :mod:`lithe.pssnet.jury`.
        curves: one value per budget, or one per epoch.
        network: the trained supernet.
        policy: with its pools as they ended.
    """

    metrics: dict[str, float | dict]
    curves: dict[str, list[float]]
    network: Elastic
    policy: Policy


def build(images: Images, shape: Shape, seed: int) -> tuple[Elastic, ElasticSpace]:
    """The supernet of one seed, untrained."""
    model = _drawn(images, shape.widths, seed)
    example = torch.zeros(1, *images.shape)
    return elastic(model, example, shape.ratios, shape.resolutions, shape.divisor)


def grid(space: ElasticSpace, targets: int) -> Budget:
    """``targets`` budgets of MACs, evenly between the smallest and the largest net.

    Whole numbers, so that a bin has one name.

    Raises:
        ValueError: the two nets are too close for that many.
    """
    low, high = (space.macs(s) for s in (space.smallest(), space.largest()))
    step = (high - low) // (targets + 1)
    if step < 1:
        raise ValueError(f"{targets} targets do not fit between {low} and {high} MACs")
    return Budget("macs", low, low + (targets + 1) * step, step)


def contend(
    name: str,
    images: Split,
    shape: Shape,
    recipe: TrainConfig,
    directory: Path | None = None,
    watch: Watcher | None = None,
) -> Outcome:
    """Train one variant from one seed (``recipe.seed``) and judge what it retained.

    Args:
        name: a key of ``VARIANTS``.
        images: to train on, to choose with, to report on.
        shape: of the supernet and its budgets.
        recipe: of the training.
        directory: where checkpoints go, so that an interrupted run goes on.
        watch: told of every choice; see :class:`lithe.pssnet.supernet_training.Sandwich`.

    Raises:
        KeyError: no such variant.
    """
    if name not in VARIANTS:
        raise KeyError(f"no variant {name!r}; there are: {', '.join(VARIANTS)}")
    network, space = build(images.train, shape, recipe.seed)
    budget = grid(space, shape.targets)
    chosen = _policy(VARIANTS[name], space, budget, shape, recipe.seed)
    diary = Diary(chosen)
    history = train_supernet(
        network,
        chosen,
        images.train,
        recipe,
        watch=_both(diary, watch),
        callbacks=[diary],
        directory=directory,
        progress=False,
    )
    jury = Jury(network, images.train, images.held_out, images.test, recipe)
    found = jury.judge(chosen, budget)
    iterations = recipe.epochs * -(-len(images.train) // recipe.batch_size)
    spent = diary.metrics(iterations, recipe.batch_size)
    curves = found.curves | _per_epoch(history)
    return Outcome(found.metrics | spent | _last(history), curves, network, chosen)


def _policy(
    variant: Variant, space: ElasticSpace, budget: Budget, shape: Shape, seed: int
) -> Policy:
    """The policy of a variant: all draw from the same stream of the seed."""
    generator = torch.Generator().manual_seed(2 * seed + POLICY_STREAM)
    sizes = {"capacity": shape.capacity, "draws": shape.draws}
    changes = {} if variant.policy == "uniform" else sizes | dict(variant.changes)
    return policy(variant.policy, space, [budget], generator, **changes)


def _both(diary: Diary, watch: Watcher | None) -> Watcher:
    def tell(event: dict[str, Any]) -> None:
        diary.note(event)
        if watch is not None:
            watch(event)

    return tell


def _last(history: History) -> dict[str, float]:
    return {"train_loss": history.last["train_loss"]}


def _per_epoch(history: History) -> dict[str, list[float]]:
    """Losses, shares by origin, and how many subnets a pool really draws from."""
    shares = [float(row.get("from_space", 0)) for row in history.rows]
    curves = {"train_loss": history["train_loss"], "from_space": shares}
    if "pool_size" in history.last:
        curves["pool_size"] = history["pool_size"]
    return curves


def alone(
    subnets: Sequence[Subnet],
    images: Split,
    recipe: TrainConfig,
    directory: Path | None = None,
) -> tuple[dict[str, float | dict], dict[str, list[float]]]:
    """Train subnets by themselves, from new weights, as long as the supernet: the upper control.

    Args:
        subnets: of the supernet that :func:`build` makes.
        images: those that the supernet saw.
        recipe: the same.
        directory: where checkpoints go.

    Returns:
        Metrics, ``top1_0`` for the first subnet and so on, and a curve of MACs and accuracies.
    """
    tops, macs = [], []
    for number, subnet in enumerate(subnets):
        net = _small(images.train, subnet, recipe.seed)
        place = directory / str(number) if directory else None
        fit(net, images.train, recipe, directory=place, progress=False)
        tops.append(evaluate(net, images.test, recipe.batch_size)["top1"])
        macs.append(float(cost.count(net, torch.zeros(1, *images.train.shape)).macs))
    n = len(images.test)
    metrics = {f"top1_{k}": {"value": top, "unit": "%", "n": n} for k, top in enumerate(tops)}
    metrics |= {f"macs_{k}": {"value": x, "unit": "MACs"} for k, x in enumerate(macs)}
    return metrics, {"macs": macs, "top1": tops}


def _small(images: Images, subnet: Subnet, seed: int) -> nn.Module:
    """The subnet as a network of its own, from new weights."""
    net = _drawn(images, subnet.widths, seed)
    side = subnet.resolution
    return net if side == images.shape[-1] else Resized(net, (side, side))


def _drawn(images: Images, widths: Sequence[int], seed: int) -> nn.Module:
    """A plain network with the first weights of a seed; torch's own random state stays."""
    generator = torch.Generator().manual_seed(2 * seed + FIRST_WEIGHTS)
    with torch.random.fork_rng(devices=[]):  # modules draw weights before they get these
        return zoo.small_cnn(images.n_classes, widths, generator=generator)
