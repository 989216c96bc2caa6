"""Everything the ARM chapter measures, as one config and one function.

``python -m lithe.arm.run config.json`` runs a config, ``--profile small`` that of the chapter.
``python -m lithe.arm.run --key carn-test8k --train PAIRS --valid FOLDER --test FOLDER`` trains a
supernet at full length and evaluates the rows of the paper's tables on one test set.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache, lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from tqdm import tqdm

from lithe import data, ledger, profiles
from lithe.arm.contest import Outcome, contend, crops, fresh
from lithe.arm.full import ROWS, dry_run, full
from lithe.arm.pairs import Pairs
from lithe.arm.settings import EXHIBITS, Config, material
from lithe.training import CheckpointError, DivergenceError

__all__ = ["CONTEST", "Config", "full", "outcome", "run"]

NOTEBOOK = "04_arm"
#: Modules that decide what the chapter measures; upscaler, tiles and files do not.
MEASURED = (
    *("lithe.arm.anytime", "lithe.arm.branches", "lithe.arm.budget", "lithe.arm.calibrate"),
    *("lithe.arm.carn", "lithe.arm.cost", "lithe.arm.degrade", "lithe.arm.edge"),
    *("lithe.arm.fsrcnn", "lithe.arm.hull", "lithe.arm.imresize", "lithe.arm.metrics"),
    *("lithe.arm.observed", "lithe.arm.routers", "lithe.arm.start", "lithe.arm.supernet"),
    *("lithe.arm.table", "lithe.arm.testsets"),
)
CONTEST = (
    *("lithe.arm.contest", *MEASURED, "lithe.arm.pairs", "lithe.arm.sampling"),
    *("lithe.arm.training", "lithe.training", "lithe.data.seeding"),
)
SHOWN = (
    *("lithe.arm.official", "lithe.arm.photographed", "lithe.arm.published", "lithe.arm.srresnet"),
    *MEASURED,
)

Job = tuple[str, int]


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
    for name in {_kind(job[0]) for job in _jobs(config)}:
        _code(name)
    jobs = [job for job in _jobs(config) if not _is_done(config, job, root)]
    bar = tqdm(total=len(jobs), desc="ARM", disable=True if config.profile == "smoke" else None)
    for _ in _measured(config, jobs, root):
        bar.update()
    bar.close()
    return [f"arm/{name}/{config.profile}/{seed}" for name, seed in _jobs(config)]


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
        yield name, 0
    for seed in config.seeds:
        for name in config.variants:
            yield f"{config.data}-{name}", seed


def _params(config: Config, job: Job) -> dict[str, Any]:
    """What a record depends on: not the other jobs, nor how many processes there are."""
    if job[0] in EXHIBITS:
        return {"exhibit": job[0]}
    left_out = {"profile", "exhibits", "variants", "seeds", "workers"}
    chosen = config.model_dump(mode="json", exclude=left_out)
    return chosen | {"variant": job[0].removeprefix(f"{config.data}-")}


def _is_done(config: Config, job: Job, root: str | Path | None) -> bool:
    name, seed = job
    found = ledger.find(f"arm/{name}/{config.profile}/{seed}", root=root)
    return bool(found) and found[0].params == _params(config, job) and ledger.is_current(found[0])


def _kind(experiment: str) -> str:
    return "exhibit" if experiment in EXHIBITS else "contest"


@cache
def _code(kind: str) -> dict[str, Any]:
    """The source that this process runs; asked for first of all, before an edit can change it."""
    return ledger.code_state({"exhibit": SHOWN, "contest": CONTEST}[kind])


def _alone(config: Config, job: Job, root: str | Path | None) -> None:
    torch.set_num_threads(1)
    _code(_kind(job[0]))
    _measure(config, job, root)


def _measure(config: Config, job: Job, root: str | Path | None) -> None:
    name, seed = job
    with ledger.meter() as spent:
        if name in EXHIBITS:
            metrics, curves, used = EXHIBITS[name]()
        else:
            metrics, curves, used = _contest(config, job)
    ledger.record(
        "arm",
        name,
        config.profile,
        seed,
        _params(config, job),
        metrics,
        data=used,
        code=_code(_kind(name)),
        cost=spent,
        curves=curves,
        root=root,
    )


def _contest(config: Config, job: Job) -> tuple[dict, dict, list]:
    found = outcome(config, job[0].removeprefix(f"{config.data}-"), job[1])
    return found.metrics, found.curves, material(config).described()


@lru_cache(maxsize=1)
def outcome(config: Config, variant: str = "squared", seed: int = 0) -> Outcome:
    """Train one supernet and measure it, or hand out again what was trained last.

    Args:
        config: of the contest.
        variant: a key of ``lithe.arm.contest.VARIANTS``.
        seed: of first weights, order, widths and augmentation.
    """
    return contend(
        variant,
        fresh(config.widths, seed),
        material(config),
        _pairs(config),
        config.recipe(seed),
        step=config.patch_step,
        bins=config.bins,
        directory=_checkpoints(config, (f"{config.data}-{variant}", seed)),
    )


@lru_cache(maxsize=1)
def _pairs(config: Config) -> Pairs:
    return crops(material(config).training, config.crop, config.crop_step)


def _checkpoints(config: Config, job: Job) -> Path | None:
    """Where a run that may be interrupted keeps its state; smoke runs are too short for that.

    The source is part of the place: what other source trained must not be read back as this one's.
    """
    if config.profile == "smoke":
        return None
    source = _code("contest")["sha256"][:12]
    runs = ledger.book_root().parent / "runs" / "checkpoints" / "arm"
    return runs / config.profile / job[0] / str(job[1]) / source


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lithe.arm.run", description=__doc__)
    parser.add_argument("config", nargs="?", help="a JSON file with the fields of Config")
    parser.add_argument(
        "--profile", choices=profiles.PROFILES, help="the chapter's numbers; with --key: full"
    )
    parser.add_argument("--key", choices=list(ROWS), help="a network and a test set, full length")
    parser.add_argument("--train", help="pairs made by python -m lithe.arm.prepare of DIV2K train")
    parser.add_argument("--valid", help="folder of sharp images for the table: DIV2K valid")
    parser.add_argument("--test", help="folder of sharp test images")
    parser.add_argument("--seed", type=_seed, default=0, help="0 or more")
    parser.add_argument(
        "--dry-run", action="store_true", help="with --key: seconds, bundled images"
    )
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
        raise ValueError(f"{path}: {profiles.reasons(error, Config.model_fields)}") from None


def main(arguments: list[str] | None = None) -> int:
    """Command line; see the module's text.

    Returns:
        0 on success, 1 when a run failed, 2 when the request makes no sense, 130 on Ctrl-C.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    wanted = [options.config, options.key, None if options.key else options.profile]
    if sum(choice is not None for choice in wanted) != 1:
        parser.error("give a config file, --profile or --key, and only one of them")
    if options.key and options.profile not in (None, "full"):
        parser.error("--key trains at full length: leave --profile out or say full")
    try:
        _carry_out(options)
    except (CheckpointError, DivergenceError, ledger.LedgerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except ValueError as error:  # data, configs and profiles that do not fit
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on, what is on record stays", file=sys.stderr)
        return 130
    return 0


def _carry_out(options: argparse.Namespace) -> None:
    if options.config:
        print("\n".join(run(_read(options.config))))
    elif not options.key:
        print("\n".join(run(profiles.load(NOTEBOOK, options.profile, Config))))
    elif options.dry_run:
        print("\n".join(f"{name} {value}" for name, value in dry_run(options.key).items()))
    else:
        missing = [name for name in ("train", "valid", "test") if not getattr(options, name)]
        if missing:
            raise data.DataError(f"--key needs folders; missing: --{', --'.join(missing)}")
        full(options.key, options.train, options.valid, options.test, options.seed)


if __name__ == "__main__":
    sys.exit(main())
