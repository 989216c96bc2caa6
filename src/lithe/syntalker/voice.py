"""A voice of no one: speech-like sound with words, stress and melody, made from numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lithe.syntalker.sound import RATE
from lithe.syntalker.words import Word

__all__ = ["ICONIC", "LEXICON", "Utterance", "speak"]

STEP = 80  # samples of one parameter frame: 5 ms
HARMONICS = 22
#: First two formants of vowels, Hz (Peterson and Barney's averages, rounded).
FORMANTS = {
    "a": (730, 1090), "e": (530, 1840), "i": (300, 2250), "o": (570, 840), "u": (330, 900),
    "y": (400, 2000),
}  # fmt: skip
VOWELS, HISS, STOPS = frozenset("aeiouy"), frozenset("sfzhcvx"), frozenset("ptkbdgqj")

#: Words that a hand can show: word to pose of :mod:`lithe.syntalker.world_arms`.
ICONIC = {
    "big": "wide", "everything": "wide", "small": "close", "little": "close", "up": "high",
    "high": "high", "down": "low", "low": "low", "you": "offer", "here": "offer",
    "me": "chest", "myself": "chest", "there": "point", "away": "front",
}  # fmt: skip
_NOUNS = "morning garden river city music window paper kitchen summer table people story"
_VERBS = "remember follow carry open wonder finish notice gather borrow answer"
_ADJECTIVES = "lovely simple yellow quiet heavy modern careful"
LEXICON = {
    "noun": tuple(_NOUNS.split()),
    "verb": tuple(_VERBS.split()),
    "adjective": tuple(_ADJECTIVES.split()),
    "iconic": tuple(ICONIC),
}
_FRAMES = (
    "when i {verb} the {adjective} {noun} i {verb} it",
    "so the {noun} was {adjective} and we {verb} the {noun}",
    "and then they {verb} every {noun} in the {noun}",
    "it is a {adjective} {noun} and you can {verb} it",
    "i would {verb} a {noun} because the {noun} is {adjective}",
)
_ICONIC_FRAMES = (
    "it was {iconic} and i {verb} the {noun}",
    "look {iconic} the {adjective} {noun}",
    "we {verb} {iconic} in the {noun}",
)
CONTENT = frozenset(w for kind in LEXICON.values() for w in kind) | {"look", "every"}


@dataclass(frozen=True, eq=False)
class Utterance:
    """What was said: sound at 16 kHz, words, and the seconds of the stressed vowels in it."""

    wave: np.ndarray
    words: tuple[Word, ...]
    accents: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class _Sound:
    """One stretch of sound: seconds, voiced and hissing level, formants, whether it is stressed."""

    start: float
    end: float
    voiced: float
    hiss: float
    formants: tuple[float, float]
    stressed: bool = False


def speak(rng: np.random.Generator, seconds: float) -> Utterance:
    """Say something for a while.

    A source of harmonics under two formants, hiss for s and f, silence and a burst for p, t and
    k. Stressed vowels set in fast, are longer, louder and higher; the melody falls over a phrase.
    It is no intelligible speech, but its words, stress and pauses are where speech has them.

    Args:
        rng: draws speaker, text and timing.
        seconds: length of the sound.

    Returns:
        The sound, float32, with words and accents that lie inside it.
    """
    rate, pitch = rng.uniform(0.85, 1.15), rng.uniform(95, 230)
    sounds, words, accents, phrases = [], [], [], []
    time = rng.uniform(0.25, 0.6)
    while time < seconds - 1.0:
        start = time
        for text in _sentence(rng).split():
            time = _say(text, time, rate, rng, sounds, words, accents)
            if time > seconds - 0.3:
                break
        phrases.append((start, time))
        time += rng.uniform(0.25, 0.75)
    wave = _render(sounds, phrases, pitch, seconds, rng)
    return Utterance(wave, tuple(words), tuple(accents))


def _sentence(rng: np.random.Generator) -> str:
    frames = _ICONIC_FRAMES if rng.random() < 0.4 else _FRAMES
    text = frames[rng.integers(len(frames))]
    for kind, choices in LEXICON.items():
        while "{" + kind + "}" in text:
            text = text.replace("{" + kind + "}", choices[rng.integers(len(choices))], 1)
    return text


def _say(
    text: str,
    time: float,
    rate: float,
    rng: np.random.Generator,
    sounds: list[_Sound],
    words: list[Word],
    accents: list[tuple[float, str]],
) -> float:
    """Append one word; returns when it ends. Its first vowel carries the stress, if it has one."""
    start = time
    last = accents[-1][0] if accents else -1.0
    stress = text in ICONIC or (text in CONTENT and time - last > 0.45 and rng.random() < 0.8)
    formants = FORMANTS["e"]
    for kind, letters in _segments(text):
        if kind == "vowel":
            length = (0.15 if stress else 0.085) / rate * rng.uniform(0.9, 1.1)
            formants = FORMANTS[letters[0]]
            sounds.append(_Sound(time, time + length, 1.0 if stress else 0.42, 0, formants, stress))
            if stress:
                accents.append((time, text))
            stress = False
        else:
            length = {"hiss": 0.07, "stop": 0.055, "soft": 0.05}[kind] / rate
            voiced, hiss = {"hiss": (0, 0.16), "stop": (0, 0.0), "soft": (0.2, 0)}[kind]
            sounds.append(_Sound(time, time + length, voiced, hiss, formants))
        time += length
    words.append(Word(start, time, text))
    return time + 0.01


def _segments(text: str) -> list[tuple[str, str]]:
    """Letters to stretches of vowel, hiss, stop or soft consonant; a final mute e is dropped."""
    if len(text) > 3 and text.endswith("e"):
        text = text[:-1]
    found: list[tuple[str, str]] = []
    for letter in text:
        kind = (
            "vowel" if letter in VOWELS
            else "hiss" if letter in HISS
            else "stop" if letter in STOPS
            else "soft"
        )  # fmt: skip
        if found and found[-1][0] == kind:
            found[-1] = (kind, found[-1][1] + letter)
        else:
            found.append((kind, letter))
    return found


def _render(
    sounds: list[_Sound],
    phrases: list[tuple[float, float]],
    pitch: float,
    seconds: float,
    rng: np.random.Generator,
) -> np.ndarray:
    samples = round(seconds * RATE)
    steps = samples // STEP + 2
    voiced, hiss = np.zeros(steps), np.zeros(steps)
    formants, melody = np.tile([500.0, 1500.0], (steps, 1)), np.full(steps, pitch)
    time = np.arange(steps) * STEP / RATE
    for start, end in phrases:
        inside = (time >= start) & (time <= end)
        melody[inside] *= 1.12 - 0.25 * (time[inside] - start) / (end - start)
    for s in sounds:
        inside = (time >= s.start) & (time < s.end)
        voiced[inside], hiss[inside], formants[inside] = s.voiced, s.hiss, s.formants
        if s.stressed:
            melody += 0.22 * pitch * np.exp(-(((time - (s.start + s.end) / 2) / 0.07) ** 2))
    voiced, melody = _smooth(voiced, 1.6), _smooth(melody, 4)
    tone = _tone(voiced, melody, _smooth(formants, 3), samples)
    noise = np.diff(rng.standard_normal(samples + 1)).astype(np.float32)  # brighter than white
    level = np.interp(np.arange(samples), np.arange(steps) * STEP, _smooth(hiss, 1.5))
    wave = tone + noise * level.astype(np.float32) + 3e-4 * noise
    return (0.5 * wave / np.abs(wave).max()).astype(np.float32)


def _smooth(values: np.ndarray, width: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(values, width, axis=0, mode="nearest")


def _tone(voiced: np.ndarray, melody: np.ndarray, formants: np.ndarray, samples: int) -> np.ndarray:
    """Harmonics ``k`` of the melody, each as loud as two resonances let it be at ``k f``."""
    at, knots = np.arange(samples), np.arange(len(melody)) * STEP
    phase = (2 * np.pi * np.cumsum(np.interp(at, knots, melody)) / RATE).astype(np.float32)
    loud = np.interp(at, knots, voiced).astype(np.float32)
    sounding = np.flatnonzero(loud > 1e-3)
    wave = np.zeros(samples, np.float32)
    total = np.zeros(len(sounding), np.float32)
    for k in range(1, HARMONICS + 1):
        frequency = k * melody[:, None]
        resonance = (1 / (1 + ((frequency - formants) / [90.0, 130.0]) ** 2) * [1.0, 0.5]).sum(1)
        resonance = (0.03 + resonance) / np.sqrt(k) * (frequency[:, 0] < RATE / 2.2)
        gain = np.interp(sounding, knots, resonance).astype(np.float32)
        total += gain * np.sin(k * phase[sounding])
    wave[sounding] = total * loud[sounding]
    return wave
