"""What the chapters on generating measure, in numbers: the config of stage 3."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from lithe.syntalker.captions import ACTIONS, LOWER, UPPER
from lithe.syntalker.denoiser import DenoiserConfig
from lithe.syntalker.sampler import FEW_STEPS, Sampling
from lithe.syntalker.space import SpaceConfig
from lithe.syntalker.stage1 import codec_recipe
from lithe.syntalker.stage2 import space_recipe
from lithe.syntalker.stage3 import diffusion_recipe
from lithe.syntalker.text import HashingEncoder, TextEncoder
from lithe.syntalker.vqvae import CodecConfig
from lithe.training import TrainConfig

__all__ = ["VARIANTS", "GenerationConfig", "Variant"]

Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]
Rate = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Variant(BaseModel):
    """What one training of stage 3 changes.

    Attributes:
        prompts: see :data:`lithe.syntalker.stage3.Prompts`.
        space: ``"aligned"``; ``"unaligned"``: trained without the contrastive term; ``"few"``:
            with captions for one mover in ten.
        silent: whether the movers are part of the diffusion's data.
        speech_drop: chance that speech is left out (G3); as released 0.
        twice: pseudo-prompts of speech from features normalised twice (G2).
        unit: embeddings of one length (SynTalker spec 11.5, lesson 2).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompts: Literal["motion", "text"] = "motion"
    space: Literal["aligned", "unaligned", "few"] = "aligned"
    silent: bool = True
    speech_drop: float = 0.0
    twice: bool = False
    unit: bool = True


#: Variants by name (SynTalker spec 11.4).
VARIANTS = {
    "full": Variant(),
    "unaligned": Variant(space="unaligned"),
    "text-only": Variant(prompts="text"),
    "talkers-only": Variant(silent=False),
    "few-full": Variant(space="few"),
    "few-text": Variant(prompts="text", space="few"),
    "speech-drop": Variant(speech_drop=0.1),
    "twice": Variant(twice=True),
    "released-length": Variant(unit=False),
}


