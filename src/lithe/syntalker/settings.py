"""What the SynTalker chapters measure, in numbers: the config of stages 1 and 2."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lithe.syntalker.ablations import CODECS, SPACES
from lithe.syntalker.exhibits import EXHIBITS
from lithe.syntalker.space import SpaceConfig
from lithe.syntalker.stage1 import codec_recipe
from lithe.syntalker.stage2 import space_recipe
from lithe.syntalker.text import HashingEncoder, TextEncoder
from lithe.syntalker.vqvae import CodecConfig, temperature_of
from lithe.training import TrainConfig

__all__ = ["Config"]

Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Config(BaseModel):
    """What to measure. smoke, small and full differ in numbers only.

    Attributes:
        profile: which shelf of the ledger the records go to.
        exhibits: records without training, by name; see ``EXHIBITS``.
        data: corpora: ``"world"`` (generated, 52 joints) and ``"cmu"`` (real, 22 joints).
        codecs: variants of the part-wise RVQ-VAE; see ``CODECS``.
        spaces: variants of the aligned space; see ``SPACES``.
        seeds: every variant runs once per seed.
        clips: talkers, and movers, to train on in the world.
        held_out: the same to measure on.
        width: channels of the VQ-VAEs.
        latent: channels of a latent of one part.
        layers: codebooks in a row.
        codes: of each codebook.
        window: frames of a training window.
        stride: frames from one window to the next.
        codec_epochs: passes over the windows.
        codec_batch: windows per step.
        codec_lr: learning rate of the VQ-VAEs.
        space_width: of the aligned space.
        space_layers: of its transformers.
        frames: most frames of a clip that the aligned space sees.
        space_epochs: passes over the captioned clips.
        space_batch: clips per step: one less than so many are negatives.
        space_lr: learning rate of the aligned space.
        text: ``"hashing"``, or a model of sentence-transformers: a folder, ``"package:NAME"`` or
            ``"hub:OWNER/NAME"``.
        text_sha256: of that model's weights.
        workers: processes side by side, one thread each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: Literal["smoke", "small", "full"] = "smoke"
    exhibits: tuple[str, ...] = ()
    data: tuple[Literal["world", "cmu"], ...] = ("world",)
    codecs: tuple[str, ...] = ()
    spaces: tuple[str, ...] = ()
    seeds: tuple[Seed, ...] = (0,)
    clips: Count = 48
    held_out: Count = 16
    width: Count = 64
    latent: Count = 32
    layers: Count = 4
    codes: Count = 64
    window: Annotated[int, Field(ge=8, multiple_of=4)] = 64
    stride: Count = 16
    codec_epochs: Count = 4
    codec_batch: Count = 64
    codec_lr: Rate = 1e-3
    space_width: Annotated[int, Field(ge=4, multiple_of=4)] = 64
    space_layers: Count = 2
    frames: Annotated[int, Field(ge=40, multiple_of=4)] = 128
    space_epochs: Count = 4
    space_batch: Count = 32
    space_lr: Rate = 5e-4
    text: str = "hashing"
    text_sha256: str | None = None
    workers: Count = 1

    @model_validator(mode="after")
    def _known_names(self) -> Config:
        for name, known, what in (
            ("exhibits", EXHIBITS, "exhibit"),
            ("codecs", CODECS, "codec"),
            ("spaces", SPACES, "space"),
        ):
            for given in getattr(self, name):
                if given not in known:
                    raise ValueError(f"no {what} {given!r}; there are: {', '.join(known)}")
        for name in ("exhibits", "data", "codecs", "spaces", "seeds"):
            given = getattr(self, name)
            if len(set(given)) < len(given):  # two workers would share one checkpoint folder
                raise ValueError(f"{name} = {given} holds an entry twice")
        return self

    def codec_config(self) -> CodecConfig:
        """Size of one part's VQ-VAE."""
        return CodecConfig(
            width=self.width,
            latent=self.latent,
            layers=self.layers,
            codes=self.codes,
            temperature=temperature_of(self.latent),
            dropout=0.0,  # so few weights do not overfit in so few steps
        )

    def codec_training(self, seed: int) -> TrainConfig:
        """How every codec of one seed is trained.

        The released warm-up and drop of the rate are counted in epochs; of the few there are here
        they would leave one at the full rate.
        """
        return codec_recipe(
            self.codec_epochs,
            lr=self.codec_lr,
            batch_size=self.codec_batch,
            warmup_epochs=0,
            schedule="cosine",
            milestones=(),
            per_iteration=True,
            seed=seed,
        )

    def space_config(self) -> SpaceConfig:
        """Size of the aligned space."""
        return SpaceConfig(
            width=self.space_width,
            layers=self.space_layers,
            feedforward=2 * self.space_width,
            dropout=0.0,  # as for the codec; and attention is twice as fast without
        )

    def space_training(self, seed: int) -> TrainConfig:
        """How every space of one seed is trained."""
        return space_recipe(
            self.space_epochs, lr=self.space_lr, batch_size=self.space_batch, seed=seed
        )

    def text_encoder(self) -> TextEncoder:
        """The frozen language model.

        Raises:
            lithe.syntalker.minilm.TextModelError: it is missing or not the one that was meant.
        """
        if self.text == "hashing":
            return HashingEncoder()
        from lithe.syntalker.minilm import SentenceEncoder

        return SentenceEncoder(self.text, sha256=self.text_sha256)
