"""What the measures say without training: of real motion, of the world, and of captions."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lithe.data import generator_for, shared_folder
from lithe.data.checksum import file_digest
from lithe.syntalker import metrics
from lithe.syntalker.amplitude import onset_times
from lithe.syntalker.captions import ACTIONS, SIDES, caption
from lithe.syntalker.corpora import RECORDING, beat2, cmu
from lithe.syntalker.losses import cosine, false_negatives
from lithe.syntalker.material import PIECE
from lithe.syntalker.movers import PACES
from lithe.syntalker.text import HashingEncoder, TextEncoder
from lithe.syntalker.world import Clip, movers, talkers

__all__ = ["EXHIBITS", "measures", "negatives"]

Shown = tuple[dict[str, Any], dict[str, list[float]] | None, list[dict[str, Any]]]

WIDE, NARROW = 0.3, 0.1  # seconds: the released width of beat consistency, and a third of it
TREMOR = 0.02  # metres: standard deviation of the noise that no one would call a gesture
SPOKEN, ACTED = 0, 1  # random streams of the two corpora
BATCH, BATCHES = 32, 50


def measures(clips: int = 24, captured: int | None = None) -> Shown:
    """Beat consistency and its control, and what bodies cannot hide, on motion no network made.

    Each score of beats stands beside the same score with the sound of another clip (``_other``).
    Positions are taken without the root's translation, speeds are divided by the corpus' mean.
    Source: SynTalker spec 8.1, G4 to G6.

    Args:
        clips: talkers, and movers, of the generated world.
        captured: at most so many clips of motion capture.
    """
    spoken, recorded = talkers(clips, generator_for(SPOKEN)), beat2()
    found = _of_talkers(spoken) | _of_recording(recorded)
    bodies = {
        "talkers": spoken,
        "movers": movers(clips, generator_for(ACTED)),
        "beat2": recorded,
        "cmu": cmu(limit=captured),
    }
    for name, members in bodies.items():
        found |= _of_bodies(name, members)
    folder = shared_folder() / "data/motion/beat2"
    used = [folder / f"{RECORDING}.{kind}" for kind in ("flac", "npz")]
    return found, None, [{"name": path.name, "sha256": file_digest(path)} for path in used]


def _of_talkers(clips: Sequence[Clip]) -> dict[str, Any]:
    """The world knows where its strokes end; the detector only hears where sound sets in."""
    poses = [_in_place(clip) for clip in clips]
    known = [np.array(clip.truth.beats) for clip in clips]
    pairs = [(p, a) for p, a in zip(poses, known) if len(a)]
    accents = [list(side) for side in zip(*pairs)]
    heard = [onset_times(clip.speech.wave) for clip in clips]
    return (
        _beats("world_accents", *accents)
        | _beats("world_accents_narrow", *accents, sigma=NARROW)
        | _beats("world_onsets", poses, heard)
    )


def _of_recording(clips: Sequence[Clip]) -> dict[str, Any]:
    poses = [_in_place(clip) for clip in clips]
    heard = [onset_times(clip.speech.wave) for clip in clips]
    rng = np.random.default_rng(0)
    trembling = [pose + rng.normal(0, TREMOR, pose.shape) for pose in poses]
    folded = [np.abs(pose - pose.mean(0)) for pose in poses]  # G5
    return (
        _beats("beat2_clean", poses, heard)
        | _beats("beat2_narrow", poses, heard, sigma=NARROW)
        | _beats("beat2_released", poses, heard, released=True)
        | _beats("beat2_folded", folded, heard, released=True)
        | _beats("beat2_tremor", trembling, heard)
    )


def _in_place(clip: Clip) -> np.ndarray:
    """Positions ``(t, j, 3)`` without the root's translation, as the released test takes them."""
    positions = clip.motion.positions.astype(np.float64)
    return positions - positions[:, :1]


