"""The tests a claim can be put to: what each needs, and when it says what.

An interval is the two-sided 95% Student interval of the mean over seeds; of the paired differences
where there is a control. An *exact* test is one of tier T0: nothing in it is random, so a miss is a
contradiction. With `x` measured, `c` claimed, `t` the tolerance:

========================  =========================  ===========================  =================
kind                      reproduced                 contradicted                 else
========================  =========================  ===========================  =================
equal_after_rounding      x rounds to c              T0: it does not              not reproduced
within                    abs(x - c) <= t            T0: it is not                not reproduced
at_least, one number      x >= c - t                 T0: x is below               not reproduced
at_least, several seeds   interval above c - t       interval below c - t         not reproduced
at_most                   mirrored                   mirrored                     not reproduced
order                     every step down by > t     every step is up or flat     partly
ci_contains               c in it, half width <= t   all of it off c by > t       not reproduced
sign                      interval on its side of 0  interval on the other side   not reproduced
equivalent                interval inside +-t        interval outside +-t         not reproduced
========================  =========================  ===========================  =================

`sign`, `equivalent` and `ci_contains` need three seeds; with fewer the verdict is `not run`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from typing import TYPE_CHECKING

from lithe.ledger.formatting import count, number, plus_minus, with_unit
from lithe.ledger.sampling import Sample
from lithe.ledger.schema import SIGNS, Part

if TYPE_CHECKING:
    from lithe.stats import Paired

__all__ = ["SEEDS", "Finding", "judge", "judge_order"]

BOUNDS = "≥≤\N{NO-BREAK SPACE}"

SEEDS = 3
"""The fewest seeds that a statement about a mean may rest on."""


@dataclass(frozen=True)
class Finding:
    """What one comparison came to: verdict, our value, and the sentence that has the numbers."""

    verdict: str
    ours: str
    why: str


def judge(part: Part, sample: Sample, exact: bool) -> Finding:
    """Put one measured sample to the test of ``part``.

    Args:
        part: the claimed value and its test; any kind but ``order``.
        sample: at least one row.
        exact: whether a miss is a contradiction (tier T0).
    """
    kind = part.test.kind
    if part.measure.aggregate == "each":
        return _each(part, sample, exact)
    if kind in SEEDED:
        if len(sample.rows) < SEEDS:
            have = count(len(sample.rows), "seed")
            return Finding("not run", have, f"{SEEDS} paired seeds are needed, there is {have}")
        return SEEDED[kind](part, sample, sample.interval())
    if kind in ("at_least", "at_most") and part.measure.aggregate == "mean" and sample.interval():
        return _bound_by_interval(part, sample, sample.interval())
    return _by_point(part, sample, sample.point(part.measure.aggregate), exact)


def judge_order(part: Part, samples: list[Sample]) -> Finding:
    """Whether the means go down in the claimed order, each step by more than the tolerance."""
    names, margin = part.claimed.value, part.test.tolerance or 0.0
    means = [sample.point("mean") for sample in samples]
    ours = ", ".join(f"{n} {_text(m, s)}" for n, m, s in zip(names, means, samples))
    steps = [a - b > margin for a, b in pairwise(means)]
    verdict = {0: "contradicted", len(steps): "reproduced"}.get(sum(steps), "partly")
    why = f"{sum(steps)} of the {len(steps)} steps go down by more than {margin:g}: {ours}"
    return Finding(verdict, ours, why)


def rounded(value: float, decimals: int) -> Decimal:
    """Round half away from zero, as tables in papers do; floats alone would round half to even."""
    step = Decimal(1).scaleb(-decimals)
    return Decimal(repr(float(value))).quantize(step, ROUND_HALF_UP)


def _by_point(part: Part, sample: Sample, x: float, exact: bool) -> Finding:
    met, relation = _relation(part, x)
    miss = "contradicted" if exact else "not reproduced"
    ours = _ours(part, sample, x)
    return Finding("reproduced" if met else miss, ours, f"{ours} {relation}")


def _relation(part: Part, x: float) -> tuple[bool, str]:
    """Whether one number passes, and the words for it."""
    c, t, kind = part.claimed.value, part.test.tolerance or 0.0, part.test.kind
    claimed = claimed_text(part)
    slack = f" (tolerance {t:g})" if t else ""
    if kind == "equal_after_rounding" and isinstance(c, bool):
        return bool(x) == c, f"is {'as' if bool(x) == c else 'not as'} claimed, {claimed}"
    if kind == "equal_after_rounding":
        met = rounded(x, part.test.decimals) == rounded(c, part.test.decimals)
        return met, f"{'rounds' if met else 'does not round'} to {claimed}"
    if kind == "within":
        met = abs(x - c) <= t
        return met, f"is {abs(x - c):.4g} away from {claimed}; {t:g} is allowed"
    met = x >= c - t if kind == "at_least" else x <= c + t
    bound = kind.replace("_", " ")  # its sign is part of how the claim is printed
    return met, f"is {'' if met else 'not '}{bound} {claimed.lstrip(BOUNDS)}{slack}"


def _each(part: Part, sample: Sample, exact: bool) -> Finding:
    met = [_relation(part, x)[0] for x in sample.values]
    miss = "contradicted" if exact else "not reproduced"
    verdict = {len(met): "reproduced", 0: miss}.get(sum(met), "partly")
    ours = f"{_text(min(sample.values), sample)} to {_text(max(sample.values), sample)}"
    failed = ", ".join(row.record_id for row, ok in zip(sample.rows, met) if not ok)
    why = f"{sum(met)} of {count(len(met), 'record')} pass ({ours} against {claimed_text(part)})"
    return Finding(verdict, ours, f"{why}; not {failed}" if failed else why)


def _bound_by_interval(part: Part, sample: Sample, ci: Paired) -> Finding:
    c, t, kind = part.claimed.value, part.test.tolerance or 0.0, part.test.kind
    bound = c - t if kind == "at_least" else c + t
    above, below = ci.low >= bound, ci.high < bound
    if kind == "at_most":
        above, below = ci.high <= bound, ci.low > bound
    verdict = "reproduced" if above else "contradicted" if below else "not reproduced"
    place = {"reproduced": "keeps to", "contradicted": "breaks"}.get(verdict, "straddles")
    why = f"{_interval(ci, sample)} {place} the bound {kind.replace('_', ' ')} {bound:g}"
    return Finding(verdict, _ours_ci(ci, sample), why)


def _sign(part: Part, sample: Sample, ci: Paired) -> Finding:
    side = SIGNS[part.claimed.value]
    low, high = sorted((side * ci.low, side * ci.high))
    verdict = "reproduced" if low > 0 else "contradicted" if high < 0 else "not reproduced"
    where = {
        "reproduced": "on the claimed side of 0",
        "contradicted": "on the other side of 0",
        "not reproduced": "so 0 is inside and the sign is not settled",
    }[verdict]
    why = f"{_interval(ci, sample)}, {where}; sign test p = {ci.sign_p:.2g}"
    return Finding(verdict, _ours_ci(ci, sample), why)


def _equivalent(part: Part, sample: Sample, ci: Paired) -> Finding:
    margin = part.test.tolerance
    inside = ci.low >= -margin and ci.high <= margin
    outside = ci.low > margin or ci.high < -margin
    verdict = "reproduced" if inside else "contradicted" if outside else "not reproduced"
    where = {"reproduced": "inside", "contradicted": "outside"}.get(verdict, "partly outside")
    why = f"{_interval(ci, sample)}, {where} the margin of ±{margin:g}"
    return Finding(verdict, _ours_ci(ci, sample), why)


def _ci_contains(part: Part, sample: Sample, ci: Paired) -> Finding:
    c, t = part.claimed.value, part.test.tolerance
    holds, narrow = ci.low <= c <= ci.high, ci.half_width <= t
    off = ci.low > c + t or ci.high < c - t
    verdict = "reproduced" if holds and narrow else "contradicted" if off else "not reproduced"
    width = "" if narrow else f", but its half width is above the {t:g} that would settle it"
    why = f"{_interval(ci, sample)} {'contains' if holds else 'misses'} {claimed_text(part)}{width}"
    return Finding(verdict, _ours_ci(ci, sample), why)


SEEDED: dict[str, Callable[[Part, Sample, Paired], Finding]] = {
    "sign": _sign,
    "equivalent": _equivalent,
    "ci_contains": _ci_contains,
}


def claimed_text(part: Part) -> str:
    """The claimed value as the paper prints it."""
    value, decimals = part.claimed.value, part.test.decimals
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return " > ".join(value)
    if isinstance(value, str):
        return value
    sign = dict(zip(("at_least", "at_most"), BOUNDS)).get(part.test.kind)
    bound = f"{sign}\N{NO-BREAK SPACE}" if sign else ""
    text = number(value, spec=f",.{decimals}f") if decimals is not None else f"{value:g}"
    return with_unit(bound + text, part.claimed.unit)


def _ours(part: Part, sample: Sample, x: float) -> str:
    if isinstance(part.claimed.value, bool):
        return "true" if x else "false"
    if part.test.decimals is not None:
        text = f"{rounded(x, part.test.decimals):,}".replace("-", "\N{MINUS SIGN}")
        return with_unit(text, part.claimed.unit)
    return _text(x, sample, part.claimed.unit)


def _text(x: float, sample: Sample, unit: str | None = None) -> str:
    unit = sample.unit if unit is None else unit
    return with_unit(number(x, unit, sample.items), unit)


def _ours_ci(ci: Paired, sample: Sample) -> str:
    if ci.low == ci.high:
        return f"{_text(ci.mean, sample)} in every seed"
    return plus_minus(ci.mean, ci.half_width, sample.unit)


def _interval(ci: Paired, sample: Sample) -> str:
    low, high = (number(v, spec=".3g") for v in (ci.low, ci.high))
    what = "mean paired difference" if sample.rows[0].control_id else "mean"
    unit = f" {sample.unit}" if sample.unit else ""
    return f"{what} {number(ci.mean, spec='.3g')}{unit}, 95% CI {low} to {high}, n = {ci.n}"
