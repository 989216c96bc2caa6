"""What the page of the chapter on control plays: every prompt with every voice, made beforehand.

``python -m lithe.syntalker.grid`` makes the motions with the weights that come with the package and
writes what the page loads into ``book/_static``; ``--bundle FOLDER`` takes other weights. The same
weights make the same files. The page plays them with the player of :mod:`lithe.syntalker.viewer`.
"""

from __future__ import annotations

import argparse
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lithe import ledger
from lithe.files import write_atomic, write_with
from lithe.syntalker.bundle import PRETRAINED, Bundle, BundleError
from lithe.syntalker.captions import HELD_OUT, TEMPLATES
from lithe.syntalker.drawing import draw
from lithe.syntalker.generation_measure import beat_scores, judged
from lithe.syntalker.metrics.attributes import lower_action, upper_action
from lithe.syntalker.motion import Motion
from lithe.syntalker.pipeline import take
from lithe.syntalker.sampler import FEW_STEPS, Sampling
from lithe.syntalker.soundtrack import data_uri
from lithe.syntalker.viewer import clip_of
from lithe.syntalker.world import Clip, talker

__all__ = ["ASKS", "FILES", "VOICES", "Ask", "Cell", "data_script", "grid", "poster", "write"]

#: Seeds of the talkers whose voices are heard; the world to learn from draws other ones.
VOICES = (1006, 1009, 1010)
SECONDS = 4.0
#: What is the same for all clips of the page.
BODY = ("fps", "frames", "parents", "sides", "thin", "head")
FILES = ("syntalker-grid-data.js", "syntalker-grid.html", "syntalker-grid.webp")
#: Poses of a row of the poster, and their size in pixels.
POSES, POSE = 5, (192, 160)


@dataclass(frozen=True)
class Ask:
    """What is asked for.

    Attributes:
        label: on the page.
        prompts: part of the body to sentence; sentences that nobody has learned from.
    """

    label: str
    prompts: Mapping[str, str]


def _unheard(action: str, side: str | None = None) -> str:
    return TEMPLATES[action][HELD_OUT].format(who="a person", how="", side=side)


_WALK, _RAISE = _unheard("walk"), _unheard("raise", "left")
ASKS = (
    Ask("nothing, speech alone", {}),
    Ask(f"legs: {_WALK}", {"lower": _WALK}),
    Ask(f"legs: {_unheard('sit')}", {"lower": _unheard("sit")}),
    Ask(f"arms: {_RAISE}", {"upper": _RAISE}),
    Ask(f"legs: {_WALK}; arms: {_RAISE}", {"lower": _WALK, "upper": _RAISE}),
)


@dataclass(frozen=True, eq=False)
class Cell:
    """One voice with one prompt.

    Attributes:
        motion: what was made.
        legs: what the rules see them do.
        arms: likewise.
        own: how near strokes end to the beats of the voice, 0 to 1.
        others: to those of the other voices, their mean: the control.
    """

    motion: Motion
    legs: str
    arms: str
    own: float
    others: float


def speakers(seeds: Sequence[int] = VOICES) -> list[Clip]:
    """The talkers whose voices are heard, with the truth about their beats."""
    return [talker(seed, SECONDS) for seed in seeds]


def grid(bundle: Bundle, sampling: Sampling = FEW_STEPS) -> list[list[Cell]]:
    """Make the motion of every prompt (rows) with every voice (columns).

    Args:
        bundle: the weights.
        sampling: steps and method.
    """
    return [_row(bundle, sampling, ask) for ask in ASKS]


def _row(bundle: Bundle, sampling: Sampling, ask: Ask) -> list[Cell]:
    clips = speakers()
    prompts = dict(ask.prompts)
    made = [take(c.speech, None, prompts, bundle=bundle, steps=sampling).motion for c in clips]
    positions = np.stack([motion.positions for motion in made])
    scores = beat_scores(positions, [np.array(clip.truth.beats) for clip in clips])
    cells = []
    for k, (motion, seen) in enumerate(zip(made, judged(positions), strict=True)):
        legs, arms = (" ".join(filter(None, does(seen))) for does in (lower_action, upper_action))
        others = float(np.delete(scores[k], k).mean())
        cells.append(Cell(motion, legs, arms, float(scores[k, k]), others))
    return cells


