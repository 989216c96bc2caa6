"""How estimates under several conditions become one: guidance for each part of the body.

All of it is affine: an estimate is a sum of the network's estimates whose weights add up to 1, for
each part and each latent frame. The released combination and its rivals differ in their weights
alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from lithe.syntalker.timeline import BODY_PARTS, Plan

__all__ = [
    "MIXTURES",
    "RELEASED_SCALES",
    "Condition",
    "Mixture",
    "audio_only",
    "combine",
    "joint",
    "mix",
    "prompt_only",
    "separate",
    "two_term",
    "whole_body",
]

#: Weights of speech and prompt for a part that has a prompt (SynTalker spec 7.3).
RELEASED_SCALES: dict[str, tuple[float, float]] = {
    "upper": (1.0, 4.0),
    "hands": (0.0, 4.0),
    "lower": (0.0, 4.0),
}


def two_term(x_0: Tensor, x_a: Tensor, x_p: Tensor, s_a: float, s_p: float) -> Tensor:
    """Guidance by speech and prompt: ``x_0 + s_a (x_a - x_0) + s_p (x_p - x_0)``.

    Source: SynTalker spec 7.2.

    Args:
        x_0: estimate without speech and prompt.
        x_a: with speech alone, same shape.
        x_p: with the prompt alone, same shape.
        s_a: weight of speech; 1 is plain conditioning.
        s_p: weight of the prompt.
    """
    return x_0 + s_a * (x_a - x_0) + s_p * (x_p - x_0)


def combine(
    x_0: Tensor,
    x_a: Tensor,
    x_p: Tensor | Mapping[str, Tensor | None],
    parts: Mapping[str, slice | Tensor] | Iterable[str] | None = None,
    scales: Mapping[str, tuple[float, float]] = RELEASED_SCALES,
) -> Tensor:
    """Separate, then combine: every part of the body by its own guidance.

    Source: SynTalker spec 7.3, as released. A part without prompt is ``x_a``, to the bit.

    Args:
        x_0: estimate without speech and prompt: ``(..., f, d)``, or as released ``(n, d, 1, f)``.
        x_a: with speech alone, same shape.
        x_p: with each part's prompt alone, or one estimate for all; ``None`` or a part that is
            left out has no prompt.
        parts: channels of each part; or the names of the parts that have a prompt, on the released
            layout (upper, hands and lower body, a third of the channels each), which is the
            default with whatever prompts ``x_p`` holds.
        scales: weights of speech and prompt of parts that have a prompt.

    Returns:
        The combined estimate, same shape.

    Raises:
        ValueError: shapes differ, or a part is unknown or has no estimate.
    """
    axis = 1 if x_0.ndim == 4 else x_0.ndim - 1
    layout = parts if isinstance(parts, Mapping) else _thirds(x_0.shape[axis])
    if isinstance(x_p, Tensor):
        x_p = dict.fromkeys(layout, x_p)
    wanted = x_p if parts is None or isinstance(parts, Mapping) else tuple(parts)
    estimates = {part: x_p.get(part) for part in wanted}
    for part, estimate in estimates.items():
        if part not in layout or part not in scales:
            raise ValueError(f"there is no part {part!r}; the parts are {', '.join(layout)}")
        if estimate is None and wanted is not x_p:
            raise ValueError(f"{part} has a prompt but x_p holds no estimate for it")
    out = x_a.movedim(axis, -1).clone()
    moved = {name: x.movedim(axis, -1) for name, x in estimates.items() if x is not None}
    shapes = {x.shape for x in (x_0, x_a, *(x for x in estimates.values() if x is not None))}
    if len(shapes) > 1:
        raise ValueError(f"estimates have one shape, got {sorted(map(tuple, shapes))}")
    nothing, speech = x_0.movedim(axis, -1), x_a.movedim(axis, -1)
    for part, x in moved.items():
        own = layout[part]
        out[..., own] = two_term(nothing[..., own], speech[..., own], x[..., own], *scales[part])
    return out.movedim(-1, axis)


class Condition(NamedTuple):
    """What one evaluation of the network is told.

    Attributes:
        speech: whether it hears the speech, or silence.
        prompt: number of its prompt; ``None`` for none.
    """

    speech: bool
    prompt: int | None = None


NOTHING, SPEECH = Condition(False), Condition(True)


@dataclass(frozen=True, eq=False)
class Mixture:
    """Which conditions to evaluate, and how much each counts where.

    Attributes:
        conditions: ``c`` of them.
        weights: ``(c, f, p)`` for each latent frame and part; they add up to 1 over ``c``.
    """

    conditions: tuple[Condition, ...]
    weights: Tensor

    def __post_init__(self) -> None:
        w = self.weights
        if w.ndim != 3 or len(w) != len(self.conditions) or not torch.isfinite(w).all():
            count = len(self.conditions)
            raise ValueError(f"{count} conditions need finite weights (c, f, p), got {w.shape}")

    def pruned(self) -> Mixture:
        """Without the conditions that count nowhere, so that no evaluation is wasted on them."""
        counts = self.weights.ne(0).flatten(1).any(1)
        conditions = tuple(c for c, used in zip(self.conditions, counts.tolist()) if used)
        return Mixture(conditions, self.weights[counts])


def separate(plan: Plan) -> Mixture:
    """Each part and frame by its own speech weight, prompt and strength.

    Source: SynTalker spec 7.3, with 2 evaluations and one more for each different prompt, where the
    released wrapper spends 9.
    """
    prompts = _prompt_weights(plan)
    speech = plan.speech[None]
    nothing = 1.0 - speech - prompts.sum(0, keepdim=True)
    return _mixture(plan, torch.cat([nothing, speech, prompts]))


def whole_body(plan: Plan, speech: float = 1.0) -> Mixture:
    """All parts alike: speech and every prompt that any part has at the time, on the whole body.

    Source: SynTalker spec 7.2, 7.4 (ii); the rival of :func:`separate`.
    """
    prompts = _prompt_weights(plan).amax(2, keepdim=True).expand(-1, -1, plan.index.shape[1])
    heard = torch.full_like(plan.speech, speech)[None]
    nothing = 1.0 - heard - prompts.sum(0, keepdim=True)
    return _mixture(plan, torch.cat([nothing, heard, prompts]))


def prompt_only(plan: Plan) -> Mixture:
    """The same without speech: text to motion.

    Source: SynTalker spec 7.4 (i).
    """
    return whole_body(plan, speech=0.0)


def audio_only(plan: Plan, scale: float = 1.0) -> Mixture:
    """Speech alone, whatever the plan asks for."""
    speech = torch.full_like(plan.speech, scale)[None]
    return Mixture((NOTHING, SPEECH), torch.cat([1.0 - speech, speech]))


def joint(plan: Plan) -> Mixture:
    """Each part by the network's own answer to speech and prompt together, away from speech alone.

    Source: none. ``x_a + s (x_ap - x_a)``: the case that training sees most often and the released
    sampler never evaluates (SynTalker spec 7.3, remarks).
    """
    prompts = _prompt_weights(plan)
    speech = 1.0 - prompts.sum(0, keepdim=True)
    conditions = (SPEECH, *(Condition(True, k) for k in range(len(plan.prompts))))
    return Mixture(conditions, torch.cat([speech, prompts]))


#: Ways to weigh, by name.
MIXTURES = {
    "separate": separate,
    "whole_body": whole_body,
    "prompt_only": prompt_only,
    "audio_only": audio_only,
    "joint": joint,
}


def mix(estimates: Tensor, weights: Tensor, layout: Iterable[slice]) -> Tensor:
    """Sum estimates by their weights, part by part.

    Args:
        estimates: ``(n, c, f, d)``.
        weights: ``(c, f, p)``.
        layout: channels of each part, in the order of ``weights``; together all ``d``.

    Returns:
        ``(n, f, d)``.
    """
    pieces = [
        torch.einsum("cf,ncfd->nfd", weights[..., k], estimates[..., own])
        for k, own in enumerate(layout)
    ]
    return torch.cat(pieces, -1)


def _prompt_weights(plan: Plan) -> Tensor:
    """Strength of each prompt on each part ``(k, f, p)``."""
    numbers = torch.arange(len(plan.prompts)).view(-1, 1, 1)
    return (plan.index == numbers) * plan.strength


def _mixture(plan: Plan, weights: Tensor) -> Mixture:
    asked = (Condition(False, k) for k in range(len(plan.prompts)))
    return Mixture((NOTHING, SPEECH, *asked), weights)


def _thirds(width: int) -> dict[str, slice]:
    """The released layout of the latents."""
    if width % len(BODY_PARTS):
        raise ValueError(f"{width} channels are no three parts of one width; give their channels")
    third = width // len(BODY_PARTS)
    return {part: slice(k * third, (k + 1) * third) for k, part in enumerate(BODY_PARTS)}
