"""The one door to torchvision: its models, data sets and transforms.

A wheel of torchvision built against CUDA torch fails to import beside a CPU torch, because
two operators that only detection models need are missing. Everything Lithe uses is pure
Python, so on that one error the two schemas are declared and the import is tried again.
A healthy installation is never touched. ``torchvision.ops`` is never used.
"""

from __future__ import annotations

import sys
from functools import lru_cache
from types import ModuleType

import torch

__all__ = ["torchvision"]

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_kept: list[torch.library.Library] = []  # a schema lives as long as its library object


@lru_cache(maxsize=1)
def torchvision() -> ModuleType:
    """Import torchvision once, declaring its two detection operators where they are missing.

    Returns:
        The ``torchvision`` module, with ``models``, ``datasets`` and ``transforms`` imported.

    Raises:
        ImportError: torchvision is not installed.
    """
    try:
        return _import()
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        library.define(operator + _SCHEMA)
    _kept.append(library)
    return _import()


def _import() -> ModuleType:
    import torchvision.datasets
    import torchvision.models
    import torchvision.transforms

    return torchvision
