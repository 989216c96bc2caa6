"""What the three networks of an iteration learn from, and what a pool remembers of a subnet."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["distillation_loss", "performance"]


def distillation_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """``KL(q || p)`` from the max net's prediction ``q`` to a subnet's ``p``, mean over the batch.

    Source: PSS-Net spec 4.1, steps 5 and 6: temperature 1, no label term. No gradient reaches the
    teacher.

    Args:
        student: logits of the subnet ``(n, c)``.
        teacher: logits of the max net on the same images ``(n, c)``.

    Returns:
        The loss, a scalar.

    Raises:
        ValueError: the shapes differ.
    """
    if student.shape != teacher.shape or student.ndim != 2:
        raise ValueError(
            f"student logits are {tuple(student.shape)}, the teacher's {tuple(teacher.shape)}; "
            "both must be (n, classes)"
        )
    log_q = F.log_softmax(teacher.detach(), dim=1)
    return F.kl_div(F.log_softmax(student, dim=1), log_q, reduction="batchmean", log_target=True)


@torch.no_grad()
def performance(logits: Tensor, labels: Tensor) -> float:
    """The metric of a pool: minus the cross-entropy on the current batch, higher is better.

    Source: PSS-Net spec 3.3.

    Args:
        logits: ``(n, c)``.
        labels: classes ``(n,)``.
    """
    return -F.cross_entropy(logits, labels).item()
