"""Everything the 1xN chapter measures, as one config and one function.

``python -m lithe.onexn.run config.json`` runs a config, ``--profile small`` that of the chapter.
``python -m lithe.onexn.run --key mobilenet_v2-1x4 --sparsity 0.5 --weights FILE --data-folder
FOLDER`` trains one row of the paper's tables at full length, alone or by torchrun.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from functools import cache, lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from tqdm import tqdm

from lithe import cost, data, ledger, profiles
from lithe.onexn import recipes
from lithe.onexn.contest import contend, train_dense
from lithe.onexn.full import full
from lithe.onexn.settings import EXHIBITS, Config, described, images
from lithe.training import CheckpointError, DivergenceError

__all__ = ["CONTEST", "Config", "full", "run"]

NOTEBOOK = "02_onexn"
#: Modules that decide which weights go; kernels and engine do not.
PATTERN = (
    *("lithe.onexn.baselines", "lithe.onexn.budget", "lithe.onexn.eligible", "lithe.onexn.grid"),
    *("lithe.onexn.masked", "lithe.onexn.moving", "lithe.onexn.pattern", "lithe.onexn.prune"),
    *("lithe.onexn.rearrange", "lithe.onexn.schedule", "lithe.channels"),
)
CONTEST = (
    *("lithe.onexn.contest", *PATTERN, "lithe.training", "lithe.zoo.small", "lithe.zoo.initialise"),
    *("lithe.data.cifar", "lithe.data.digits", "lithe.data.images", "lithe.data.augment"),
    "lithe.data.seeding",
)
SHOWN = (
    *("lithe.onexn.counts", "lithe.onexn.pretrained", "lithe.onexn.networks", *PATTERN),
    *("lithe.onexn.packed", "lithe.onexn.storage", "lithe.cost", "lithe.zoo"),
)

Job = tuple[str, int]


def run(config: Config, *, root: str | Path | None = None) -> list[str]:
    """Measure all that ``config`` asks for; what is on record already is not run again.

    A record counts as done when its parameters and the source that made it are unchanged, so an
    interrupted run goes on where it stopped, inside a training too. The dense network of a seed is
    trained first; its variants start from the checkpoint.

    Args:
        config: what to measure.
        root: where records go; the book's results (``small``, ``full``) or ``runs`` (``smoke``).

    Returns:
        Ids of all records, old and new.
    """
    for name in {_kind(job[0]) for job in _jobs(config)}:
        _code(name)
    jobs = [job for job in _jobs(config) if not _is_done(config, job, root)]
    bar = tqdm(total=len(jobs), desc="1xN", disable=None if config.profile != "smoke" else True)
    if config.workers == 1 or len(jobs) < 2:
        for job in jobs:
            _measure(config, job, root)
            bar.update()
    else:
        for _ in _side_by_side(config, jobs, root):
            bar.update()
    bar.close()
    return [f"onexn/{name}/{config.profile}/{seed}" for name, seed in _jobs(config)]


def _side_by_side(config: Config, jobs: Sequence[Job], root: str | Path | None) -> Iterator[None]:
    """Run jobs in several processes; a seed's variants wait for its dense network."""
    seeds = [seed for seed in config.seeds if any(_waits(config, job, seed) for job in jobs)]
    with ProcessPoolExecutor(config.workers, mp_context=get_context("spawn")) as pool:
        first: dict[Future, int] = {pool.submit(_prepare, config, s, root): s for s in seeds}
        dense = {(f"{config.data}-dense", seed) for seed in config.seeds}
        free = [job for job in jobs if job[0] in EXHIBITS or (job in dense and job[1] not in seeds)]
        running = {*first, *(pool.submit(_alone, config, job, root) for job in free)}
        while running:
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
                seed = first.get(future)
                if seed is None or (f"{config.data}-dense", seed) in jobs:
                    yield
                ready = [job for job in jobs if seed is not None and _waits(config, job, seed)]
                running |= {pool.submit(_alone, config, job, root) for job in ready}


