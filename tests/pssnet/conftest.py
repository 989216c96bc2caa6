"""The small networks of this folder, as fixtures."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch

from lithe.pssnet.elastic import elastic


@pytest.fixture(scope="session")
def elastic_networks() -> ModuleType:
    """The module of small networks beside this file."""
    path = Path(__file__).with_name("elastic_networks.py")
    spec = importlib.util.spec_from_file_location("elastic_networks", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def supernet_of(elastic_networks):
    """``supernet_of(name, **options)``: supernet and space of a small network."""

    def make(name: str, **options):
        options = {"ratios": (0.5, 1.0), "divisor": 4} | options
        sides = {"resolutions": (8, 12)} if name not in ("flat",) else {}
        return elastic(elastic_networks.made(name), elastic_networks.images(1), **sides | options)

    return make


@pytest.fixture
def drawn():
    """``drawn(space, n)``: the largest, the smallest and ``n`` random subnets."""

    def draw(space, n: int = 3, seed: int = 0):
        generator = torch.Generator().manual_seed(seed)
        return [space.largest(), space.smallest(), *(space.sample(generator) for _ in range(n))]

    return draw
