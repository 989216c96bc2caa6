"""Loss and accuracy of a model on a data set."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import chain
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from lithe.data import DataSet
from lithe.modes import evaluating

__all__ = ["autocast", "correct_at", "evaluate"]

Loss = Callable[[Tensor, Tensor], Tensor]


def evaluate(
    model: nn.Module,
    data: DataSet,
    batch_size: int = 256,
    *,
    loss: Loss = F.cross_entropy,
    precision: str = "no",
    accelerator: Any = None,
) -> dict[str, float | None]:
    """Mean loss, top-1 and top-5 accuracy, without augmentation, in evaluation mode.

    The model's training flags are put back afterwards.

    Args:
        model: evaluated on the device of its parameters.
        data: what to evaluate on.
        batch_size: of one forward pass.
        loss: mean loss of a batch from outputs and targets.
        precision: ``"bf16"`` for autocast.
        accelerator: of ``accelerate``; the processes then share the data, each item once, and
            all of them get the same result. All must call.

    Returns:
        ``loss``, ``top1`` and ``top5`` in percent (``None`` unless the targets are class
        labels; top-5 also for fewer than five classes), ``n`` items.

    Raises:
        ValueError: the data set is empty.
    """
    if not len(data):
        raise ValueError(f"{data.name} is empty; there is nothing to evaluate on")
    rank, world = (accelerator.process_index, accelerator.num_processes) if accelerator else (0, 1)
    tensor = next(chain(model.parameters(), model.buffers()), torch.empty(0))
    device = tensor.device
    sums = [torch.zeros(4, dtype=torch.float64)]
    with evaluating(model), torch.no_grad():
        for x, y in _batches(data, torch.arange(len(data))[rank::world], batch_size):
            x, y = x.to(device, non_blocking=True), y.to(device, non_blocking=True)
            with autocast(device, precision):
                outputs = model(x)
            sums.append(_sums(outputs, y, loss))
    total = torch.stack([s.to(sums[-1].device) for s in sums]).sum(0)
    if accelerator is not None:
        total = accelerator.reduce(total.to(accelerator.device), "sum")
    n, value, top1, top5 = total.tolist()
    return {"loss": value / n, "top1": _percent(top1, n), "top5": _percent(top5, n), "n": int(n)}


def _sums(outputs: Tensor, y: Tensor, loss: Loss) -> Tensor:
    """Count, summed loss, top-1 and top-5 hits ``(4,)``; NaN where a hit has no meaning."""
    value = loss(outputs.float(), y) * len(y)
    hits = [correct_at(outputs, y, k) for k in (1, 5)]
    return torch.stack([torch.tensor(float(len(y)), device=value.device), value, *hits]).double()


def correct_at(outputs: Tensor, targets: Tensor, k: int) -> Tensor:
    """How many targets are among the ``k`` highest outputs.

    Args:
        outputs: scores ``(n, classes)``.
        targets: class labels, int ``(n,)``.
        k: how many guesses count.

    Returns:
        A float scalar; NaN where the targets are no class labels or ``k`` exceeds the classes.
    """
    labels = outputs.ndim == 2 and targets.ndim == 1 and not targets.is_floating_point()
    if not labels or k > outputs.shape[1]:
        return torch.full((), math.nan, device=outputs.device)
    if k == 1:
        return (outputs.argmax(1) == targets).sum().float()
    return (outputs.topk(k, 1).indices == targets[:, None]).sum().float()


def _percent(hits: float, n: float) -> float | None:
    return None if math.isnan(hits) else 100 * hits / n


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """bfloat16 autocast for ``"bf16"``, nothing for ``"no"``."""
    if precision not in ("no", "bf16"):
        raise ValueError(f"precision is {precision!r}; known are 'no' and 'bf16'")
    if precision == "no":
        return nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


class _Batches(Dataset):
    """Whole batches, numbered, for worker processes."""

    def __init__(self, data: DataSet, indices: Tensor, batch_size: int) -> None:
        self.data, self.chunks = data, indices.split(batch_size) if len(indices) else ()

    def __len__(self) -> int:
        return len(self.chunks)

    def __getitem__(self, k: int) -> tuple[Tensor, Tensor]:
        return self.data.batch(self.chunks[k])


def _batches(data: DataSet, indices: Tensor, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
    batches = _Batches(data, indices, batch_size)
    if data.workers and len(batches):
        yield from DataLoader(batches, batch_size=None, num_workers=data.workers)
    else:
        for k in range(len(batches)):
            yield batches[k]