def _waits(config: Config, job: Job, seed: int) -> bool:
    """Whether a job starts from the dense network of ``seed``."""
    return job[1] == seed and job[0] not in EXHIBITS and job[0] != f"{config.data}-dense"


def _jobs(config: Config) -> Iterator[Job]:
    for name in config.exhibits:
        yield name, 0
    for seed in config.seeds if config.variants else ():
        yield f"{config.data}-dense", seed
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
    found = ledger.find(f"onexn/{name}/{config.profile}/{seed}", root=root)
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


def _prepare(config: Config, seed: int, root: str | Path | None) -> None:
    """Train the dense network of a seed, or read it back, and see that it is on record."""
    torch.set_num_threads(1)
    _code("contest")
    job = (f"{config.data}-dense", seed)
    if _is_done(config, job, root):
        _dense(config, seed)
    else:
        _measure(config, job, root)


def _measure(config: Config, job: Job, root: str | Path | None) -> None:
    name, seed = job
    with ledger.meter() as spent:
        if name in EXHIBITS:
            metrics, used = EXHIBITS[name]()
            curves = None
        else:
            metrics, curves, used = _contest(config, job)
    ledger.record(
        "onexn",
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
    name, seed = job[0].removeprefix(f"{config.data}-"), job[1]
    train, test = images(config)
    used = [described(train), described(test)]
    dense, history = _dense(config, seed)
    if name == "dense":
        return *_dense_results(dense, history, test), used
    place = _checkpoints(config, job)
    outcome = contend(name, dense, train, test, config.tune_recipe(seed), place)
    return outcome.metrics, outcome.curves, used


def _dense_results(dense: torch.nn.Module, history: Any, test: data.Images) -> tuple[dict, dict]:
    spent = cost.count(dense, torch.zeros(1, *test.shape))
    metrics = {
        "top1": {"value": history.last["evaluate_top1"], "unit": "%", "n": len(test)},
        "test_loss": history.last["evaluate_loss"],
        "train_loss": history.last["train_loss"],
        "macs": spent.macs,
        "params": spent.params,
    }
    names = ("train_loss", "evaluate_loss", "evaluate_top1")
    return metrics, {name: history[name] for name in names}


@lru_cache(maxsize=1)
def _dense(config: Config, seed: int) -> tuple[torch.nn.Module, Any]:
    train, test = images(config)
    place = _checkpoints(config, (f"{config.data}-dense", seed))
    return train_dense(train, test, config.dense_recipe(seed), config.widths, place)


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
    return ledger.book_root().parent / "runs" / "checkpoints" / "onexn"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lithe.onexn.run", description=__doc__)
    parser.add_argument("config", nargs="?", help="a JSON file with the fields of Config")
    parser.add_argument(
        "--profile", choices=profiles.PROFILES, help="the chapter's numbers; with --key: full"
    )
    parser.add_argument("--key", choices=list(recipes.ROWS), help="train this row at full length")
    parser.add_argument("--sparsity", type=_share, nargs="+", default=[0.5], help="one run each")
    parser.add_argument("--weights", help="pretrained weights of --key, .safetensors")
    parser.add_argument("--data-folder", help="ImageNet, with train/ and val/ inside")
    parser.add_argument("--seed", type=_seed, default=0, help="0 or more")
    parser.add_argument("--dry-run", action="store_true", help="two steps on fake images")
    return parser


def _seed(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no seed: give a whole number, 0 or more")
    return int(text)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no sparsity: give a share between 0 and 1")
    return value


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
    row = (options.weights, options.data_folder, options.seed, options.dry_run)
    if not options.key and (any(row) or options.sparsity != [0.5]):
        parser.error("--sparsity, --weights, --data-folder, --seed and --dry-run belong to --key")
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
        for sparsity in options.sparsity:
            print(json.dumps(recipes.dry_run(options.key, sparsity).to_dict(), indent=1))
    else:
        for sparsity in options.sparsity:
            full(options.key, sparsity, options.weights, options.data_folder, options.seed)


if __name__ == "__main__":
    sys.exit(main())
