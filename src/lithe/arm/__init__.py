"""ARM: any-time super-resolution, routed patch by patch.

Written from the method's description (``ARM spec`` in the docstrings). Symbols: ``j`` branches
(0 is interpolation), ``e`` edge score, ``K`` bins, ``P_j`` predicted quality, ``C_j`` cost,
``eta`` cost that one unit of quality is worth.
"""

from lithe.arm.branches import Branches, Interpolation, Mixed
from lithe.arm.budget import BudgetError, allocate
from lithe.arm.calibrate import HeldOut, Patches, calibrate, held_out, measure, to_uint8
from lithe.arm.carn import CARN
from lithe.arm.choose import choose, choose_all, eta_for
from lithe.arm.controls import by_score, chord, oracle, random_routes, shuffled
from lithe.arm.cost import mean_cost, overlap_overhead, released_operations, released_rows
from lithe.arm.degrade import PHOTOS, cut_starts, degrade, photographs
from lithe.arm.edge import SCORES, edge_score, edge_scores
from lithe.arm.fsrcnn import FSRCNN
from lithe.arm.hull import upper_hull
from lithe.arm.imresize import imresize
from lithe.arm.metrics import luma, mse, psnr, psnr_of, ssim
from lithe.arm.official import load_official, official_table
from lithe.arm.pairs import Pairs, pairs_of
from lithe.arm.sampling import WidthSampling, sampling_probabilities
from lithe.arm.slimmable import Slimmable, slimmable
from lithe.arm.srresnet import SRResNet
from lithe.arm.supernet import Supernet, prefix
from lithe.arm.table import EdgeTable, TableError
from lithe.arm.training import ImageQuality, recipe, train
from lithe.arm.upscaler import Result, Upscaler

__all__ = [
    "CARN",
    "FSRCNN",
    "PHOTOS",
    "SCORES",
    "Branches",
    "BudgetError",
    "EdgeTable",
    "HeldOut",
    "ImageQuality",
    "Interpolation",
    "Mixed",
    "Pairs",
    "Patches",
    "Result",
    "SRResNet",
    "Slimmable",
    "Supernet",
    "TableError",
    "Upscaler",
    "WidthSampling",
    "allocate",
    "by_score",
    "calibrate",
    "choose",
    "choose_all",
    "chord",
    "cut_starts",
    "degrade",
    "edge_score",
    "edge_scores",
    "eta_for",
    "held_out",
    "imresize",
    "load_official",
    "luma",
    "mean_cost",
    "measure",
    "mse",
    "official_table",
    "oracle",
    "overlap_overhead",
    "pairs_of",
    "photographs",
    "prefix",
    "psnr",
    "psnr_of",
    "random_routes",
    "recipe",
    "released_operations",
    "released_rows",
    "sampling_probabilities",
    "shuffled",
    "slimmable",
    "ssim",
    "to_uint8",
    "train",
    "upper_hull",
]
