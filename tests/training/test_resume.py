from __future__ import annotations

import dataclasses
import os
import signal
from dataclasses import dataclass, replace

import pytest
import torch
from torch import nn

from lithe.data import Images
from lithe.training import CheckpointError, TrainConfig, checkpoint, fit

BASE = {"epochs": 4, "batch_size": 8, "ema_decay": 0.9, "seed": 2}
RECIPES = {
    "sgd": {"schedule": "cosine", "warmup_epochs": 1, "nesterov": True},
    "adamw": {"optimizer": "adamw", "schedule": "step", "milestones": (2,), "clip_norm": 1.0},
    "accumulate": {"accumulate": 2, "decay": "dense", "checkpoint_every": 3},
    "bf16": {"precision": "bf16"},
}


class Crash(Exception):
    pass


class Memory:
    """A callback with randomness and a memory, both of which must survive."""

    def __init__(self, crash_at: int | None = None) -> None:
        self.crash_at, self.drawn = crash_at, []

    def on_epoch_start(self, state):
        self.drawn.append(torch.rand(()).item())
        state.metrics["at_start"] = self.drawn[-1]

    def on_epoch_end(self, state):
        if state.epoch == self.crash_at:
            raise Crash
        state.metrics["drawn"] = list(self.drawn)

    def state_dict(self):
        return {"drawn": self.drawn}

    def load_state_dict(self, state):
        self.drawn = state["drawn"]


@dataclass(frozen=True, eq=False)
class PressedCtrlC(Images):
    """Images in whose ``at``-th batch somebody presses Ctrl-C."""

    at: int = 0

    def batch(self, *args, **kwargs):
        object.__setattr__(self, "at", self.at - 1)
        if self.at == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return super().batch(*args, **kwargs)


def _interrupted(images: Images, at: int) -> PressedCtrlC:
    fields = {field.name: getattr(images, field.name) for field in dataclasses.fields(images)}
    return PressedCtrlC(**(fields | {"at": at}))


def _rows(history):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history.rows]


def _whole(small_net, images, held_out, config):
    model = small_net()
    return model, fit(model, images, config, evaluate=held_out, callbacks=[Memory()])


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_run_that_crashed_ends_with_the_same_bits(
    recipe, small_net, images, held_out, tmp_path, weights, same_bits
):
    config = TrainConfig(**BASE, **RECIPES[recipe])
    model, history = _whole(small_net, images, held_out, config)
    again = {"evaluate": held_out, "directory": tmp_path}
    for crash_at in (1, 3):
        with pytest.raises(Crash):
            fit(small_net(), images, config, callbacks=[Memory(crash_at)], **again)
    torch.manual_seed(99)  # whatever the next process does before
    resumed = small_net(seed=7)
    resumed_history = fit(resumed, images, config, callbacks=[Memory()], **again)
    assert same_bits(weights(resumed), weights(model))
    assert same_bits(weights(resumed_history.ema), weights(history.ema))
    assert _rows(resumed_history) == _rows(history)


@pytest.mark.parametrize("at", [1, 3, 4, 6, 15, 16])
def test_ctrl_c_stops_between_two_steps_and_the_run_can_go_on(
    at, small_net, images, held_out, tmp_path, weights, same_bits
):
    """Four steps an epoch: 4 and 16 are the last ones of an epoch."""
    config = TrainConfig(**BASE)
    model, history = _whole(small_net, images, held_out, config)
    again = {"evaluate": held_out, "directory": tmp_path}
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt, match="same directory continues"):
        fit(small_net(), _interrupted(images, at), config, callbacks=[Memory()], **again)
    assert signal.getsignal(signal.SIGINT) is before
    epoch, step = divmod(at, 4)
    assert checkpoint.latest(tmp_path).name == f"checkpoint-{epoch:06d}-{step:09d}"
    resumed = small_net(seed=7)
    resumed_history = fit(resumed, images, config, callbacks=[Memory()], **again)
    assert same_bits(weights(resumed), weights(model))
    assert same_bits(weights(resumed_history.ema), weights(history.ema))
    assert _rows(resumed_history) == _rows(history)


def test_training_flags_set_by_a_callback_survive_the_middle_of_an_epoch(
    small_net, images, tmp_path, weights, same_bits
):
    class FreezeNorm:
        def on_epoch_start(self, state):
            state.model[1].eval()

    config = TrainConfig(epochs=1, batch_size=8)
    model, resumed = small_net(), small_net()
    fit(model, images, config, callbacks=[FreezeNorm()])
    with pytest.raises(KeyboardInterrupt):
        fit(
            small_net(),
            _interrupted(images, 2),
            config,
            callbacks=[FreezeNorm()],
            directory=tmp_path,
        )
    fit(resumed, images, config, callbacks=[FreezeNorm()], directory=tmp_path)
    assert same_bits(weights(resumed), weights(model))


