"""Everything the PSS-Net chapter measures, as one config and one function.

``python -m lithe.pssnet.run config.json`` runs a config, ``--profile small`` that of the chapter.
``python -m lithe.pssnet.run --key mobilenet_v1-F --data-folder FOLDER`` trains one of the paper's
supernets at full length, alone or by torchrun.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from tqdm import tqdm

from lithe import ledger, profiles
from lithe.pssnet import jury, recipes
from lithe.pssnet.contest import ALONE, alone, contend
from lithe.pssnet.full import full
from lithe.pssnet.settings import EXHIBITS, Config, described, split
from lithe.pssnet.space import Subnet
from lithe.training import CheckpointError, DivergenceError

__all__ = ["CONTEST", "Config", "full", "run"]

NOTEBOOK = "03_pssnet"
#: Modules that decide what a subnet is, what it costs and which is drawn.
SPACES = tuple(
    f"lithe.pssnet.{name}"
    for name in (
        *("block", "budget", "chain", "costs", "elimination", "exact", "lattice", "mobilenet"),
        *("released", "rounding", "space", "table", "walk"),
    )
)
CONTEST = (
    *SPACES,
    *(
        f"lithe.pssnet.{name}"
        for name in (
            *("choice", "contest", "curves", "diary", "elastic", "elastic_space", "jury", "losses"),
            *("policies", "pooled", "pools", "priority", "recalibrate", "schedule", "sliced"),
            *("sides", "supernet_training", "uniform", "united", "widths"),
        )
    ),
    *("lithe.channels", "lithe.training", "lithe.zoo.small", "lithe.zoo.initialise"),
    *("lithe.data.cifar", "lithe.data.digits", "lithe.data.images", "lithe.data.augment"),
    "lithe.data.seeding",
)
SHOWN = (
    *SPACES,
    *(f"lithe.pssnet.{name}" for name in ("bandit", "bias", "curves", "published", "readings")),
    *(f"lithe.pssnet.{name}" for name in ("pools", "priority", "schedule")),
)
TIMED = (
    *(*SHOWN, *CONTEST),
    *(f"lithe.pssnet.{name}" for name in ("bench", "deploy", "deployed_file", "measure", "replay")),
    *(f"lithe.pssnet.{name}" for name in ("runners", "speed")),
)

Job = tuple[str, int]


def run(config: Config, *, root: str | Path | None = None) -> list[str]:
    """Measure all that ``config`` asks for; what is on record already is not run again.

    A record counts as done when its parameters and the source that made it are unchanged, so an
    interrupted run goes on where it stopped, inside a training too. The jobs of one data set and
    one seed run in one process, in order: what is trained alone needs what was retained before.

    Args:
        config: what to measure.
        root: where records go; the book's results (``small``, ``full``) or ``runs`` (``smoke``).

    Returns:
        Ids of all records, old and new.
    """
    for name in {_kind(job[0]) for job in _jobs(config)}:
        _code(name)
    chains = list(_chains(config))
    bar = tqdm(total=len(chains), desc="PSS-Net", disable=config.profile == "smoke" or None)
    if config.workers == 1 or len(chains) < 2:
        for chain in chains:
            _chain(config, chain, root)
            bar.update()
    else:
        with ProcessPoolExecutor(config.workers, mp_context=get_context("spawn")) as pool:
            started = [pool.submit(_alone, config, chain, root) for chain in chains]
            for future in as_completed(started):
                future.result()
                bar.update()
    bar.close()
    return [f"pssnet/{name}/{config.profile}/{seed}" for name, seed in _jobs(config)]


def _jobs(config: Config) -> Iterator[Job]:
    for chain in _chains(config):
        yield from chain


def _chains(config: Config) -> Iterator[tuple[Job, ...]]:
    """Jobs that run one after another; what is trained alone comes last in its chain."""
    for name in config.exhibits:
        yield ((name, 0),)
    ordered = sorted(config.variants, key=lambda name: name == ALONE)
    if ordered:
        for seed in config.seeds:
            for data in config.data:
                yield tuple((f"{data}-{name}", seed) for name in ordered)


def _chain(config: Config, chain: tuple[Job, ...], root: str | Path | None) -> None:
    for job in chain:
        if not _is_done(config, job, root):
            _measure(config, job, root)


def _alone(config: Config, chain: tuple[Job, ...], root: str | Path | None) -> None:
    """A chain in a process of its own."""
    torch.set_num_threads(1)
    for name in {_kind(job[0]) for job in chain}:
        _code(name)
    _chain(config, chain, root)


def _params(config: Config, job: Job, root: str | Path | None) -> dict[str, Any]:
    """What a record depends on: not the other jobs, nor how many processes there are."""
    if job[0] in EXHIBITS:
        return {"exhibit": job[0]}
    left_out = {"profile", "exhibits", "data", "variants", "seeds", "workers"}
    data, variant = _parts(job)
    chosen = config.model_dump(mode="json", exclude=left_out)
    chosen |= {"data": data, "variant": variant}
    if variant == ALONE:
        rows = [[s.resolution, *s.widths] for s in _retained(config, job, root)]
        chosen["subnets"] = rows
    return chosen


def _retained(config: Config, job: Job, root: str | Path | None) -> list[Subnet]:
    """What ``effective`` retained at three budgets, off its record; nothing if it has none."""
    data, seed = _parts(job)[0], job[1]
    name = f"pssnet/{data}-effective/{config.profile}/{seed}"
    if not ledger.find(name, root=root):
        return []
    curves = ledger.curves(name, root=root)
    widths = [curves[f"chosen_width_{k}"] for k in range(len(config.widths))]
    rows = zip(curves["chosen_resolution"], *widths)
    subnets = [Subnet(int(row[0]), tuple(int(w) for w in row[1:])) for row in rows]
    return jury.spread_out(subnets, jury.ALONE)


def _is_done(config: Config, job: Job, root: str | Path | None) -> bool:
    found = ledger.find(f"pssnet/{job[0]}/{config.profile}/{job[1]}", root=root)
    if not found or not ledger.is_current(found[0]):
        return False
    return found[0].params == _params(config, job, root)


def _parts(job: Job) -> tuple[str, str]:
    data, _, variant = job[0].partition("-")
    return data, variant


def _kind(experiment: str) -> str:
    if experiment == "bench":
        return "bench"
    return "exhibit" if experiment in EXHIBITS else "contest"


@cache
def _code(kind: str) -> dict[str, Any]:
    """The source that this process runs; asked for first of all, before an edit can change it."""
    return ledger.code_state({"exhibit": SHOWN, "contest": CONTEST, "bench": TIMED}[kind])


def _measure(config: Config, job: Job, root: str | Path | None) -> None:
    name, seed = job
    with ledger.meter() as spent:
        if name in EXHIBITS:
            metrics, curves = EXHIBITS[name]()
            used = []
        else:
            metrics, curves, used = _contest(config, job, root)
    ledger.record(
        "pssnet",
        name,
        config.profile,
        seed,
        _params(config, job, root),
        metrics,
        data=used,
        code=_code(_kind(name)),
        cost=spent,
        curves=curves or None,
        root=root,
    )


def _contest(config: Config, job: Job, root: str | Path | None) -> tuple[dict, dict, list]:
    data, variant = _parts(job)
    images, recipe = split(data, config), config.recipe(job[1])
    used = [described(part) for part in images]
    place = _checkpoints(config, job)
    if variant == ALONE:
        subnets = _retained(config, job, root)
        return *alone(subnets, images, recipe, place), used
    outcome = contend(variant, images, config.shape, recipe, place)
    return outcome.metrics, outcome.curves, used


def _checkpoints(config: Config, job: Job) -> Path | None:
    """Where a run that may be interrupted keeps its state; smoke runs are too short for that.

    The source is part of the place: what other source trained must not be read back as this one's.
    """
    if config.profile == "smoke":
        return None
    source = _code("contest")["sha256"][:12]
    return _runs() / config.profile / job[0] / str(job[1]) / source


def _runs() -> Path:
    """Checkpoints lie beside the book, wherever the notebook or the command was started."""
    return ledger.book_root().parent / "runs" / "checkpoints" / "pssnet"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lithe.pssnet.run", description=__doc__)
    parser.add_argument("config", nargs="?", help="a JSON file with the fields of Config")
    parser.add_argument(
        "--profile", choices=profiles.PROFILES, help="the chapter's numbers; with --key: full"
    )
    parser.add_argument(
        "--key", choices=list(recipes.ROWS), help="train this supernet at full length"
    )
    parser.add_argument("--data-folder", help="ImageNet, with train/ and val/ inside")
    parser.add_argument("--tables", help="folder of latency tables; F supernets need none")
    parser.add_argument("--seed", type=_seed, default=0, help="0 or more")
    parser.add_argument("--dry-run", action="store_true", help="two steps on fake images")
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
        history = recipes.dry_run(options.key, options.tables)
        print(json.dumps(history.to_dict(), indent=1))
    else:
        full(options.key, options.data_folder, options.tables, options.seed)


if __name__ == "__main__":
    sys.exit(main())
