"""Everything that turns speech and prompts into motion, as one folder without pickle."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from lithe.files import write_atomic, write_json
from lithe.modes import evaluating
from lithe.syntalker.codec import BodyCodec
from lithe.syntalker.denoiser import DenoiserConfig
from lithe.syntalker.model_files import ModelFileError, load_model, save_model
from lithe.syntalker.space import AlignedSpace
from lithe.syntalker.speech_denoiser import SpeechDenoiser
from lithe.syntalker.text import HashingEncoder, TextEncoder
from lithe.syntalker.vocabulary import Vocabulary

__all__ = ["PRETRAINED", "VERSION", "Bundle", "BundleError", "pretrained"]

VERSION = 1
PLAN, CODEC, SPACE = "bundle.json", "codec", "space"
NETWORK, WORDS = "denoiser.safetensors", "vocabulary.json"
#: Where the small weights that come with the package lie.
PRETRAINED = Path(__file__).parent / "weights" / "small"
TRAIN = "python -m lithe.syntalker.generation_run --profile small --keep FOLDER"


class BundleError(ValueError):
    """A bundle is missing, damaged, or put together from parts that do not fit."""


@dataclass(frozen=True, eq=False)
class Bundle:
    """Models of all three stages that were trained for each other.

    Attributes:
        codec: from features of motion to latents and back, normaliser included.
        space: places of prompts and of motions.
        network: ears and denoiser.
        vocabulary: of the transcript.
        text: the language model that the space was trained with.
        seed: latents of standing still, to begin from ``(1, seed, latent)``.
        latents: of a window, as in training.
        preset: a name for messages.

    Raises:
        BundleError: parts do not fit each other.
    """

    codec: BodyCodec
    space: AlignedSpace
    network: SpeechDenoiser
    vocabulary: Vocabulary
    text: TextEncoder
    seed: Tensor
    latents: int = 32
    preset: str = "own"

    def __post_init__(self) -> None:
        for found, needed, what in _fits(self):
            if found != needed:
                raise BundleError(
                    f"these are weights of another preset: {what.format(found, needed)}; put the "
                    "models of one training run together"
                )
        if not torch.equal(self.codec.normaliser.mean, self.space.normaliser.mean):
            raise BundleError(
                "these are weights of another preset: codec and aligned space were trained on "
                "different motion; put the models of one training run together"
            )
        for model in (self.codec, self.space, self.network):
            model.eval().requires_grad_(False)

    @torch.no_grad()
    def embed(self, texts: tuple[str, ...]) -> Tensor | None:
        """Places of prompts in the aligned space ``(k, prompt)``; ``None`` where there is none."""
        if not texts:
            return None
        told = self.text(texts)
        with evaluating(self.space):
            return self.space.embed_text(told.words, told.spoken)

    @property
    def fingerprint(self) -> str:
        """Hex sha256 of all weights; names the bundle in records."""
        digest = hashlib.sha256()
        for model in (self.codec, self.space, self.network):
            for name, tensor in sorted(model.state_dict().items()):
                digest.update(name.encode())
                digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def save(self, folder: str | Path) -> Path:
        """Write the bundle; ``bundle.json`` comes last, so that a part of it is no bundle.

        Args:
            folder: made if missing; files of an older bundle in it are replaced.

        Returns:
            The folder.
        """
        folder = Path(folder)
        extra = {"preset": self.preset}
        save_model(self.codec, folder / CODEC, extra)
        save_model(self.space, folder / SPACE, extra)
        self.vocabulary.save(folder / WORDS)
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors["seed"] = self.seed
        weights = save({k: v.detach().cpu().contiguous() for k, v in tensors.items()})
        write_atomic(folder / NETWORK, weights)
        plan = _Plan(
            version=VERSION,
            preset=self.preset,
            text=self.text.fingerprint,
            latents=self.latents,
            denoiser=self.network.config,
            word_width=self.network.ears.embedding.embedding_dim,
            sha256={name: _digest(folder / name) for name in _files()},
        )
        write_json(folder / PLAN, plan.model_dump(mode="json"))
        return folder

    @classmethod
    def load(cls, folder: str | Path, text: TextEncoder | None = None) -> Bundle:
        """Read what :meth:`save` wrote; the files need not be trusted.

        Args:
            folder: of the bundle.
            text: the language model; needed unless the bundle was trained with
                :class:`lithe.syntalker.HashingEncoder`, which needs no weights.

        Raises:
            BundleError: the folder or a file is missing, damaged or of another bundle, or the
                language model is another one.
        """
        folder = Path(folder).expanduser()
        plan = _plan(folder)
        text = text or _text(plan)
        if text.fingerprint != plan.text:
            raise BundleError(
                f"{folder} was trained with the language model {plan.text}, not with "
                f"{text.fingerprint}; prompts would mean nothing to it"
            )
        try:
            codec, _ = load_model(folder / CODEC)
            space, _ = load_model(folder / SPACE)
            vocabulary = Vocabulary.load(folder / WORDS)
            tensors = load((folder / NETWORK).read_bytes())
            network = SpeechDenoiser(plan.denoiser, len(vocabulary), plan.word_width)
            seed = tensors.pop("seed")
            network.load_state_dict({k.removeprefix("network."): v for k, v in tensors.items()})
        except (ModelFileError, KeyError, ValueError, RuntimeError, SafetensorError) as error:
            raise BundleError(f"{folder} does not fit its weights: {error}") from error
        if not (isinstance(codec, BodyCodec) and isinstance(space, AlignedSpace)):
            raise BundleError(f"{folder}: {CODEC}.json and {SPACE}.json hold other models")
        return cls(codec, space, network, vocabulary, text, seed, plan.latents, plan.preset)


class _Plan(BaseModel):
    model_config = ConfigDict(extra="forbid")

    version: int
    preset: str
    text: str
    latents: int = Field(ge=2)
    denoiser: DenoiserConfig
    word_width: int = Field(ge=1)
    sha256: dict[str, str]


def pretrained(text: TextEncoder | None = None) -> Bundle:
    """The small weights that come with the package, or those of ``$LITHE_SYNTALKER_BUNDLE``.

    Raises:
        BundleError: there are none.
    """
    folder = Path(os.environ.get("LITHE_SYNTALKER_BUNDLE") or PRETRAINED)
    if not (folder / PLAN).is_file():
        raise BundleError(
            f"there are no weights in {folder}: train some with `{TRAIN}`, and name that folder "
            "with bundle= or LITHE_SYNTALKER_BUNDLE"
        )
    return Bundle.load(folder, text)


def _fits(b: Bundle) -> list[tuple[object, object, str]]:
    """What has to be equal between the parts, and how to say that it is not."""
    c = b.network.config
    words = b.network.ears.embedding.num_embeddings
    return [
        (b.codec.width, c.latent, "the codec makes {} latent channels, the denoiser takes {}"),
        (b.codec.features, b.space.features, "the codec knows {} features, the space {}"),
        (b.space.config.width, c.prompt, "the space has {} dimensions, the denoiser takes {}"),
        (b.text.width, b.space.words, "the language model has {} dimensions, the space takes {}"),
        (len(b.vocabulary), words, "the vocabulary has {} words, the denoiser {}"),
        (tuple(b.seed.shape), (1, c.seed, c.latent), "the seed is {}, the denoiser takes {}"),
        (b.latents > c.seed, True, "a window is no longer than the seed"),
    ]


def _plan(folder: Path) -> _Plan:
    path = folder / PLAN
    if not path.is_file():
        raise BundleError(f"{folder} holds no {PLAN}; name the folder of a saved bundle")
    try:
        plan = _Plan.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise BundleError(f"{path} is damaged; save the bundle again") from error
    if plan.version != VERSION:
        raise BundleError(f"{path} is of version {plan.version}, this reads {VERSION}")
    for name in _files():
        if not (folder / name).is_file():
            raise BundleError(f"{name} is missing from {folder}; copy the whole folder")
        if _digest(folder / name) != plan.sha256.get(name):
            raise BundleError(
                f"{folder / name} is not the file that {PLAN} was written with: it is damaged or "
                "belongs to weights of another preset; copy the whole folder again"
            )
    return plan


def _files() -> tuple[str, ...]:
    pairs = (f"{stem}{end}" for stem in (CODEC, SPACE) for end in (".json", ".safetensors"))
    return (*pairs, NETWORK, WORDS)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _text(plan: _Plan) -> TextEncoder:
    kind, _, width = plan.text.partition("-")
    if kind == "hashing" and width.partition("-")[0].isdecimal():
        return HashingEncoder(int(width.partition("-")[0]))
    raise BundleError(
        f"this bundle reads prompts with the language model {plan.text}; give it as text=, a "
        "lithe.syntalker.SentenceEncoder"
    )
