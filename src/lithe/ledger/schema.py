"""Claims: what a paper promises, where, and the test that a measurement has to pass."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, field_validator, model_validator

from lithe.ledger.sampling import Aggregate, Compare

__all__ = ["Claim", "ClaimFile", "Claimed", "Measure", "Part", "Test", "ThirdParty"]

Tier = Literal["T0", "T1", "T2", "T3"]
Kind = Literal[
    "equal_after_rounding",
    "within",
    "at_least",
    "at_most",
    "order",
    "ci_contains",
    "sign",
    "equivalent",
]
NEEDS_TOLERANCE = {"within", "ci_contains", "equivalent"}
NEEDS_CONTROL = {"sign", "equivalent"}
SIGNS = {"positive": 1, "negative": -1}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Claimed(_Strict):
    """The value that the paper states: a number, a truth value, a list of names, or words."""

    value: bool | int | FiniteFloat | list[str] | str
    unit: str = ""

    @field_validator("value")
    @classmethod
    def _no_number_in_text(cls, value: Any) -> Any:
        if isinstance(value, str) and re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", value, re.I):
            raise ValueError(f"{value!r} is text to YAML: write a number, e.g. 1.0e-3")
        return value


class Measure(_Strict):
    """Which number of which records answers the claim; see :func:`lithe.ledger.sampling.gather`."""

    records: str | list[str]
    field: str
    against: str | None = None
    against_field: str | None = None
    compare: Compare = "difference"
    aggregate: Aggregate = "mean"
    scale: FiniteFloat = 1.0

    @field_validator("records", "against")
    @classmethod
    def _are_ids(cls, value: Any) -> Any:
        for pattern in value if isinstance(value, list) else [value]:
            if pattern is not None and len(pattern.split("/")) != 4:
                raise ValueError(f"a record is paper/experiment/profile/seed, got {pattern!r}")
        return value

    @property
    def patterns(self) -> list[str]:
        """All record ids and globs, the control's included."""
        own = self.records if isinstance(self.records, list) else [self.records]
        return [*own, self.against] if self.against else own


class Test(_Strict):
    """The kind of comparison, how far off is near enough, and why that far.

    ``decimals`` is how many the paper prints; ``equal_after_rounding`` rounds to them.
    """

    __test__ = False  # not a test case, whatever pytest thinks of the name

    kind: Kind
    tolerance: FiniteFloat | None = Field(default=None, ge=0)
    decimals: int | None = Field(default=None, ge=0, le=9)
    reason: str = Field(min_length=10)


class Part(_Strict):
    """One comparison: what is claimed, what measures it, and the test."""

    name: str = ""
    claimed: Claimed
    measure: Measure
    test: Test

    @model_validator(mode="after")
    def _fits(self) -> Part:
        problem = _misfit(self.claimed.value, self.measure, self.test)
        if problem:
            raise ValueError(f"test {self.test.kind}: {problem}")
        return self


class ThirdParty(_Strict):
    """What somebody else got for the same claim."""

    source: str
    value: str
    note: str = ""


class Claim(_Strict):
    """One row of the ledger. Its verdict is computed; there is no field to type one into."""

    id: str = Field(pattern=r"^[a-z0-9]+(\.[a-z0-9][a-z0-9-]*){2}$")
    tier: Tier
    where: str = Field(min_length=3)
    says: str = Field(min_length=10)
    claimed: Claimed | None = None
    measure: Measure | None = None
    test: Test | None = None
    parts: list[Part] | None = Field(default=None, min_length=2)
    training: bool | None = None
    control: str | None = Field(default=None, min_length=5)
    third_party: list[ThirdParty] = []
    command: str | None = Field(default=None, min_length=5)
    cost: str | None = Field(default=None, min_length=2)
    blocked: str | None = Field(default=None, min_length=10)
    deviation: str | None = Field(default=None, pattern=r"^D\d+$")
    note: str = ""

    @model_validator(mode="after")
    def _whole(self) -> Claim:
        problem = _incomplete(self) or _wrong_profile(self)
        if problem:
            raise ValueError(problem)
        return self

    @property
    def comparisons(self) -> list[Part]:
        """The parts; a claim of one part has one without a name, a blocked claim has none."""
        if self.parts:
            return self.parts
        if self.measure is None or self.claimed is None or self.test is None:
            return []
        return [Part(claimed=self.claimed, measure=self.measure, test=self.test)]

    @property
    def paper(self) -> str:
        """The paper's key, the first part of the id."""
        return self.id.partition(".")[0]

    @property
    def anchor(self) -> str:
        """The id of the claim's row in the built book."""
        return "claim-" + self.id.replace(".", "-")


class ClaimFile(_Strict):
    """A ``claims/<paper>.yml``."""

    paper: str
    title: str
    cite: str
    claims: list[Claim]

    @model_validator(mode="after")
    def _ids(self) -> ClaimFile:
        seen: set[str] = set()
        for claim in self.claims:
            if claim.paper != self.paper:
                raise ValueError(f"claim {claim.id} is not one of {self.paper!r}")
            if claim.id in seen:
                raise ValueError(f"claim {claim.id} stands here twice")
            seen.add(claim.id)
        return self


def _misfit(value: Any, measure: Measure, test: Test) -> str | None:
    """Why this claimed value cannot be put to this test, or None."""
    numeric = isinstance(value, int | float)
    if test.kind in NEEDS_TOLERANCE and test.tolerance is None:
        return "needs a tolerance"
    if test.kind in NEEDS_CONTROL and measure.against is None:
        return "needs measure.against, the control"
    if test.kind == "sign":
        return None if value in SIGNS else "the claimed value is positive or negative"
    if test.kind == "order":
        return _misfit_order(value, measure)
    if isinstance(measure.records, list):
        return "takes one record id or glob; only order takes a list"
    if not numeric:
        return f"needs a number or a truth value, got {value!r}"
    if test.kind == "equal_after_rounding" and not isinstance(value, bool):
        return "needs decimals: the digits that the paper prints" if test.decimals is None else None
    truth = isinstance(value, bool) and test.kind != "equal_after_rounding"
    return "cannot judge a truth value" if truth else None


def _misfit_order(value: Any, measure: Measure) -> str | None:
    if not isinstance(value, list) or len(value) < 2:
        return "the claimed value is a list of names, best first"
    if not isinstance(measure.records, list) or len(measure.records) != len(value):
        return f"needs one entry of measure.records for each of the {len(value)} names"
    return "has no control" if measure.against else None


def _incomplete(claim: Claim) -> str | None:
    single = [claim.claimed, claim.measure, claim.test]
    if claim.parts and any(single):
        return "give parts, or claimed, measure and test, not both"
    if not claim.parts and not all(single) and not (claim.blocked and claim.claimed):
        return "needs claimed, measure and test (or parts, or claimed and blocked)"
    trains = claim.tier in ("T1", "T2") if claim.training is None else claim.training
    if trains and not claim.control and not claim.blocked:
        return "control: a training claim names the run that it is compared with"
    if bool(claim.command) != bool(claim.cost):
        return "command and cost come together"
    return "blocked claims have no command" if claim.blocked and claim.command else None


def _wrong_profile(claim: Claim) -> str | None:
    """A small run cannot answer for the paper's own training run, nor a smoke run for anything."""
    for part in claim.comparisons:
        for pattern in part.measure.patterns:
            profile = pattern.split("/")[2]
            if claim.tier == "T2" and profile != "full":
                return f"a T2 claim is measured by full records alone, not by {pattern!r}"
            if profile not in ("small", "full"):
                return f"only small and full records answer a claim, not {pattern!r}"
    return None
