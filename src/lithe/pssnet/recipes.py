"""The paper's eight supernets as recipes that can be trained, and a dry run of each.

Source: PSS-Net spec 3.1, 4.2 and 7: released scripts. A key is a network and what its pools are
about: ``F`` for MACs, ``G`` and ``C`` for the published GPU and CPU tables, ``M`` for all three.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import nn

from lithe import data
from lithe.pssnet.budget import PAPER_BUDGETS, Budget
from lithe.pssnet.choice import Policy
from lithe.pssnet.elastic import Elastic, elastic
from lithe.pssnet.mobilenet import RESOLUTIONS, mobilenet_v1_space, mobilenet_v2_space
from lithe.pssnet.policies import policy
from lithe.pssnet.supernet_training import PAPER_RECIPE, train_supernet
from lithe.pssnet.table import LatencyTable
from lithe.pssnet.translated import Translated, stage_widths
from lithe.training import History, TrainConfig
from lithe.vision import torchvision
from lithe.zoo import mobilenet_v1

__all__ = ["ROWS", "Recipe", "dry_run", "field", "readme_points", "recipe"]

SIDE, CLASSES = 224, 1000
RESOURCES = {"F": ("macs",), "G": ("gpu",), "C": ("cpu",), "M": ("macs", "gpu", "cpu")}
ROWS = tuple(f"{net}-{kind}" for net in ("mobilenet_v1", "mobilenet_v2") for kind in RESOURCES)
#: Configurations of the histograms where they are not the usual 100,000. Source: spec 3.2.
DRAWS = {"mobilenet_v1-M": 1_000_000}
#: Names of the README: its constraints, and their unit in that of the budgets.
CONSTRAINTS = {"FLOPs": ("macs", 1e6), "GPU Latency": ("gpu", 1.0), "CPU Latency": ("cpu", 1e3)}
#: Layers of MobileNetV2 whose width the released space keeps, though ratios would move them.
WHOLE = ("features.18.0", *(f"features.{k}.conv.0.0" for k in (2, 3, 4)))


@dataclass(frozen=True)
class Recipe:
    """One supernet of the paper, ready to train.

    Attributes:
        key: a key of ``ROWS``.
        train: epochs, optimiser, schedule, batch size, seed.
    """

    key: str
    train: TrainConfig

    @property
    def net(self) -> str:
        """``"mobilenet_v1"`` or ``"mobilenet_v2"``."""
        return self.key.partition("-")[0]

    @property
    def experiment(self) -> str:
        """Name of the record."""
        return self.key.lower()

    @property
    def budgets(self) -> list[Budget]:
        """One for each resource."""
        return [PAPER_BUDGETS[self.net, name] for name in RESOURCES[self.key.partition("-")[2]]]

    def supernet(self, resolutions: Sequence[int] = range(RESOLUTIONS[0], SIDE + 1, 8)) -> Elastic:
        """The network, elastic and untrained."""
        generator = torch.Generator().manual_seed(self.train.seed)
        example = torch.zeros(1, 3, SIDE, SIDE)
        if self.net == "mobilenet_v1":
            return elastic(mobilenet_v1(generator=generator), example, resolutions=resolutions)[0]
        return elastic(_mobilenet_v2(generator), example, resolutions=resolutions, skip=WHOLE)[0]

    def policy(self, network: Elastic, tables: str | Path | None = None, **changes) -> Policy:
        """The policy as released, on the paper's space.

        Args:
            network: from :meth:`supernet`.
            tables: folder of the published latency tables, for any but F.
            changes: settings that are to differ.

        Raises:
            lithe.data.DataError: a table is needed and missing.
        """
        first, last = network.space.resolutions[0], network.space.resolutions[-1]
        ours = {"mobilenet_v1": mobilenet_v1_space, "mobilenet_v2": mobilenet_v2_space}[self.net]
        space = ours(resolutions=(first, last))
        generator = torch.Generator().manual_seed(self.train.seed)
        known = self._tables(tables)
        draws = {"draws": DRAWS[self.key]} if self.key in DRAWS else {}
        inner = policy("released", space, self.budgets, generator, known, **(draws | changes))
        if self.net == "mobilenet_v1":
            return inner
        return Translated(inner, network.space, partial(stage_widths, space=network.space))

    def _tables(self, folder: str | Path | None) -> dict[str, LatencyTable]:
        devices = [budget.resource for budget in self.budgets if budget.resource != "macs"]
        if not devices:
            return {}
        name = {"mobilenet_v1": "pss_lut_mbv1.npz", "mobilenet_v2": "pss_lut_mbv2.npz"}[self.net]
        if folder is None or not (Path(folder).expanduser() / name).is_file():
            raise data.DataError(f"{self.key} needs latency tables: name the folder of {name}")
        table = LatencyTable.load(Path(folder).expanduser() / name)
        return {device: table.on(device) for device in devices}


def recipe(key: str, seed: int = 0) -> Recipe:
    """The released recipe of one supernet.

    Args:
        key: a key of ``ROWS``.
        seed: of weights, order, augmentation and sampling.

    Raises:
        KeyError: no such supernet.
    """
    if key not in ROWS:
        raise KeyError(f"no supernet {key!r}; there are: {', '.join(ROWS)}")
    return Recipe(key, PAPER_RECIPE.model_copy(update={"seed": seed}))


def field(key: str, resource: str, cost: float) -> str:
    """The metric of a full record that answers a published point.

    Args:
        key: a key of ``ROWS``.
        resource: ``"macs"``, ``"gpu"`` or ``"cpu"``.
        cost: in MACs or microseconds.

    Returns:
        ``best5_<resource>_<target>`` of the bin that the cost falls in; ``max_top1`` or
        ``min_top1`` where it lies beyond the pools.
    """
    budget = PAPER_BUDGETS[key.partition("-")[0], resource]
    target = budget.target(cost)
    if target >= budget.stop:
        return "max_top1"
    return "min_top1" if target <= budget.start else place_name("best5", resource, target)


def place_name(prefix: str, resource: str, target: float) -> str:
    """A metric's name; MACs in millions."""
    return f"{prefix}_{resource}_{target / 1e6 if resource == 'macs' else target:.0f}"