def _beats(
    name: str,
    poses: Sequence[np.ndarray],
    sounds: Sequence[np.ndarray],
    sigma: float = WIDE,
    released: bool = False,
) -> dict[str, Any]:
    """A score and its control."""
    mean = np.mean([metrics.joint_speed(pose).mean(0) for pose in poses], axis=0)
    mean[0] = 1.0  # the root stays where it is, and is none of the joints that count

    def score(pose: np.ndarray, sound: np.ndarray) -> float:
        return metrics.beat_consistency(
            pose, sound, mean_speed=mean, sigma=sigma, released=released
        )

    own, other = metrics.mismatched(score, poses, sounds)
    n = len(poses)
    return {name: {"value": own, "n": n}, f"{name}_other": {"value": other, "n": n}}


def _of_bodies(name: str, clips: Sequence[Clip]) -> dict[str, Any]:
    """Skating feet, trembling and spread, mean over clips."""
    measured = {
        "skate": (metrics.foot_skate, "m/s", lambda clip: clip.motion.positions),
        "jitter": (metrics.jitter, "m/s³", lambda clip: clip.motion.positions),
        "spread": (metrics.l1_diversity, "m", _in_place),
    }
    return {
        f"{kind}_{name}": {
            "value": float(np.mean([measure(of(clip)) for clip in clips])),
            "unit": unit,
            "n": len(clips),
        }
        for kind, (measure, unit, of) in measured.items()
    }


def negatives(encoder: TextEncoder | None = None) -> Shown:
    """How many pairs of a batch say the same, and what the two filters leave of them.

    The released filter lets a pair through whose similarity is 1. Computed with float32, equal
    captions come out at 1 or a rounding below it, so that it lets some of them through; how many
    may differ from one machine to another.
    Source: SynTalker spec 5.2, G26.

    Args:
        encoder: that compares captions; the hashing one by default.
    """
    encoder = encoder or HashingEncoder()
    path = shared_folder() / "data/motion/captions.csv"
    found: dict[str, Any] = {}
    for name, captions in (("world", _invented()), ("cmu", _collected(path))):
        found |= _filtered(name, captions, encoder)
    return found, None, [{"name": path.name, "sha256": file_digest(path)}]


def _invented(count: int = 320) -> list[str]:
    """One caption of each of ``count`` movers, drawn as the world draws them."""
    rng = np.random.default_rng(0)
    paces, sides = list(PACES), ("left", "right")
    drawn = [(action, paces[rng.integers(len(paces))]) for action in ACTIONS * count]
    return [
        caption(action, pace, sides[rng.integers(2)] if action in SIDES else None, rng)
        for action, pace in drawn[:count]
    ]


def _collected(path: Path) -> list[str]:
    """Captions of motion capture, once for every piece of their recording."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["caption"] for row in rows for _ in range(max(1, int(row["frames"]) // PIECE))]


def _filtered(name: str, captions: list[str], encoder: TextEncoder) -> dict[str, Any]:
    """Counts over batches that are drawn without repetition."""
    generator = generator_for(0)
    number = {text: k for k, text in enumerate(dict.fromkeys(captions))}
    said = torch.tensor([number[text] for text in captions])
    sentences = encoder(captions).sentences
    same = caught = corrected = 0
    for _ in range(BATCHES):
        chosen = torch.randperm(len(captions), generator=generator)[:BATCH]
        similar = cosine(sentences[chosen], sentences[chosen])
        equal = said[chosen][:, None] == said[chosen]
        equal &= ~torch.eye(len(chosen), dtype=torch.bool)
        same += int(equal.sum())
        caught += int((equal & false_negatives(similar, released=True)).sum())
        corrected += int(false_negatives(similar).sum())
    pairs = BATCHES * BATCH * (BATCH - 1)
    return {
        f"equal_{name}": {"value": 100 * same / pairs, "unit": "%", "n": pairs},
        f"alike_{name}": {"value": 100 * corrected / pairs, "unit": "%", "n": pairs},
        f"let_through_{name}": {"value": 100 * (1 - caught / same), "unit": "%", "n": same},
    }


#: Records without training, by name.
EXHIBITS: dict[str, Callable[[], Shown]] = {"metrics": measures, "negatives": negatives}
