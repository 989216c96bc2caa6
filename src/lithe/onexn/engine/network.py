"""A whole network on packed kernels."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import cache, partial
from time import perf_counter
from typing import Any

import torch
from torch import Tensor, fx, nn

from lithe.onexn.engine.choice import (
    DENSE,
    DENSE_LAST,
    PACKED,
    THROUGHOUT,
    Choice,
    choose,
    fastest,
    throughout,
)
from lithe.onexn.engine.dense import DenseNetwork, dense_twin
from lithe.onexn.engine.executor import executor, native
from lithe.onexn.engine.folding import fold, pack_masked
from lithe.onexn.engine.graph import follow
from lithe.onexn.engine.inplace import make_plain
from lithe.onexn.engine.lowering import Lowered, NotLowered, lower, planes_of
from lithe.onexn.engine.report import PackReport, foreign_of, layers_of
from lithe.onexn.engine.shapes import Shapes, check_example, check_inputs, check_kinds, is_plain
from lithe.onexn.packed import PackedWeight
from lithe.onexn.packed_layers import packed_layers
from lithe.onexn.program import Program

__all__ = ["PackedNetwork", "pack"]

#: Input shapes whose programs are kept; each holds buffers and packed weights of its own.
SHAPES = 8
MOST_THREADS = 1024
Run = Callable[[tuple[Tensor, ...]], Any]


def pack(
    model: nn.Module,
    example: Tensor | tuple[Tensor, ...],
    threads: int | None = None,
    *,
    tune: bool = True,
) -> PackedNetwork:
    """Put a whole network on packed kernels, for inference on the CPU.

    The network is followed in eval mode; batch norms, activations and residual sums go into the
    layers before them, concatenations are written side by side, and all buffers lie in one
    arena. What kernels cannot do, torch does in between. Each kind of layer is timed against
    torch's dense one, and the whole against the folded network in torch, both layouts: the
    fastest way is taken, and remembered on this machine.

    Args:
        model: any network that ``torch.fx`` can trace: pruned by :func:`lithe.onexn.prune`, with
            packed layers (:func:`lithe.onexn.load`), or dense. Left as it is.
        example: an input ``(batch, c, h, w)``, or a tuple of inputs; gives the shape that is made
            ready now. Other sizes and batches are made ready when they first come.
        threads: of the kernels; if None, as many as torch uses now.
        tune: time the alternatives. False runs all that can be on the kernels.

    Returns:
        The packed network; ``.report`` says what runs how, and prints as a table.

    Raises:
        TypeError: the example is not of float32 tensors on the CPU.
        ValueError: the model cannot be followed, does not run on the example, has weights other
            than float32 or NaN in kept weights, or ``threads`` is not a positive number.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is a {type(model).__name__}, not a torch.nn.Module")
    inputs = check_example(example)
    if isinstance(model, PackedNetwork):
        model = model.network
    network = follow(model, len(inputs))
    pack_masked(network)
    try:
        make_plain(network)
    except ValueError as error:
        reason = str(error)
    else:
        reason = None
        fold(network, inputs)
    shapes = tuple(tuple(x.shape) for x in inputs)
    return PackedNetwork(network, shapes, threads, tune=tune, by_torch=reason)


