"""Speech and prompts in, motion out: what a user calls."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from lithe.syntalker import h3d
from lithe.syntalker.autoencoder import DOWN
from lithe.syntalker.bundle import Bundle, pretrained
from lithe.syntalker.edit import Kept, keep
from lithe.syntalker.heard import Heard, WholeSpeech
from lithe.syntalker.longform import Generation, Roll, generate_latents
from lithe.syntalker.material import featured
from lithe.syntalker.motion import Motion
from lithe.syntalker.sampler import FEW_STEPS, Sampling
from lithe.syntalker.skeleton import skeleton_for
from lithe.syntalker.sound import RATE, mono
from lithe.syntalker.speech import Speech, speech_features
from lithe.syntalker.streaming import REACH, Stream
from lithe.syntalker.timeline import SPEAKING, STRENGTH, Timeline
from lithe.syntalker.words import READERS, read_words, spread

__all__ = ["LONGEST", "Keep", "Take", "generate", "generation", "listen", "stream", "take"]

FPS = 30.0
#: Seconds that are made at once; more belongs into a stream, whose memory does not grow.
LONGEST = 1800.0
#: Up to so many steps the second-order walk over trailing steps is taken; see ``FEW_STEPS``.
FEW = 10
Prompting = Mapping[str, str] | Iterable[Sequence[Any]] | Timeline | None
Audio = str | Path | Speech | np.ndarray | tuple[np.ndarray, int]


@dataclass(frozen=True, eq=False)
class Take:
    """A motion as it was made.

    Attributes:
        motion: 52 joints (or as many as the codec knows) with sound and prompts.
        features: that it was recovered from ``(t, d)``.
        latents: that these were decoded from ``(1, f, latent)``.
        calls: evaluations of the denoiser, each of one window under one condition.
    """

    motion: Motion
    features: Tensor
    latents: Tensor
    calls: int


@dataclass(frozen=True, eq=False)
class Keep:
    """What of an older motion stays while the rest is made anew.

    ``Keep(old, parts=("upper", "hands"))`` makes new legs only; ``Keep(old, frames=[(0, 60)])``
    keeps the first two seconds. What stays comes out bit for bit: as features, which are relative
    to the root, so that kept arms travel with new legs.

    Attributes:
        motion: a :class:`Take`, whose latents are known, or any :class:`Motion` at 30 frames a
            second with the joints of the bundle.
        parts: of the body.
        frames: ranges, the end not included; a frame stays if its whole latent frame does.
    """

    motion: Motion | Take
    parts: tuple[str, ...] | str = ()
    frames: tuple[tuple[int, int], ...] | list[tuple[int, int]] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.motion, (Motion, Take)):
            raise TypeError(f"a motion is kept, got {type(self.motion).__name__}")
        if not self.parts and not self.frames:
            raise ValueError("say what to keep: parts=('upper', 'hands'), or frames=[(0, 60)]")


def generate(
    audio: Audio,
    transcript: str | Path | None = None,
    prompts: Prompting = None,
    seed: int = 0,
    *,
    bundle: Bundle | str | Path | None = None,
    steps: int | Sampling = FEW_STEPS,
    guidance: str = "separate",
    strength: float = STRENGTH,
    speaking: Iterable[str] | Mapping[str, float] = SPEAKING,
    keep: Keep | None = None,
) -> Motion:
    """A body that talks, and does what it is asked to, in time with the sound.

    Source: SynTalker spec 7. The same arguments make the same motion, to the bit on one machine.

    Args:
        audio: a WAV, FLAC, OGG or MP3 file; samples at 16 kHz or ``(samples, rate)``; or a
            :class:`lithe.syntalker.Speech`. Any rate, channels are averaged; ``LONGEST`` seconds
            at most.
        transcript: what is said: text, a file of text or of timed words, or nothing; it helps
            the hands to stress what is stressed.
        prompts: ``{"lower": "a person walks forward"}``, or a timeline
            ``[(0.0, 3.5, "lower", "a person walks forward"), ...]``, each entry with its own
            strength if it names a fifth value; see :meth:`lithe.syntalker.timeline.Timeline.parse`.
        seed: a whole number from 0 on.
        bundle: the weights, or their folder; those that come with the package by default.
        steps: of the sampler, or a :class:`lithe.syntalker.sampler.Sampling`.
        guidance: ``"separate"``, or another of :class:`lithe.syntalker.longform.Generation`.
        strength: how strongly prompts count that do not say it themselves.
        speaking: parts that go on listening to speech while they have a prompt.
        keep: what of an older motion stays.

    Returns:
        At 30 frames a second, as long as the sound.

    Raises:
        TypeError: an argument of a kind that is not read.
        ValueError: no audio, or too short, too long or silent under a transcript; prompts that
            are empty, overlap or name no part; a seed or steps that are none; a motion to keep of
            another length; weights that are missing or of another preset. The message says what
            to do.
    """
    options = {"steps": steps, "guidance": guidance, "strength": strength, "speaking": speaking}
    made = take(audio, transcript, prompts, seed, bundle=bundle, keep=keep, **options)
    return made.motion


def take(
    audio: Audio,
    transcript: str | Path | None = None,
    prompts: Prompting = None,
    seed: int = 0,
    *,
    bundle: Bundle | str | Path | None = None,
    steps: int | Sampling = FEW_STEPS,
    guidance: str = "separate",
    strength: float = STRENGTH,
    speaking: Iterable[str] | Mapping[str, float] = SPEAKING,
    keep: Keep | None = None,
) -> Take:
    """As :func:`generate`, with features and latents, which a later edit can start from."""
    generator = _generator(seed)
    how = generation(steps, guidance)
    speech = listen(audio, transcript)
    frames = speech.frames(FPS)
    if frames < DOWN:
        raise ValueError(
            f"{speech.seconds:.3f} s of audio; a motion begins at {DOWN / FPS:.2f} s: give more"
        )
    bundle = _bundle(bundle)
    timeline = Timeline.parse(prompts, frames / FPS, tuple(bundle.codec.channels))
    how = how.model_copy(update={"latents": bundle.latents})
    roll = _roll(bundle, timeline, how, generator)
    kept = None if keep is None else _Kept.of(keep, bundle, frames)
    plan = timeline.plan(-(-frames // DOWN), strength=strength, speaking=speaking)
    sound, words = speech_features(speech, bundle.vocabulary, frames, FPS)
    heard = WholeSpeech(torch.from_numpy(sound)[None], torch.from_numpy(words)[None])
    held = None if kept is None else kept.latents
    latents = generate_latents(roll, heard, frames, plan, kept=held)[:, : len(plan)]
    features = bundle.codec.decode(latents)[0, :frames]
    if kept is not None:
        features = torch.where(kept.mask, kept.features, features)
    return Take(_motion(features, speech, timeline), features, latents, roll.calls)


def stream(
    prompts: Prompting = None,
    seed: int = 0,
    *,
    bundle: Bundle | str | Path | None = None,
    steps: int | Sampling = FEW_STEPS,
    guidance: str = "separate",
    strength: float = STRENGTH,
    speaking: Iterable[str] | Mapping[str, float] = SPEAKING,
    ahead: int = REACH,
) -> Stream:
    """Motion while the speech is still arriving; push sound, take features.

    Args:
        prompts, seed, bundle, steps, guidance, strength, speaking: as for :func:`generate`.
        ahead: latents that decoding waits for; less comes earlier and is less smooth.

    Returns:
        A fresh :class:`lithe.syntalker.streaming.Stream`.
    """
    generator, how = _generator(seed), generation(steps, guidance)
    bundle = _bundle(bundle)
    timeline = Timeline.parse(prompts, parts=tuple(bundle.codec.channels))
    how = how.model_copy(update={"latents": bundle.latents})
    roll = _roll(bundle, timeline, how, generator)

    def plan(start: int, latents: int) -> Any:
        return timeline.plan(latents, strength=strength, speaking=speaking, start=start)

    return Stream(roll, Heard(bundle.vocabulary), bundle.codec, plan, ahead)


def generation(steps: int | Sampling = FEW_STEPS, guidance: str = "separate") -> Generation:
    """How to make motion; few steps walk differently from many.

    Raises:
        ValueError: no steps, more than were trained, or an unknown way to guide.
    """
    if isinstance(steps, bool) or not isinstance(steps, (int, Sampling)):
        raise TypeError(f"steps is {steps!r}; give a whole number such as 8 or 50, or a Sampling")
    if isinstance(steps, int):
        if not 1 <= steps <= 1000:
            raise ValueError(f"steps is {steps}; give 1 to 1000, such as 8 (fast) or 50 (released)")
        few = steps <= FEW
        steps = FEW_STEPS.model_copy(update={"steps": steps}) if few else Sampling(steps=steps)
    known = Generation.model_fields["guidance"].annotation.__args__
    if guidance not in known:
        raise ValueError(f"there is no guidance {guidance!r}; there are {', '.join(known)}")
    return Generation(sampling=steps, guidance=guidance)


def listen(audio: Audio, transcript: str | Path | None = None) -> Speech:
    """Speech from whatever a user has.

    Raises:
        TypeError: something that is no audio.
        ValueError: see :func:`generate`.
    """
    if isinstance(audio, Speech):
        if transcript is not None:
            raise ValueError("this speech has its words; leave the transcript out")
        speech = audio
    elif isinstance(audio, (str, Path)):
        _refuse_long(_file_seconds(audio))
        speech = Speech.load(audio, transcript)
    else:
        samples, rate = audio if isinstance(audio, tuple) else (audio, RATE)
        if not isinstance(samples, (np.ndarray, torch.Tensor, list)):
            raise TypeError(
                f"audio is a file, samples, (samples, rate) or a Speech, not {type(audio).__name__}"
            )
        samples = np.asarray(samples)
        if samples.size and np.isfinite(rate) and rate > 0:
            _refuse_long(max(samples.shape, default=0) / rate)
        speech = _spoken(mono(samples, rate), transcript)
    _refuse_long(speech.seconds)
    return speech


def _spoken(wave: np.ndarray, transcript: str | Path | None) -> Speech:
    """Samples with their words: from a file of timed words, or spread over the sound."""
    if transcript is None:
        return Speech(wave)
    suffix = Path(transcript).suffix.lower() if len(str(transcript)) < 250 else ""
    if suffix in READERS:
        return Speech(wave, tuple(read_words(transcript)))
    if isinstance(transcript, Path) or suffix == ".txt":
        if not Path(transcript).is_file():
            raise ValueError(f"no transcript at {transcript}")
        transcript = Path(transcript).read_text(encoding="utf-8-sig")
    return Speech(wave, tuple(spread(transcript, wave)))


def _file_seconds(path: str | Path) -> float:
    """Length of a sound file from its head; 0 where :func:`Speech.load` will say what is wrong."""
    import soundfile

    try:
        return float(soundfile.info(str(path)).duration)
    except (soundfile.LibsndfileError, OSError):
        return 0.0


def _refuse_long(seconds: float) -> None:
    if seconds > LONGEST:
        raise ValueError(
            f"{seconds / 60:.0f} minutes of audio; at most {LONGEST / 60:.0f} are made at once: "
            "cut it, or use lithe.syntalker.stream, which never holds more than a few seconds"
        )


def _generator(seed: int) -> Generator:
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**63:
        raise ValueError(f"seed is {seed!r}; give a whole number from 0 on")
    return torch.Generator().manual_seed(int(seed))


def _bundle(bundle: Bundle | str | Path | None) -> Bundle:
    if bundle is None:
        return pretrained()
    if isinstance(bundle, (str, Path)):
        return Bundle.load(bundle)
    if not isinstance(bundle, Bundle):
        raise TypeError(f"bundle is a Bundle or its folder, not {type(bundle).__name__}")
    return bundle


def _roll(bundle: Bundle, timeline: Timeline, how: Generation, generator: Generator) -> Roll:
    """A fresh roll that begins standing."""
    return Roll(
        bundle.network,
        bundle.codec.channels,
        bundle.seed,
        prompts=bundle.embed(timeline.texts),
        generation=how,
        generator=generator,
    )


def _motion(features: Tensor, speech: Speech, timeline: Timeline) -> Motion:
    positions = h3d.recover(features.numpy())
    seconds = len(positions) / FPS
    return Motion(
        positions,
        FPS,
        skeleton_for(positions.shape[1]),
        audio=(speech.wave, RATE),
        prompts=timeline.captions(seconds),
    )


@dataclass(frozen=True, eq=False)
class _Kept:
    """What stays, on the grid of latents and on that of features."""

    latents: Kept
    features: Tensor
    mask: Tensor

    @classmethod
    def of(cls, what: Keep, bundle: Bundle, frames: int) -> _Kept:
        old, codec = what.motion, bundle.codec
        features = old.features if isinstance(old, Take) else _features(old, codec.features)
        if len(features) != frames:
            raise ValueError(
                f"the motion to keep has {len(features)} frames, the audio {frames}: use the sound "
                "that it was made with, or cut both to one length"
            )
        if features.shape[1] != codec.features:
            raise ValueError(
                f"the motion to keep has {features.shape[1]} features, the weights know "
                f"{codec.features}: keep motion of the same skeleton"
            )
        filled = torch.cat([features, features[-1:].expand(-frames % DOWN, -1)])[None]
        latents = old.latents if isinstance(old, Take) else codec.encode(filled)
        whole = latents.shape[1] * DOWN
        ranges = [(start, whole if end == frames else end) for start, end in what.frames]
        kept = keep(latents, codec.channels, parts=what.parts, frames=ranges)
        mask = torch.zeros(whole, codec.features, dtype=torch.bool)
        for part, own in codec.channels.items():
            held = kept.mask[:, own].all(1).repeat_interleave(DOWN)
            mask[:, codec.parts[part]] = held[:, None]
        return cls(kept, features, mask[:frames])


def _features(motion: Motion, width: int) -> Tensor:
    """Features of every frame of a motion; the last frame moves as the one before."""
    if motion.fps != FPS:
        raise ValueError(
            f"the motion to keep has {motion.fps:g} frames a second; resample it to 30"
        )
    if h3d.channels(len(motion.skeleton))["contact"].stop != width:
        raise ValueError(
            f"the motion to keep has {len(motion.skeleton)} joints, the weights are for "
            f"{h3d.joints_of(width)}: retarget it first"
        )
    features = featured(motion.positions).features
    return torch.cat([features, features[-1:]])
