"""Everything the ARM chapter measures, as one config and one function.

``python -m lithe.arm.run config.json`` runs a config, ``--profile small`` that of the chapter.
``python -m lithe.arm.run --key carn-test8k --train PAIRS --valid FOLDER --test FOLDER`` trains a
supernet at full length and evaluates the rows of the paper's tables on one test set.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from lithe import data
from lithe.arm.contest import Outcome, contend, crops, fresh
from lithe.arm.full import ROWS, dry_run, full
from lithe.arm.pairs import Pairs
from lithe.arm.settings import EXHIBITS, Config, material
from lithe.experiments import SELECTION, Experiments, Job, Measured, whole_number

__all__ = ["CONTEST", "EXPERIMENTS", "Config", "full", "outcome", "run"]

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


class _Experiments(Experiments[Config]):
    paper, notebook, config = "arm", "04_arm", Config

    def jobs(self, config: Config) -> Iterator[Job]:
        for name in config.exhibits:
            yield name, 0
        for seed in config.seeds:
            for name in config.variants:
                yield f"{config.data}-{name}", seed

    def sources(self, experiment: str) -> Sequence[str]:
        return SHOWN if experiment in EXHIBITS else CONTEST

    def params(self, config: Config, job: Job, root: str | Path | None) -> dict[str, Any]:
        if job[0] in EXHIBITS:
            return {"exhibit": job[0]}
        chosen = config.model_dump(mode="json", exclude=SELECTION)
        return chosen | {"variant": job[0].removeprefix(f"{config.data}-")}

    def measure(self, config: Config, job: Job, root: str | Path | None) -> Measured:
        if job[0] in EXHIBITS:
            return Measured(*EXHIBITS[job[0]]())
        found = outcome(config, job[0].removeprefix(f"{config.data}-"), job[1])
        return Measured(found.metrics, found.curves, material(config).described())


EXPERIMENTS = _Experiments()
run = EXPERIMENTS.run


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
        directory=EXPERIMENTS.checkpoints(config, (f"{config.data}-{variant}", seed)),
    )


@lru_cache(maxsize=1)
def _pairs(config: Config) -> Pairs:
    return crops(material(config).training, config.crop, config.crop_step)


def _parser() -> argparse.ArgumentParser:
    parser = EXPERIMENTS.parser(__doc__)
    parser.add_argument("--key", choices=list(ROWS), help="a network and a test set, full length")
    parser.add_argument("--train", help="pairs made by python -m lithe.arm.prepare of DIV2K train")
    parser.add_argument("--valid", help="folder of sharp images for the table: DIV2K valid")
    parser.add_argument("--test", help="folder of sharp test images")
    parser.add_argument("--seed", type=whole_number, default=0, help="0 or more")
    parser.add_argument(
        "--dry-run", action="store_true", help="with --key: seconds, bundled images"
    )
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Command line; see the module's text.

    Returns:
        0 on success, 1 when a run failed, 2 when the request makes no sense, 130 on Ctrl-C.
    """
    return EXPERIMENTS.command(_parser(), arguments, _row)


def _row(options: argparse.Namespace) -> None:
    if options.dry_run:
        print("\n".join(f"{name} {value}" for name, value in dry_run(options.key).items()))
        return
    missing = [name for name in ("train", "valid", "test") if not getattr(options, name)]
    if missing:
        raise data.DataError(f"--key needs folders; missing: --{', --'.join(missing)}")
    full(options.key, options.train, options.valid, options.test, options.seed)


if __name__ == "__main__":
    sys.exit(main())
