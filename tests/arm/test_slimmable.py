"""Networks of one's own made slimmable through the channel graph."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lithe import arm, channels
from lithe.arm.slimmable import width_request


class Skipping(nn.Module):
    """Residual blocks with a long skip, a concatenation and a pixel shuffle."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.one, self.two = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.fuse = nn.Conv2d(2 * width, width, 1)
        self.up = nn.Conv2d(width, 4 * width, 3, padding=1)
        self.tail = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.head(x)
        z = y + self.two(torch.relu(self.one(y)))
        z = self.fuse(torch.cat([y, z], 1))
        return self.tail(nn.functional.pixel_shuffle(self.up(z), 2))


EXAMPLE = torch.rand(1, 3, 12, 10, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
@pytest.mark.parametrize("net", [Skipping(), arm.CARN(16), arm.SRResNet(8, 1), arm.FSRCNN(8)])
def test_a_width_is_the_network_cut_by_the_channel_graph(net):
    branches = arm.slimmable(net, EXAMPLE, (0.25, 0.5, 1))
    for index, share in ((1, 0.25), (2, 0.5)):
        request = width_request(channels.trace(net, EXAMPLE), share)
        cut = channels.keep(net, request, EXAMPLE)
        assert torch.allclose(branches(EXAMPLE, index), cut(EXAMPLE), atol=1e-6)
        assert torch.allclose(branches.branch(index)(EXAMPLE), cut(EXAMPLE), atol=1e-6)
    assert torch.equal(branches(EXAMPLE, 3), net(EXAMPLE))
    costs = branches.costs()
    assert costs == sorted(set(costs))
    assert costs[1] < 0.3 * costs[3]


def test_all_widths_share_the_weights_and_train_them():
    net = Skipping()
    branches = arm.slimmable(net, EXAMPLE, (0.5, 1))
    assert {id(p) for p in branches.parameters()} == {id(p) for p in net.parameters()}
    branches(EXAMPLE, 1).abs().sum().backward()
    assert net.head.weight.grad[:4].abs().sum() > 0
    assert net.head.weight.grad[4:].abs().sum() == 0
    fused = net.fuse.weight.grad.abs().sum((2, 3)) > 0  # aligned: 4 of the first 8, 4 of the rest
    assert fused[:4, [0, 1, 2, 3, 8, 9, 10, 11]].all()
    assert not fused[:, [4, 5, 6, 7, 12, 13, 14, 15]].any()
    with torch.no_grad():
        before = branches(EXAMPLE, 1)
        net.head.weight.add_(1)
        assert not torch.allclose(branches(EXAMPLE, 1), before)


def test_what_cannot_be_made_slimmable_is_refused():
    normed = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Conv2d(8, 3, 1))
    with pytest.raises(ValueError, match="`1` keeps running statistics"):
        arm.slimmable(normed, EXAMPLE)
    with pytest.raises(ValueError, match="can be left out"):
        arm.slimmable(nn.Conv2d(3, 3, 3, padding=1), EXAMPLE)
    with pytest.raises(ValueError, match="rising shares"):
        arm.slimmable(Skipping(), EXAMPLE, (0.5, 0.75))
    with pytest.raises(ValueError, match="whole number"):
        arm.slimmable(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 3, 1)), EXAMPLE)
