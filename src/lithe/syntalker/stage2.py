"""Stage 2: the space that motion and prompts share, trained on captioned motion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lithe.modes import evaluating
from lithe.syntalker.clips import CaptionedClips
from lithe.syntalker.embedding_cache import embed
from lithe.syntalker.retrieval import recall
from lithe.syntalker.space import AlignedSpace, Passed, SpaceLoss
from lithe.syntalker.text import Embedded, TextEncoder
from lithe.training import History, TrainConfig, fit

__all__ = ["SpaceStep", "appraise", "space_recipe", "train_space"]


def space_recipe(epochs: int, **changed: Any) -> TrainConfig:
    """The released optimiser: AdamW at 1e-4, batches of 128 (on each of four GPUs).

    Source: SynTalker spec 5.2; the released weights are those of epoch 299.

    Args:
        epochs: passes over the clips.
        changed: fields of :class:`lithe.training.TrainConfig`.
    """
    chosen = {"optimizer": "adamw", "lr": 1e-4, "weight_decay": 0.01, "batch_size": 128}
    return TrainConfig(epochs=epochs, **(chosen | changed))


class SpaceStep:
    """Loss of a batch of captioned motion.

    Args:
        table: vectors of all captions of the training clips, in the order of
            ``CaptionedClips.captions``.
        loss: which terms count, and how much.
    """

    def __init__(self, table: Embedded, loss: SpaceLoss) -> None:
        self.table, self.loss = table, loss
        self.__qualname__ = f"SpaceStep({loss!r})"  # what a checkpoint remembers

    def __call__(self, model: torch.nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The weighted sum of losses, and the motion decoded from motion ``(n, t, d)``.

        Args:
            model: an :class:`AlignedSpace`, or what several processes wrap it in.
            x: padded motion ``(n, t, d)``.
            y: frames that count, number of the caption, number of the clip ``(n, 3)``.
        """
        if self.table.words.device != x.device:
            self.table = self.table.to(x.device)
        chosen = self.table.pick(y[:, 1])
        passed: Passed = model(x, y[:, 0], chosen.words, chosen.spoken)
        return self.loss.total(passed, chosen.sentences), passed.from_motion


def train_space(
    space: AlignedSpace,
    clips: CaptionedClips,
    text: TextEncoder,
    recipe: TrainConfig,
    *,
    loss: SpaceLoss | None = None,
    cache: str | Path | None = None,
    directory: str | Path | None = None,
    progress: bool | None = None,
) -> History:
    """Train both encoders and their decoder, in place; a stopped run goes on to the same bits.

    Args:
        space: with its normaliser in place.
        clips: captioned motion.
        text: frozen language model.
        recipe: such as :func:`space_recipe`.
        loss: the released weights with the corrected filter by default.
        cache: folder for the captions' vectors.
        directory: for checkpoints.
        progress: show a bar.

    Returns:
        One row per epoch.

    Raises:
        ValueError: the word vectors have another width than the space takes.
    """
    table = embed(text, clips.captions, cache)
    if text.width != space.words:
        raise ValueError(f"{text.fingerprint} gives {text.width} numbers, not {space.words}")
    step = SpaceStep(table, loss or SpaceLoss())
    return fit(space, clips, recipe, step=step, directory=directory, progress=progress)


def appraise(
    space: AlignedSpace,
    clips: CaptionedClips,
    text: TextEncoder,
    *,
    cache: str | Path | None = None,
    batch_size: int = 64,
) -> dict[str, Any]:
    """How well held-out motion and captions find each other, and how far apart they lie.

    A motion is a right answer to a caption if it has that caption, or its clip the label of the
    caption's clip: two people who walk forward must not count as a mistake.

    Args:
        space: trained.
        clips: held out; their first caption is the query.
        text: the language model of the training.
        cache: folder for the captions' vectors.
        batch_size: clips at a time.

    Returns:
        Metrics for the ledger: recall both ways (%), median ranks, ``chance_r1`` (%), the mean
        lengths ``norm_motion`` and ``norm_text`` of embeddings (lesson 2 of SynTalker spec 11.5),
        and ``gap`` (mean distance of a motion from its own caption).
    """
    motion, captions = _embedded(space, clips, batch_size)
    table = embed(text, clips.captions, cache).pick(captions)
    with evaluating(space):
        said = space.embed_text(table.words, table.spoken)
    relevant = _relevant(clips, captions)
    n = len(motion)
    found = {
        name: {"value": value, "unit": "", "n": n}
        if name.endswith("rank")
        else {"value": 100 * value, "unit": "%", "n": n}
        for name, value in recall(said, motion, relevant).items()
    }
    found["chance_r1"] = {"value": 100 * float(relevant.double().mean()), "unit": "%", "n": n}
    for name, value in (
        ("norm_motion", motion.norm(dim=1)),
        ("norm_text", said.norm(dim=1)),
        ("gap", (motion - said).norm(dim=1)),
    ):
        found[name] = {"value": float(value.mean()), "unit": "", "n": n}
    return found


def _embedded(space: AlignedSpace, clips: CaptionedClips, size: int) -> tuple[Tensor, Tensor]:
    """Embeddings of all clips ``(n, width)`` and the numbers of their first captions ``(n,)``."""
    found, captions = [], []
    with evaluating(space):
        for indices in torch.arange(len(clips)).split(size):
            x, y = clips.batch(indices)
            found.append(space.embed_motion(x, y[:, 0]))
            captions.append(y[:, 1])
    return torch.cat(found), torch.cat(captions)


def _relevant(clips: CaptionedClips, captions: Tensor) -> Tensor:
    """Which clips (columns) fit the caption of which clip (rows) ``(n, n)``."""
    labels = [clip.label or f"clip {k}" for k, clip in enumerate(clips.clips)]
    names = {label: k for k, label in enumerate(dict.fromkeys(labels))}
    label = torch.tensor([names[one] for one in labels])
    owns = torch.zeros(len(clips), len(clips.captions), dtype=torch.bool)
    for k, own in enumerate(clips.own):
        owns[k, own] = True
    return (label[:, None] == label) | owns[:, captions].T
