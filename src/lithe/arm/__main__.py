"""``python -m lithe.arm upscale IN OUT``: enlarge an image, or all images of a folder."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from lithe.arm.folder import Outcome, images_in, upscale_file, upscale_folder
from lithe.arm.image_files import WRITABLE
from lithe.arm.official import load_official, official_table
from lithe.arm.photo import MAX_PIXELS
from lithe.arm.table import EdgeTable
from lithe.arm.upscaler import Upscaler
from lithe.data.errors import DataError
from lithe.data.shared import shared_folder

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0 if every image was enlarged, 1 if one was not, 2 if nothing could be begun.
    """
    options = _parser().parse_args(arguments)
    try:
        return options.run(options)
    except (DataError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def upscale_command(options: argparse.Namespace) -> int:
    """Enlarge, show progress on stderr, say at the end what failed."""
    if not options.source.exists():
        raise FileNotFoundError(f"{options.source}: no such file or folder")
    if options.max_megapixels <= 0 or not math.isfinite(options.max_megapixels):
        raise ValueError(f"--max-megapixels is {options.max_megapixels}; give a number above 0")
    torch.set_num_threads(options.threads or torch.get_num_threads())
    upscaler = _upscaler(options)
    budget = _budget(options)
    upscaler.check(**budget)
    if options.ms or options.deadline_ms:
        _say(options, "measuring this machine")
        upscaler.tune()
    failed = 0
    for outcome in _outcomes(options, upscaler, budget):
        failed += bool(outcome.error)
        _report(options, outcome)
    return 1 if failed else 0


def _outcomes(
    options: argparse.Namespace, upscaler: Upscaler, budget: dict[str, Any]
) -> Iterator[Outcome]:
    """One outcome a file, with a bar over the files and one over the pixels of each."""
    hidden = True if options.quiet else None  # None: where stderr is no terminal
    settings = f"{options.backbone} {options.weights or ''} {options.table or ''}"
    with tqdm(unit="px", unit_scale=True, leave=False, disable=hidden, position=1) as pixels:

        def tick(done: int, of: int) -> None:
            pixels.total = of
            pixels.update(done - pixels.n)

        if not options.source.is_dir():
            target = options.out
            if target.is_dir() or target.suffix.lower() not in WRITABLE:
                raise ValueError(f"{target}: name a file ending in {', '.join(sorted(WRITABLE))}")
            yield upscale_file(upscaler, options.source, target, budget, tick)
            return
        found = upscale_folder(
            upscaler,
            options.source,
            options.out,
            budget,
            settings=settings,
            overwrite=options.overwrite,
            tick=tick,
        )
        total = len(images_in(options.source))
        for outcome in tqdm(found, total=total, unit="image", disable=hidden, position=0):
            pixels.reset()
            yield outcome


def _report(options: argparse.Namespace, outcome: Outcome) -> None:
    if outcome.error:
        tqdm.write(f"failed: {outcome.source}: {outcome.error}", file=sys.stderr)
    elif outcome.skipped:
        _say(options, f"done before: {outcome.source}")
    else:
        parts = ", ".join(f"{name} {n}" for name, n in outcome.result.counts.items() if n)
        time = f"{outcome.result.ms:.0f} ms, {outcome.result.macs / 1e9:.2f} GMACs"
        _say(options, f"{outcome.target}: {time}; cells: {parts or 'none'}")


def _say(options: argparse.Namespace, text: str) -> None:
    if not options.quiet:
        tqdm.write(text, file=sys.stderr)


def _upscaler(options: argparse.Namespace) -> Upscaler:
    weights, table = options.weights, options.table
    if weights is None:
        weights = shared_folder() / "golden" / f"arm_{options.backbone}_official.safetensors"
    branches = load_official(weights, options.backbone)
    if table is None:
        known = official_table(
            shared_folder() / "golden" / "arm_lut_official.npz", _tabled(options)
        )
    else:
        known = (EdgeTable.load(table),)
    return Upscaler(
        branches,
        known[0],
        halo=options.halo if options.halo in ("exact", "visible") else int(options.halo),
        max_pixels=round(options.max_megapixels * 1e6),
    )


def _tabled(options: argparse.Namespace) -> str:
    if options.backbone == "srresnet":
        raise ValueError("there is no released table for srresnet; name one with --table")
    return options.backbone


def _budget(options: argparse.Namespace) -> dict[str, Any]:
    named = {name: getattr(options, name) for name in ("ms", "macs", "eta", "deadline_ms")}
    return {name: value for name, value in named.items() if value is not None}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lithe.arm", description=__doc__)
    commands = parser.add_subparsers(required=True)
    up = commands.add_parser("upscale", help="enlarge an image or a folder of images 4 times")
    up.add_argument("source", metavar="IN", type=Path, help="image or folder")
    up.add_argument("out", metavar="OUT", type=Path, help="image, or folder if IN is one")
    one = up.add_mutually_exclusive_group()
    one.add_argument("--ms", type=float, help="milliseconds to aim at, per image")
    one.add_argument("--deadline-ms", type=float, help="milliseconds never to exceed, per image")
    one.add_argument("--macs", type=float, help="multiply-accumulates at most, per image")
    one.add_argument("--eta", type=float, help="multiply-accumulates that 1 dB is worth")
    one.add_argument("--quality", choices=["best"], help="the largest network throughout (default)")
    up.add_argument("--backbone", choices=["carn", "fsrcnn", "srresnet"], default="carn")
    up.add_argument("--weights", type=Path, help="released weights (default: in the shared data)")
    up.add_argument("--table", type=Path, help="edge table (default: the released one)")
    up.add_argument(
        "--halo",
        default="visible",
        type=_halo,
        help="margin of tiles: exact, visible (default: what shows in 8 bits) or input pixels",
    )
    up.add_argument("--threads", type=_count, help="CPU threads (default: torch's)")
    up.add_argument(
        "--max-megapixels",
        type=float,
        default=MAX_PIXELS / 1e6,
        help="refuse larger inputs (default %(default).0f)",
    )
    up.add_argument("--overwrite", action="store_true", help="do again what is done")
    up.add_argument("--quiet", action="store_true", help="say nothing but errors")
    up.set_defaults(run=upscale_command)
    return parser


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 1 or more")
    return int(text)


def _halo(text: str) -> str:
    if text not in ("exact", "visible") and not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not exact, visible or a number of pixels")
    return text


if __name__ == "__main__":
    sys.exit(main())
