"""What is timed: motion per second, our combination against the released one, the stream."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lithe.latency import compare
from lithe.syntalker.autoencoder import DOWN
from lithe.syntalker.bundle import Bundle
from lithe.syntalker.heard import WholeSpeech
from lithe.syntalker.longform import Generation, Roll
from lithe.syntalker.pipeline import FPS, stream, take
from lithe.syntalker.sampler import Sampling
from lithe.syntalker.sound import RATE
from lithe.syntalker.speech import Speech, speech_features
from lithe.syntalker.timeline import Timeline
from lithe.syntalker.voice import speak

__all__ = [
    "PROMPTS",
    "Aim",
    "aims",
    "combination",
    "memory",
    "motion_per_second",
    "table",
    "waiting",
]

#: Two different prompts on two parts: 4 evaluations a step here, 9 as released.
PROMPTS = {"upper": "a person waves with the left hand", "lower": "a person walks forward"}
STEPS = (8, 10, 50)
#: Seconds of sound that arrive at once.
PIECE = 0.5


def voice(seconds: float) -> Speech:
    """Speech-like sound with words, the same every time."""
    said = speak(np.random.default_rng(0), seconds)
    return Speech(said.wave, said.words)


def motion_per_second(
    bundle: Bundle, seconds: float, threads: int, repeats: int, steps: Sequence[int] = STEPS
) -> dict[str, Any]:
    """Seconds of motion that a second of computing makes, all of it: sound to joints.

    Args:
        bundle: the weights.
        seconds: of speech.
        threads: of torch.
        repeats: timed rounds, in which every number of steps has its turn.
        steps: of the sampler.

    Returns:
        By number of steps: ``times_real_time``, ``seconds`` (median) and the samples; the first
        call, which loads what is loaded once, comes before the clock starts.
    """
    speech = voice(seconds)

    def of(count: int) -> Any:
        return lambda: take(speech, None, PROMPTS, bundle=bundle, steps=count)

    timed = compare({str(n): of(n) for n in steps}, threads=threads, repeats=repeats, warmup=1)
    return {
        name: {
            "times_real_time": seconds / (one.median_ms / 1000),
            "seconds": one.median_ms / 1000,
            "samples_s": [ms / 1000 for ms in one.samples_ms],
        }
        for name, one in timed.items()
    }


def combination(bundle: Bundle, threads: int, repeats: int, steps: int = 10) -> dict[str, Any]:
    """The sampler alone, at two prompts: separate-then-combine in one batch, and as released.

    Args:
        bundle: the weights.
        threads: of torch.
        repeats: timed rounds, both in turn.
        steps: of the sampler.

    Returns:
        Median milliseconds of a window, evaluations a window, their ratio, and the largest
        difference between the two results.
    """
    frames = bundle.latents * DOWN
    speech = voice(frames / FPS + 0.2)
    sound, words = speech_features(speech, bundle.vocabulary, frames)
    heard = WholeSpeech(torch.from_numpy(sound)[None], torch.from_numpy(words)[None])
    timeline = Timeline.parse(PROMPTS, parts=tuple(bundle.codec.channels))
    plan, prompts = timeline.plan(bundle.latents), bundle.embed(timeline.texts)
    made, calls = {}, {}

    def of(guidance: str) -> None:
        how = Generation(sampling=Sampling(steps=steps), guidance=guidance, latents=bundle.latents)
        generator = torch.Generator().manual_seed(0)
        roll = Roll(
            bundle.network,
            bundle.codec.channels,
            bundle.seed,
            prompts=prompts,
            generation=how,
            generator=generator,
        )
        made[guidance], calls[guidance] = roll.next(heard, plan), roll.calls

    names = ("separate", "released")
    timed = compare(
        {name: (lambda name=name: of(name)) for name in names},
        threads=threads,
        repeats=repeats,
        warmup=1,
    )
    ratios = np.array(timed["released"].samples_ms) / np.array(timed["separate"].samples_ms)
    return {
        "steps": steps,
        "ms": {name: timed[name].median_ms for name in names},
        "calls": calls,
        "ratio": float(np.median(ratios)),
        "ratios": ratios.tolist(),
        "difference": float((made["separate"] - made["released"]).abs().max()),
    }


@dataclass
class _Watched:
    """The most that a stream held, and what the process grew by."""

    latents: int = 0
    samples: int = 0
    megabytes: float = 0.0


def memory(bundle: Bundle, lengths: Sequence[float], steps: int = 1) -> list[dict[str, Any]]:
    """What a stream holds, for speech of several lengths, one after the other in one process.

    Args:
        bundle: the weights.
        lengths: seconds, rising.
        steps: of the sampler; memory does not depend on them.

    Returns:
        For each length: frames made, most latents and samples held, and by how many megabytes the
        process was at most larger than before the stream began.
    """
    rows = []
    for seconds in lengths:
        live, seen, frames = stream(PROMPTS, bundle=bundle, steps=steps), _Watched(), 0
        before = resident()
        for features in live.run(_watched(seconds, live, seen, before)):
            frames += len(features)
        rows.append({"seconds": seconds, "frames": frames} | vars(seen))
    return rows


def _watched(seconds: float, live: Any, seen: _Watched, before: float) -> Iterator[np.ndarray]:
    """Sound in pieces, made as it is asked for; notes what is held before each."""
    for piece in _pieces(seconds):
        yield piece
        seen.latents = max(seen.latents, live.held)
        seen.samples = max(seen.samples, live.heard.remembered)
        seen.megabytes = max(seen.megabytes, resident() - before)


def _pieces(seconds: float) -> Iterator[np.ndarray]:
    """So many seconds of sound, out of ten that repeat."""
    wave, size = voice(10.0).wave, round(PIECE * RATE)
    for k in range(round(seconds / PIECE)):
        at = k * size % (len(wave) - size)
        yield wave[at : at + size]


def resident() -> float:
    """Megabytes of this process that are in memory; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    import resource

    return pages * resource.getpagesize() / 1e6


