"""Every room's run of a tiny config, on one process or as one of two; started by test_rooms_*.py.

Usage: ``torchrun --nproc-per-node 2 rooms_together.py FOLDER [ROOM ...]``. A process alone cuts
each batch into the parts that two would get (``accumulate=2``) where a network has batch norm or
contrasts the items of a batch, and takes it whole elsewhere. Random draws inside a step follow the
contents of its part, so that they do not depend on who computes it. Kept are the gradients of all
optimiser steps, the records, and who wrote which of them.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from lithe import ledger, processes
from lithe.processes.__main__ import carry_out
from lithe.training import History, loop

SEEN = ("walk", "raise")
MOTION = {"clips": 4, "held_out": 2, "width": 8, "latent": 4, "layers": 1, "codes": 8}


@dataclass(frozen=True)
class Room:
    """What is run, and how it is made comparable.

    Attributes:
        module: of the room.
        settings: of its config.
        parts: whether a process alone computes the parts of a batch one by one.
        changes: what is replaced in the room, by dotted name.
    """

    module: str
    settings: dict[str, Any]
    parts: bool = True
    changes: dict[str, Callable[[Any], Any]] | None = None


def without_norms(drawn: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
    def plain(*given: Any) -> nn.Module:
        model = drawn(*given)
        for name, layer in model.named_children():
            if isinstance(layer, nn.BatchNorm2d):
                setattr(model, name, nn.Identity())
        return model

    return plain


def nothing(_: Any) -> Callable[..., Any]:
    return lambda *given, **named: History([{"train_loss": 0.0}])


def on_a_copy(of_the_first: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    # as it stands, the others' latents are overwritten: the first process's codes come into a view
    return lambda tensor: of_the_first(tensor.clone())


def little(_: Any) -> Callable[..., Any]:
    return lambda *given, **named: {"stub": 1.0}


CONTRASTS = {"spaces": ("corrected",), "space_width": 16, "space_layers": 1, "frames": 40}
ROOMS = {
    "dcff": Room(
        "lithe.dcff.run",
        {"train_images": 48, "test_images": 8, "widths": (4, 8), "epochs": 1, "batch_size": 16}
        | {"image_size": 16, "lr": 0.011, "exhibits": ("score",)}
        | {"variants": ("released", "scratch")},
    ),
    "onexn": Room(
        "lithe.onexn.run",
        {"train_images": 32, "test_images": 8, "widths": (4, 8), "epochs": 2, "batch_size": 16}
        | {"image_size": 8, "tune_epochs": 1, "lr": 0.011, "variants": ("1x4-p75",)},
    ),
    "pssnet": Room(
        "lithe.pssnet.run",
        {"train_images": 48, "held_out_images": 16, "test_images": 16, "widths": (4, 8)}
        | {"resolutions": (8, 16), "ratios": (0.5, 1.0), "targets": 3, "capacity": 2, "draws": 500}
        | {"epochs": 1, "batch_size": 16, "lr": 0.011, "variants": ("effective", "alone")},
        parts=False,
        changes={"lithe.pssnet.contest._drawn": without_norms},
    ),
    "arm": Room(
        "lithe.arm.run",
        {"side": 128, "widths": (4, 8), "crop": 16, "crop_step": 32, "epochs": 1, "batch_size": 4}
        | {"patch_step": 32, "bins": (4,), "lr": 1.1e-3, "exhibits": ("costs-fsrcnn",)},
        parts=False,
    ),
    "codec": Room(
        "lithe.syntalker.run",
        MOTION | {"codecs": ("parts",), "codec_epochs": 1, "codec_batch": 8, "stride": 64},
        parts=False,
        changes={
            "lithe.syntalker.settings.temperature_of": lambda _: lambda latent: 0.0,
            "lithe.syntalker.codebook.of_the_first": on_a_copy,
        },
    ),
    "space": Room(
        "lithe.syntalker.run", MOTION | CONTRASTS | {"space_epochs": 1, "space_batch": 4}
    ),
    "denoiser": Room(
        "lithe.syntalker.generation_run",
        {"clips": 2, "held_out": 4, "actions": SEEN, "performers": 2, "seconds": 3.0, "steps": 1}
        | {"width": 8, "latent": 4, "layers": 1, "codes": 8, "codec_epochs": 1, "epochs": 1}
        | {"codec_stride": 64, "space_width": 16, "space_epochs": 1, "denoiser_width": 32}
        | {"denoiser_layers": 1, "speech": 4, "draws": 2, "batch": 4, "variants": ("full",)},
        changes={
            "lithe.syntalker.ablations.train_codec": nothing,  # looked at above
            "lithe.syntalker.ablations.train_space": nothing,
            **dict.fromkeys(
                [f"lithe.syntalker.generation_run.{name}" for name in ("trial", "real", "_ends")],
                little,
            ),
        },
    ),
}


@contextmanager
def comparable(room: Room) -> Iterator[None]:
    """Cut batches where the room says so, draw by contents, replace what is to be replaced."""
    begin = loop._Run.__init__

    def changed(self: Any, accelerator: Any, model: Any, train: Any, config: Any, *rest: Any):
        if room.parts and processes.count() == 1:
            config = config.model_copy(update={"accumulate": 2})
        begin(self, accelerator, model, train, config, *rest)
        self.step = drawn_by_contents(self.step)

    with ExitStack() as stack:
        stack.enter_context(patch.object(loop._Run, "__init__", changed))
        for name, change in (room.changes or {}).items():
            module, _, part = name.rpartition(".")
            stack.enter_context(patch(name, change(getattr(import_module(module), part))))
        yield


def drawn_by_contents(step: Callable[..., Any]) -> Callable[..., Any]:
    def seeded(model: nn.Module, x: Tensor, y: Tensor) -> Any:
        torch.manual_seed(zlib.crc32(x.numpy().tobytes()))
        return step(model, x, y)

    return seeded


@contextmanager
def gradients() -> Iterator[list[Tensor]]:
    """All gradients of each optimiser step as one vector."""
    found: list[Tensor] = []

    def note(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        weights = [p for group in optimizer.param_groups for p in group["params"]]
        own = [torch.zeros_like(p) if p.grad is None else p.grad for p in weights]
        found.append(torch.cat([g.flatten() for g in own]))

    handle = register_optimizer_step_pre_hook(note)
    try:
        yield found
    finally:
        handle.remove()


@contextmanager
def writings(folder: Path) -> Iterator[list[str]]:
    """Names of the records that this process writes below ``folder``."""
    found: list[str] = []
    write = ledger.record

    def noted(*given: Any, **named: Any) -> Path:
        path = write(*given, **named)
        found.extend([str(path.relative_to(folder))] if path.is_relative_to(folder) else [])
        return path

    with patch.object(ledger, "record", noted):
        yield found


def run_all(folder: Path, names: Sequence[str] = ()) -> None:
    for name in names or ROOMS:
        room = ROOMS[name]
        module = import_module(room.module)
        kind = module.EXPERIMENTS.config if hasattr(module, "EXPERIMENTS") else module.Config
        with comparable(room), gradients() as found, writings(folder) as written:
            carry_out(room.module, kind(**room.settings), folder / name)
        kept = {f"{k:03}": vector for k, vector in enumerate(found)}
        save_file(kept, folder / f"{name}-{processes.rank()}.safetensors")
        (folder / f"{name}-{processes.rank()}.json").write_text(json.dumps(written))


if __name__ == "__main__":
    torch.set_num_threads(1)
    processes.join()
    run_all(Path(sys.argv[1]), sys.argv[2:])
    processes.leave()
