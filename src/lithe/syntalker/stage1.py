"""Stage 1: the VQ-VAEs of the body parts, trained on motion of both corpora without labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lithe.modes import evaluating
from lithe.syntalker import h3d
from lithe.syntalker.clips import FeatureClip, Windows
from lithe.syntalker.codebook import usage
from lithe.syntalker.codec import BodyCodec
from lithe.syntalker.seams import seams
from lithe.syntalker.skeleton import PART_JOINTS
from lithe.syntalker.vqvae import CodecConfig, vq_loss
from lithe.training import History, TrainConfig, TrainState, fit

__all__ = ["CodecStep", "Health", "assess", "codec_recipe", "health", "train_codec"]


def codec_recipe(epochs: int, **changed: Any) -> TrainConfig:
    """The released optimiser: AdamW, betas 0.9 and 0.99, no decay, rate 2e-4, warm-up.

    Source: SynTalker spec 3.4, where 300 000 steps of 256 windows, the last third at 1/20 of the
    rate, stand for ``epochs`` here.

    Args:
        epochs: passes over the windows.
        changed: fields of :class:`lithe.training.TrainConfig`.
    """
    chosen = {
        "optimizer": "adamw",
        "lr": 2e-4,
        "betas": (0.9, 0.99),
        "weight_decay": 0.0,
        "batch_size": 256,
    }
    if epochs >= 3:
        chosen |= {"schedule": "step", "milestones": (2 * epochs // 3,), "gamma": 0.05}
        chosen |= {"warmup_epochs": 1}
    return TrainConfig(epochs=epochs, **(chosen | changed))


class CodecStep:
    """Loss of a batch: the sum over parts, which share no weight and so train as if alone.

    Args:
        config: of the codec; a checkpoint of another one is refused.
    """

    def __init__(self, config: CodecConfig) -> None:
        self.__qualname__ = f"CodecStep({config!r})"  # what a checkpoint remembers

    def __call__(self, model: torch.nn.Module, x: Tensor, _: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, and the first part's reconstruction ``(n, t, d)``.

        Args:
            model: a :class:`BodyCodec`, or what several processes wrap it in.
            x: features ``(n, t, d)``.
        """
        coded = model(x)
        net = getattr(model, "module", model)
        z = net.split(net.normaliser(x))
        loss = sum(vq_loss(part, z[name]) for name, part in coded.items())
        return loss, next(iter(coded.values())).motion


class Health:
    """Records the state of the codebooks after every epoch: perplexity, dead codes, resets.

    Args:
        windows: where usage is measured.
        limit: at most so many windows, spread over all.
    """

    def __init__(self, windows: Windows, limit: int = 256) -> None:
        chosen = torch.linspace(0, len(windows) - 1, min(limit, len(windows))).long()
        self.features, _ = windows.batch(chosen)

    def on_epoch_end(self, state: TrainState) -> None:
        """Add the numbers of :func:`health` to the epoch's row."""
        state.metrics |= health(state.model, self.features.to(state.device))


def health(codec: BodyCodec, features: Tensor) -> dict[str, float]:
    """How the codebooks are used, by part and layer.

    Args:
        codec: trained or not.
        features: motion ``(n, t, d)``.

    Returns:
        ``perplexity_upper_0`` (1 to codes), ``dead_upper_0`` (codes never used), ``resets_upper``
        (codes replaced since the start, all layers), and so on.
    """
    found: dict[str, float] = {}
    with evaluating(codec):
        indices = codec.indices(features)
    for name, chosen in indices.items():
        books = codec.models[name].quantizer.books
        for layer, book in enumerate(books):
            used = usage(chosen[..., layer], len(book))
            found[f"perplexity_{name}_{layer}"] = used.perplexity
            found[f"dead_{name}_{layer}"] = used.dead
        found[f"resets_{name}"] = int(sum(book.resets for book in books))
    return found


def train_codec(
    codec: BodyCodec,
    windows: Windows,
    recipe: TrainConfig,
    *,
    directory: str | Path | None = None,
    progress: bool | None = None,
) -> History:
    """Train all parts side by side, in place; a stopped run goes on to the same bits.

    Args:
        codec: with its normaliser in place.
        windows: of the training clips.
        recipe: such as :func:`codec_recipe`.
        directory: for checkpoints.
        progress: show a bar.

    Returns:
        One row per epoch, with the codebooks' :func:`health`.
    """
    return fit(
        codec,
        windows,
        recipe,
        step=CodecStep(codec.config),
        callbacks=[Health(windows)],
        directory=directory,
        progress=progress,
    )


