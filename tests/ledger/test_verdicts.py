"""The meaning of each test kind, on numbers whose intervals can be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lithe import ledger
from lithe.ledger.assessment import combine

# Three paired differences around a mean with this spread have the interval mean ± 4.303 sd/√3.
SPREAD = (-0.1, 0.0, 0.1)
HALF = 4.302652729911275 * 0.1 / 3**0.5


def pairs(put: Callable[..., Path], differences: list[float]) -> None:
    for seed, difference in enumerate(differences):
        put("toy/method/small", seed, top1=50 + 10 * seed + difference)
        put("toy/scratch/small", seed, top1=50 + 10 * seed)


AGAINST = "against: toy/scratch/small/*"


@pytest.mark.parametrize(
    ("value", "verdict"),
    [(72.77, "reproduced"), (72.76, "contradicted"), (72.78, "contradicted")],
)
def test_equal_after_rounding_is_exact_in_tier_0(put, judge, value, verdict) -> None:
    put("toy/method/small", 0, top1=72.7719)
    assert judge("equal_after_rounding", value, "decimals: 2", tier="T0").verdict == verdict


@pytest.mark.parametrize(
    ("measured", "printed"), [(0.125, 0.13), (2.675, 2.68), (-0.125, -0.13), (1.005, 1.01)]
)
def test_halves_are_rounded_away_from_zero_as_printed_tables_do(
    put, judge, measured, printed
) -> None:
    put("toy/method/small", 0, top1=measured)
    found = judge("equal_after_rounding", printed, "decimals: 2", tier="T0")
    assert found.verdict == "reproduced"


def test_a_miss_above_tier_0_is_not_a_contradiction(put, judge) -> None:
    put("toy/method/small", 0, top1=72.0)
    assert judge("equal_after_rounding", 73, "decimals: 0", tier="T3").verdict == "not reproduced"


@pytest.mark.parametrize(("value", "verdict"), [("true", "reproduced"), ("false", "contradicted")])
def test_truth_values_are_compared_as_such(put, judge, value, verdict) -> None:
    put("toy/method/small", 0, top1=1)
    found = judge("equal_after_rounding", value, tier="T0")
    assert (found.verdict, found.ours) == (verdict, "true")


@pytest.mark.parametrize(
    ("measured", "verdict"),
    [
        (93.0, "reproduced"),
        (94.0, "reproduced"),
        (92.9, "not reproduced"),
        (94.1, "not reproduced"),
    ],
)
def test_within_includes_its_ends(put, judge, measured, verdict) -> None:
    put("toy/method/small", 0, top1=measured)
    assert judge("within", 93.5, "tolerance: 0.5").verdict == verdict


def test_within_judges_the_mean_of_the_seeds(put, judge) -> None:
    for seed, top1 in enumerate([92.0, 94.0, 95.0]):
        put("toy/method/small", seed, top1=top1)
    found = judge("within", 93.5, "tolerance: 0.5")
    assert found.verdict == "reproduced"
    assert "93.67%" in found.why


@pytest.mark.parametrize(
    ("kind", "bound", "verdict"),
    [
        ("at_least", 10 - 2 * HALF, "reproduced"),
        ("at_least", 10, "not reproduced"),
        ("at_least", 10 + 2 * HALF, "contradicted"),
        ("at_most", 10 + 2 * HALF, "reproduced"),
        ("at_most", 10, "not reproduced"),
        ("at_most", 10 - 2 * HALF, "contradicted"),
    ],
)
def test_bounds_over_seeds_are_judged_by_the_interval(put, judge, kind, bound, verdict) -> None:
    for seed, offset in enumerate(SPREAD):
        put("toy/method/small", seed, top1=10 + offset)
    assert judge(kind, bound).verdict == verdict


@pytest.mark.parametrize(
    ("kind", "bound", "limits", "verdict"),
    [
        ("at_least", 10, "", "reproduced"),
        ("at_least", 11, "", "contradicted"),
        ("at_least", 11, "tolerance: 1", "reproduced"),
        ("at_most", 10, "", "reproduced"),
        ("at_most", 9, "", "contradicted"),
        ("at_most", 9, "tolerance: 1", "reproduced"),
    ],
)
def test_bounds_on_one_number_are_judged_by_it(put, judge, kind, bound, limits, verdict) -> None:
    put("toy/method/small", 0, top1=10)
    found = judge(kind, bound, limits, tier="T0")
    assert found.verdict == verdict
    assert f"{kind.replace('_', ' ')} {bound}" in found.why  # said once, without a sign


def test_no_change_in_any_seed_contradicts_a_claim_of_change(put, judge) -> None:
    for seed in range(5):
        put("toy/method/small", seed, top1=0)
    found = judge("at_least", 1)
    assert found.verdict == "contradicted"
    assert "n = 5" in found.why


@pytest.mark.parametrize(
    ("mean", "claimed", "verdict"),
    [
        (1.01 * HALF, "positive", "reproduced"),
        (0.99 * HALF, "positive", "not reproduced"),
        (-0.99 * HALF, "positive", "not reproduced"),
        (-1.01 * HALF, "positive", "contradicted"),
        (-1.01 * HALF, "negative", "reproduced"),
        (1.01 * HALF, "negative", "contradicted"),
    ],
)
def test_a_sign_needs_the_interval_on_one_side_of_zero(put, judge, mean, claimed, verdict) -> None:
    pairs(put, [mean + offset for offset in SPREAD])
    found = judge("sign", claimed, measure=AGAINST)
    assert found.verdict == verdict
    assert "95% CI" in found.why
    assert "n = 3" in found.why


def test_pairing_is_on_the_seed_not_on_the_order(put, judge) -> None:
    for seed in (0, 1, 2, 3):
        put("toy/method/small", seed, top1=10 * seed + 1)
    for seed in (1, 2, 3, 7):
        put("toy/scratch/small", seed, top1=10 * seed)
    found = judge("sign", "positive", measure=AGAINST)
    assert found.verdict == "reproduced"
    assert "without a partner: toy/method/small/0, toy/scratch/small/7" in found.why


@pytest.mark.parametrize("seeds", [1, 2])
def test_two_seeds_settle_no_sign(put, judge, seeds) -> None:
    pairs(put, [5.0] * seeds)
    found = judge("sign", "positive", measure=AGAINST)
    assert found.verdict == "not run"
    assert "3 paired seeds are needed" in found.why


@pytest.mark.parametrize(
    ("mean", "verdict"),
    [
        (0.0, "reproduced"),
        (0.9 - HALF, "reproduced"),
        (1.1 - HALF, "not reproduced"),
        (1.1 + HALF, "contradicted"),
        (-1.1 - HALF, "contradicted"),
    ],
)
def test_equivalence_needs_the_whole_interval_inside_the_margin(put, judge, mean, verdict) -> None:
    pairs(put, [mean + offset for offset in SPREAD])
    found = judge("equivalent", 0, "tolerance: 1", measure=AGAINST)
    assert found.verdict == verdict


@pytest.mark.parametrize(
    ("claimed", "tolerance", "verdict"),
    [
        (10.0, 1.0, "reproduced"),
        (10.0, HALF / 2, "not reproduced"),  # contains it, but says nothing
        (10 + 1.5 * HALF, HALF, "not reproduced"),
        (10 + 2.5 * HALF, HALF, "contradicted"),
    ],
)
def test_an_interval_must_contain_the_value_and_be_narrow(
    put, judge, claimed, tolerance, verdict
) -> None:
    for seed, offset in enumerate(SPREAD):
        put("toy/method/small", seed, top1=10 + offset)
    assert judge("ci_contains", claimed, f"tolerance: {tolerance}").verdict == verdict


@pytest.mark.parametrize(
    ("means", "verdict"),
    [((9, 5, 1), "reproduced"), ((9, 1, 5), "partly"), ((1, 5, 9), "contradicted")],
)
def test_order_counts_the_steps(put, judge, means, verdict) -> None:
    for name, mean in zip("abc", means):
        put(f"toy/{name}/small", 0, top1=mean)
    records = "[toy/a/small/*, toy/b/small/*, toy/c/small/*]"
    found = judge("order", "[a, b, c]", records=records)
    assert found.verdict == verdict


@pytest.mark.parametrize(
    ("compare", "value"), [("ratio", 1.1), ("percent", 10.0), ("difference", 5.0)]
)
def test_a_control_can_be_subtracted_or_divided_by(put, judge, compare, value) -> None:
    put("toy/method/small", 0, top1=55.0)
    put("toy/scratch/small", 0, top1=50.0)
    found = judge("within", value, "tolerance: 1.0e-9", f"{AGAINST}, compare: {compare}")
    assert found.verdict == "reproduced"


@pytest.mark.parametrize(
    ("values", "verdict"),
    [((1, 1, 1), "reproduced"), ((1, 2, 1), "partly"), ((2, 2, 3), "contradicted")],
)
def test_each_record_can_be_asked_for_itself(put, judge, values, verdict) -> None:
    for seed, value in enumerate(values):
        put("toy/method/small", seed, top1=value)
    found = judge("at_most", 1, measure="aggregate: each", tier="T0")
    assert found.verdict == verdict


def test_without_records_the_command_and_its_cost_are_the_answer(judge) -> None:
    found = judge("within", 93.5, "tolerance: 0.5")
    assert (found.verdict, found.ours) == ("not run", "–")
    assert found.why == "to run: python -m lithe.run toy (an hour)"
    assert found.paper == "93.5%"


def test_a_missing_record_without_a_command_is_an_error(book, judge) -> None:
    judge("within", 93.5, "tolerance: 0.5")
    path = book / "claims" / "toy.yml"
    lines = path.read_text().splitlines()
    path.write_text("\n".join(x for x in lines if "command:" not in x and "cost:" not in x))
    with pytest.raises(ledger.LedgerError, match=r"toy\.table\.accuracy: no record for toy/method"):
        ledger.verdicts()


def test_a_field_that_no_record_has_is_an_error(put, judge) -> None:
    put("toy/method/small", 0, loss=1.0)
    with pytest.raises(ledger.LedgerError, match="no field 'top1'; its metrics are: loss"):
        judge("within", 93.5, "tolerance: 0.5")


def test_two_records_of_one_seed_cannot_be_paired(put, judge) -> None:
    put("toy/method/small", 0, top1=1.0)
    put("toy/method-b/small", 0, top1=1.0)
    with pytest.raises(ledger.LedgerError, match="share it"):
        judge("sign", "positive", measure=AGAINST, records="toy/method*/small/*")


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        (["reproduced", "reproduced"], "reproduced"),
        (["reproduced", "contradicted"], "partly"),
        (["reproduced", "not run"], "partly"),
        (["not reproduced", "partly"], "partly"),
        (["contradicted", "not reproduced"], "contradicted"),
        (["contradicted", "not run"], "contradicted"),
        (["not reproduced", "not run"], "not reproduced"),
        (["not run", "not run"], "not run"),
    ],
)
def test_parts_combine_to_one_verdict(words: list[str], verdict: str) -> None:
    assert combine(words) == verdict
    assert combine(words[::-1]) == verdict
