"""Requests that make no sense are refused where they enter, and say what would be right."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lithe import channels

X = torch.zeros(1, 3, 8, 8)


class Cat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 6, 3), nn.Conv2d(3, 6, 3)
        self.c, self.d = nn.Conv2d(12, 4, 3, groups=2), nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.d(self.c(torch.cat([self.a(x), self.b(x)], 1)))


class Sum(Cat):
    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Conv2d(6, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.d(self.c(self.a(x) + self.b(x)))


@pytest.mark.parametrize(
    ("indices", "message"),
    [
        ([], "no channel is kept; keep at least one of its 6"),
        ([0, 6], "index 6 is not one of 0..5"),
        ([-1], "index -1 is not one of 0..5"),
        ([2, 3, 2], "index 2 is given twice"),
        ([[0, 1]], "must be one list"),
        (3, "must be one list"),
    ],
)
def test_indices_are_checked(indices, message):
    with pytest.raises(channels.UncuttableError, match=message):
        channels.keep(Sum(), {"a": indices}, X)


@pytest.mark.parametrize("indices", [[0.0, 1.0], torch.ones(6, dtype=torch.bool), torch.rand(2)])
def test_indices_must_be_integers(indices):
    with pytest.raises(TypeError, match="`a`: indices must be integers"):
        channels.keep(Sum(), {"a": indices}, X)


def test_unknown_names_are_listed():
    with pytest.raises(KeyError, match=r"no convolution or linear layer `e`.*there are"):
        channels.keep(Sum(), {"e": [0]}, X)


def test_conflicting_requests_name_both():
    graph = channels.trace(Sum(), X)
    with pytest.raises(channels.UncuttableError, match="`a` keeps channel 2, which `b` drops"):
        channels.keep(graph, {"a": [1, 2], "b": [0, 1]})
    with pytest.raises(channels.UncuttableError, match="`a` and `b` share a width"):
        channels.permute(graph, {"a": [1, 0, 2, 3, 4, 5], "b": [0, 1, 2, 3, 5, 4]})
    same = channels.keep(graph, {"a": [4, 1], "b": [4, 1]})
    assert torch.equal(same.c.weight, graph.model.c.weight[:, [4, 1]])


def test_orders_must_be_whole():
    with pytest.raises(channels.UncuttableError, match="lists all its 6 channels once, got 2"):
        channels.permute(Sum(), {"a": [1, 0]}, X)
    with pytest.raises(channels.UncuttableError, match="given twice"):
        channels.permute(Sum(), {"a": [1, 0, 0, 2, 3, 4]}, X)


def test_blocks_are_whole_or_absent():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.PixelShuffle(2), nn.Conv2d(2, 2, 1))
    with pytest.raises(channels.UncuttableError, match=r"channels \[4, 5, 6, 7\] go together"):
        channels.keep(model, {"0": [0, 1, 2, 3, 4]}, X)
    with pytest.raises(channels.UncuttableError, match="must keep their order"):
        channels.permute(model, {"0": [1, 0, 2, 3, 4, 5, 6, 7]}, X)
    assert channels.keep(model, {"0": [4, 5, 6, 7]}, X)[2].in_channels == 1


def test_groups_stay_equal():
    graph = channels.trace(Cat(), X)
    assert graph.group_of("a").producers == {"a": 6, "b": 6}  # one is as wide as the other
    with pytest.raises(channels.UncuttableError, match=r"`c` would keep \[4, 6\] inputs"):
        channels.keep(graph, {"a": [0, 1, 2, 3]})
    smaller = channels.keep(graph, {"a": [0, 3], "b": [5, 1], "c": [1, 2]})
    assert (smaller.c.groups, tuple(smaller.c.weight.shape)) == (2, (2, 2, 3, 3))


def test_whole_groups_may_go(oracle):
    model = oracle.randomise(
        nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 12, 3, groups=4), nn.Conv2d(12, 2, 1))
    )
    request = {"0": [2, 3, 4, 6], "1": [3, 4, 6, 7, 10, 11]}
    with pytest.raises(channels.UncuttableError, match=r"\[0, 2, 1, 1\] inputs and \[0, 2, 2, 2\]"):
        channels.keep(model, request, X)
    request = {"0": [2, 3, 6, 7], "1": [3, 4, 10, 11]}
    smaller = channels.keep(model, request, X)
    x = torch.randn(2, 3, 8, 8, generator=oracle.generator(0))
    assert smaller[1].groups == 2
    oracle.close(smaller(x), channels.masked(model, request, X)(x))


def test_emptied_tensors_are_named():
    class Halves(Cat):
        def __init__(self) -> None:
            super().__init__()
            self.c, self.e = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            left, right = self.a(x).chunk(2, 1)
            return self.d(self.c(left) + self.e(right))

    with pytest.raises(channels.UncuttableError, match="`getitem_1` without any channel"):
        channels.keep(Halves(), {"a": [0, 1, 2]}, X)


def test_example_is_needed_and_checked():
    with pytest.raises(TypeError, match="example"):
        channels.keep(Sum(), {"a": [0]})
    with pytest.raises(TypeError, match="example"):
        channels.permute(Sum(), {"a": [0]})
    with pytest.raises(TypeError, match="got list"):
        channels.trace(Sum(), [1, 3, 8, 8])
    with pytest.raises(ValueError, match=r"does not run on an example of shape \[\(1, 4, 8, 8\)\]"):
        channels.trace(Sum(), torch.zeros(1, 4, 8, 8))
