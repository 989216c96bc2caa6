"""DCFF against its controls: one compact shape, the same batches, the same training cost.

Source: spec sections 9 and 10. A control answers one question: is it the fusion, the score, or only
the narrow network? Every variant of one seed sees the same images in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch.nn import Module

from lithe import channels, cost, zoo
from lithe.data import Images
from lithe.dcff.convert import convert
from lithe.dcff.rates import kept
from lithe.dcff.refresh import LayerReport, refresh
from lithe.training import History, TrainConfig, fit

__all__ = ["VARIANTS", "Outcome", "Refresh", "Stage", "Variant", "contend", "stages"]

FINE_TUNE = 0.1  # learning rate after pruning, relative to training: spec section 10


@dataclass(frozen=True)
class Variant:
    """One way to arrive at the compact network.

    Attributes:
        says: the question it answers, in a phrase for tables.
        network: ``"fused"`` (refreshed every epoch with ``switches``), ``"compact"`` or ``"dense"``
            from scratch, ``"pruned"`` (dense, then L1, then fine-tuned).
        switches: keyword arguments of :func:`lithe.dcff.refresh`.
        long: spend as much as ``pruned`` does with full-length stages.
    """

    says: str
    network: Literal["fused", "compact", "dense", "pruned"]
    switches: Mapping[str, Any] = field(default_factory=dict)
    long: bool = False


def _frozen(score: str) -> Variant:
    return Variant(
        f"one real filter per slot from the start, chosen once by {score}",
        "fused",
        {"mode": "intended", "score": score, "onehot": True, "update": "never"},
    )


VARIANTS: dict[str, Variant] = {
    "released": Variant("DCFF as released", "fused", {"mode": "released"}),
    "intended": Variant("DCFF as intended", "fused", {"mode": "intended"}),
    "scratch": Variant("the compact network from scratch", "compact"),
    "onehot-l1": _frozen("l1"),
    "onehot-random": _frozen("random"),
    "onehot-fpgm": _frozen("total_distance"),
    "constant-t1": Variant(
        "mixtures for ever: T = 1 throughout",
        "fused",
        {"mode": "intended", "temperature": "constant"},
    ),
    "pretrained-l1": Variant("train dense, prune by L1, fine-tune; equal cost", "pruned"),
    "pretrained-l1-long": Variant("the same with full-length stages", "pruned", long=True),
    "scratch-long": Variant("from scratch at the cost of the row above", "compact", long=True),
    "dense": Variant("the dense network, for reference", "dense"),
}


class Refresh:
    """Training callback: new mixing rows before each epoch, what happened into the history.

    Args:
        epochs: total epochs of the schedule, where the run itself is shorter.
        seed: of the random score.
        switches: passed to :func:`lithe.dcff.refresh`.
    """

    def __init__(self, epochs: int | None = None, seed: int = 0, **switches: Any) -> None:
        self.epochs, self.seed, self.switches = epochs, seed, switches

    def on_epoch_start(self, state: Any) -> None:
        """Refresh all fused layers and note how alive the fusion is."""
        generator = torch.Generator().manual_seed(self.seed)
        reports = refresh(
            state.model,
            state.epoch,
            self.epochs or state.epochs,
            generator=generator,
            **self.switches,
        )
        state.metrics.update(_activity(reports))

    def on_epoch_end(self, state: Any) -> None:
        """Nothing to do: rows stay until the next epoch."""


def _activity(reports: Sequence[LayerReport]) -> dict[str, float]:
    """Averages over layers: peak of the rows, and how much of the selection moved."""
    n = len(reports)
    return {
        "max_proxy": sum(r.max_proxy for r in reports) / n,
        "set_change": sum(r.set_change for r in reports) / n,
        "slot_change": sum(r.slot_change for r in reports) / n,
        "nan_layers": sum(not r.finite for r in reports),
        "t": reports[0].t,
    }


@dataclass(frozen=True)
class Stage:
    """A stretch of training: which network, how long, at which rate."""

    network: Literal["fused", "compact", "dense"]
    epochs: int
    lr: float


def stages(variant: Variant, epochs: int, lr: float, ratio: float) -> list[Stage]:
    """Split a budget of ``epochs`` compact epochs into the stages of a variant.

    Args:
        variant: what to train.
        epochs: length of a compact run.
        lr: learning rate from scratch.
        ratio: MACs of the dense network over those of the compact one.

    Returns:
        Stages whose cost, in compact epochs, is ``epochs`` to within one dense epoch, or
        ``(1 + ratio) * epochs`` for the long variants.
    """
    if variant.network != "pruned":
        length = round(epochs * (1 + ratio)) if variant.long else epochs
        return [Stage(variant.network, length, lr)]
    dense = epochs if variant.long else max(1, round(epochs / (2 * ratio)))
    tuned = epochs if variant.long else max(1, round(epochs - dense * ratio))
    return [Stage("dense", dense, lr), Stage("compact", tuned, lr * FINE_TUNE)]


@dataclass(frozen=True)
class Outcome:
    """What one variant came to.

    Attributes:
        metrics: numbers for the record; ``top1`` is of the last epoch, never the best one.
        curves: one value per epoch of the last stage.
        model: the trained network.
    """

    metrics: dict[str, float | dict]
    curves: dict[str, list[float]]
    model: Module


def contend(
    name: str,
    train: Images,
    test: Images,
    base: TrainConfig,
    *,
    widths: Sequence[int],
    rate: float,
    directory: Path | None = None,
) -> Outcome:
    """Train one variant from one seed (``base.seed``) and measure it.

    Args:
        name: a key of ``VARIANTS``.
        train: training images ``(n, 3, h, w)``.
        test: test images.
        base: recipe of a compact run; the schedule steps at half and three quarters.
        widths: filters of the dense network.
        rate: share of filters dropped in every layer.
        directory: where checkpoints go, so that an interrupted run goes on.

    Raises:
        KeyError: no such variant.
    """
    if name not in VARIANTS:
        raise KeyError(f"no variant {name!r}; there are: {', '.join(VARIANTS)}")
    variant = VARIANTS[name]
    narrow = [kept(width, rate) for width in widths]
    macs = _forward_macs(train, widths, narrow)
    plan = stages(variant, base.epochs, base.lr, macs["dense"] / macs["compact"])
    model, history = None, History()
    for number, stage in enumerate(plan):
        model = _network(stage.network, model, train, widths, narrow, rate, base.seed)
        recipe = _recipe(base, stage)
        callbacks = [Refresh(seed=base.seed, **variant.switches)] if variant.switches else []
        place = directory / f"stage{number}" if directory else None
        history = fit(
            model,
            train,
            recipe,
            evaluate=test,
            callbacks=callbacks,
            directory=place,
            progress=False,
        )
    passes = sum(stage.epochs * macs[stage.network] for stage in plan)
    return Outcome(_metrics(history, len(test), 3 * passes * len(train)), _curves(history), model)


def _forward_macs(images: Images, wide: Sequence[int], narrow: Sequence[int]) -> dict[str, int]:
    example = torch.zeros(1, *images.shape)
    with _seeded(0):
        nets = [zoo.small_cnn(images.n_classes, widths) for widths in (wide, narrow)]
    dense, compact = (cost.count(net, example).macs for net in nets)
    return {"dense": dense, "compact": compact, "fused": compact}


def _network(
    kind: str,
    trained: Module | None,
    images: Images,
    wide: Sequence[int],
    narrow: Sequence[int],
    rate: float,
    seed: int,
) -> Module:
    """The network of a stage: pruned from the last one, or drawn from ``seed``."""
    example = torch.zeros(1, *images.shape)
    if trained is not None:
        return prune_l1(trained, rate, example)
    with _seeded(seed):
        if kind == "compact":
            return zoo.small_cnn(images.n_classes, narrow)
        dense = zoo.small_cnn(images.n_classes, wide)
        return convert(dense, rate, example, init="fresh") if kind == "fused" else dense


def prune_l1(model: Module, rate: float, example: torch.Tensor) -> Module:
    """Keep the filters of largest L1 norm in every free convolution: the classic control.

    Args:
        model: a trained network.
        rate: share of filters dropped.
        example: input ``(1, c, h, w)``.
    """
    chosen = {}
    for name in channels.trace(model, example).free_convs():
        norms = model.get_submodule(name).weight.detach().abs().flatten(1).sum(1)
        chosen[name] = norms.topk(kept(len(norms), rate)).indices.sort().values
    return channels.keep(model, chosen, example)


def _recipe(base: TrainConfig, stage: Stage) -> TrainConfig:
    steps = sorted({max(1, stage.epochs // 2), max(1, 3 * stage.epochs // 4)})
    changed = {"epochs": stage.epochs, "lr": stage.lr, "schedule": "step", "milestones": steps}
    return TrainConfig.model_validate(base.model_dump() | changed)


def _metrics(history: History, n: int, macs: float) -> dict[str, float | dict]:
    table: dict[str, float | dict] = {
        "top1": {"value": history.last["evaluate_top1"], "unit": "%", "n": n},
        "train_loss": history.last["train_loss"],
        "train_macs": {"value": macs, "unit": "MACs"},
    }
    if "max_proxy" in history.last:
        moved = history["set_change"][1:]
        table |= {
            "max_proxy_epoch0": history["max_proxy"][0],
            "max_proxy_epoch1": history["max_proxy"][min(1, len(history) - 1)],
            "fused_epochs": sum(peak < 1 for peak in history["max_proxy"]),
            "selection_changes": sum(share > 0 for share in moved),
            "largest_set_change": {
                "value": 100 * max(history["set_change"][1:], default=0),
                "unit": "%",
            },
            "nan_layers_epoch1": history["nan_layers"][min(1, len(history) - 1)],
        }
    return table


def _curves(history: History) -> dict[str, list[float]]:
    names = ("train_loss", "evaluate_top1", "max_proxy", "set_change", "slot_change")
    return {name: history[name] for name in names if name in history.last}


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Torch's global generator at ``seed`` inside, as it was outside."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