def readme_points(path: str | Path) -> dict[str, list[tuple[str, float, float]]]:
    """The README's table by key: resource, cost in the budgets' unit, top-1 in percent.

    Args:
        path: of ``pss_readme_table.json``.
    """
    points: dict[str, list[tuple[str, float, float]]] = {key: [] for key in ROWS}
    for row in json.loads(Path(path).read_text()):
        _, net, kind = row["supernet"].split("-")
        resource, unit = CONSTRAINTS[row["constraint"]]
        key = f"mobilenet_{net[-2:].lower()}-{kind}"
        points[key] += [(resource, cost * unit, top1) for cost, top1 in row["points"]]
    return points


def dry_run(
    key: str,
    tables: str | Path | None = None,
    steps: int = 2,
    batch_size: int = 2,
    directory: str | Path | None = None,
) -> History:
    """Train ``steps`` steps of a full recipe on fake images at the real image shape.

    Shows that network, space, policy, optimiser and schedule fit together. Two resolutions instead
    of thirteen and few histogram draws, so that a laptop can do it.

    Returns:
        The training history of the one short epoch.
    """
    chosen = recipe(key)
    images = data.fake_images((3, SIDE, SIDE), CLASSES, steps * batch_size, seed=0)
    network = chosen.supernet(range(SIDE - 8, SIDE + 1, 8))
    released = chosen.policy(network, tables, draws=2000)
    short = {"epochs": 1, "batch_size": batch_size}
    train = TrainConfig.model_validate(chosen.train.model_dump() | short)
    return train_supernet(network, released, images, train, directory=directory, progress=False)


def _mobilenet_v2(generator: torch.Generator) -> nn.Module:
    """torchvision's MobileNetV2, without dropout, initialised as released.

    Source: PSS-Net spec 2.1.
    """
    net = torchvision().models.mobilenet_v2(weights=None, dropout=0.0)
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            k = module.kernel_size[0] * module.kernel_size[1]
            spread = (2 / (k * module.out_channels)) ** 0.5
            module.weight.data.normal_(0, spread, generator=generator)
        elif isinstance(module, nn.Linear):
            module.weight.data.normal_(0, 0.01, generator=generator)
            module.bias.data.zero_()
    return net
