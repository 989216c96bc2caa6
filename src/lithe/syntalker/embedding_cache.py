"""Embeddings of captions, remembered on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from lithe.files import write_with
from lithe.syntalker.text import Embedded, TextEncoder, refuse_bad_captions

__all__ = ["embed"]


def embed(
    encoder: TextEncoder, captions: Sequence[str], cache: str | Path | None = None
) -> Embedded:
    """Vectors of captions, read from disk where they were made before.

    Args:
        encoder: asked only where there is no file, or one that cannot be read.
        captions: any number, at least one.
        cache: a folder, made if missing; one file per encoder and list of captions. ``None``
            remembers nothing.

    Raises:
        TypeError: a caption is no string.
        ValueError: no caption, or one without a word.
    """
    refuse_bad_captions(captions)
    if cache is None:
        return encoder(captions)
    path = Path(cache) / f"{_key(encoder, captions)}.safetensors"
    found = _read(path, len(captions), encoder.width)
    if found is None:
        found = encoder(captions)
        tensors = {name: tensor.contiguous() for name, tensor in found._asdict().items()}
        write_with(path, lambda temporary: save_file(tensors, temporary))
    return found


def _key(encoder: TextEncoder, captions: Sequence[str]) -> str:
    content = json.dumps([encoder.fingerprint, *captions], ensure_ascii=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _read(path: Path, n: int, width: int) -> Embedded | None:
    """What the file holds; ``None`` if it is missing, damaged, or of other shapes."""
    try:
        stored = load_file(path)
        found = Embedded(**stored)
    except (OSError, SafetensorError, TypeError):
        return None
    s = found.words.shape[1] if found.words.ndim == 3 else -1
    fits = found.words.shape == (n, s, width) and found.spoken.shape == (n, s)
    return found if fits and found.sentences.shape == (n, width) else None
