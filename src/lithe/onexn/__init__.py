"""1xN: pruning in blocks of ``n`` filters by one input channel.

Written from the method's description (``1xN spec`` in the docstrings); symbols: ``o`` filters,
``i`` input channels, ``n`` filters per block, ``p`` the share of blocks to drop, ``r`` rows of
blocks, ``b`` blocks that stay.
"""

from lithe.onexn.baselines import filter_mask, kernel_mask, random_block_mask, weight_mask
from lithe.onexn.eligible import eligible
from lithe.onexn.engine import PackedNetwork, PackReport, pack
from lithe.onexn.grid import Grid
from lithe.onexn.masked import MaskedConv2d, MaskedLinear, finalise, hold, masked_layers
from lithe.onexn.moving import move_filters
from lithe.onexn.packed import PackedWeight, pack_weight
from lithe.onexn.packed_layers import PackedConv2d, PackedLinear, packed_layers
from lithe.onexn.pattern import block_mask, block_masks
from lithe.onexn.prune import PrunedLayer, Pruning, prune, tighten
from lithe.onexn.rearrange import rearrangement
from lithe.onexn.saving import compress, load, save
from lithe.onexn.schedule import cubic_sparsity
from lithe.onexn.storage import Storage, storage

__all__ = [
    "Grid",
    "MaskedConv2d",
    "MaskedLinear",
    "PackReport",
    "PackedConv2d",
    "PackedLinear",
    "PackedNetwork",
    "PackedWeight",
    "PrunedLayer",
    "Pruning",
    "Storage",
    "block_mask",
    "block_masks",
    "compress",
    "cubic_sparsity",
    "eligible",
    "filter_mask",
    "finalise",
    "hold",
    "kernel_mask",
    "load",
    "masked_layers",
    "move_filters",
    "pack",
    "pack_weight",
    "packed_layers",
    "prune",
    "random_block_mask",
    "rearrangement",
    "save",
    "storage",
    "tighten",
    "weight_mask",
]
