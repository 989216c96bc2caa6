"""Once an epoch: distances, proxies, scores, selection, mixing rows, for every fused layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lithe.dcff.coupling import select_together
from lithe.dcff.diagnostics import LayerReport, entropy, set_change, slot_change
from lithe.dcff.fused import FusedConv2d
from lithe.dcff.normalisation import reset_slots
from lithe.dcff.policy import Mode, Policy, policy_for
from lithe.dcff.proxy import log_proxy, pairwise_distance
from lithe.dcff.released import released_proxy, released_scores
from lithe.dcff.score import RIVALS, kl_scores
from lithe.dcff.select import select

__all__ = ["fused_layers", "refresh"]


@dataclass
class _Draft:
    """A layer's new proxies ``(n, n)``, its scores, and the filters it had selected."""

    name: str
    layer: FusedConv2d
    proxy: Tensor
    scores: Tensor
    previous: Tensor | None


@torch.no_grad()
def refresh(
    model: nn.Module,
    epoch: int,
    epochs: int,
    mode: Mode = "intended",
    *,
    update: str | None = None,
    score: str | None = None,
    onehot: bool | None = None,
    temperature: str | float | Callable[[int, int], float] | None = None,
    policy: str | None = None,
    reset_bn: bool | None = None,
    arithmetic: str | None = None,
    generator: torch.Generator | None = None,
) -> list[LayerReport]:
    """Renew the mixing rows of every fused layer from its current weights.

    Call it before each epoch of training; rows are constants until the next call. What is not
    given is set by the mode: :data:`lithe.dcff.RELEASED` or :data:`lithe.dcff.INTENDED`.

    Source: DCFF spec 2.10. At epoch 0, or where a layer has no scores yet, new scores are taken
    whatever they are; afterwards as ``update`` says. Layers that share a width (a residual sum,
    see :func:`lithe.dcff.convert`) are scored jointly and select the same filters.

    Args:
        model: holds :class:`lithe.dcff.FusedConv2d` layers.
        epoch: index from 0.
        epochs: length of the run.
        mode: ``"intended"`` or ``"released"``.
        update: ``"released_guard"``, ``"always"`` or ``"never"``.
        score: ``"kl"``, ``"l1"``, ``"l2"``, ``"total_distance"`` or ``"random"``.
        onehot: expose the selected filters themselves.
        temperature: kind of schedule, constant ``T``, or function of (epoch, epochs).
        policy: slot order, see :func:`lithe.dcff.select`.
        reset_bn: put the batch norm of changed slots back to its first state.
        arithmetic: ``"log"`` or ``"released"``.
        generator: needed by ``score="random"`` only.

    Returns:
        One report a layer, in the model's order.

    Raises:
        ValueError: nothing to refresh, an unknown switch, an epoch out of range, or weights that
            are not finite.
    """
    rules = policy_for(
        mode,
        update=update,
        score=score,
        onehot=onehot,
        temperature=temperature,
        policy=policy,
        reset_bn=reset_bn,
        arithmetic=arithmetic,
    )
    layers = fused_layers(model)
    if not layers:
        raise ValueError(
            f"{type(model).__name__} holds no FusedConv2d; make one with lithe.dcff.convert"
        )
    t = rules.inverse_temperature(epoch, epochs)
    before = {name: layer.selected.clone() for name, layer in layers.items()}
    reports: dict[str, LayerReport] = {}
    for members in _groups(layers):
        drafts = [_draft(name, layers[name], t, rules, generator) for name in members]
        reports |= {report.name: report for report in _settle(drafts, t, epoch == 0, rules)}
    if rules.reset_bn:
        reset_slots(model, before, reports)
    return [reports[name] for name in layers]


def fused_layers(model: nn.Module) -> dict[str, FusedConv2d]:
    """The fused layers of ``model`` by name, in its order; a shared layer appears once.

    Raises:
        TypeError: ``model`` is not a module.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is a {type(model).__name__}, not a torch.nn.Module")
    return {
        name: module for name, module in model.named_modules() if isinstance(module, FusedConv2d)
    }


def _groups(layers: dict[str, FusedConv2d]) -> list[list[str]]:
    """Names of layers that must select together; most are alone."""
    groups: dict[Any, list[str]] = {}
    for name, layer in layers.items():
        group = layer.coupling.name if layer.coupling else (name,)
        groups.setdefault(group, []).append(name)
    return list(groups.values())


def _draft(
    name: str,
    layer: FusedConv2d,
    t: float,
    rules: Policy,
    generator: torch.Generator | None,
) -> _Draft:
    """Proxies and scores from the current weights."""
    distance = pairwise_distance(layer.weight)
    if rules.arithmetic == "released":
        proxy = released_proxy(distance, t)
        scores = released_scores(proxy) if rules.score == "kl" else None
    else:
        logarithms = log_proxy(distance, t)
        proxy = logarithms.exp()
        scores = kl_scores(logarithms) if rules.score == "kl" else None
    if scores is None:
        scores = RIVALS[rules.score](layer.weight, distance, generator).to(distance)
    previous = layer.selected.clone() if layer.refreshed else None
    return _Draft(name, layer, proxy, scores.double(), previous)


def _settle(drafts: list[_Draft], t: float, first: bool, rules: Policy) -> list[LayerReport]:
    """Accept or refuse the scores of layers that go together, select, and set their rows."""
    finite = all(bool(draft.scores.isfinite().all()) for draft in drafts)
    fresh = first or any(draft.previous is None for draft in drafts)
    accepted = fresh or rules.update == "always"
    accepted = accepted or (rules.update == "released_guard" and finite)
    scores = [draft.scores if accepted else draft.layer.scores for draft in drafts]
    chosen = [draft.previous for draft in drafts]
    if accepted:
        chosen = _select(drafts, scores, rules)
    reports = []
    for draft, own, selected in zip(drafts, scores, chosen):
        rows = draft.proxy[selected]
        if rules.onehot:
            rows = nn.functional.one_hot(selected, draft.layer.n_filters).to(rows)
        draft.layer.set_rows(rows, selected, own if accepted else None)
        reports.append(_report(draft, rows, selected, t, accepted))
    return reports


def _select(drafts: list[_Draft], scores: list[Tensor], rules: Policy) -> list[Tensor]:
    """Filters by slot of each draft, coupled ones in step.

    A score that is not finite counts as the largest, as in the released selection.
    """
    lead = drafts[0].layer
    if lead.coupling is None:
        ranked = torch.nan_to_num(scores[0], nan=torch.inf)
        return [select(ranked, lead.kept, drafts[0].previous, rules.policy)]
    couplings = [draft.layer.coupling for draft in drafts]
    selected = [draft.layer.selected for draft in drafts]
    return select_together(couplings, selected, scores, rules.policy)


def _report(draft: _Draft, rows: Tensor, selected: Tensor, t: float, accepted: bool) -> LayerReport:
    finite = draft.scores.isfinite()
    before = draft.previous if draft.previous is not None else selected
    own = rows.gather(1, selected[:, None]).double()
    changed = set_change(before, selected)
    return LayerReport(
        name=draft.name,
        t=t,
        filters=draft.layer.n_filters,
        kept=draft.layer.kept,
        finite=bool(finite.all()),
        nan_count=int((~finite).sum()),
        accepted=accepted,
        reselected=changed > 0,
        set_change=changed,
        slot_change=slot_change(before, selected),
        max_proxy=float(rows.double().max(1).values.mean()),
        off_diagonal=float((rows.double().sum(1, keepdim=True) - own).mean()),
        entropy=entropy(rows),
        onehot=draft.layer.onehot,
    )
