"""What it means for a packed network to be right, shared by the tests of the engine."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lithe.onexn.engine import PackedNetwork, ReferenceProgram, lower, pack
from lithe.onexn.engine.executor import native

TOLERANCE = 1e-5  # relative to the largest output: float32 sums in another order


class Judge:
    """Random weights, and the equalities that must hold."""

    def generator(self, seed: int = 0) -> torch.Generator:
        return torch.Generator().manual_seed(seed)

    def randomise(self, model: nn.Module, seed: int = 0) -> nn.Module:
        """Weights that keep values of order one, norms whose statistics matter; eval mode."""
        generator = self.generator(seed)
        for parameter in model.parameters():
            fan = parameter[0].numel() if parameter.ndim > 1 else 4
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.data = noise * (2 / fan) ** 0.5
        for module in model.modules():
            if getattr(module, "running_mean", None) is not None:
                shape = module.running_mean.shape
                if module.weight is not None:
                    module.weight.data = 0.5 + torch.rand(shape, generator=generator)
                module.running_mean.copy_(0.3 * torch.randn(shape, generator=generator))
                module.running_var.copy_(0.5 + torch.rand(shape, generator=generator))
        return model.eval()

    def images(self, *shape: int, seed: int = 7) -> Tensor:
        return torch.randn(*shape, generator=self.generator(seed))

    def close(self, ours: object, theirs: object, tolerance: float = TOLERANCE) -> None:
        ours, theirs = (torch.utils._pytree.tree_flatten(x) for x in (ours, theirs))
        assert ours[1] == theirs[1]
        for one, other in zip(ours[0], theirs[0], strict=True):
            assert one.shape == other.shape
            assert one.isfinite().all()
            assert (one - other).abs().max() <= tolerance * other.abs().max().clamp(min=1e-3)

    def agrees(
        self, model: nn.Module, *inputs: Tensor, graph: bool = True, tolerance: float = TOLERANCE
    ) -> PackedNetwork:
        """Graph, reference program and native program all compute what the model does.

        ``graph=False`` leaves the graph out: layer by layer it takes longest.
        """
        with torch.no_grad():
            wanted = model(*(x.clone() for x in inputs))
        packed = pack(model, inputs, threads=1, tune=False)
        assert packed.report.runs == "packed", packed.report.why
        if graph:
            with torch.no_grad():
                self.close(packed.network(*inputs), wanted, tolerance)
        before = [x.clone() for x in inputs]
        self.close(self.by_reference(packed, *inputs), wanted, tolerance)
        if native():
            self.close(packed(*inputs), wanted, tolerance)
            self.close(packed(*inputs), wanted, tolerance)  # nothing is left behind by a call
        assert all(torch.equal(x, y) for x, y in zip(inputs, before))
        return packed

    def by_reference(self, packed: PackedNetwork, *inputs: Tensor) -> object:
        lowered = packed._ready(tuple(tuple(x.shape) for x in inputs))[0].lowered
        outputs = ReferenceProgram(lowered.program, lowered.batch).run(*inputs)
        shaped = [y.reshape(shape) for y, shape in zip(outputs, lowered.shapes)]
        return lowered.assemble(shaped)


@pytest.fixture(scope="session")
def judge() -> Judge:
    return Judge()


@pytest.fixture
def counted() -> Callable[[PackedNetwork], dict[str, int]]:
    """How many steps of each kind a packed network has."""

    def count(packed: PackedNetwork) -> dict[str, int]:
        inputs = tuple(torch.zeros(shape) for shape in packed.shapes)
        steps = [type(step).__name__ for step in lower(packed.network, inputs).program.steps]
        return {kind: steps.count(kind) for kind in set(steps)}

    return count