def assess(codec: BodyCodec, clips: Sequence[FeatureClip], window: int = 64) -> dict[str, Any]:
    """What is left of held-out motion after encoding and decoding.

    Args:
        codec: trained.
        clips: held out; each is encoded in one pass.
        window: frames of the windows for the comparison of windowed with whole decoding.

    Returns:
        Metrics for the ledger: ``error`` (mean distance of a joint to where it was, root-relative,
        mm), the same by part and by number of codebooks (``error_hands``, ``error_layers_2``),
        ``smooth_l1`` in z-scores, and ``seam_*`` (movement of joints between two frames, mm).

    Raises:
        ValueError: no clip.
    """
    if not clips:
        raise ValueError("no clip to assess on")
    frames = sum(len(clip.features) for clip in clips)
    layers = codec.config.layers
    with evaluating(codec):
        errors = {k: _errors(codec, clips, k) for k in range(1, layers + 1)}
        distance = _z_distance(codec, clips)
        found = {"error": _metric(errors[layers].mean(), "mm", frames)}
        for part, joints in _part_joints(codec).items():
            found[f"error_{part}"] = _metric(errors[layers][:, joints].mean(), "mm", frames)
        for k, error in errors.items():
            found[f"error_layers_{k}"] = _metric(error.mean(), "mm", frames)
        found["smooth_l1"] = _metric(distance, "", frames)
        return found | _seam_metrics(codec, clips, window)


def _errors(codec: BodyCodec, clips: Sequence[FeatureClip], layers: int) -> Tensor:
    """Distance of every joint to where it was, root-relative, mm ``(frames, j)``."""
    found = []
    for clip in clips:
        made = codec.reconstruct(clip.features[None], layers)[0]
        found.append((_pose(made) - _pose(clip.features)).norm(dim=-1) * 1000)
    return torch.cat(found)


def _pose(features: Tensor) -> Tensor:
    """Joints as the features hold them: heading removed, root over the origin ``(t, j, 3)``.

    The root's path is left out: it sums up velocities, so that errors of it grow with the length.
    """
    at = h3d.channels(h3d.joints_of(features.shape[-1]))
    height = features[..., at["height"]]
    root = torch.cat([torch.zeros_like(height), height, torch.zeros_like(height)], -1)
    joints = features[..., at["ric"]].unflatten(-1, (-1, 3))
    return torch.cat([root[..., None, :], joints], -2)


def _z_distance(codec: BodyCodec, clips: Sequence[FeatureClip]) -> float:
    total, n = 0.0, 0
    for clip in clips:
        made = codec.reconstruct(clip.features[None])[0]
        z = [codec.normaliser(side) for side in (made, clip.features)]
        total += float(torch.nn.functional.smooth_l1_loss(*z, reduction="sum"))
        n += z[0].numel()
    return total / n


def _part_joints(codec: BodyCodec) -> Mapping[str, list[int]]:
    joints = h3d.joints_of(codec.features)
    inside = {name: [j for j in members if j < joints] for name, members in PART_JOINTS.items()}
    return {name: members for name, members in inside.items() if members}


def _seam_metrics(codec: BodyCodec, clips: Sequence[FeatureClip], window: int) -> dict[str, Any]:
    """Movement at the edges of windows, of motion decoded in windows and in one pass, mm."""
    long = max(clips, key=lambda clip: len(clip.features)).features
    long = long[: len(long) - len(long) % 4]
    if len(long) <= window:
        return {}
    latents = codec.encode(long[None])
    found = {}
    for name, made in (
        ("original", long),
        ("whole", codec.decode(latents)[0]),
        ("windowed", codec.decode(latents, window=window // 4)[0]),
    ):
        measured = seams(_pose(made), window)
        found[f"seam_{name}"] = _metric(measured.at * 1000, "mm", len(long))
        found[f"seam_{name}_elsewhere"] = _metric(measured.elsewhere * 1000, "mm", len(long))
    return found


def _metric(value: Any, unit: str, n: int) -> dict[str, Any]:
    return {"value": float(value), "unit": unit, "n": n}
