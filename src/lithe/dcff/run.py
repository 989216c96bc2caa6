"""Everything DCFF's chapter measures, as one config and one function.

``python -m lithe.dcff.run config.json`` runs a config. ``python -m lithe.dcff.run --key vgg16
--data-folder FOLDER`` trains one row of the paper's tables at full length, alone or by torchrun.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from tqdm import tqdm

from lithe import data, ledger
from lithe.dcff import recipes
from lithe.dcff.configs import PAPER_CONFIGS, paper_model
from lithe.dcff.contest import VARIANTS, Refresh, contend
from lithe.dcff.exhibits import EXHIBITS
from lithe.dcff.rates import kept
from lithe.profiles import reasons
from lithe.training import CheckpointError, DivergenceError, TrainConfig, fit

__all__ = ["Config", "full", "run"]

SOURCES = (
    "lithe.dcff",
    "lithe.training",
    "lithe.data",
    "lithe.channels",
    "lithe.cost",
    "lithe.latency",
    "lithe.zoo",
)
FULL_VARIANTS = ("released", "intended", "scratch")
WIDTHS = (16, 16, 32, 32, 64, 64)
Count = Annotated[int, Field(ge=1)]
Seed = Annotated[int, Field(ge=0)]


class Config(BaseModel):
    """What to measure. smoke, small and full differ in numbers only.

    Attributes:
        profile: which shelf of the ledger the records go to.
        exhibits: records without training, by name; see ``EXHIBITS``.
        data: ``"digits"`` (generated, bundled) or ``"cifar"`` (real, from the shared folder).
        train_images: images to train on.
        test_images: images to test on; all there are where 0.
        image_size: side in pixels; area-averaged down where smaller than the data's.
        variants: rows of the contest; see ``VARIANTS``.
        seeds: every variant runs once per seed.
        widths: filters of the dense network.
        rate: share of filters dropped in each layer.
        epochs: of a compact run; other stages follow from equal cost.
        batch_size: images per step.
        lr: learning rate; times 0.1 at half and three quarters of a stage.
        weight_decay: on all parameters, as released.
        workers: processes side by side, one thread each.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    profile: Literal["smoke", "small", "full"] = "smoke"
    exhibits: tuple[str, ...] = ()
    data: Literal["digits", "cifar"] = "digits"
    train_images: Count = 1000
    test_images: Annotated[int, Field(ge=0)] = 500
    image_size: Annotated[int, Field(ge=8, le=32)] = 32
    variants: tuple[str, ...] = ("released", "intended", "scratch")
    seeds: tuple[Seed, ...] = (0,)
    widths: Annotated[tuple[Annotated[int, Field(ge=2)], ...], Field(min_length=1)] = WIDTHS
    rate: Annotated[float, Field(ge=0, lt=1)] = 0.5
    epochs: Count = 4
    batch_size: Count = 100
    lr: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.1
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 5e-4
    workers: Count = 1

    @model_validator(mode="after")
    def _known_names(self) -> Config:
        for given, known, what in (
            (self.exhibits, EXHIBITS, "exhibit"),
            (self.variants, VARIANTS, "variant"),
        ):
            unknown = [name for name in given if name not in known]
            if unknown:
                raise ValueError(f"no {what} {unknown[0]!r}; there are: {', '.join(known)}")
        return self

    @model_validator(mode="after")
    def _runs_as_asked(self) -> Config:
        for name in ("exhibits", "variants", "seeds"):
            given = getattr(self, name)
            if len(set(given)) < len(given):  # two workers would share one checkpoint folder
                raise ValueError(f"{name} = {given} holds an entry twice")
        for width in self.widths:
            kept(width, self.rate)
        return self

    def train_config(self, seed: int) -> TrainConfig:
        """The recipe of a compact run from one seed."""
        return TrainConfig(
            epochs=self.epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            weight_decay=self.weight_decay,
            seed=seed,
        )


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
    _code()
    jobs = [job for job in _jobs(config) if not _is_done(config, job, root)]
    bar = tqdm(total=len(jobs), desc="dcff", disable=None if config.profile != "smoke" else True)
    if config.workers == 1 or len(jobs) < 2:
        for job in jobs:
            _measure(config, job, root)
            bar.update()
    else:
        with ProcessPoolExecutor(config.workers, mp_context=get_context("spawn")) as pool:
            for done in as_completed([pool.submit(_alone, config, job, root) for job in jobs]):
                done.result()
                bar.update()
    bar.close()
    return [f"dcff/{name}/{config.profile}/{seed}" for name, seed in _jobs(config)]


Job = tuple[str, int]


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
    chosen = config.model_dump(
        mode="json", exclude={"profile", "exhibits", "variants", "seeds", "workers"}
    )
    return chosen | {"variant": job[0].removeprefix(f"{config.data}-")}


def _is_done(config: Config, job: Job, root: str | Path | None) -> bool:
    name, seed = job
    found = ledger.find(f"dcff/{name}/{config.profile}/{seed}", root=root)
    return bool(found) and found[0].params == _params(config, job) and ledger.is_current(found[0])


@cache
def _code() -> dict[str, Any]:
    """The source that this process runs; asked for first of all, before an edit can change it."""
    return ledger.code_state(SOURCES)


def _alone(config: Config, job: Job, root: str | Path | None) -> None:
    _code()
    torch.set_num_threads(1)
    _measure(config, job, root)


