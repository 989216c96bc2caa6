"""PSS-Net: one set of weights, a good subnet for every budget.

Written from the method's description (``PSS-Net spec`` in the docstrings). A :class:`Subnet` is a
resolution and the active channels of every free width; a :class:`Space` is all of them.
"""

from lithe.pssnet.bandit import VARIANTS, Game, Outcome, play
from lithe.pssnet.bias import Bias, Spread, bias, spread
from lithe.pssnet.block import Block, Slot, Term
from lithe.pssnet.budget import PAPER_BUDGETS, Budget
from lithe.pssnet.choice import Choice, Policy
from lithe.pssnet.costs import Costs
from lithe.pssnet.curves import Difference, difference, envelope, hypervolume
from lithe.pssnet.deploy import Deployed
from lithe.pssnet.elastic import elastic
from lithe.pssnet.exact import EmptyBinError, ExactSampler, sample_at
from lithe.pssnet.losses import distillation_loss, performance
from lithe.pssnet.mobilenet import RatioSpace, mobilenet_v1_space, mobilenet_v2_space
from lithe.pssnet.policies import POLICIES, policy
from lithe.pssnet.pooled import PooledPolicy, Settings
from lithe.pssnet.pools import Change, Pool
from lithe.pssnet.priority import effective_size, priority
from lithe.pssnet.published import LowEnd, Published
from lithe.pssnet.released import Draw, ReleasedSampler
from lithe.pssnet.rounding import make_divisible, round_to_grid, snap_resolution
from lithe.pssnet.schedule import anneal
from lithe.pssnet.space import Space, Subnet, TooCoupledError
from lithe.pssnet.table import LatencyTable, MissingEntryError
from lithe.pssnet.uniform import UniformPolicy

__all__ = [
    "PAPER_BUDGETS",
    "POLICIES",
    "VARIANTS",
    "Bias",
    "Block",
    "Budget",
    "Change",
    "Choice",
    "Costs",
    "Deployed",
    "Difference",
    "Draw",
    "EmptyBinError",
    "ExactSampler",
    "Game",
    "LatencyTable",
    "LowEnd",
    "MissingEntryError",
    "Outcome",
    "Policy",
    "Pool",
    "PooledPolicy",
    "Published",
    "RatioSpace",
    "ReleasedSampler",
    "Settings",
    "Slot",
    "Space",
    "Spread",
    "Subnet",
    "Term",
    "TooCoupledError",
    "UniformPolicy",
    "anneal",
    "bias",
    "difference",
    "distillation_loss",
    "effective_size",
    "elastic",
    "envelope",
    "hypervolume",
    "make_divisible",
    "mobilenet_v1_space",
    "mobilenet_v2_space",
    "performance",
    "play",
    "policy",
    "priority",
    "round_to_grid",
    "sample_at",
    "snap_resolution",
    "spread",
]