class GenerationConfig(BaseModel):
    """What to measure. smoke, small and full differ in numbers only.

    Attributes:
        profile: which shelf of the ledger the records go to.
        variants: of stage 3; see :data:`VARIANTS`. Their stages 1 and 2 are a record too.
        sweeps: also measure steps, strengths and joins with the first variant's network.
        seeds: everything runs once per seed.
        clips: talkers, and movers, to train on.
        held_out: the same to measure on.
        actions: of the movers.
        width: channels of the VQ-VAEs.
        latent: channels of a latent of one part.
        layers: codebooks in a row.
        codes: of each codebook.
        codec_epochs: passes over the windows.
        codec_stride: frames between them.
        codec_batch: windows per step.
        codec_lr: learning rate of the VQ-VAEs.
        space_width: of the aligned space, and so of a prompt.
        space_layers: of its transformers.
        frames: most frames of a clip that the aligned space sees.
        space_epochs: passes over the captioned clips.
        space_batch: clips per step.
        space_lr: learning rate of the aligned space.
        spread: standard deviation of the latents that noise is put on. Channels of a part say much
            the same, so that noise averages out over them and at 1 hides little before the last
            steps of the chain, where few steps of a sampler come by (Chen 2023, "On the importance
            of noise scheduling for diffusion models").
        window: frames of a window of stage 3.
        stride: frames between windows of speech.
        from_start: share of silent windows that begin at rest.
        denoiser_width: of the denoiser.
        denoiser_layers: of its transformer.
        speech: channels of encoded speech.
        draws: noise levels a window.
        epochs: of stage 3; as many draws as there are windows, each.
        batch: windows per step.
        lr: learning rate of stage 3.
        ema: decay of the averaged weights.
        performers: unseen talkers that motion is made for.
        seconds: of motion.
        steps: of the sampler; few steps walk in second order.
        text: ``"hashing"``, or a model of sentence-transformers; see
            :class:`lithe.syntalker.settings.Config`.
        text_sha256: of that model's weights.
        workers: processes side by side, one thread each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: Literal["smoke", "small", "full"] = "smoke"
    variants: tuple[str, ...] = ("full",)
    sweeps: bool = False
    seeds: tuple[Seed, ...] = (0,)
    clips: Count = 16
    held_out: Count = 8
    actions: tuple[str, ...] = ("walk", "squat", "raise", "wave")
    width: Count = 48
    latent: Count = 32
    layers: Count = 4
    codes: Count = 64
    codec_epochs: Count = 4
    codec_stride: Count = 16
    codec_batch: Count = 16
    codec_lr: Rate = 2e-3
    space_width: Annotated[int, Field(ge=4, multiple_of=4)] = 64
    space_layers: Count = 1
    frames: Annotated[int, Field(ge=40, multiple_of=4)] = 96
    space_epochs: Count = 4
    space_batch: Count = 32
    space_lr: Rate = 1e-3
    spread: Rate = 0.33
    window: Annotated[int, Field(ge=32, multiple_of=4)] = 64
    stride: Count = 20
    from_start: float = Field(0.7, ge=0, le=1)
    denoiser_width: Annotated[int, Field(ge=32, multiple_of=32)] = 128
    denoiser_layers: Count = 4
    speech: Annotated[int, Field(ge=4, multiple_of=4)] = 32
    draws: Count = 6
    epochs: Count = 1
    batch: Count = 12
    lr: Rate = 1e-3
    ema: float = Field(0.99, gt=0, lt=1)
    performers: Annotated[int, Field(ge=2)] = 4
    seconds: Annotated[float, Field(ge=2, le=7.9)] = 4.0
    steps: Count = 8
    text: str = "hashing"
    text_sha256: str | None = None
    workers: Count = 1

    @model_validator(mode="after")
    def _known_names(self) -> GenerationConfig:
        for name, known in (("variants", VARIANTS), ("actions", ACTIONS)):
            for given in getattr(self, name):
                if given not in known:
                    raise ValueError(f"{name}: no {given!r}; there are: {', '.join(known)}")
        for name in ("variants", "actions", "seeds"):
            given = getattr(self, name)
            if len(set(given)) < len(given):
                raise ValueError(f"{name} = {given} holds an entry twice")
        if not (set(self.actions) & set(LOWER) and set(self.actions) & set(UPPER)):
            raise ValueError("actions: one of the legs and one of the arms are needed at least")
        if self.performers > self.held_out:
            raise ValueError(f"performers = {self.performers} of held_out = {self.held_out}")
        if self.sweeps and "full" not in self.variants:
            raise ValueError("sweeps use the network of the variant full; add it")
        return self

    @property
    def sampling(self) -> Sampling:
        """How motion is made."""
        return FEW_STEPS.model_copy(update={"steps": self.steps})

    def codec_config(self) -> CodecConfig:
        """Size of one part's VQ-VAE, without what only pays in a long run."""
        return CodecConfig(
            width=self.width,
            latent=self.latent,
            layers=self.layers,
            codes=self.codes,
            temperature=0.0,
            quantise_dropout=0.0,
            dropout=0.0,
        )

    def space_config(self, unit: bool = True) -> SpaceConfig:
        """Size of the aligned space, and whether its embeddings have one length."""
        return SpaceConfig(
            width=self.space_width,
            layers=self.space_layers,
            feedforward=2 * self.space_width,
            dropout=0.0,
            unit=unit,
        )

    def denoiser_config(self) -> DenoiserConfig:
        """Size of the denoiser."""
        return DenoiserConfig(
            latent=3 * self.latent,
            width=self.denoiser_width,
            layers=self.denoiser_layers,
            hidden=2 * self.denoiser_width,
            rotary=32,
            speech=self.speech,
            prompt=self.space_width,
            drop_path=0.0,  # so few steps do not overfit
        )

    def codec_training(self, seed: int) -> TrainConfig:
        """How the codec of one seed is trained.

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

    def space_training(self, seed: int) -> TrainConfig:
        """How every space of one seed is trained."""
        return space_recipe(
            self.space_epochs, lr=self.space_lr, batch_size=self.space_batch, seed=seed
        )

    def training(self, seed: int) -> TrainConfig:
        """How every variant of one seed is trained."""
        return diffusion_recipe(
            self.epochs,
            lr=self.lr,
            betas=(0.9, 0.99),  # the released 0.5 is made for 300 times as many steps
            batch_size=self.batch,
            schedule="cosine",
            per_iteration=True,
            ema_decay=self.ema,
            drop_last=True,
            seed=seed,
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
