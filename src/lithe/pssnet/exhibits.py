"""What the viewer of pools shows: every visit of every pool in one really trained supernet.

``python -m lithe.pssnet.exhibits`` trains it (half a minute on a free core, nothing downloaded)
and writes the files that the page loads into ``book/_static``. The page itself replays the visits,
by the rules of :class:`lithe.pssnet.Pool` and :func:`lithe.pssnet.priority`.
"""

from __future__ import annotations

import argparse
import html
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from lithe import ledger, profiles
from lithe.files import write_atomic
from lithe.pssnet.contest import build, grid
from lithe.pssnet.policies import policy
from lithe.pssnet.pools import Pool
from lithe.pssnet.settings import Config, split
from lithe.pssnet.space import Subnet
from lithe.pssnet.supernet_training import train_supernet

__all__ = ["Life", "Recording", "Visit", "lives", "recorded", "replayed", "write"]

DIGITS = 4  # decimals of a metric that the page gets; the replay here uses the same


@dataclass(frozen=True)
class Visit:
    """One visit of a pool.

    Attributes:
        epoch: when.
        drawn: whether the subnet came from the pool; from the space otherwise.
        subnet: its number in the recording.
        metric: minus its cross-entropy.
    """

    epoch: int
    drawn: bool
    subnet: int
    metric: float


@dataclass(frozen=True)
class Recording:
    """The pools of one training.

    Attributes:
        epochs: its length.
        capacity: of each pool.
        smoothing: of the moving average.
        targets: millions of MACs of each pool.
        subnets: a line for each subnet, by number.
        visits: of each pool, in order.
    """

    epochs: int
    capacity: int
    smoothing: float
    targets: tuple[float, ...]
    subnets: tuple[str, ...]
    visits: tuple[tuple[Visit, ...], ...]


@dataclass(frozen=True)
class Life:
    """How long a subnet stayed in a pool: first and last visit of the pool, and those to itself."""

    subnet: int
    born: int
    gone: int
    visits: tuple[int, ...]


def recorded(config: Config, seed: int = 0) -> Recording:
    """Train one supernet as released, and write down every visit.

    Keys are effective here, so that a subnet has one line.

    Args:
        config: with the digits and the shape of the supernet.
        seed: of the run.
    """
    images, shape = split("digits", config), config.shape
    network, space = build(images.train, shape, seed)
    budget = grid(space, shape.targets)
    generator = torch.Generator().manual_seed(seed)
    sizes = {"capacity": shape.capacity, "draws": shape.draws}
    chosen = policy("released", space, [budget], generator, keys="effective", **sizes)
    events: list[dict[str, Any]] = []
    train_supernet(
        network, chosen, images.train, config.recipe(seed), watch=events.append, progress=False
    )
    places = list(chosen.pools)
    numbers: dict[Subnet, int] = {}
    visits: list[list[Visit]] = [[] for _ in places]
    for event in events:
        choice = event["choice"]
        number = numbers.setdefault(choice.subnet, len(numbers))
        row = visits[places.index(choice.place)]
        metric = round(event["metric"], DIGITS)
        row.append(Visit(event["epoch"], choice.source == "pool", number, metric))
    return Recording(
        config.epochs,
        shape.capacity,
        chosen.settings.smoothing,
        tuple(target / 1e6 for _, target in places),
        tuple(f"{s.resolution} px, {'-'.join(map(str, s.widths))}" for s in numbers),
        tuple(map(tuple, visits)),
    )


def replayed(recording: Recording, place: int, until: int) -> Pool[int]:
    """A pool after its first ``until`` visits."""
    pool: Pool[int] = Pool(recording.capacity, recording.smoothing)
    for visit in recording.visits[place][:until]:
        pool.update(visit.subnet, visit.metric)
    return pool


def lives(recording: Recording, place: int) -> list[Life]:
    """Every stay of a subnet in a pool, in order of entry; some come back."""
    pool: Pool[int] = Pool(recording.capacity, recording.smoothing)
    born: dict[int, tuple[int, list[int]]] = {}
    found = []
    for k, visit in enumerate(recording.visits[place]):
        change = pool.update(visit.subnet, visit.metric)
        born.setdefault(visit.subnet, (k, []))[1].append(k)
        if change.evicted is not None:
            start, own = born.pop(change.evicted)
            found.append(Life(change.evicted, start, k, tuple(own)))
    last = len(recording.visits[place])
    found += [Life(subnet, start, last, tuple(own)) for subnet, (start, own) in born.items()]
    return sorted(found, key=lambda life: (life.born, life.subnet))


