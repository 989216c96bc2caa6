"""Stage 3 at the released size and length, on a reader's own speech and motion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lithe import ledger
from lithe.data import DataError, generator_for
from lithe.syntalker import h3d
from lithe.syntalker.bundle import Bundle
from lithe.syntalker.codec import BodyCodec
from lithe.syntalker.denoiser import DENOISER_FULL, DenoiserConfig
from lithe.syntalker.generation_material import spoken
from lithe.syntalker.longform import neutral_seed
from lithe.syntalker.model_files import load_model
from lithe.syntalker.motion import Motion
from lithe.syntalker.normaliser import Normaliser
from lithe.syntalker.recipes import read_folder
from lithe.syntalker.retarget import retarget
from lithe.syntalker.skeleton import BODY_HANDS
from lithe.syntalker.space import SPACE_FULL, AlignedSpace
from lithe.syntalker.speech import Speech
from lithe.syntalker.speech_denoiser import SpeechDenoiser
from lithe.syntalker.spoken import BothCorpora, SpokenClip
from lithe.syntalker.stage3 import DiffusionStep, diffusion_recipe, train_denoiser
from lithe.syntalker.text import HashingEncoder, TextEncoder
from lithe.syntalker.vocabulary import Vocabulary
from lithe.syntalker.vqvae import FULL
from lithe.syntalker.words import READERS
from lithe.syntalker.world import Clip
from lithe.training import History

__all__ = ["EPOCHS", "dry_run", "full", "read_speech"]

#: Epochs of the released weights, and windows of one step (SynTalker spec 6.6).
EPOCHS, BATCH = 600, 200
WINDOW, STRIDE, FPS = 128, 20, 30.0
MOTIONS, SOUNDS = (".npz", ".bvh", ".bvh.gz"), (".wav", ".flac", ".ogg", ".mp3")


def read_speech(folder: str | Path) -> list[Clip]:
    """People who talk: files of one name with motion, with sound, and if there are, with words.

    Motion is ``.npz`` (SMPL-X as BEAT2 has it, or ours) or ``.bvh``; sound ``.wav``, ``.flac``,
    ``.ogg`` or ``.mp3``; words ``.TextGrid``, ``.tsv`` and so on, see
    :func:`lithe.syntalker.read_words`, also under ``NAME_words``. What is longer than the other is
    cut.

    Raises:
        lithe.data.DataError: the folder is missing or holds no such pair, or a file is damaged.
    """
    folder = Path(folder).expanduser()
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder of motion and speech")
    clips = [
        _clip(path, sound)
        for path in sorted(folder.iterdir())
        if path.name.endswith(MOTIONS) and (sound := _beside(path, SOUNDS)) is not None
    ]
    if not clips:
        raise DataError(
            f"{folder} holds no motion ({', '.join(MOTIONS)}) with sound of the same name beside it"
        )
    return clips


def _clip(path: Path, sound: Path) -> Clip:
    try:
        motion = retarget(Motion.load(path), BODY_HANDS)
        motion = motion if motion.fps == FPS else motion.resampled(FPS)
        speech = Speech.load(sound, _beside(path, tuple(READERS)))
        seconds = min(motion.seconds, speech.seconds)
        return Clip(path.name, "own", motion.cut(0, int(seconds * FPS)), speech.cut(0, seconds))
    except (OSError, ValueError) as error:
        raise DataError(f"{path.name} with {sound.name}: {error}") from error


def _beside(path: Path, suffixes: tuple[str, ...]) -> Path | None:
    """The file of the same name, or with ``_words`` behind it, and one of the suffixes."""
    stem = path.name.partition(".")[0]
    names = {stem, f"{stem}_words"}
    found = [
        other
        for other in sorted(path.parent.iterdir())
        if other.stem in names and other.suffix.lower() in suffixes
    ]
    return found[0] if found else None


def full(
    speech: str | Path,
    motion: str | Path,
    codec: str | Path,
    space: str | Path,
    text: TextEncoder,
    seed: int,
    runs: Path,
) -> Path:
    """Train stage 3 at full length, record its loss, and keep all stages as one bundle.

    Args:
        speech: see :func:`read_speech`.
        motion: silent motion as features in the layout of HumanML3D, ``train.txt`` and all.
        codec: model file of stage 1.
        space: model file of stage 2.
        text: the language model that the space was trained with.
        seed: of first weights, order, noise and dropping.
        runs: where checkpoints and the bundle go.

    Returns:
        The bundle's folder.

    Raises:
        lithe.data.DataError: a folder is not as it should be.
        ValueError: the models are no codec and no space, or do not fit each other.
    """
    coded, spaced = _models(codec, space)
    code = ledger.code_state(("lithe.syntalker", "lithe.training"))
    data, words = _data(speech, motion)
    config = DENOISER_FULL.model_copy(update={"latent": coded.width, "prompt": spaced.config.width})
    network, first = _network(config, len(words), seed), data.clips[0].features[0]
    recipe = diffusion_recipe(EPOCHS, batch_size=min(BATCH, len(data)), seed=seed)
    place = runs / "checkpoints" / "syntalker" / "full" / "denoiser" / str(seed)
    with ledger.meter() as spent:
        step = DiffusionStep(data, coded, spaced)
        history = train_denoiser(network, data, step, recipe, directory=place)
    folder = runs / "models" / f"syntalker-bundle-{seed}"
    if torch.distributed.is_initialized() and torch.distributed.get_rank():
        return folder
    parts = [coded.cpu(), spaced.cpu(), network.cpu()]
    rest = neutral_seed(coded.encode, first, config.seed, WINDOW)
    params = {"key": "denoiser", "text": text.fingerprint, "train": recipe.model_dump(mode="json")}
    ledger.record(
        *("syntalker", "denoiser", "full", seed, params),
        {"train_loss": history.last["train_loss"], "windows": len(data)},
        data=[{"name": "own-both", "sha256": data.fingerprint, "sizes": {"windows": len(data)}}],
        code=code,
        cost=spent,
        curves={"train_loss": history["train_loss"]},
    )
    return Bundle(*parts, words, text, rest, WINDOW // 4, "full").save(folder)


def _models(codec: str | Path, space: str | Path) -> tuple[BodyCodec, AlignedSpace]:
    coded, spaced = load_model(codec)[0], load_model(space)[0]
    if not isinstance(coded, BodyCodec) or not isinstance(spaced, AlignedSpace):
        raise ValueError(f"{codec} must hold a codec and {space} an aligned space")
    return coded, spaced


def _data(speech: str | Path, motion: str | Path) -> tuple[BothCorpora, Vocabulary]:
    clips = read_speech(speech)
    said = [" ".join(w.text for w in c.speech.words) for c in clips if c.speech is not None]
    words = Vocabulary.build(said)
    talkers = [spoken(clip, words) for clip in clips]
    movers = [SpokenClip(c.features, captions=c.captions, name=c.name) for c in read_folder(motion)]
    return BothCorpora(talkers, movers, WINDOW, STRIDE, name="own"), words


def _network(config: DenoiserConfig, words: int, seed: int) -> SpeechDenoiser:
    return SpeechDenoiser(config, words, generator=generator_for(seed, 3))


def dry_run(frames: int = WINDOW) -> History:
    """One step of stage 3 at the released sizes on made-up motion: everything fits together."""
    generator = torch.Generator().manual_seed(0)

    def drawn(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator)

    sound, words = drawn(int(frames / FPS * 16000), 2), torch.full((frames,), 3)
    talker = SpokenClip(drawn(frames, 623), sound, words)
    data = BothCorpora([talker], [SpokenClip(drawn(frames, 623))], frames, STRIDE)
    normaliser, text = Normaliser(torch.zeros(623), torch.ones(623)), HashingEncoder()
    codec = BodyCodec(h3d.PARTS, FULL, normaliser=normaliser, generator=generator)
    space = AlignedSpace(623, text.width, SPACE_FULL, normaliser=normaliser, generator=generator)
    network = SpeechDenoiser(DENOISER_FULL, generator=generator)
    recipe: Any = diffusion_recipe(1, batch_size=2)
    return train_denoiser(network, data, DiffusionStep(data, codec, space), recipe, progress=False)
