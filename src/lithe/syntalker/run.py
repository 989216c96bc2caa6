"""Everything that the chapters on motion and on the aligned space measure.

``python -m lithe.syntalker.run config.json`` runs a config; ``05_syntalker_motion small`` that of a
chapter. ``python -m lithe.syntalker.run --key rvq --data-folder FOLDER`` trains a stage at the
released size and length, alone or by torchrun.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from tqdm import tqdm

from lithe import data, ledger
from lithe.profiles import reasons
from lithe.syntalker.ablations import Outcome, contend_codec, contend_space
from lithe.syntalker.material import corpus
from lithe.syntalker.model_exhibits import EXHIBITS
from lithe.syntalker.recipes import RECIPES, dry_run, full
from lithe.syntalker.settings import Config
from lithe.training import CheckpointError, DivergenceError

__all__ = ["Config", "full", "outcome", "run"]


def _modules(*names: str) -> tuple[str, ...]:
    return tuple(f"lithe.syntalker.{name}" for name in names)


_FEATURES = _modules(
    *("ablations", "autoencoder", "bvh", "captions", "clips", "first_weights", "h3d", "ik"),
    *("kinematics", "material", "motion", "movers", "noise", "normaliser", "retarget", "skeleton"),
    *("sound", "talkers", "vocabulary", "voice", "world", "world_arms", "world_pose"),
    "world_steps",
)
_CODEC = _modules("codebook", "quantizer", "processes", "vqvae", "codec", "seams", "stage1")
_SPACE = _modules("tmr", "space", "losses", "retrieval", "stage2", "text", "minilm")
_SHOWN = _modules("autoencoder", "codec", "codebook", "quantizer", "tmr", "vqvae", "model_exhibits")
#: Modules that decide each kind of record.
SOURCES = {
    "codec": (*_FEATURES, *_CODEC, "lithe.training", "lithe.data.seeding"),
    "space": (*_FEATURES, *_SPACE, "lithe.training", "lithe.data.seeding"),
    "exhibit": _SHOWN,
}
CODEC_FIELDS = {"clips", "held_out", "width", "latent", "layers", "codes", "window", "stride"} | {
    *("codec_epochs", "codec_batch", "codec_lr")
}
SPACE_FIELDS = {"clips", "held_out", "space_width", "space_layers", "frames", "space_epochs"} | {
    *("space_batch", "space_lr", "text", "text_sha256")
}

#: Kind, corpus, variant, seed; the corpus of an exhibit is empty.
Job = tuple[str, str, str, int]


def run(config: Config, *, root: str | Path | None = None) -> list[str]:
    """Measure all that ``config`` asks for; what is on record already is not run again.

    A record counts as done when its parameters and the source that made it are unchanged, so an
    interrupted run goes on where it stopped, inside a training too.

    Args:
        config: what to measure.
        root: where records go; the book's results (``small``, ``full``) or ``runs`` (``smoke``).

    Returns:
        Ids of all records, old and new.
    """
    for kind in {job[0] for job in _jobs(config)}:
        _code(kind)
    jobs = [job for job in _jobs(config) if not _is_done(config, job, root)]
    bar = tqdm(total=len(jobs), desc="SynTalker", disable=config.profile == "smoke" or None)
    for _ in _measured(config, jobs, root):
        bar.update()
    bar.close()
    return [_identity(config, job) for job in _jobs(config)]


def _measured(config: Config, jobs: Sequence[Job], root: str | Path | None) -> Iterator[None]:
    """Measure jobs one by one, or several side by side; none depends on another."""
    if config.workers == 1 or len(jobs) < 2:
        for job in jobs:
            _measure(config, job, root)
            yield
        return
    with ProcessPoolExecutor(config.workers, mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(_alone, config, job, root) for job in jobs]
        try:
            for future in as_completed(waiting):
                future.result()
                yield
        except BaseException:  # what has not begun shall not begin
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _jobs(config: Config) -> Iterator[Job]:
    for name in config.exhibits:
        yield "exhibit", "", name, 0
    for seed in config.seeds:
        for name in config.data:
            yield from (("codec", name, variant, seed) for variant in config.codecs)
            yield from (("space", name, variant, seed) for variant in config.spaces)


def _experiment(job: Job) -> str:
    kind, name, variant, _ = job
    return variant if kind == "exhibit" else f"{name}-{kind}-{variant}"


def _identity(config: Config, job: Job) -> str:
    return f"syntalker/{_experiment(job)}/{config.profile}/{job[3]}"


def _params(config: Config, job: Job) -> dict[str, Any]:
    """What a record depends on: not the other jobs, nor how many processes there are."""
    kind, name, variant, _ = job
    if kind == "exhibit":
        return {"exhibit": variant}
    fields = CODEC_FIELDS if kind == "codec" else SPACE_FIELDS
    left_out = {"clips", "held_out"} if name == "cmu" else set()
    chosen = config.model_dump(mode="json", include=fields - left_out)
    return chosen | {"data": name, "variant": variant}


def _is_done(config: Config, job: Job, root: str | Path | None) -> bool:
    found = ledger.find(_identity(config, job), root=root)
    return bool(found) and found[0].params == _params(config, job) and ledger.is_current(found[0])


@cache
def _code(kind: str) -> dict[str, Any]:
    """The source that this process runs; asked for first of all, before an edit can change it."""
    return ledger.code_state(SOURCES[kind])


def _alone(config: Config, job: Job, root: str | Path | None) -> None:
    _code(job[0])
    torch.set_num_threads(1)
    _measure(config, job, root)


def _measure(config: Config, job: Job, root: str | Path | None) -> None:
    kind, name, variant, seed = job
    with ledger.meter() as spent:
        if kind == "exhibit":
            metrics, curves, used = EXHIBITS[variant]()
        else:
            found = outcome(config, kind, name, variant, seed)
            metrics, curves = found.metrics, found.curves
            used = _corpus(config, kind, name).described()
    ledger.record(
        "syntalker",
        _experiment(job),
        config.profile,
        seed,
        _params(config, job),
        metrics,
        data=used,
        code=_code(kind),
        cost=spent,
        curves=curves,
        root=root,
    )


def _corpus(config: Config, kind: str, name: str) -> Any:
    split = "recording" if kind == "codec" else "piece"
    return corpus(name, config.clips, config.held_out, split)


def outcome(
    config: Config, kind: str = "codec", name: str = "world", variant: str = "", seed: int = 0
) -> Outcome:
    """Train one model and measure it, without a record.

    Args:
        config: of the run.
        kind: ``"codec"`` or ``"space"``.
        name: of the corpus.
        variant: a key of ``CODECS`` or ``SPACES``; ``"parts"`` or ``"corrected"`` by default.
        seed: of first weights, order and everything random.
    """
    used = _corpus(config, kind, name)
    place = _checkpoints(config, (kind, name, variant, seed))
    if kind == "codec":
        return contend_codec(
            variant or "parts",
            used,
            config.codec_config(),
            config.codec_training(seed),
            window=config.window,
            stride=config.stride,
            directory=place,
        )
    return contend_space(
        variant or "corrected",
        used,
        config.text_encoder(),
        config.space_config(),
        config.space_training(seed),
        most=config.frames,
        cache=None if config.text == "hashing" else _runs() / "embeddings",
        directory=place,
    )


def _checkpoints(config: Config, job: Job) -> Path | None:
    """Where a run that may be interrupted keeps its state; smoke runs are too short for that.

    The source is part of the place: what other source trained must not be read back as this one's.
    """
    if config.profile == "smoke":
        return None
    source = _code(job[0])["sha256"][:12]
    return (
        _runs() / "checkpoints/syntalker" / config.profile / _experiment(job) / f"{job[3]}" / source
    )


def _runs() -> Path:
    """``runs`` lies beside the book, wherever the notebook or the command was started."""
    return ledger.book_root().parent / "runs"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lithe.syntalker.run", description=__doc__)
    parser.add_argument("config", nargs="?", help="a JSON file with the fields of Config")
    parser.add_argument("--key", choices=list(RECIPES), help="train this stage at full length")
    parser.add_argument("--profile", choices=("full",), default="full", help="goes with --key")
    parser.add_argument("--data-folder", help="features in the layout of HumanML3D")
    parser.add_argument("--seed", type=_seed, default=0, help="0 or more")
    parser.add_argument("--text", default="hashing", help="the language model of --key tmr")
    parser.add_argument("--text-sha256", help="of its weights")
    parser.add_argument("--dry-run", action="store_true", help="two steps on made-up motion")
    return parser


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no seed: give a whole number, 0 or more")
    return int(text)


def _read(path: str) -> Config:
    """The config of a JSON file.

    Raises:
        ValueError: it cannot be read, or holds an unknown key or an impossible value.
    """
    try:
        return Config.model_validate_json(Path(path).read_bytes())
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        raise ValueError(f"{path}: {reasons(error, Config.model_fields)}") from None


def main(arguments: list[str] | None = None) -> int:
    """Command line; see the module's text.

    Returns:
        0 on success, 1 when a run failed, 2 when the request makes no sense, 130 on Ctrl-C.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if (options.config is None) == (options.key is None):
        parser.error("give a config file or --key, and not both")
    try:
        _carry_out(options)
    except (CheckpointError, DivergenceError, ledger.LedgerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except ValueError as error:  # data, configs and models that do not fit
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on, what is on record stays", file=sys.stderr)
        return 130
    return 0


def _carry_out(options: argparse.Namespace) -> None:
    if options.config:
        print("\n".join(run(_read(options.config))))
    elif options.dry_run:
        print(json.dumps(dry_run(options.key).to_dict(), indent=1))
    elif not options.data_folder:
        raise data.DataError("--key needs --data-folder: features in the layout of HumanML3D")
    else:
        text = Config(text=options.text, text_sha256=options.text_sha256).text_encoder()
        print(full(options.key, options.data_folder, options.seed, text, _runs()))


if __name__ == "__main__":
    sys.exit(main())
