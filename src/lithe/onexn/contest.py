"""1xN against its rivals: one trained network, one rate, the same fine-tuning for all.

Source: 1xN spec A2, A6. Every variant of one seed starts from the same dense network, drops the
same share of weights in the same layers at one stroke, and is fine-tuned on the same images in the
same order with its mask held. A control answers one question: is it the size of the block, its
score, the rearrangement, or only the longer training?
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import Module

from lithe import zoo
from lithe.data import Images
from lithe.onexn.budget import Budget
from lithe.onexn.masked import masked_layers
from lithe.onexn.prune import Pattern, prune, tighten
from lithe.onexn.schedule import cubic_sparsity
from lithe.training import History, TrainConfig, evaluate, fit

__all__ = ["VARIANTS", "Gradual", "Outcome", "Variant", "contend", "kept_l1", "train_dense"]

SIZES = (2, 4, 8, 16)
RATES = (0.5, 0.75)


@dataclass(frozen=True)
class Variant:
    """One way to drop weights of a trained network.

    Attributes:
        says: what it is, in a phrase for tables.
        pattern: as of :func:`lithe.onexn.prune`; ``None`` drops nothing.
        n: filters per block.
        sparsity: share of weights to drop.
        rearrange: move filters of similar norm together first.
        budget: which blocks compete; see :func:`lithe.onexn.prune`.
        gradual: reach the sparsity little by little while fine-tuning.
    """

    says: str
    pattern: Pattern | None
    n: int = 1
    sparsity: float = 0.0
    rearrange: bool = False
    budget: Budget = "layer"
    gradual: bool = False


def _variants() -> dict[str, Variant]:
    found = {"tuned": Variant("the dense network, fine-tuned as long", None)}
    for p in RATES:
        end, drop = f"p{100 * p:.0f}", f"drop {p:.0%}"
        found[f"weight-{end}"] = Variant(f"{drop} of the single weights", "weight", 1, p)
        found[f"kernel-{end}"] = Variant(f"{drop} of the 3x3 kernels", "kernel", 1, p)
        found[f"filter-{end}"] = Variant(f"{drop} of the filters", "filter", 1, p)
        for n in SIZES:
            name, says = f"1x{n}", f"{drop} in blocks of {n} filters"
            found[f"{name}-{end}"] = Variant(f"{says}, rearranged", "block", n, p, True)
            found[f"{name}-plain-{end}"] = Variant(f"{says}, as they stand", "block", n, p)
            found[f"{name}-random-{end}"] = Variant(f"{says}, at random", "random", n, p)
        even = f"{drop} of each row of blocks of 4 filters, rearranged"
        found[f"1x4-row-{end}"] = Variant(even, "block", 4, p, True, "row")
    slow = "drop 75% in blocks of 4 filters, rearranged, little by little"
    return found | {"1x4-gradual-p75": Variant(slow, "block", 4, 0.75, True, gradual=True)}


VARIANTS = _variants()


class Gradual:
    """Training callback: a higher sparsity before each epoch, final after half of them.

    Args:
        sparsity: the final share of weights to drop.
        epochs: of the fine-tuning.
    """

    def __init__(self, sparsity: float, epochs: int) -> None:
        self.sparsity, self.epochs = sparsity, epochs

    def at(self, epoch: int) -> float:
        """Sparsity during an epoch, counted from 0."""
        end = max(1, -(-self.epochs // 2))
        return cubic_sparsity(epoch + 1, 0, end, self.sparsity)

    def on_epoch_start(self, state: Any) -> None:
        """Drop what the schedule asks for, ranked by the weights as trained so far."""
        state.metrics["sparsity"] = 1 - tighten(state.model, self.at(state.epoch)).kept


@dataclass(frozen=True)
class Outcome:
    """What one variant came to.

    Attributes:
        metrics: numbers for the record; ``top1`` is of the last epoch, never the best one.
        curves: one value per epoch of fine-tuning.
        model: the network, masks still held.
    """

    metrics: dict[str, float | dict]
    curves: dict[str, list[float]]
    model: Module


def train_dense(
    train: Images,
    test: Images,
    recipe: TrainConfig,
    widths: tuple[int, ...],
    directory: Path | None = None,
) -> tuple[Module, History]:
    """The dense network that all variants of one seed start from.

    Args:
        train: training images ``(n, 3, h, w)``.
        test: test images.
        recipe: its seed also draws the first weights.
        widths: filters of each convolution.
        directory: where checkpoints go; a finished training is read back from there.
    """
    with _seeded(recipe.seed):
        model = zoo.small_cnn(train.n_classes, widths)
    history = fit(model, train, recipe, evaluate=test, directory=directory, progress=False)
    return model, history


def contend(
    name: str,
    dense: Module,
    train: Images,
    test: Images,
    recipe: TrainConfig,
    directory: Path | None = None,
) -> Outcome:
    """Prune a copy of a trained network as one variant does, fine-tune it, and measure it.

    Args:
        name: a key of ``VARIANTS``.
        dense: the trained network; left as it is.
        train: training images.
        test: test images.
        recipe: of the fine-tuning; its seed also draws random blocks.
        directory: where checkpoints go, so that an interrupted run goes on.

    Raises:
        KeyError: no such variant.
    """
    if name not in VARIANTS:
        raise KeyError(f"no variant {name!r}; there are: {', '.join(VARIANTS)}")
    variant = VARIANTS[name]
    callbacks = [Gradual(variant.sparsity, recipe.epochs)] if variant.gradual else []
    first = callbacks[0].at(0) if callbacks else variant.sparsity
    model = _pruned(variant, dense, first, train, recipe.seed)
    table: dict[str, float | dict] = {}
    if variant.pattern is not None and first == variant.sparsity:
        table |= _structure(model, dense)
        table["top1_before"] = _percent(evaluate(model, test, recipe.batch_size)["top1"], test)
    history = fit(
        model,
        train,
        recipe,
        evaluate=test,
        callbacks=callbacks,
        directory=directory,
        progress=False,
    )
    if variant.pattern is not None:
        table["kept_share"] = {"value": 100 * model.pruning.kept, "unit": "%"}
    return Outcome(table | _results(history, test), _curves(history), model)


def _pruned(variant: Variant, dense: Module, sparsity: float, images: Images, seed: int) -> Module:
    if variant.pattern is None:
        return copy.deepcopy(dense)
    random = torch.Generator().manual_seed(seed) if variant.pattern == "random" else None
    return prune(
        dense,
        variant.n,
        sparsity,
        variant.rearrange,
        torch.zeros(1, *images.shape),
        budget=variant.budget,
        pattern=variant.pattern,
        generator=random,
    )


def kept_l1(pruned: Module, dense: Module) -> float:
    """Share of the L1 norm of the pruned layers' weights that the masks keep, in [0, 1].

    Args:
        pruned: as it comes from :func:`lithe.onexn.prune`, before it is trained.
        dense: the network it was made of; a moved filter has the same norm.
    """
    layers = masked_layers(pruned)
    with torch.no_grad():
        kept = sum(layer.masked_weight.double().abs().sum() for layer in layers.values())
        whole = sum(dense.get_submodule(name).weight.double().abs().sum() for name in layers)
    return float(kept / whole)


def _structure(model: Module, dense: Module) -> dict[str, float | dict]:
    placements = [layer.placement for layer in model.pruning.layers]
    return {
        "kept_l1": {"value": 100 * kept_l1(model, dense), "unit": "%"},
        "pruned_layers": len(placements),
        "moved_layers": placements.count("moved"),
    }


def _results(history: History, test: Images) -> dict[str, float | dict]:
    return {
        "top1": _percent(history.last["evaluate_top1"], test),
        "test_loss": history.last["evaluate_loss"],
        "train_loss": history.last["train_loss"],
    }


def _percent(value: float, test: Images) -> dict[str, Any]:
    return {"value": value, "unit": "%", "n": len(test)}


def _curves(history: History) -> dict[str, list[float]]:
    names = ("train_loss", "evaluate_loss", "evaluate_top1", "sparsity")
    return {name: history[name] for name in names if name in history.last}


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Torch's global generator at ``seed`` inside, as it was outside."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
