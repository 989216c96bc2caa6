"""Threads that share every step of a network, again and again."""

from __future__ import annotations

import copy
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from lithe import onexn

REPEATS = 200


class Blocks(nn.Module):
    """One of everything that kernels compute: steps of many sizes, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, 2, 1)
        self.grow = nn.Conv2d(16, 48, 1)
        self.spread = nn.Conv2d(48, 48, 3, 1, 1, groups=48)
        self.shrink = nn.Conv2d(48, 16, 1)
        self.down = nn.Conv2d(16, 16, 3, 2, 1, groups=16)
        self.wide = nn.Conv2d(16, 24, 3, 1, 1)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.last = nn.Linear(24, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        x = x + self.shrink(torch.relu(self.spread(nn.functional.relu6(self.grow(x)))))
        x = self.pool(torch.relu(self.wide(self.down(x))))
        return self.last(x.mean((2, 3)))


@pytest.fixture
def blocks(generator) -> tuple[nn.Module, torch.Tensor]:
    model = Blocks().eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator) * 0.3)
    image = torch.randn(1, 3, 36, 28, generator=generator)
    return onexn.prune(model, 4, 0.5, example=image), image


@pytest.mark.parametrize("threads", [2, 4])
def test_every_run_of_a_network_gives_the_same_bits(threads, blocks, kit):
    model, image = blocks
    packed = onexn.pack(copy.deepcopy(model), image, threads=threads, tune=False)
    images = [image * scale for scale in (1.0, -0.5)]
    with torch.no_grad():
        wanted = [model(own) for own in images]
        first = [packed(own).clone() for own in images]
        for ours, torchs in zip(first, wanted):
            kit.agree(ours, torchs)
        # Two images in turn: a step that ran too early would find what the other one left.
        for turn in range(REPEATS):
            assert torch.equal(packed(images[turn % 2]), first[turn % 2]), turn


def test_one_thread_and_two_give_the_same_bits(blocks):
    model, image = blocks
    one, two = (onexn.pack(copy.deepcopy(model), image, threads=t, tune=False) for t in (1, 2))
    with torch.no_grad():
        assert torch.equal(one(image), two(image))


def test_every_kernel_of_the_network_is_native(blocks):
    model, image = blocks
    packed = onexn.pack(model, image, threads=2, tune=False)
    assert packed.report.runs == "packed"
    assert {row.kind for row in packed.report.layers} == {"packed"}
    assert os.environ.get("LITHE_KERNELS", "native") != "reference"


def test_torch_keeps_its_number_of_threads_and_a_forked_child_computes_the_same():
    code = """
import os, torch
torch.set_num_threads(1)
from lithe.onexn import kernels, program
from lithe.onexn.packed import pack_weight
torch.manual_seed(0)
weight = torch.randn(32, 16, 1, 1)
x, y = program.Plane(0, 16, 40, 40), program.Plane(1, 32, 40, 40)
steps = (program.Conv(x, y, pack_weight(weight, weight != 0, 4)),)
shapes, offsets = ((16, 40, 40), (32, 40, 40)), (0, 16 * 1600)
plan = program.Program(steps, shapes, offsets, 48 * 1600, (x,), (y,))
image = torch.randn(1, 16, 40, 40)
native = kernels.NativeProgram(plan, threads=2)
assert torch.get_num_threads() == 1
(first,) = native.run(image)
assert torch.get_num_threads() == 1
child = os.fork()
if child == 0:
    os._exit(not torch.equal(native.run(image)[0], first))
assert os.waitpid(child, 0)[1] == 0
assert torch.allclose(first, torch.nn.functional.conv2d(image, weight), rtol=1e-4, atol=1e-4)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
