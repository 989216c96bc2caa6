"""Everything the PSS-Net chapter measures, as one config and one function.

``python -m lithe.pssnet.run config.json`` runs a config, ``--profile small`` that of the chapter.
``python -m lithe.pssnet.run --key mobilenet_v1-F --data-folder FOLDER`` trains one of the paper's
supernets at full length, alone or by torchrun.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lithe import ledger
from lithe.experiments import SELECTION, Experiments, Job, Measured, whole_number
from lithe.pssnet import jury, recipes
from lithe.pssnet.contest import ALONE, alone, contend
from lithe.pssnet.full import full
from lithe.pssnet.settings import EXHIBITS, Config, described, split
from lithe.pssnet.space import Subnet

__all__ = ["CONTEST", "EXPERIMENTS", "Config", "full", "run"]

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


class _Experiments(Experiments[Config]):
    paper, notebook, config = "pssnet", "03_pssnet", Config

    def jobs(self, config: Config) -> Iterator[Job]:
        for name in config.exhibits:
            yield name, 0
        for seed in config.seeds:
            for data in config.data:
                for name in sorted(config.variants, key=lambda name: name == ALONE):
                    yield f"{data}-{name}", seed

    def needs(self, config: Config, job: Job) -> Sequence[Job]:
        """What is trained alone was retained before."""
        if job[0] in EXHIBITS or _parts(job)[1] != ALONE or "effective" not in config.variants:
            return ()
        return ((f"{_parts(job)[0]}-effective", job[1]),)

    def sources(self, experiment: str) -> Sequence[str]:
        if experiment == "bench":
            return TIMED
        return SHOWN if experiment in EXHIBITS else CONTEST

    def params(self, config: Config, job: Job, root: str | Path | None) -> dict[str, Any]:
        if job[0] in EXHIBITS:
            return {"exhibit": job[0]}
        data, variant = _parts(job)
        chosen = config.model_dump(mode="json", exclude=SELECTION | {"data"})
        chosen |= {"data": data, "variant": variant}
        if variant == ALONE:
            rows = [[s.resolution, *s.widths] for s in _retained(config, job, root)]
            chosen["subnets"] = rows
        return chosen

    def measure(self, config: Config, job: Job, root: str | Path | None) -> Measured:
        if job[0] in EXHIBITS:
            return Measured(*EXHIBITS[job[0]]())
        data, variant = _parts(job)
        images, recipe = split(data, config), config.recipe(job[1])
        used = [described(part) for part in images]
        place = self.checkpoints(config, job)
        if variant == ALONE:
            return Measured(*alone(_retained(config, job, root), images, recipe, place), used)
        outcome = contend(variant, images, config.shape, recipe, place)
        return Measured(outcome.metrics, outcome.curves, used)


EXPERIMENTS = _Experiments()
run = EXPERIMENTS.run


def _parts(job: Job) -> tuple[str, str]:
    data, _, variant = job[0].partition("-")
    return data, variant


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


def _parser() -> argparse.ArgumentParser:
    parser = EXPERIMENTS.parser(__doc__)
    parser.add_argument(
        "--key", choices=list(recipes.ROWS), help="train this supernet at full length"
    )
    parser.add_argument("--data-folder", help="ImageNet, with train/ and val/ inside")
    parser.add_argument("--tables", help="folder of latency tables; F supernets need none")
    parser.add_argument("--seed", type=whole_number, default=0, help="0 or more")
    parser.add_argument("--dry-run", action="store_true", help="two steps on fake images")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Command line; see the module's text.

    Returns:
        0 on success, 1 when a run failed, 2 when the request makes no sense, 130 on Ctrl-C.
    """
    return EXPERIMENTS.command(_parser(), arguments, _row)


def _row(options: argparse.Namespace) -> None:
    if options.dry_run:
        history = recipes.dry_run(options.key, options.tables)
        print(json.dumps(history.to_dict(), indent=1))
    else:
        full(options.key, options.data_folder, options.tables, options.seed)


if __name__ == "__main__":
    sys.exit(main())
