"""Stage 3: the denoiser and its ears, trained on both corpora while stages 1 and 2 are frozen."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lithe.data.checksum import tensor_digest
from lithe.syntalker.codec import BodyCodec
from lithe.syntalker.conditions import Dropping, Told, diffusion_loss, dropped, mute
from lithe.syntalker.schedule import cosine_schedule
from lithe.syntalker.space import AlignedSpace
from lithe.syntalker.speech_denoiser import SpeechDenoiser
from lithe.syntalker.spoken import BothCorpora
from lithe.syntalker.text import TextEncoder
from lithe.training import History, TrainConfig, fit

__all__ = ["DiffusionStep", "Prompts", "SharedEars", "diffusion_recipe", "train_denoiser"]

#: What stands for the prompt in training: the place of the clip's own motion, as released; the
#: place of its caption, and none where it has none; or nothing at all.
Prompts = Literal["motion", "text", "none"]
#: The released rate falls to a tenth every so many epochs (SynTalker spec 6.6).
DECAY_EVERY = 200


def diffusion_recipe(epochs: int, **changed: Any) -> TrainConfig:
    """The released optimiser: Adam, betas 0.5 and 0.999, rate 5e-5, gradients clipped to 0.99.

    Source: SynTalker spec 6.6; 600 epochs of batches of 200 were released. AdamW without decay is
    Adam.

    Args:
        epochs: as many draws as there are windows and silent clips, each.
        changed: fields of :class:`lithe.training.TrainConfig`.
    """
    chosen: dict[str, Any] = {
        "optimizer": "adamw",
        "lr": 5e-5,
        "betas": (0.5, 0.999),
        "weight_decay": 0.0,
        "batch_size": 200,
        "clip_norm": 0.99,
    }
    if epochs > DECAY_EVERY and "schedule" not in changed:
        milestones = tuple(range(DECAY_EVERY, epochs, DECAY_EVERY))
        chosen |= {"schedule": "step", "milestones": milestones, "gamma": 0.1}
    return TrainConfig(epochs=epochs, **(chosen | changed))


class SharedEars(nn.Module):
    """The network as training sees it: speech is encoded once for several noise levels.

    Source: none. The released code draws one level a clip. Ears cost several times as much as a
    small denoiser, so ``draws`` levels a clip give as many times the practice for little more.

    Args:
        network: whose weights train.
        draws: neighbours in the batch that share their speech.
    """

    def __init__(self, network: SpeechDenoiser, draws: int = 1) -> None:
        super().__init__()
        self.network, self.draws = network, draws

    def forward(
        self,
        x_t: Tensor,
        t: Tensor,
        sound: Tensor,
        words: Tensor,
        seed: Tensor,
        prompt: Tensor | None = None,
        unprompted: Tensor | None = None,
    ) -> Tensor:
        """As :class:`SpeechDenoiser`; of every ``draws`` rows of speech only the first counts."""
        heard = self.network.listen(sound[:: self.draws], words[:: self.draws])
        heard = heard.repeat_interleave(self.draws, 0)
        return self.network.denoiser(x_t, t, heard, seed, prompt, unprompted)


class DiffusionStep:
    """Loss of a batch: windows become latents and pseudo-prompts by the frozen stages, then noise.

    Source: SynTalker spec 5.4, 5.5, 6.3, 6.4. Every window is encoded by itself, so that its first
    latents see the edge of a clip as a seed does when motion is made.

    Args:
        data: the windows, whose speech is looked up here.
        codec: of stage 1, frozen.
        space: of stage 2, frozen.
        prompts: see :data:`Prompts`.
        text: language model, for ``prompts="text"``.
        dropping: how often conditions are left out; as released by default.
        draws: noise levels a window; see :class:`SharedEars`.
        seed: latents of the seed.
        twice: normalise the speech corpus twice for its pseudo-prompts, as the released loader
            does (G2).

    Raises:
        ValueError: text prompts without a language model.
    """

    def __init__(
        self,
        data: BothCorpora,
        codec: BodyCodec,
        space: AlignedSpace,
        *,
        prompts: Prompts = "motion",
        text: TextEncoder | None = None,
        dropping: Dropping | None = None,
        draws: int = 1,
        seed: int = 4,
        twice: bool = False,
    ) -> None:
        self.dropping = dropping or Dropping()
        self.data, self.prompts, self.draws, self.seed = data, prompts, draws, seed
        self.codec, self.space = codec.eval(), space.eval()
        self.twice, self.schedule = twice, cosine_schedule()
        self.table, self.first = (None, None) if prompts != "text" else self._captions(text)
        frozen = tensor_digest(*codec.state_dict().values(), *space.state_dict().values())
        told = f"{prompts}, {self.dropping!r}, {draws}, {seed}, {twice}, {frozen[:16]}"
        self.__qualname__ = f"DiffusionStep({told})"  # what a checkpoint remembers

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, and the estimates ``(n, f, latent)``.

        Args:
            model: a :class:`SharedEars`, or what several processes wrap it in.
            x: windows of features ``(n, t, d)``.
            y: clip, first frame and caption ``(n, 3)``.
        """
        if self.codec.scale.device != x.device:
            self.codec.to(x.device), self.space.to(x.device)
        with torch.no_grad():
            latents = self.codec.encode(x)
            prompt = self._prompts(getattr(model, "module", model), x, y)
        sound, words = (tensor.to(x.device) for tensor in self.data.heard(y.cpu()))
        if self.dropping.speech:  # once a window: rows that share ears share their silence
            sound, words = mute(sound, words, dropped(len(x), self.dropping.speech))
        told = Told(latents, sound, words, prompt)
        several = Told(
            *(None if one is None else one.repeat_interleave(self.draws, 0) for one in told)
        )
        prompts_only = Dropping(prompt=self.dropping.prompt)
        return diffusion_loss(model, several, self.schedule, self.seed, prompts_only)

    def _prompts(self, model: SharedEars, x: Tensor, y: Tensor) -> Tensor | None:
        """What stands for the prompt of each window ``(n, prompt)``."""
        if self.prompts == "none":
            return None
        if self.table is None or self.first is None:
            spoken = (y[:, 0] < self.data.spoken) & self.twice
            seen = torch.where(spoken[:, None, None], self.space.normaliser(x), x)
            return self.space.embed_motion(seen)
        number = self.first.to(y)[y[:, 0]]
        said = self.table.to(x)[(number + y[:, 2]).clamp_min(0)]
        return torch.where((number >= 0)[:, None], said, model.network.denoiser.null.detach())

    def _captions(self, text: TextEncoder | None) -> tuple[Tensor, Tensor]:
        """Places of all captions, and the number of each clip's first, -1 for none."""
        if text is None:
            raise ValueError("prompts='text' needs the language model of the space")
        clips = self.data.clips
        captions = [caption for clip in clips for caption in clip.captions]
        if not captions:
            raise ValueError("no clip has a caption")
        before = torch.tensor([0, *(len(clip.captions) for clip in clips)]).cumsum(0)[:-1]
        has = torch.tensor([bool(clip.captions) for clip in clips])
        told = text(captions)
        table = self.space.embed_text(told.words, told.spoken)
        return table, torch.where(has, before, -1)


