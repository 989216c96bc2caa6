"""From a network to a program of packed kernels, and back to something that is called.

The way of a network: :mod:`graph` follows it, :mod:`inplace` and :mod:`folding` simplify what
was followed, :mod:`lowering` writes the program with buffers laid out by :mod:`memory`,
:mod:`choice` keeps torch where torch is faster, :mod:`network` runs what came of it.
"""

from lithe.onexn.engine.lowering import NotLowered, lower
from lithe.onexn.engine.network import PackedNetwork, pack
from lithe.onexn.engine.reference import ReferenceProgram
from lithe.onexn.engine.report import PackReport

__all__ = ["NotLowered", "PackReport", "PackedNetwork", "ReferenceProgram", "lower", "pack"]
