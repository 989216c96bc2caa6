"""How fast the packed kernels are, beside what they could be and what others are.

Everything here measures on the machine that it runs on. ``python -m lithe.onexn.bench`` is the
whole of it; the chapter calls single pieces.
"""

from lithe.onexn.speed.aims import Bar, Sum, bars, sums
from lithe.onexn.speed.charts import (
    BreakEven,
    Rung,
    break_even,
    intensity,
    ladder,
    loads_per_fma,
    roofline,
)
from lithe.onexn.speed.layers import Layer, groups, layers_of
from lithe.onexn.speed.limits import Roof, roof
from lithe.onexn.speed.networks import network, photograph
from lithe.onexn.speed.race import Race, Runner, run_race
from lithe.onexn.speed.timing import Times, Way, in_turn
from lithe.onexn.speed.trial import Entry, Trial, try_layer

__all__ = [
    "Bar",
    "BreakEven",
    "Entry",
    "Layer",
    "Race",
    "Roof",
    "Rung",
    "Runner",
    "Sum",
    "Times",
    "Trial",
    "Way",
    "bars",
    "break_even",
    "groups",
    "in_turn",
    "intensity",
    "ladder",
    "layers_of",
    "loads_per_fma",
    "network",
    "photograph",
    "roof",
    "roofline",
    "run_race",
    "sums",
    "try_layer",
]