def _measure(config: Config, job: Job, root: str | Path | None) -> None:
    name, seed = job
    with ledger.meter() as spent:
        if name in EXHIBITS:
            metrics, curves, used = EXHIBITS[name](), None, ()
        else:
            metrics, curves, used = _contest(config, job)
    ledger.record(
        "dcff",
        name,
        config.profile,
        seed,
        _params(config, job),
        metrics,
        data=used,
        code=_code(),
        cost=spent,
        curves=curves,
        root=root,
    )


def _contest(config: Config, job: Job) -> tuple[dict, dict, list]:
    name, seed = job
    train, test = images(config)
    outcome = contend(
        name.removeprefix(f"{config.data}-"),
        train,
        test,
        config.train_config(seed),
        widths=config.widths,
        rate=config.rate,
        directory=_checkpoints(config, job),
    )
    return outcome.metrics, outcome.curves, [_described(train), _described(test)]


def _described(images: Any) -> dict[str, Any]:
    """A data set as the ledger writes it down."""
    about = images.describe()
    return {"name": about["name"], "sha256": about.get("sha256"), "sizes": {"n": len(images)}}


def images(config: Config) -> tuple[data.Images, data.Images]:
    """Training and test images of a config.

    Raises:
        lithe.data.DataError: the shared folder is missing, or too few images are in it.
    """
    if config.data == "digits":
        train, test = data.cluttered_digits(config.train_images, config.test_images or 1000)
    else:
        train, test = data.cifar10_subset()
        train = train.subset(config.train_images)
        test = test.subset(config.test_images) if config.test_images else test
    if config.image_size < train.shape[-1]:
        train, test = train.resize(config.image_size), test.resize(config.image_size)
    return train, test


def _checkpoints(config: Config, job: Job) -> Path | None:
    """Where a run that may be interrupted keeps its state; smoke runs are too short for that.

    The source is part of the place: what other source trained must not be read back as this one's.
    """
    if config.profile == "smoke":
        return None
    return _runs() / config.profile / job[0] / str(job[1]) / _code()["sha256"][:12]


def _runs() -> Path:
    """Checkpoints lie beside the book, wherever the notebook or the command was started."""
    return ledger.book_root().parent / "runs" / "checkpoints" / "dcff"


def full(
    key: str,
    seed: int = 0,
    folder: str | None = None,
    download: bool = False,
    variant: str = "released",
) -> None:
    """Train one row of the paper's tables at full length and record it.

    Args:
        key: a key of ``PAPER_CONFIGS``.
        seed: of weights, order and augmentation.
        folder: of the data set; required for ImageNet.
        download: fetch CIFAR-10 where it is missing.
        variant: ``"released"``, ``"intended"``, or ``"scratch"`` for the control.

    Raises:
        ValueError: no such variant.
        lithe.data.DataError: the data set is missing or damaged.
    """
    if variant not in FULL_VARIANTS:
        raise ValueError(f"variant is {variant!r}; known are {', '.join(FULL_VARIANTS)}")
    _code()
    chosen = recipes.recipe(key, seed)
    train, test = recipes.load(chosen, folder, download)
    first = torch.Generator().manual_seed(seed)
    model = paper_model(key, "compact" if variant == "scratch" else "fused", first)
    callbacks = [] if variant == "scratch" else [Refresh(seed=seed, mode=variant)]
    experiment = key if variant == "released" else f"{key}-{variant}"
    place = _runs() / "full" / experiment / str(seed)
    with ledger.meter() as spent:
        history = fit(
            model, train, chosen.train, evaluate=test, callbacks=callbacks, directory=place
        )
    metrics = {
        name: {"value": history.last[f"evaluate_{name}"], "unit": "%", "n": len(test)}
        for name in ("top1", "top5")
    }
    if torch.distributed.is_initialized() and torch.distributed.get_rank():
        return
    params = asdict(chosen) | {"train": chosen.train.model_dump(mode="json"), "variant": variant}
    described = [_described(train), _described(test)]
    ledger.record(
        "dcff",
        experiment,
        "full",
        seed,
        params,
        metrics,
        data=described,
        code=_code(),
        cost=spent,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lithe.dcff.run", description=__doc__)
    parser.add_argument("config", nargs="?", help="a JSON file with the fields of Config")
    parser.add_argument("--key", choices=list(PAPER_CONFIGS), help="train this row at full length")
    parser.add_argument("--profile", choices=("full",), default="full", help="goes with --key")
    parser.add_argument("--variant", choices=FULL_VARIANTS, default="released")
    parser.add_argument("--seed", type=_seed, default=0, help="0 or more")
    parser.add_argument("--data-folder", help="CIFAR-10 (binary version) or ImageNet")
    parser.add_argument("--download", action="store_true", help="fetch CIFAR-10 if it is missing")
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
        config = _read(options.config) if options.config else None
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    try:
        _carry_out(config, options)
    except data.DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (CheckpointError, DivergenceError, ledger.LedgerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command goes on, what is on record stays", file=sys.stderr)
        return 130
    return 0


def _carry_out(config: Config | None, options: argparse.Namespace) -> None:
    if config is not None:
        print("\n".join(run(config)))
    elif options.dry_run:
        print(json.dumps(recipes.dry_run(options.key).to_dict(), indent=1))
    else:
        full(options.key, options.seed, options.data_folder, options.download, options.variant)


if __name__ == "__main__":
    sys.exit(main())