def waiting(bundle: Bundle, threads: int, steps: int = 8) -> dict[str, Any]:
    """How long a listener waits for the first frame of a stream.

    Args:
        bundle: the weights.
        threads: of torch.
        steps: of the sampler.

    Returns:
        For decoding that waits for what it will see and for decoding that does not: ``sound_s``,
        speech that has to arrive first, and ``compute_s``, what is then computed.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        list(stream(PROMPTS, bundle=bundle, steps=steps).run(_pieces(6.0)))  # warm
        return {name: _first(bundle, steps, ahead) for name, ahead in _AHEAD.items()}
    finally:
        torch.set_num_threads(before)


_AHEAD = {"settled": 22, "at_once": 0}


def _first(bundle: Bundle, steps: int, ahead: int) -> dict[str, float]:
    live, heard = stream(PROMPTS, bundle=bundle, steps=steps, ahead=ahead), 0.0
    started = time.perf_counter()
    for piece in _pieces(60.0):
        heard += len(piece) / RATE
        started = time.perf_counter()
        if any(len(features) for features in live.push(piece)):
            break
    return {"sound_s": heard, "compute_s": time.perf_counter() - started}


@dataclass(frozen=True)
class Aim:
    """A goal of the benchmark: what was found, what was wanted, whether that is met."""

    name: str
    found: float
    wanted: float
    met: bool


def aims(result: dict[str, Any]) -> list[Aim]:
    """The goals, of a result with the full-size model."""
    speed, rows = result["speed"], result["memory"]
    ten, ratio = speed["10"]["times_real_time"], result["combination"]["ratio"]
    held = {(row["latents"], row["samples"]) for row in rows[1:]}
    return [
        Aim("times real time at 10 steps", ten, 5.0, ten >= 5.0),
        Aim("as fast as the released 9 calls, two prompts", ratio, 2.5, ratio >= 2.5),
        Aim("different amounts held by streams of different length", len(held), 1, len(held) == 1),
    ]


def table(result: dict[str, Any]) -> str:
    """The result, to be read."""
    lines = ["steps   times real time   s for " + f"{result['plan']['seconds']:g} s"]
    for steps, one in result["speed"].items():
        lines.append(f"{steps:>5}   {one['times_real_time']:15.2f}   {one['seconds']:.2f}")
    c = result["combination"]
    calls = f"{c['calls']['separate']} and {c['calls']['released']} evaluations"
    lines.append(f"combination: {c['ratio']:.2f} times as fast as released ({calls})")
    for row in result["memory"]:
        held = f"{row['latents']} latents, {row['samples']} samples, {row['megabytes']:.0f} MB"
        lines.append(f"stream of {row['seconds']:g} s: {held}")
    for name, one in result["first_frame"].items():
        spent = f"{one['sound_s']:.1f} s of sound + {one['compute_s']:.2f} s"
        lines.append(f"first frame, {name.replace('_', ' ')}: {spent}")
    marks = {True: "met", False: "NOT MET"}
    for aim in aims(result):
        lines.append(f"{marks[aim.met]}: {aim.name}: {aim.found:.2f} (goal {aim.wanted:g})")
    return "\n".join(lines)
