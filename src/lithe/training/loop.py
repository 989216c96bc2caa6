"""One training loop for every chapter: deterministic, resumable, on one process or many."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lithe.data import DataSet, mixed_seed
from lithe.training import checkpoint
from lithe.training.config import TrainConfig
from lithe.training.errors import DivergenceError
from lithe.training.evaluation import Loss, autocast, correct_at
from lithe.training.evaluation import evaluate as measure
from lithe.training.feed import Plan, micro_batches
from lithe.training.history import History
from lithe.training.interruption import Interruption
from lithe.training.optimizer import build_optimizer
from lithe.training.progress import progress_bar, watched
from lithe.training.schedule import learning_rate
from lithe.training.state import Callback, TrainState

__all__ = ["fit"]

Step = Callable[[nn.Module, Tensor, Tensor], tuple[Tensor, Tensor]]

DROPOUT = 2  # random stream of an epoch; feed.py has 0 and 1
NOT_IDENTITY = {"checkpoint_every", "device", "find_unused"}  # may change between two resumes
NEEDED = {"identity", "epoch", "step", "rows", "metrics", "optimizer", "sums", "seconds"} | {
    *("callbacks", "training", "rng")
}
LOOK_EVERY = 50  # steps between looks at the loss on a GPU, where each look waits for it


def fit(
    model: nn.Module,
    train: DataSet,
    config: TrainConfig,
    *,
    evaluate: DataSet | None = None,
    loss: Loss = F.cross_entropy,
    step: Step | None = None,
    callbacks: Sequence[Callback] = (),
    directory: str | Path | None = None,
    resume: bool = True,
    progress: bool | None = None,
) -> History:
    """Train a model in place.

    Data order, augmentation and dropout are pure functions of the config's seed and of epoch
    and step, and the caller's random state is left as it was. With a ``directory`` a run that
    was stopped (Ctrl-C, ``kill -9``, power) continues where its last checkpoint was and ends
    with the same bits as one that was not; a finished run is only read back. Under ``torchrun``
    the processes share each batch and the result is the same up to rounding, but for batch norm:
    its statistics are those of each process's part of the batch.

    Args:
        model: trained in place; moved to the device.
        train: training data; augmented.
        config: the recipe.
        evaluate: measured after every epoch, not augmented.
        loss: mean loss of a batch from outputs (float32) and targets.
        step: replaces ``loss`` in training: from model, inputs and targets to the loss and the
            outputs, for methods that need several forward passes.
        callbacks: see :class:`lithe.training.Callback`.
        directory: where checkpoints go; ``None`` for none.
        resume: continue from a checkpoint in ``directory``; ``False`` drops it.
        progress: show a bar; by default only on a terminal.

    Returns:
        One row per epoch, percent and seconds.

    Raises:
        TypeError: ``model`` is no module, ``config`` no TrainConfig, or ``train`` or ``evaluate``
            is not a data set of ``lithe.data``.
        ValueError: there is nothing to train or nothing to train on.
        DivergenceError: the loss is not finite; the last checkpoint stays.
        CheckpointError: the checkpoint is damaged or belongs to another run.
        KeyboardInterrupt: Ctrl-C; with a directory and one process the run is saved first.
    """
    for given, kind in ((model, nn.Module), (config, TrainConfig)):
        if not isinstance(given, kind):
            raise TypeError(f"fit needs a {kind.__name__}, got a {type(given).__name__}")
    for data in (train, *([] if evaluate is None else [evaluate])):
        _refuse_other_data(data)
    accelerator = _accelerator(config)
    device = accelerator.device
    cuda = [device] if device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices=cuda),
        Interruption(active=accelerator.num_processes == 1) as interruption,
    ):
        run = _Run(accelerator, model, train, config, evaluate, loss, step, callbacks)
        run.directory = Path(directory) if directory is not None else None
        run.interruption, run.show = interruption, watched(progress) and accelerator.is_main_process
        run.begin(resume)
        while run.state.epoch < config.epochs:
            run.one_epoch()
    return run.state.history


def _accelerator(config: TrainConfig) -> Any:
    """Devices and processes; precision and accumulation are the loop's own."""
    from accelerate import Accelerator
    from accelerate.utils import DistributedDataParallelKwargs, GradientAccumulationPlugin

    return Accelerator(
        cpu=config.device == "cpu",
        mixed_precision="no",  # set once per process there; autocast here is per run
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=config.find_unused)],
    )