def test_ctrl_c_without_a_directory_says_that_nothing_is_kept(small_net, images):
    with pytest.raises(KeyboardInterrupt, match="nothing kept"):
        fit(small_net(), _interrupted(images, 2), TrainConfig(epochs=1, batch_size=8))


def test_a_second_ctrl_c_stops_at_once(small_net, images, tmp_path):
    def impatient(model, x, y):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("went on")

    with pytest.raises(KeyboardInterrupt):
        fit(small_net(), images, TrainConfig(batch_size=8), step=impatient, directory=tmp_path)
    assert checkpoint.latest(tmp_path) is None


def test_a_finished_run_is_only_read_back(small_net, images, tmp_path, weights, same_bits):
    config = TrainConfig(epochs=2, batch_size=8)
    model = small_net()
    history = fit(model, images, config, directory=tmp_path)

    def forbidden(*_):
        raise AssertionError("trained again")

    forbidden.__qualname__ = "cross_entropy"  # the loss is part of a run's identity
    again = small_net(seed=7)
    assert fit(again, images, config, loss=forbidden, directory=tmp_path).rows == history.rows
    assert same_bits(weights(again), weights(model))


def test_resume_false_starts_anew(small_net, images, tmp_path, weights, same_bits):
    config = TrainConfig(epochs=2, batch_size=8)
    fit(small_net(seed=1), images, config, directory=tmp_path)
    model, plain = small_net(seed=2), small_net(seed=2)
    fit(model, images, config, directory=tmp_path, resume=False)
    fit(plain, images, config)
    assert same_bits(weights(model), weights(plain))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"lr": 0.2}, r"lr=0\.1 there, 0\.2 here"),
        ({"epochs": 5}, "epochs=2 there, 5 here"),
        ({"seed": 1}, "seed=0 there, 1 here"),
    ],
)
def test_another_recipe_is_refused_by_name(change, says, small_net, images, tmp_path):
    config = {"epochs": 2, "batch_size": 8}
    fit(small_net(), images, TrainConfig(**config), directory=tmp_path)
    with pytest.raises(CheckpointError, match=says):
        fit(small_net(), images, TrainConfig(**(config | change)), directory=tmp_path)


def test_other_data_losses_and_callbacks_are_refused(small_net, images, held_out, tmp_path):
    config = TrainConfig(epochs=1, batch_size=8)
    fit(small_net(), images, config, directory=tmp_path)
    other = replace(images, labels=(images.labels + 1) % 4)
    for kwargs, says in (
        ({"train": other}, "train="),
        ({"evaluate": held_out}, "evaluate="),
        ({"loss": nn.CrossEntropyLoss()}, "objective="),
        ({"callbacks": [Memory()]}, "callbacks="),
    ):
        with pytest.raises(CheckpointError, match=says):
            fit(small_net(), **({"train": images} | kwargs), config=config, directory=tmp_path)


def test_how_often_to_save_may_change_between_two_runs(small_net, images, tmp_path):
    config = {"epochs": 2, "batch_size": 8}
    with pytest.raises(Crash):
        fit(small_net(), images, TrainConfig(**config), callbacks=[Memory(1)], directory=tmp_path)
    slower = TrainConfig(**config, checkpoint_every=5)
    assert len(fit(small_net(), images, slower, callbacks=[Memory()], directory=tmp_path)) == 2


def test_another_model_is_refused_by_tensor(small_net, images, tmp_path):
    config = TrainConfig(epochs=1, batch_size=8)
    fit(small_net(), images, config, directory=tmp_path)
    wide, typed = small_net(), small_net()
    wide[6] = nn.Linear(16, 5)
    typed[1].register_buffer("running_mean", torch.zeros(4, dtype=torch.float64))
    for model, says in (
        (wide, r"6\.bias is torch\.float32 \(4,\) there and torch\.float32 \(5,\) here"),
        (typed, r"running_mean is torch\.float32 \(4,\) there and torch\.float64"),
        (small_net(norm=False), r"1\.bias is torch\.float32 \(4,\) there and absent here"),
    ):
        with pytest.raises(CheckpointError, match=says):
            fit(model, images, config, directory=tmp_path)