def write(static: str | Path, recording: Recording) -> list[Path]:
    """Write data, page fragment and still picture of the viewer.

    Args:
        static: the book's folder of static files.
        recording: what it shows.

    Returns:
        The files written.
    """
    static = Path(static)
    data, fragment = static / "pssnet-pools-data.js", static / "pssnet-pools.html"
    picture = static / "pssnet-lives.png"
    write_atomic(data, data_script(recording))
    write_atomic(fragment, page_fragment(recording))
    figure = still_picture(recording, len(recording.targets) // 2)
    figure.savefig(picture, format="png", metadata={"Software": None})
    return [data, fragment, picture]


def data_script(recording: Recording) -> str:
    """The recording as a script: a page opened from a file may not fetch JSON."""
    rows = [[[v.epoch, int(v.drawn), v.subnet, v.metric] for v in row] for row in recording.visits]
    entry = {
        "epochs": recording.epochs,
        "capacity": recording.capacity,
        "smoothing": recording.smoothing,
        "targets": recording.targets,
        "subnets": recording.subnets,
        "visits": rows,
    }
    return f"globalThis.pssnetPools = {json.dumps(entry, separators=(',', ':'))};\n"


def page_fragment(recording: Recording) -> str:
    """What a page of the book includes: the viewer, and what stands there without scripts."""
    last = len(recording.targets) - 1
    rows = "".join(_row(recording, place) for place in (0, last // 2, last))
    middle = recording.targets[len(recording.targets) // 2]
    return f"""<link rel="stylesheet" href="../_static/pssnet-pools.css">
<div class="pssnet-pools" data-pssnet-pools></div>
<noscript>
<figure class="pssnet-still">
<img src="../_static/pssnet-lives.png" alt="A line for each subnet from its entry into a pool to
its eviction: many short lines at first, then a few long ones with nearly all the dots.">
<figcaption>The pool at {middle:.2f} million MACs: a line is a stay in the pool, a dot a visit. In
the end nearly all visits go to a few subnets.</figcaption>
</figure>
<table class="pssnet-table">
<caption>Three pools over the whole run</caption>
<thead><tr><th scope="col">Budget, million MACs</th><th scope="col">visits</th>
<th scope="col">subnets that came</th><th scope="col">evicted</th>
<th scope="col">visits of the most visited</th></tr></thead>
<tbody>{rows}</tbody>
</table>
</noscript>
<script defer src="../_static/pssnet-pools-data.js"></script>
<script defer src="../_static/pssnet-pools.js"></script>
"""


def _row(recording: Recording, place: int) -> str:
    stays, visits = lives(recording, place), len(recording.visits[place])
    gone = sum(life.gone < visits for life in stays)
    most = max(len(life.visits) for life in stays)
    came = len({life.subnet for life in stays})
    numbers = "".join(f"<td>{n}</td>" for n in (visits, came, gone, most))
    name = html.escape(f"{recording.targets[place]:.2f}")
    return f'\n<tr><th scope="row">{name}</th>{numbers}</tr>'


def still_picture(recording: Recording, place: int) -> Any:
    """Stays of subnets in one pool, a line each, with a dot for every visit.

    Returns:
        A matplotlib figure.
    """
    from lithe.figures import PALETTE, canvas

    figure, (axis,) = canvas(1, 2.9)
    for row, life in enumerate(lives(recording, place)):
        axis.plot([life.born, life.gone], [row, row], color=PALETTE["blue"], lw=1, marker="")
        axis.plot(life.visits, [row] * len(life.visits), ".", color=PALETTE["vermilion"], ms=3)
    axis.set(xlabel="visit of the pool", ylabel="subnets, by order of entry", yticks=[])
    axis.invert_yaxis()
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the recorded supernet and write the viewer's files."""
    parser = argparse.ArgumentParser(prog="python -m lithe.pssnet.exhibits", description=__doc__)
    parser.parse_args(arguments)
    torch.set_num_threads(1)
    config = profiles.load("03_pssnet", "small", Config)
    for path in write(ledger.book_root() / "_static", recorded(config)):
        print(path.name)


if __name__ == "__main__":
    main()