class PackedNetwork(nn.Module):
    """A network that runs as a program of packed kernels; made by :func:`pack`.

    It is for inference: it stays in eval mode, its weights take no gradient. An input that
    requires one is run layer by layer in torch, which is slow and differentiable. So are
    ``torch.compile`` and ``torch.export``. Outputs are new tensors. Calls from several threads
    are safe. Under autocast it still computes in float32.

    Weights are read when a shape is first made ready, and again after ``load_state_dict`` of the
    packed network itself. Whoever writes into the tensors of ``network`` must pack it again.

    Args:
        network: followed, packed and folded.
        shapes: of the inputs, to be made ready at once.
        threads: see :func:`pack`.
        tune: likewise.
        by_torch: why no program can be written, if known.

    Attributes:
        network: the same network as a graph of ordinary and packed layers.
        shapes: of the example.
        report: how the example's shape is run (:class:`PackReport`).
    """

    def __init__(
        self,
        network: fx.GraphModule,
        shapes: Shapes,
        threads: int | None = None,
        *,
        tune: bool = True,
        by_torch: str | None = None,
    ) -> None:
        super().__init__()
        allowed = threads is None or (type(threads) is int and 1 <= threads <= MOST_THREADS)
        if not allowed:
            raise ValueError(
                f"threads is {threads!r}; it must be a whole number of at least 1 and at most "
                f"{MOST_THREADS}"
            )
        self.network = network.requires_grad_(False).eval()
        self.shapes, self.tune, self.by_torch = shapes, tune, by_torch
        self.threads = threads
        self.training = False
        self._forget()
        self.register_load_state_dict_post_hook(_forget_programs)
        self.report = self._ready(shapes)[1]

    def forward(self, *inputs: Tensor) -> Any:
        """Run the network.

        Args:
            inputs: float32 on the CPU, shaped as the example but for batch, height and width.

        Raises:
            TypeError: another number, kind or dtype of inputs.
            ValueError: a shape that the network does not run on.
        """
        if torch.compiler.is_compiling():
            return self.network(*inputs)
        if not all(map(is_plain, inputs)):
            if not all(isinstance(x, Tensor | fx.Proxy) for x in inputs):
                check_kinds(inputs)
            return self.network(*inputs)
        check_kinds(inputs)
        shapes = tuple(tuple(x.shape) for x in inputs)
        if shapes not in self._runs:
            check_inputs(inputs, self.shapes)
        if torch.is_grad_enabled() and any(x.requires_grad for x in inputs):
            return self.network(*inputs)
        if torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):
                return self._ready(shapes)[0](inputs)
        return self._ready(shapes)[0](inputs)

    def train(self, mode: bool = True) -> PackedNetwork:
        """Stays in eval mode: its batch norms are folded, its weights fixed."""
        return super().train(False)

    def extra_repr(self) -> str:
        """How the example's shape runs."""
        return f"runs={self.report.runs!r}, threads={self.report.threads}"

    # -- programs ------------------------------------------------------------------------------

    def _ready(self, shapes: Shapes) -> tuple[Run, PackReport]:
        with self._lock:
            found = self._runs.get(shapes)
            if found is None:
                # whatever the caller set for tensors made elsewhere
                with torch.autocast("cpu", enabled=False), torch.device("cpu"):
                    found = self._runs[shapes] = self._prepare(shapes)
                if len(self._runs) > SHAPES:
                    self._runs.popitem(last=False)
            self._runs.move_to_end(shapes)
            return found

    def _prepare(self, shapes: Shapes) -> tuple[Run, PackReport]:
        threads = self.threads or torch.get_num_threads()
        generator = torch.Generator().manual_seed(0)
        inputs = tuple(
            torch.randn(shape, generator=generator, dtype=torch.float32) for shape in shapes
        )
        try:
            if self.by_torch is not None:
                raise NotLowered(self.by_torch)
            lowered = lower(self.network, inputs, self._weights)
        except NotLowered as error:
            return self._without_program(inputs, threads, f"no program: {error}")
        if self.tune and native():
            return self._measured(lowered, inputs, threads)
        program, choices = choose(lowered.program, lowered.batch, threads, tune=False)
        run = ProgramRun(lowered, program, threads)
        why = "not measured" if native() else "by the plain reference: no kernels here"
        return run, _report(inputs, threads, PACKED, why, {}, run, choices)

    def _measured(
        self, lowered: Lowered, inputs: tuple[Tensor, ...], threads: int
    ) -> tuple[Run, PackReport]:
        program, choices = choose(lowered.program, lowered.batch, threads)
        ways = {PACKED: partial(ProgramRun, lowered, program, threads), **self._dense_ways()}
        if any(x.times_ms and x.kind != PACKED for x in choices.values()):
            all_native = choose(lowered.program, lowered.batch, threads, tune=False)[0]
            ways[THROUGHOUT] = partial(ProgramRun, lowered, all_native, threads)
        best, run, times = fastest(self._key(inputs), ways, inputs, threads)
        packed = min(ms for name, ms in times.items() if name in (PACKED, THROUGHOUT))
        ratio = min(times[DENSE], times[DENSE_LAST]) / packed
        why = f"packed is {ratio:.2f}x the faster of torch's layouts"
        choices = throughout(choices) if best == THROUGHOUT else choices
        return run, _report(inputs, threads, best, why, times, run, choices)

    def _without_program(
        self, inputs: tuple[Tensor, ...], threads: int, why: str
    ) -> tuple[Run, PackReport]:
        ways = self._dense_ways()
        if not (self.tune and native()):
            return ways[DENSE](), _report(inputs, threads, DENSE, why, {})
        best, run, times = fastest(self._key(inputs), ways, inputs, threads)
        return run, _report(inputs, threads, best, why, times)

    def _dense_ways(self) -> dict[str, Callable[[], Run]]:
        twin = cache(partial(dense_twin, self.network))
        return {
            DENSE: lambda: DenseNetwork(twin()),
            DENSE_LAST: lambda: DenseNetwork(twin(), torch.channels_last),
        }

    def _key(self, inputs: tuple[Tensor, ...]) -> dict[str, Any]:
        """What two networks share that take the same time: operations, shapes, blocks."""
        packed = packed_layers(self.network)
        return {
            "graph": str(self.network.graph),
            "layers": {name: [list(x.shape), len(x.values)] for name, x in packed.items()},
            "weights": [list(x.shape) for x in self.network.parameters()],
            "settings": [f"{type(x).__name__} {x.extra_repr()}" for x in self._leaves()],
            "inputs": [list(x.shape) for x in inputs],
        }

    def _leaves(self) -> list[nn.Module]:
        """Layers, whose strides and the like the graph does not tell."""
        return [x for x in self.network.modules() if not any(x.children())]

    def _forget(self) -> None:
        self._runs: OrderedDict[Shapes, tuple[Run, PackReport]] = OrderedDict()
        self._weights: dict[str, PackedWeight] = {}
        self._lock = threading.RLock()

    # -- what copies, files and moves do -------------------------------------------------------

    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        for name in ("_runs", "_weights", "_lock"):  # made anew where the copy is used
            state.pop(name)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._forget()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PackedNetwork:
        """Refuse moves to other devices and number formats, which kernels cannot follow."""
        moved = fn(torch.zeros(1))
        if moved.dtype is not torch.float32 or moved.device.type != "cpu":
            raise TypeError(
                f"a packed network computes in float32 on the CPU; it cannot become {moved.dtype} "
                f"on {moved.device}"
            )
        return super()._apply(fn, recurse)


