"""MiniLM, or any model of sentence-transformers, as text encoder; its weights are checked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F

from lithe.data.checksum import file_digest
from lithe.syntalker.text import Embedded, padded, refuse_bad_captions
from lithe.vision import torchvision

__all__ = ["SentenceEncoder", "TextModelError", "find_model"]

WEIGHTS = "model.safetensors"
MODULES = "modules.json"
LISTED = ("*.json", "*.txt", "*.safetensors")


class TextModelError(ValueError):
    """A text model is missing, is not the one that was meant, or could run foreign code."""


class SentenceEncoder:
    """Word-piece and sentence vectors of a frozen model of sentence-transformers.

    Source: SynTalker spec 5.2, where ``paraphrase-MiniLM-L6-v2`` compares captions. Here it also
    stands for the released DistilBERT, so that one model of 90 MB does both.

    Args:
        source: a folder; ``"package:NAME"`` for an installed package that carries one; or
            ``"hub:OWNER/NAME"`` to fetch it.
        sha256: of the model's ``model.safetensors``; needed for ``"hub:"``.
        batch_size: captions at a time.

    Attributes:
        width: of the vectors.
        sha256: of the weights in use.

    Raises:
        TextModelError: no such model, other weights than ``sha256`` says, weights as pickle, or
            parts that bring their own code.
    """

    def __init__(
        self, source: str | Path, *, sha256: str | None = None, batch_size: int = 64
    ) -> None:
        folder = find_model(source, sha256)
        self.sha256 = _verified(folder, sha256)
        torchvision()  # before transformers imports it: see lithe.vision
        from sentence_transformers import SentenceTransformer

        self.model = SentenceTransformer(
            str(folder), device="cpu", model_kwargs={"use_safetensors": True}, local_files_only=True
        ).eval()
        self.batch_size = batch_size
        self.width = int(self.model.get_embedding_dimension())
        self.fingerprint = f"sentence-transformers-{_content(folder)}"

    @torch.no_grad()
    def __call__(self, captions: Sequence[str]) -> Embedded:
        """Vectors of captions; see :class:`TextEncoder`."""
        refuse_bad_captions(captions)
        found = self.model.encode(
            list(captions),
            batch_size=self.batch_size,
            output_value=None,
            show_progress_bar=False,
        )
        rows = [_real_tokens(one) for one in found]
        sentences = torch.stack([one["sentence_embedding"] for one in found]).float().cpu()
        return padded(rows, F.normalize(sentences, dim=1))


def find_model(source: str | Path, sha256: str | None = None) -> Path:
    """The folder of a model.

    Args:
        source: as for :class:`SentenceEncoder`.
        sha256: must be given where the model would be fetched.

    Raises:
        TextModelError: there is none, or the hub cannot be reached.
    """
    kind, _, name = str(source).partition(":")
    if isinstance(source, str) and kind == "package" and name:
        return _in_package(name)
    if isinstance(source, str) and kind == "hub" and name:
        return _from_hub(name, sha256)
    folder = Path(source).expanduser()
    if not (folder / MODULES).is_file():
        raise TextModelError(
            f"{folder} holds no {MODULES}, so no model of sentence-transformers; give such a "
            "folder, 'package:NAME' or 'hub:OWNER/NAME'"
        )
    return folder


def _in_package(name: str) -> Path:
    if find_spec(name) is None:
        raise TextModelError(f"no package {name!r} is installed")
    root = Path(str(files(name)))
    found = sorted(root.rglob(MODULES))
    if not found:
        raise TextModelError(f"the package {name!r} carries no model ({MODULES})")
    return found[0].parent


def _from_hub(name: str, sha256: str | None) -> Path:
    if sha256 is None:
        raise TextModelError(
            f"fetching {name} needs sha256=, the checksum of its {WEIGHTS}, so that it is the "
            "model that was meant"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=list(LISTED)))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise TextModelError(
            f"{name} cannot be fetched ({error}); name a local folder instead"
        ) from error


def _verified(folder: Path, sha256: str | None) -> str:
    """The checksum of the weights, after a look at what else is in the folder."""
    try:
        modules = json.loads((folder / MODULES).read_text(encoding="utf-8"))
        types = [str(part["type"]) for part in modules]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise TextModelError(f"{folder / MODULES} is damaged: {error}") from error
    foreign = [kind for kind in types if not kind.startswith("sentence_transformers.")]
    scripts = sorted(path.name for path in folder.rglob("*.py"))
    if foreign or scripts:  # sentence-transformers would run them
        raise TextModelError(f"{folder} brings its own code: {', '.join(foreign + scripts)}")
    places = (folder / WEIGHTS, *sorted(folder.glob(f"*/{WEIGHTS}")))
    weights = [path for path in places if path.is_file()]
    if not weights:
        raise TextModelError(f"{folder} holds no {WEIGHTS}; weights as pickle are not read")
    found = file_digest(weights[0])
    if sha256 is not None and found != sha256.lower():
        raise TextModelError(
            f"{weights[0]} has the sha256 {found}, not {sha256}; fetch the model again"
        )
    return found


def _content(folder: Path) -> str:
    """One hash of all files that decide the vectors."""
    digest = hashlib.sha256()
    for path in sorted({path for kind in LISTED for path in folder.rglob(kind)}):
        digest.update(f"{path.relative_to(folder)} {file_digest(path)}\n".encode())
    return digest.hexdigest()


def _real_tokens(one: dict[str, torch.Tensor]) -> torch.Tensor:
    """Vectors of the word pieces of one caption ``(s, width)``, without padding."""
    return one["token_embeddings"][one["attention_mask"].bool()].float().cpu()
