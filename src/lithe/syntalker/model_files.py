"""Trained codecs and spaces as a pair of files: what to build, and its weights; no pickle."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save

from lithe.files import write_atomic, write_with
from lithe.syntalker.codec import BodyCodec
from lithe.syntalker.space import AlignedSpace, SpaceConfig
from lithe.syntalker.vqvae import CodecConfig

__all__ = ["ModelFileError", "load_model", "save_model"]

VERSION = 1


class ModelFileError(ValueError):
    """A model file is missing, damaged, or does not fit its weights."""


class _Codec(BaseModel):
    model_config = ConfigDict(extra="forbid")

    parts: dict[str, list[int]]
    config: CodecConfig

    def build(self) -> BodyCodec:
        return BodyCodec(self.parts, self.config)


class _Space(BaseModel):
    model_config = ConfigDict(extra="forbid")

    features: int
    words: int
    config: SpaceConfig

    def build(self) -> AlignedSpace:
        return AlignedSpace(self.features, self.words, self.config)


class _Plan(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: int
    weights_sha256: str
    codec: _Codec | None = None
    space: _Space | None = None
    extra: dict[str, Any] = {}


def save_model(
    model: BodyCodec | AlignedSpace, path: str | Path, extra: dict[str, Any] | None = None
) -> Path:
    """Write ``x.json`` and ``x.safetensors``, both whole before either is in place.

    Args:
        model: with its normaliser and codebooks, learning state included.
        path: ``"x"``, ``"x.json"`` or ``"x.safetensors"``.
        extra: JSON values to keep beside it, such as the fingerprint of the text encoder.

    Returns:
        Path of ``x.json``.

    Raises:
        TypeError: the model is neither a codec nor a space.
    """
    described = _described(model)
    state = model.state_dict()
    weights = save({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()})
    plan = _Plan(
        version=VERSION,
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        extra=extra or {},
        **described,
    )
    text = json.dumps(plan.model_dump(mode="json", exclude_none=True), indent=1, allow_nan=False)
    plan_path, weights_path = _pair(path)

    def write(temporary: Path) -> None:
        temporary.write_text(text + "\n", encoding="utf-8")
        write_atomic(weights_path, weights)

    return write_with(plan_path, write)


def load_model(path: str | Path) -> tuple[BodyCodec | AlignedSpace, dict[str, Any]]:
    """Read what :func:`save_model` wrote; the files need not be trusted.

    Args:
        path: as for :func:`save_model`.

    Returns:
        The model in eval mode, and ``extra``.

    Raises:
        ModelFileError: a file is missing, cut short or altered, or does not fit.
    """
    plan_path, weights_path = _pair(path)
    try:
        plan = _Plan.model_validate_json(plan_path.read_bytes())
        weights = weights_path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{error.filename} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise ModelFileError(f"{plan_path} is damaged: {error.errors()[0]['msg']}") from error
    if plan.version != VERSION:
        raise ModelFileError(f"{plan_path} is of version {plan.version}, this reads {VERSION}")
    if hashlib.sha256(weights).hexdigest() != plan.weights_sha256:
        raise ModelFileError(f"{weights_path} does not belong to {plan_path.name}, or is damaged")
    described = plan.codec or plan.space
    if described is None:
        raise ModelFileError(f"{plan_path} describes no model")
    try:
        model = described.build()
        model.load_state_dict(load(weights))
    except (ValueError, KeyError, RuntimeError, SafetensorError) as error:  # KeyError: "a.b"
        raise ModelFileError(f"{plan_path} does not fit its weights: {error}") from error
    return model.eval(), plan.extra


def _described(model: BodyCodec | AlignedSpace) -> dict[str, Any]:
    if isinstance(model, BodyCodec):
        parts = {name: index.tolist() for name, index in model.parts.items()}
        return {"codec": _Codec(parts=parts, config=model.config)}
    if isinstance(model, AlignedSpace):
        sizes = {"features": model.features, "words": model.words}
        return {"space": _Space(**sizes, config=model.config)}
    raise TypeError(f"a {type(model).__name__} is neither a BodyCodec nor an AlignedSpace")


def _pair(path: str | Path) -> tuple[Path, Path]:
    path = Path(path)
    stem = path.with_suffix("") if path.suffix in (".json", ".safetensors") else path
    return stem.with_name(stem.name + ".json"), stem.with_name(stem.name + ".safetensors")