class _Run:
    """One call of ``fit``."""

    directory: Path | None
    interruption: Interruption
    show: bool

    def __init__(
        self,
        accelerator: Any,
        model: nn.Module,
        train: DataSet,
        config: TrainConfig,
        evaluate: DataSet | None,
        loss: Loss,
        step: Step | None,
        callbacks: Sequence[Callback],
    ) -> None:
        self.accelerator, self.config, self.callbacks = accelerator, config, callbacks
        self.loss, self.step = loss, step or partial(_plain_step, loss)
        self.identity = _identity(config, train, evaluate, step or loss, callbacks)
        device = accelerator.device
        model.to(device)
        self.state = TrainState(model, build_optimizer(model, config), config, device)
        if config.ema_decay is not None:
            average = get_ema_multi_avg_fn(config.ema_decay)
            self.state.ema = AveragedModel(model, multi_avg_fn=average)
            self.state.history.ema = self.state.ema.module
        self.train, self.evaluate = _on(train, device), _on(evaluate, device)
        self.sums = torch.zeros(3, dtype=torch.float64, device=device)  # loss, correct, items
        self.seconds = 0.0
        if self.plan.steps == 0:
            raise ValueError(
                f"{train.name} has {len(train)} items: no batch of {config.batch_size} with "
                f"drop_last={config.drop_last}"
            )

    @property
    def plan(self) -> Plan:
        """The batches of the present epoch."""
        c, a = self.config, self.accelerator
        pieces, first = a.num_processes * c.accumulate, a.process_index * c.accumulate
        mine = tuple(range(first, first + c.accumulate))
        return Plan(
            len(self.train), c.batch_size, c.drop_last, c.seed, self.state.epoch, pieces, mine
        )

    def begin(self, resume: bool) -> None:
        """Take up the last checkpoint, if there is one, and wrap the model for its processes."""
        if self.directory is not None and not resume and self.accelerator.is_main_process:
            checkpoint.drop_all(self.directory)
        self.accelerator.wait_for_everyone()
        folder = checkpoint.latest(self.directory) if self.directory is not None else None
        self.rng: list[Tensor] | None = None
        if folder is not None:
            self.restore(folder)
        self.model = self.accelerator.prepare(self.state.model)

    def one_epoch(self) -> None:
        """Train, evaluate, call back, save."""
        state, plan = self.state, self.plan
        self.enter_epoch()
        batches = plan.batches(first_step=state.step)
        feed = micro_batches(self.train, plan, state.step, pin=state.device.type == "cuda")
        started = time.perf_counter() - self.seconds
        with progress_bar(plan.steps, f"epoch {state.epoch + 1}/{state.epochs}", self.show) as bar:
            bar.update(state.step)
            for number, indices in batches:
                self.one_step([next(feed) for _ in plan.mine], plan, number, len(indices))
                state.step = number + 1
                self.seconds = time.perf_counter() - started
                bar.update()
                if self.interruption.asked and state.step < plan.steps:
                    self.stop()
        self.leave_epoch()

    def enter_epoch(self) -> None:
        """Set modes and random state; in the middle of an epoch they came with the checkpoint."""
        state = self.state
        if self.rng is not None:
            _set_rng(self.rng, state.device)
            self.rng = None
            return
        state.metrics, self.seconds = {}, 0.0
        self.sums.zero_()
        self.model.train()
        rank = self.accelerator.process_index
        torch.manual_seed(mixed_seed(self.config.seed, state.epoch, DROPOUT, rank))
        self.call("on_epoch_start")

    def one_step(self, micro: list[tuple[Tensor, Tensor]], plan: Plan, number: int, n: int) -> None:
        """One optimiser step from the micro-batches of this process."""
        state, world = self.state, self.accelerator.num_processes
        for group in self.state.optimizer.param_groups:
            group["lr"] = learning_rate(self.config, state.epoch, number, plan.steps)
        self.state.optimizer.zero_grad()
        for k, ((x, y), (_, share)) in enumerate(zip(micro, plan.parts(n))):
            x, y = x.to(state.device, non_blocking=True), y.to(state.device, non_blocking=True)
            last = k == len(micro) - 1
            with nullcontext() if last else self.accelerator.no_sync(self.model):
                with autocast(state.device, self.config.precision):
                    value, outputs = self.step(self.model, x, y)
                # gradients are averaged over processes, the batch's mean is a sum of shares
                self.accelerator.backward(value * (share * world))
            if share:
                self.count(value.detach(), outputs, y)
        if state.device.type == "cpu" or number % LOOK_EVERY == LOOK_EVERY - 1:
            self.refuse_divergence(self.sums[0], number)
        if self.config.clip_norm is not None:
            self.accelerator.clip_grad_norm_(self.model.parameters(), self.config.clip_norm)
        self.state.optimizer.step()
        if state.ema is not None:
            state.ema.update_parameters(state.model)

    def count(self, value: Tensor, outputs: Tensor, y: Tensor) -> None:
        """Add a micro-batch to the sums of the epoch."""
        hits = correct_at(outputs.detach(), y, 1)
        self.sums += torch.stack([value.double() * len(y), hits.double(), hits.new_tensor(len(y))])

    def refuse_divergence(self, total: Tensor, number: int) -> None:
        """Raise DivergenceError if a loss of this epoch was infinite or not a number."""
        if not torch.isfinite(total):
            raise DivergenceError(
                f"the loss is not finite in epoch {self.state.epoch}, step {number} (both from 0; "
                f"on a GPU up to {LOOK_EVERY - 1} steps earlier); the last checkpoint is kept. "
                f"Lower lr={self.config.lr}, add warmup_epochs or clip_norm"
            )

    def leave_epoch(self) -> None:
        """Evaluate, call back, add the row, save."""
        state, config = self.state, self.config
        self.agree_on_buffers()
        total, hits, n = self.accelerator.reduce(self.sums.clone(), "sum").tolist()
        self.refuse_divergence(torch.tensor(total), state.step - 1)
        state.metrics = {
            **{"epoch": state.epoch, "lr": self.state.optimizer.param_groups[0]["lr"]},
            **{"seconds": self.seconds, "train_loss": total / n},
            "train_top1": None if math.isnan(hits) else 100 * hits / n,
            **state.metrics,
            **self.measured("evaluate_", state.model),
            **(self.measured("ema_", state.ema.module) if state.ema is not None else {}),
        }
        self.call("on_epoch_end")
        state.history.add(state.metrics)
        state.epoch, state.step = state.epoch + 1, 0
        if self.interruption.asked:
            self.stop()
        if state.epoch == state.epochs or state.epoch % config.checkpoint_every == 0:
            self.save()

    def agree_on_buffers(self) -> None:
        """Give all processes the main process's buffers, such as running statistics."""
        if self.accelerator.num_processes > 1:
            for model in filter(None, (self.state.model, self.state.ema)):
                for buffer in model.buffers():
                    torch.distributed.broadcast(buffer, 0)

    def measured(self, prefix: str, model: nn.Module) -> dict[str, float | None]:
        """Loss and accuracies on the evaluation data, if there is any."""
        if self.evaluate is None:
            return {}
        size = max(self.config.batch_size // self.config.accumulate, 1)
        found = measure(
            model,
            self.evaluate,
            size,
            loss=self.loss,
            precision=self.config.precision,
            accelerator=self.accelerator,
        )
        return {prefix + key: value for key, value in found.items() if key != "n"}

    def call(self, moment: str) -> None:
        """Call the callbacks that have this method."""
        for callback in self.callbacks:
            getattr(callback, moment, _nothing)(self.state)

    def stop(self) -> None:
        """Save and raise KeyboardInterrupt."""
        self.save()
        where = f"stopped in epoch {self.state.epoch} after step {self.state.step} (both from 0)"
        kept = "; fit with the same directory continues" if self.directory else "; nothing kept"
        raise KeyboardInterrupt(where + kept)

    def save(self) -> None:
        """Write a checkpoint, by the main process alone."""
        state = self.state
        if self.directory is not None and self.accelerator.is_main_process:
            memory = [getattr(c, "state_dict", dict)() for c in self.callbacks]
            content = {
                "identity": self.identity,
                "epoch": state.epoch,
                "step": state.step,
                "rows": state.history.rows,
                "metrics": state.metrics,
                "optimizer": state.optimizer.state_dict(),
                "sums": self.sums,
                "seconds": self.seconds,
                "callbacks": memory,
                "training": [module.training for module in state.model.modules()],
                "rng": _get_rng(state.device),
            }
            models = {"model": state.model} | ({"ema": state.ema} if state.ema else {})
            checkpoint.save(self.directory, state.epoch, state.step, models, content)
        self.accelerator.wait_for_everyone()

    def restore(self, folder: Path) -> None:
        """Read a checkpoint back, in every process."""
        state, content = self.state, checkpoint.load_state(folder, NEEDED)
        checkpoint.refuse_other_run(folder, content["identity"], self.identity)
        checkpoint.load_tensors(folder, "model", state.model)
        if state.ema is not None:
            checkpoint.load_tensors(folder, "ema", state.ema)
        state.optimizer.load_state_dict(content["optimizer"])
        state.epoch, state.step = content["epoch"], content["step"]
        state.history.rows, state.metrics = content["rows"], content["metrics"]
        self.sums.copy_(content["sums"])
        self.seconds = content["seconds"]
        for callback, memory in zip(self.callbacks, content["callbacks"]):
            getattr(callback, "load_state_dict", _nothing)(memory)
        if state.step:
            for module, flag in zip(state.model.modules(), content["training"]):
                module.training = flag
            self.rng = content["rng"]


def _plain_step(loss: Loss, model: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    outputs = model(x)
    return loss(outputs.float(), y), outputs


def _nothing(*_: Any) -> None:
    """Stands for a method that a callback does not have."""


def _refuse_other_data(data: Any) -> None:
    if not isinstance(data, DataSet):
        raise TypeError(
            f"cannot train on a {type(data).__name__}; fit takes data sets that cut batches by "
            "index (lithe.data.DataSet), such as lithe.data.Images"
        )


def _on(data: DataSet | None, device: torch.device) -> DataSet | None:
    """Data that can move (in memory) goes to the device; folders stay."""
    return data.to(device) if hasattr(data, "to") else data


def _identity(
    config: TrainConfig,
    train: DataSet,
    evaluate: DataSet | None,
    objective: Callable[..., Any],
    callbacks: Sequence[Callback],
) -> dict[str, Any]:
    """What must agree between a checkpoint and the run that takes it up."""
    return {
        **config.model_dump(mode="json", exclude=NOT_IDENTITY),
        "train": train.fingerprint,
        "evaluate": evaluate.fingerprint if evaluate is not None else None,
        "objective": getattr(objective, "__qualname__", type(objective).__name__),
        "callbacks": [type(callback).__qualname__ for callback in callbacks],
    }


def _get_rng(device: torch.device) -> list[Tensor]:
    cuda = [torch.cuda.get_rng_state(device)] if device.type == "cuda" else []
    return [torch.get_rng_state(), *cuda]


def _set_rng(states: list[Tensor], device: torch.device) -> None:
    torch.set_rng_state(states[0])
    if device.type == "cuda" and len(states) > 1:
        torch.cuda.set_rng_state(states[1], device)
