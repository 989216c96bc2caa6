"""What it means for a cut to be right, shared by all tests of the channel graph."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lithe import channels

TOLERANCE = 1e-5  # relative to the output's spread: float32 sums in another order
WEIGHTED = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Linear)


class Oracle:
    """Random weights, random requests, and the equalities that must hold."""

    def generator(self, seed: int) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    def randomise(self, model: nn.Module, seed: int = 0) -> nn.Module:
        """He-like weights, and norms whose shifts and statistics matter, in eval mode."""
        generator = self.generator(seed)
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.ndim > 1 and name.endswith("weight"):
                parameter.data = noise * (2 / parameter[0].numel()) ** 0.5
            else:
                parameter.data = 0.7 + 0.3 * noise if "weight" in name else 0.3 * noise
        for module in model.modules():
            if getattr(module, "running_mean", None) is not None:
                shape = module.running_mean.shape
                module.running_mean.copy_(0.3 * torch.randn(shape, generator=generator))
                module.running_var.copy_(0.5 + torch.rand(shape, generator=generator))
                module.num_batches_tracked.zero_()
            if type(module).__name__ == "CNBlock":
                nn.init.constant_(module.layer_scale, 0.5)
        self.settle(model)
        return model.eval()

    def settle(self, model: nn.Module) -> None:
        """Scale the last norm of every residual branch down, so that deep sums stay tame."""
        for module in model.modules():
            for name in ("bn3", "bn2"):
                if hasattr(module, name) and hasattr(module, "downsample"):
                    getattr(module, name).weight.data *= 0.3
                    break

    def request(
        self, graph: channels.ChannelGraph, generator: torch.Generator, every: bool = True
    ) -> dict[str, Tensor]:
        """Random index sets for all cuttable groups, named by a random member of each."""
        request = {}
        for group in graph.groups():
            if not group.cuttable:
                continue
            names = list(group.producers)
            name = names[int(torch.randint(len(names), (1,), generator=generator))]
            width = group.producers[name]
            share = 0.35 + 0.6 * float(torch.rand(1, generator=generator))
            scores = torch.rand(width, generator=generator)
            request[name] = graph.select(name, scores, max(1, int(share * width)))
            if not every:
                break
        return request

    def order(self, graph: channels.ChannelGraph, name: str, generator: torch.Generator) -> Tensor:
        """A random order of a layer's channels that keeps blocks together and cells apart."""
        labels, cells = graph.labels(name), graph.cells(name)
        order = torch.arange(len(labels))
        for cell in cells.unique():
            inside = labels[cells == cell].unique()
            sizes = torch.stack([(labels == label).sum() for label in inside])
            for size in sizes.unique():
                same = inside[sizes == size]
                mixed = same[torch.randperm(len(same), generator=generator)]
                for slot, take in zip(same, mixed):
                    order[labels == slot] = (labels == take).nonzero()[:, 0]
        return order

    def orders(self, graph: channels.ChannelGraph, generator: torch.Generator) -> dict[str, Tensor]:
        """Random orders, one member of every group that may be reordered."""
        orders = {}
        for group in graph.groups():
            name = next(iter(group.producers))
            if graph.classes.pinned(graph.labels(name), move=True) is None:
                orders[name] = self.order(graph, name, generator)
        return orders

    def close(self, ours: Tensor, theirs: Tensor) -> None:
        ours, theirs = ours.detach(), theirs.detach()
        spread = float(theirs.std())
        assert spread > 1e-2, "outputs are all alike: this comparison cannot fail"
        assert float((ours - theirs).abs().max()) <= TOLERANCE * max(spread, 1.0)

    def hooked(self, model: nn.Module, plan: channels.Plan, x: Tensor) -> Tensor:
        """Output of the model itself, each mixing layer's dropped inputs zeroed by a hook.

        A second twin that shares no code with ``masked``: it runs the model's own forward and
        knows the plan only through ``inputs``.
        """
        hooks = []
        for name, module in model.named_modules():
            if name in plan.inputs and isinstance(module, WEIGHTED):
                depthwise = getattr(module, "groups", 1) == getattr(module, "in_channels", 0) > 1
                if not depthwise:
                    zeroing = _zeroing(module, plan.inputs[name])
                    hooks.append(module.register_forward_pre_hook(zeroing))
        output = model(x)
        for hook in hooks:
            hook.remove()
        return output

    def check_keep(
        self, model: nn.Module, x: Tensor, seeds: int = 1, native: bool = True
    ) -> channels.ChannelGraph:
        """Compact equals masked equals hooked, on random requests for every cuttable group."""
        example = x[:1]
        graph = channels.trace(model, example)
        for seed in range(seeds):
            request = self.request(graph, self.generator(seed))
            assert request, "nothing can be cut"
            plan = channels.plan(graph, request)
            smaller = plan.apply()
            twin = channels.masked(graph, request)
            with torch.no_grad():
                got, want = smaller.eval()(x), twin(x)
                self.close(got, want)
                if native:
                    self.close(got, self.hooked(model, plan, x))
                assert float((want - model(x)).abs().max()) > 1e-3, "the cut changed nothing"
            assert list(smaller.state_dict()) == list(model.state_dict())
            for name, indices in request.items():
                assert torch.equal(plan.outputs.get(name, indices), indices)
        return graph

    def check_permute(self, model: nn.Module, x: Tensor, seed: int = 0) -> channels.ChannelGraph:
        """Reordered equals original, on random orders for every group that may move."""
        graph = channels.trace(model, x[:1])
        orders = self.orders(graph, self.generator(seed))
        assert any(not torch.equal(o, torch.arange(len(o))) for o in orders.values())
        moved = channels.permute(graph, orders)
        with torch.no_grad():
            self.close(moved(x), model(x))
        before, after = dict(model.named_parameters()), dict(moved.named_parameters())
        assert any(not torch.equal(before[name], after[name]) for name in before)
        return graph


def _zeroing(module: nn.Module, kept: Tensor):
    axis = -1 if isinstance(module, nn.Linear) else -module.weight.ndim + 1

    def hook(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        x = args[0]
        mask = torch.zeros(x.shape[axis]).index_fill(0, kept, 1.0)
        return (x * mask.reshape([-1] + [1] * (-axis - 1)), *args[1:])

    return hook


@pytest.fixture(scope="session")
def oracle() -> Oracle:
    return Oracle()
