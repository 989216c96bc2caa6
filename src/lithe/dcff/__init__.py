"""DCFF: train a compact network whose filters are mixtures of a larger pool.

Written from the method's description (``DCFF spec`` in the docstrings); symbols: ``n`` filters of
a convolution, ``m`` kept, ``D`` distances, ``T`` inverse temperature, ``P`` proxies, ``s`` scores,
``R`` mixing rows, ``F = R W`` fused filters.
"""

from lithe.dcff.compact import compact, plain
from lithe.dcff.configs import PAPER_CONFIGS, PaperConfig, paper_model
from lithe.dcff.convert import Conversion, convert
from lithe.dcff.coupling import Coupling
from lithe.dcff.diagnostics import LayerReport
from lithe.dcff.fused import FusedConv2d
from lithe.dcff.policy import INTENDED, RELEASED, Policy, policy_for
from lithe.dcff.proxy import log_proxy, pairwise_distance
from lithe.dcff.rates import kept, rounding_hazards, widths
from lithe.dcff.refresh import fused_layers, refresh
from lithe.dcff.released import released_kl_matrix, released_proxy, released_scores
from lithe.dcff.schedule import inverse_temperature
from lithe.dcff.score import (
    kl_matrix,
    kl_scores,
    l1_norms,
    l2_norms,
    random_scores,
    total_distances,
)
from lithe.dcff.select import select

__all__ = [
    "INTENDED",
    "PAPER_CONFIGS",
    "RELEASED",
    "Conversion",
    "Coupling",
    "FusedConv2d",
    "LayerReport",
    "PaperConfig",
    "Policy",
    "compact",
    "convert",
    "fused_layers",
    "inverse_temperature",
    "kept",
    "kl_matrix",
    "kl_scores",
    "l1_norms",
    "l2_norms",
    "log_proxy",
    "pairwise_distance",
    "paper_model",
    "plain",
    "policy_for",
    "random_scores",
    "refresh",
    "released_kl_matrix",
    "released_proxy",
    "released_scores",
    "rounding_hazards",
    "select",
    "total_distances",
    "widths",
]