def _forget_programs(network: PackedNetwork, _: Any) -> None:
    network._forget()


class ProgramRun:
    """Calls a program with the network's inputs and puts its outputs together.

    Args:
        lowered: says how.
        program: the one to run: that of ``lowered``, or with some steps left to torch.
        threads: of the kernels.
    """

    def __init__(self, lowered: Lowered, program: Program, threads: int) -> None:
        self.lowered, self.program = lowered, program
        start = perf_counter()
        self._made = executor(program, lowered.batch, threads)
        self.compile_seconds = perf_counter() - start

    def __call__(self, inputs: tuple[Tensor, ...]) -> Any:
        """What the network returns for inputs of the program's shape."""
        outputs = self._made.run(*map(_as_planes, inputs))
        shapes = self.lowered.shapes
        return self.lowered.assemble([y.reshape(shape) for y, shape in zip(outputs, shapes)])


def _as_planes(x: Tensor) -> Tensor:
    x = x.detach().contiguous()
    return x if x.ndim == 4 else x.reshape(x.shape[0], *planes_of(x.shape))


def _report(
    inputs: tuple[Tensor, ...],
    threads: int,
    runs: str,
    why: str,
    times: dict[str, float],
    run: Run | None = None,
    choices: Mapping[int, Choice] | None = None,
) -> PackReport:
    shapes = tuple(tuple(x.shape) for x in inputs)
    if not isinstance(run, ProgramRun):
        return PackReport(shapes, threads, runs, why, times)
    return PackReport(
        shapes,
        threads,
        runs,
        why,
        times,
        layers_of(run.lowered.program, choices),
        len(run.program.steps),
        foreign_of(run.program),
        4 * run.program.size,
        run.compile_seconds,
    )