def train_denoiser(
    network: SpeechDenoiser,
    data: BothCorpora,
    step: DiffusionStep,
    recipe: TrainConfig,
    *,
    directory: str | Path | None = None,
    progress: bool | None = None,
) -> History:
    """Train denoiser and ears, in place; a stopped run goes on to the same bits.

    Noise, steps and dropping come from the loop's random state, which a checkpoint holds. With
    ``ema_decay`` in the recipe the averaged network is ``history.ema.network``.

    Args:
        network: of any size that fits codec and space.
        data: both corpora.
        step: the loss.
        recipe: such as :func:`diffusion_recipe`.
        directory: for checkpoints.
        progress: show a bar.

    Returns:
        One row per epoch.

    Raises:
        ValueError: the network does not fit codec or space.
    """
    c = network.config
    if (step.codec.width, step.seed) != (c.latent, c.seed) or (
        c.prompt not in (0, step.space.config.width)
    ):
        raise ValueError(
            f"the denoiser takes {c.latent} latent channels, a seed of {c.seed} and prompts of "
            f"{c.prompt}; codec, step and space give {step.codec.width}, {step.seed} and "
            f"{step.space.config.width}"
        )
    if not c.prompt and step.prompts != "none":
        raise ValueError("this denoiser was built without prompts; train it with prompts='none'")
    shared = SharedEars(network, step.draws)
    return fit(shared, data, recipe, step=step, directory=directory, progress=progress)
