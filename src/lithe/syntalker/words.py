"""Words and when they are said: from an aligner's file, or spread over the sound."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lithe.syntalker.sound import RATE

__all__ = ["Word", "read_words", "spread", "tokens"]

STEP = RATE // 100  # 10 ms
#: How aligners write that nothing is said.
SILENT = {"", "sil", "sp", "spn", "<eps>", "<sil>", "[silence]"}
#: Frames this far below the loud ones (95th percentile) are pauses, in dB.
PAUSE_DB = -28.0


@dataclass(frozen=True)
class Word:
    """One spoken word: seconds at which it starts and ends, and its text."""

    start: float
    end: float
    text: str

    def __post_init__(self) -> None:
        if not (np.isfinite([self.start, self.end]).all() and 0 <= self.start <= self.end):
            raise ValueError(f"word {self.text!r} lasts from {self.start} to {self.end} s")


def tokens(transcript: str) -> list[str]:
    """Words of a text, lower case, without punctuation but with inner apostrophes."""
    return re.findall(r"[^\W_]+(?:['’][^\W_]+)*", transcript.lower())


def read_words(path: str | Path) -> list[Word]:
    """Timed words of a file, by its suffix: ``.TextGrid``, ``.ctm``, ``.json``, ``.tsv``, ``.csv``.

    Args:
        path: a Praat TextGrid (long or short, the tier called "words"), NIST CTM, the JSON of
            Whisper, WhisperX or the Montreal aligner, or a table with columns start, end, word.

    Returns:
        Words in order of time; silences are left out.

    Raises:
        ValueError: the file is missing, of another kind, or holds no words in its format.
    """
    path = Path(path)
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"{path.name}: words are read from {', '.join(READERS)}")
    if not path.is_file():
        raise ValueError(f"no file of words at {path}")
    try:
        found = [Word(*_entry(w)) for w in reader(_text(path))]
    except (ValueError, LookupError, TypeError, AttributeError, csv.Error, RecursionError) as error:
        raise ValueError(f"{path.name} is not what its suffix says: {error}") from error
    return sorted(
        (w for w in found if w.text.lower() not in SILENT), key=lambda w: (w.start, w.end)
    )


def _entry(item: Sequence) -> tuple[float, float, str]:
    start, end, text = item
    return float(start), float(end), str(text).strip()


def _text(path: Path) -> str:
    """Praat writes UTF-16 when it must, with a byte-order mark."""
    raw = path.read_bytes()
    wide = raw[:2] in (b"\xff\xfe", b"\xfe\xff")
    return raw.decode("utf-16" if wide else "utf-8-sig")


def _textgrid(text: str) -> list[tuple[str, str, str]]:
    """Both forms are the same values in the same order; the long one adds names to read by."""
    if "ooTextFile" not in text[:200]:
        raise ValueError("no Praat text file")
    pattern = r'"(?:[^"]|"")*"|<exists>|(?<![\w\[.])-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w\].])'
    _, begun, rest = text.partition("<exists>")
    values = re.findall(pattern, rest)
    if not begun or not values:
        raise ValueError("the text ends before its tiers")
    tiers, at = {}, 1
    for _ in range(int(values[0])):
        kind, name, count = values[at][1:-1], values[at + 1][1:-1], int(values[at + 4])
        width = 3 if kind == "IntervalTier" else 2
        body = values[at + 5 : at + 5 + width * count]
        if len(body) != width * count:
            raise ValueError(f"tier {name!r} is cut short: {count} entries promised")
        if width == 3:
            tiers[name] = [tuple(body[k : k + 3]) for k in range(0, len(body), 3)]
        at += 5 + width * count
    return [(s, e, t[1:-1].replace('""', '"')) for s, e, t in tiers[_word_tier(list(tiers))]]


def _word_tier(names: list[str]) -> str:
    for name in names:
        if "word" in name.lower():
            return name
    if len(names) == 1:
        return names[0]
    raise ValueError(f"no tier of words among {names}")


def _ctm(text: str) -> list[tuple[float, float, str]]:
    rows = [line.split() for line in text.splitlines() if line.strip() and line[:2] != ";;"]
    if short := [" ".join(row) for row in rows if len(row) < 5]:
        raise ValueError(f"{short[0]!r} is not: file, channel, start, duration, word")
    return [(float(r[2]), float(r[2]) + float(r[3]), r[4]) for r in rows]


def _json(text: str) -> list[tuple[float, float, str]]:
    data = json.loads(text)
    if isinstance(data, dict) and "tiers" in data:  # Montreal aligner
        return data["tiers"][_word_tier(list(data["tiers"]))]["entries"]
    if isinstance(data, dict) and "words" not in data and "word_segments" not in data:
        segments = data.get("segments")
        if not isinstance(segments, list) or any("words" not in s for s in segments):
            raise ValueError("no times of words; let Whisper write them (word_timestamps)")
        data = [word for segment in segments for word in segment["words"]]
    elif isinstance(data, dict):
        data = data["words"] if "words" in data else data["word_segments"]
    if not isinstance(data, list) or not all(isinstance(word, dict) for word in data):
        raise ValueError("words are no list of {word, start, end}")
    # an aligner leaves the times of a word out when it cannot place it
    timed = [w for w in data if "start" in w and "end" in w]
    return [(w["start"], w["end"], w.get("word", w.get("text", ""))) for w in timed]


def _table(text: str) -> list[tuple[str, str, str]]:
    delimiter = "\t" if "\t" in text else ","
    head, *rows = csv.reader(text.splitlines(), delimiter=delimiter)
    names = [name.strip().lower().removesuffix("_s") for name in head]
    columns = [names.index(n) for n in ("start", "end", "word" if "word" in names else "text")]
    return [tuple(row[c] for c in columns) for row in rows if row]


READERS = {".textgrid": _textgrid, ".ctm": _ctm, ".json": _json, ".tsv": _table, ".csv": _table}


def spread(transcript: str | Iterable[str], wave: np.ndarray) -> list[Word]:
    """Times for the words of a plain transcript: spread over the sound, pauses skipped.

    Each word gets sounding time in proportion to its syllables, counted as groups of vowels. No
    aligner is needed and none is replaced: on the two minutes of BEAT2 speech whose word times
    are known, the middle of a word is 0.3 to 0.4 s off in the median (by even spreading 0.6 to
    1.1 s); the rule and the threshold were chosen on these two minutes.

    Args:
        transcript: text, or its words.
        wave: float ``(samples,)`` at 16 kHz.

    Returns:
        A word for every token, in order, inside the sound; none for an empty transcript.

    Raises:
        ValueError: there are words but the audio is silent.
    """
    texts = tokens(transcript) if isinstance(transcript, str) else list(transcript)
    if not texts:
        return []
    sounding = _sounding(np.asarray(wave, np.float64))
    if not sounding.any():
        raise ValueError(f"{len(texts)} words but silent audio: nothing to spread them over")
    weight = np.array([_syllables(t) for t in texts], np.float64)
    shares = np.cumsum(weight) / weight.sum() * sounding.sum()
    starts = _when(sounding, np.r_[0, shares[:-1]], after=True)
    ends = _when(sounding, shares, after=False)
    seconds = len(wave) / RATE
    return [
        Word(min(s, seconds), min(max(s, e), seconds), t)
        for s, e, t in zip(starts, ends, texts, strict=True)
    ]


def _syllables(text: str) -> int:
    return max(1, len(re.findall("[aeiouyáéíóúäöüàèìòù]+", text)))


def _sounding(wave: np.ndarray) -> np.ndarray:
    """bool a step of 10 ms: loud enough to be speech, holes of a closed lip (80 ms) filled."""
    from scipy.ndimage import binary_closing

    steps = np.pad(wave, (0, -len(wave) % STEP)).reshape(-1, STEP)
    level = np.sqrt((steps**2).mean(1))
    loud = np.percentile(level, 95)
    if loud == 0:
        return level > 0
    active = level > loud * 10 ** (PAUSE_DB / 20)
    return binary_closing(np.pad(active, 8), np.ones(9))[8:-8]


def _when(sounding: np.ndarray, amounts: np.ndarray, after: bool) -> np.ndarray:
    """Seconds at which that many steps have sounded; at a pause, its end or its beginning."""
    (at,) = np.nonzero(sounding)
    whole = np.clip(np.floor(amounts) if after else np.ceil(amounts) - 1, 0, len(at) - 1)
    return (at[whole.astype(int)] + np.clip(amounts - whole, 0, 1)) * STEP / RATE
