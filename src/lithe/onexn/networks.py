"""The paper's networks, and which of their layers it prunes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from lithe import zoo
from lithe.vision import torchvision

__all__ = ["NETWORKS", "Network", "build"]


@dataclass(frozen=True)
class Network:
    """A network of the paper.

    Attributes:
        says: its name in print.
        make: builds it with 1000 classes; the names in its state dict are torchvision's, where
            torchvision has it.
        skip: layers left dense besides those that the rule leaves out: MobileNet-V3 ends in two
            linear layers, and neither is pruned.
        released_too: layers that the released code prunes though it means not to.
    """

    says: str
    make: Callable[[], nn.Module]
    skip: tuple[str, ...] = ()
    released_too: tuple[str, ...] = ()


#: Source: 1xN spec A3.
NETWORKS: dict[str, Network] = {
    "mobilenet_v1": Network("MobileNet-V1", lambda: zoo.mobilenet_v1()),
    "mobilenet_v2": Network("MobileNet-V2", lambda: torchvision().models.mobilenet_v2()),
    "mobilenet_v3_small": Network(
        "MobileNet-V3-small",
        lambda: torchvision().models.mobilenet_v3_small(),
        skip=("classifier.0",),
    ),
    "mobilenet_v3_large": Network(
        "MobileNet-V3-large",
        lambda: torchvision().models.mobilenet_v3_large(),
        skip=("classifier.0",),
    ),
    "resnet50": Network("ResNet-50", lambda: zoo.resnet50(), released_too=("fc",)),
}


def build(key: str) -> nn.Module:
    """One of the paper's networks, weights drawn from torch's global generator.

    Args:
        key: a key of ``NETWORKS``.

    Raises:
        KeyError: no such network.
    """
    if key not in NETWORKS:
        raise KeyError(f"no network {key!r}; there are: {', '.join(NETWORKS)}")
    return NETWORKS[key].make()
