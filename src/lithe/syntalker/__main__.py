"""``python -m lithe.syntalker say voice.wav --lower "a person walks forward" --out walk.bvh``."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lithe.experiments import whole_number
from lithe.syntalker.timeline import BODY_PARTS, STRENGTH

__all__ = ["main"]

PARTS = (*BODY_PARTS, "body")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0 when the motion was written, 2 when the request makes no sense or a file cannot be read
        or written, 130 on Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (OSError, ValueError, TypeError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing was written", file=sys.stderr)
        return 130


def say(options: argparse.Namespace) -> int:
    """Make a motion and write it, as a file of motion, as a page, or both."""
    from lithe.syntalker.motion import SAVED
    from lithe.syntalker.pipeline import generate

    out, page = options.out, options.show
    if out is None and page is None:
        raise ValueError("say where the motion goes: --out walk.bvh, --show walk.html, or both")
    if out is not None and out.suffix.lower() not in SAVED:
        raise ValueError(f"{out}: the ending of --out is one of {', '.join(SAVED)}")
    if page is not None and page.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"{page}: a page ends in .html")
    _note(options.audio)
    started = time.perf_counter()
    motion = generate(
        options.audio,
        options.transcript,
        _prompts(options),
        options.seed,
        bundle=options.bundle,
        steps=options.steps,
        strength=options.strength,
    )
    spent = time.perf_counter() - started
    print(f"{motion.seconds:.1f} s of motion in {spent:.1f} s", file=sys.stderr)
    if out is not None:
        print(motion.save(out))
    if page is not None:
        print(motion.show().save(page))
    return 0


def _prompts(options: argparse.Namespace) -> dict[str, str] | list[Any] | None:
    """Prompts of the whole motion, or those of a timeline."""
    named = {part: getattr(options, part) for part in PARTS}
    named = {part: text for part, text in named.items() if text is not None}
    if options.timeline is None:
        return named or None
    if named:
        raise ValueError(
            f"--{next(iter(named))} holds all the time and --timeline says when: give one of them"
        )
    return read_timeline(options.timeline)


def read_timeline(path: Path) -> list[Any]:
    """Entries of a JSON file, ``[[0.0, 3.5, "lower", "a person walks forward"], ...]``.

    Raises:
        ValueError: it cannot be read or holds something else.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from None
    if not isinstance(entries, list) or not all(isinstance(entry, list) for entry in entries):
        raise ValueError(
            f'{path}: a timeline is a list such as [[0.0, 3.5, "lower", "a person walks forward"]]'
        )
    return entries


def _note(path: Path) -> None:
    """Say what happens to sound of an unusual kind."""
    import soundfile

    try:
        info = soundfile.info(str(path))
    except (soundfile.LibsndfileError, OSError):
        return  # reading it will say what is wrong
    if info.samplerate < 16000:
        print(
            f"note: {info.samplerate} Hz hold nothing above {info.samplerate // 2} Hz; the hands "
            "may miss some stress",
            file=sys.stderr,
        )
    if info.channels > 2:
        print(f"note: the {info.channels} channels are averaged", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lithe.syntalker", description=__doc__)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("say", help="a body that talks to a recording and does what you ask")
    one.add_argument("audio", metavar="VOICE", type=Path, help="WAV, FLAC, OGG or MP3")
    one.add_argument("--transcript", help="what is said: text, or a file of text or timed words")
    for part in PARTS:
        what = "all parts" if part == "body" else f"the {part} body".replace("hands body", "hands")
        one.add_argument(f"--{part}", metavar="TEXT", help=f"what {what} should do throughout")
    one.add_argument("--timeline", type=Path, help="JSON: [[start, end, part, text], ...]")
    one.add_argument("--strength", type=float, default=STRENGTH, help="of prompts (%(default)g)")
    one.add_argument("--seed", type=whole_number, default=0, help="another one, another motion")
    one.add_argument("--steps", type=int, default=8, help="of the sampler (%(default)s)")
    one.add_argument("--bundle", type=Path, help="folder of weights (default: the package's)")
    one.add_argument("--out", type=Path, help="walk.bvh, .npz, .glb or .mp4")
    one.add_argument("--show", type=Path, help="a page with a player, walk.html")
    one.set_defaults(run=say)
    return parser


if __name__ == "__main__":
    sys.exit(main())
