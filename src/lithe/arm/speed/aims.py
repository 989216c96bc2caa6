"""What was aimed at, what was measured, and the most that there was to be had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from lithe.arm.speed.curves import leads, speedups

__all__ = ["Aim", "aims", "line"]


@dataclass(frozen=True)
class Aim:
    """One goal.

    Attributes:
        id: for the ledger.
        says: what it is about.
        value: measured; ``None`` if the quality was never reached.
        least: the value must be at least this, or
        most: at most this.
        unit: of the value.
        bound: no routing can be better than this on the image; ``None`` if there is no such.
    """

    id: str
    says: str
    value: float | None
    least: float | None = None
    most: float | None = None
    unit: str = "×"
    bound: float | None = None

    @property
    def met(self) -> bool:
        """Whether the goal is reached."""
        if self.value is None:
            return False
        return self.value >= self.least if self.least is not None else self.value <= self.most

    @property
    def within_reach(self) -> bool:
        """Whether any routing could reach it."""
        return self.bound is None or self.least is None or self.bound >= self.least

    def as_json(self) -> dict[str, Any]:
        """Everything, computed properties included."""
        return asdict(self) | {"met": self.met, "within_reach": self.within_reach}


def aims(result: Mapping[str, Any]) -> list[Aim]:
    """The goals of a :func:`lithe.arm.bench.bench`."""
    found = []
    for threads, part in result["curves"].items():
        for backbone, kinds in part.items():
            found += _of_curves(f"{backbone}_t{threads}", f"{backbone}, {threads} threads", kinds)
    paces, missed = result["paces"]["median_off"], result["deadlines"]["missed"]
    spread = result["throughput"]["spread"]["full"]
    found += [
        Aim("ms_median_off", "median miss of a budget in ms", 100 * paces, most=5, unit="%"),
        Aim("deadlines_missed", "deadlines missed", missed, most=0, unit=""),
        Aim("size_spread", "spread of MP/s over sizes", 100 * spread, most=15, unit="%"),
    ]
    if "memory" in result:
        found.append(Aim("gb_8k", "peak memory at 8K", result["memory"]["gb"], most=1.5, unit="GB"))
    return found


def _of_curves(tag: str, label: str, kinds: Mapping[str, Any]) -> list[Aim]:
    photo, plain = kinds["mosaic"], kinds["smooth"]
    fast, smooth = speedups(photo), speedups(plain)
    most = {name: bound["tiles"] for name, bound in photo["bounds"].items()}
    carn = tag.startswith("carn")
    found = [
        Aim(
            f"{tag}_released",
            f"{label}: the released loop at equal PSNR",
            fast["released_at_equal"],
            least=3.0,
            bound=min(photo["released_bounds"]),
        ),
        Aim(
            f"{tag}_whole_002",
            f"{label}: the whole-image pass at 0.02 dB loss",
            fast["whole_at_0.02_db"],
            least=1.0,
            bound=most["0.02_db"],
        ),
        Aim(
            f"{tag}_smooth",
            f"{label}: the whole-image pass, large smooth areas, 0.1 dB",
            smooth["whole_at_0.1_db"],
            least=2.0,
            bound=plain["bounds"]["0.1_db"]["tiles"],
        ),
        Aim(
            f"{tag}_mse_over_psnr",
            f"{label}: least lead of the mse over the psnr table",
            min(leads(photo), default=None),
            least=0.0,
            unit="dB",
        ),
    ]
    if carn:
        says = f"{label}: the whole-image pass at 0.1 dB loss"
        value, bound = fast["whole_at_0.1_db"], most["0.1_db"]
        found.insert(2, Aim(f"{tag}_whole_01", says, value, least=1.5, bound=bound))
    return found


def line(aim: Aim) -> str:
    """One goal in one line of text."""
    value = "never" if aim.value is None else f"{aim.value:.3g}{aim.unit}"
    goal = f">= {aim.least:g}" if aim.least is not None else f"<= {aim.most:g}"
    bound = "" if aim.bound is None else f"; at most {aim.bound:.3g}{aim.unit} by any routing"
    reach = "" if aim.within_reach else ": out of reach"
    return f"{'met ' if aim.met else 'MISS'} {aim.says}: {value} ({goal}{bound}{reach})"
