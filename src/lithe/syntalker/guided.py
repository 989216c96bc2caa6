"""The denoiser under guidance: what a sampler asks at every step."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from lithe.syntalker.denoiser import Denoiser
from lithe.syntalker.guidance import RELEASED_SCALES, Condition, Mixture, mix, two_term
from lithe.syntalker.timeline import Plan

__all__ = ["Cues", "Guided", "GuidedAsReleased"]


@dataclass(frozen=True, eq=False)
class Cues:
    """Everything a window of motion is made from; encoded once, used at every step.

    Attributes:
        speech: encoded speech ``(n, f, speech)``.
        silence: encoded silence ``(1, f, speech)``.
        seed: clean latents that the motion continues ``(n, seed, latent)``.
        prompts: embeddings of the different prompts ``(k, prompt)``, or each sample's own
            ``(n, k, prompt)``; ``None`` where there is no prompt.
    """

    speech: Tensor
    silence: Tensor
    seed: Tensor
    prompts: Tensor | None = None

    def told(self, denoiser: Denoiser, condition: Condition) -> Tensor:
        """What a condition contributes at every step ``(n, f, width)``."""
        n = len(self.speech)
        heard = self.speech if condition.speech else self.silence.expand_as(self.speech)
        if condition.prompt is None:
            return denoiser.remember(heard, self.seed)
        if self.prompts is None or condition.prompt >= self.prompts.shape[-2]:
            raise ValueError(f"prompt {condition.prompt} has no embedding")
        vector = self.prompts[..., condition.prompt, :].expand(n, -1)
        return denoiser.remember(heard, self.seed, vector)


class Guided:
    """Evaluates every condition that counts in one batched call, and sums by the weights.

    Args:
        denoiser: in eval mode.
        cues: of the window.
        mixture: which conditions, how much where; those that count nowhere are not evaluated.
        layout: channels of each part.

    Raises:
        ValueError: weights for another number of frames or parts, or a prompt without embedding.

    Attributes:
        calls: evaluations of the network so far, each of all samples under one condition.
    """

    def __init__(
        self, denoiser: Denoiser, cues: Cues, mixture: Mixture, layout: Iterable[slice]
    ) -> None:
        self.denoiser, self.layout, self.calls = denoiser, tuple(layout), 0
        if mixture.weights.shape[1:] != (cues.speech.shape[1], len(self.layout)):
            raise ValueError(
                f"weights {tuple(mixture.weights.shape)} for {cues.speech.shape[1]} latent frames "
                f"and {len(self.layout)} parts"
            )
        mixture = mixture.pruned()
        self.weights = mixture.weights.to(cues.speech)
        self.told = torch.stack([cues.told(denoiser, c) for c in mixture.conditions], 1)

    def __call__(self, x_t: Tensor, t: int) -> Tensor:
        """The combined estimate ``(n, f, latent)`` of clean latents at timestep ``t``."""
        self.calls += self.told.shape[1]
        return mix(self.denoiser.step(x_t, t, self.told), self.weights, self.layout)


class GuidedAsReleased:
    """The released wrapper: three parts, three calls each, constants 1 and 4.

    Source: SynTalker spec 7.3, 10 (G20). A part without prompt is asked for one all the same, the
    null prompt with weight 0. Kept for comparison; :class:`Guided` gives the same values.

    Args:
        denoiser: in eval mode.
        cues: of the window.
        plan: constant over the window, as the released sampler knows no time.
        layout: channels of each part, in the plan's order.
        names: of the parts.

    Raises:
        ValueError: the plan changes within the window.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        cues: Cues,
        plan: Plan,
        layout: Iterable[slice],
        names: Iterable[str],
    ) -> None:
        if (plan.index != plan.index[:1]).any():
            raise ValueError("the released sampler has one prompt per part; use 'separate'")
        self.denoiser, self.layout, self.calls = denoiser, tuple(layout), 0
        self.parts = []
        for number, own, name in zip(plan.index[0].tolist(), self.layout, names, strict=True):
            prompt = Condition(False, None if number < 0 else number)
            asked = (Condition(False), Condition(True), prompt)
            scales = (1.0, 0.0) if number < 0 else RELEASED_SCALES[name]
            self.parts.append((own, scales, [cues.told(denoiser, c)[:, None] for c in asked]))

    def __call__(self, x_t: Tensor, t: int) -> Tensor:
        """The combined estimate ``(n, f, latent)`` of clean latents at timestep ``t``."""
        out = torch.empty_like(x_t)
        for own, scales, told in self.parts:
            estimates = [self.denoiser.step(x_t, t, one)[:, 0, :, own] for one in told]
            self.calls += len(told)
            out[..., own] = two_term(*estimates, *scales)
        return out