def data_script(cells: Sequence[Sequence[Cell]], fingerprint: str) -> str:
    """The script that gives the page its motions: 16-bit numbers, and every voice once.

    Args:
        cells: rows of :data:`ASKS`, columns of :data:`VOICES`.
        fingerprint: of the weights.
    """
    clips = [[clip_of(cell.motion, ask.label) for cell in row] for ask, row in zip(ASKS, cells)]
    content = {
        "weights": fingerprint,
        "body": {key: clips[0][0][key] for key in BODY},
        "voices": [_voice(k, clip) for k, clip in enumerate(speakers())],
        "asks": [{"label": ask.label, "prompts": dict(ask.prompts)} for ask in ASKS],
        "cells": [[_cell(*pair) for pair in zip(*rows)] for rows in zip(cells, clips)],
    }
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return f"globalThis.syntalkerGrid = {text};\n"


def _voice(number: int, clip: Clip) -> dict[str, str]:
    words = " ".join(word.text for word in clip.speech.words)
    sound = data_uri(*clip.motion.audio, SECONDS)
    return {"label": f"Voice {number + 1}", "words": words, "sound": sound}


def _cell(cell: Cell, clip: Mapping[str, Any]) -> dict[str, Any]:
    own = {key: value for key, value in clip.items() if key not in BODY}
    own["origin"] = [round(x, 6) for x in own["origin"]]
    scores = {"own": round(cell.own, 2), "others": round(cell.others, 2)}
    return own | {"legs": cell.legs, "arms": cell.arms} | scores


def poster(cells: Sequence[Sequence[Cell]]) -> Image.Image:
    """Poses of the first voice: a row for each prompt, time to the right."""
    width, height = POSE
    picture = Image.new("RGB", (POSES * width, len(cells) * height), "white")
    for row, (first, *_) in enumerate(cells):
        for k, frame in enumerate(np.linspace(0, len(first.motion) - 1, POSES).round().astype(int)):
            drawn = draw(first.motion, int(frame), POSE)
            picture.paste(drawn, (k * width, row * height))
    return picture


def page_fragment(cells: Sequence[Sequence[Cell]]) -> str:
    """What the chapter includes: the place of the page's program, and what stands there without."""
    heads = "".join(f'<th scope="col">voice {k + 1}</th>' for k in range(len(VOICES)))
    rows = "\n".join(
        f'<tr><th scope="row">{html.escape(ask.label)}</th>{"".join(map(_entry, row))}</tr>'
        for ask, row in zip(ASKS, cells, strict=True)
    )
    width, height = POSES * POSE[0], len(ASKS) * POSE[1]
    asked = "; ".join(f"{k + 1}. {ask.label}" for k, ask in enumerate(ASKS))
    return f"""<link rel="stylesheet" href="../_static/motion-viewer.css">
<link rel="stylesheet" href="../_static/syntalker-grid.css">
<div class="syntalker-grid" data-syntalker-grid></div>
<noscript>
<figure class="sg-still">
<img class="dark-light" src="../_static/syntalker-grid.webp" width="{width}" height="{height}"
alt="Rows of stick figures, one row for each prompt, five poses from start to end: what one voice
and each of the prompts make of a body.">
<figcaption>The first voice, a row for each prompt ({html.escape(asked)}), five poses from start to
end. With scripts allowed this plays, with sound.</figcaption>
</figure>
<table class="sg-table">
<caption>What the rules see legs and arms do, and how near the strokes end to the beats of the voice
(in brackets: of the other voices).</caption>
<thead><tr><th scope="col">Prompt</th>{heads}</tr></thead>
<tbody>
{rows}</tbody>
</table>
</noscript>
<script defer src="../_static/syntalker-grid-data.js"></script>
<script defer src="../_static/syntalker-grid.js"></script>
"""


def _entry(cell: Cell) -> str:
    seen = html.escape(f"legs {cell.legs}, arms {cell.arms}")
    return f"<td>{seen}; {cell.own:.2f} ({cell.others:.2f})</td>"


def write(bundle: Bundle, folder: Path, sampling: Sampling = FEW_STEPS) -> list[Path]:
    """Make the motions and write what the page loads.

    Args:
        bundle: the weights.
        folder: where to.
        sampling: steps and method.

    Returns:
        The files, by the names of :data:`FILES`.
    """
    cells = grid(bundle, sampling)
    data, fragment, picture = (folder / name for name in FILES)
    write_atomic(data, data_script(cells, bundle.fingerprint))
    write_atomic(fragment, page_fragment(cells))
    write_with(picture, lambda file: poster(cells).save(file, "WEBP", quality=80, method=6))
    return [data, fragment, picture]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; see the module's text."""
    parser = argparse.ArgumentParser(prog="python -m lithe.syntalker.grid", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=PRETRAINED, help="folder of the weights")
    parser.add_argument("--folder", type=Path, help="where to; the book's _static by default")
    options = parser.parse_args(arguments)
    try:
        bundle = Bundle.load(options.bundle)
    except BundleError as error:
        parser.error(str(error))
    for path in write(bundle, options.folder or ledger.book_root() / "_static"):
        print(path.name)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
