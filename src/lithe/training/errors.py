"""What can go wrong in a training run."""

from __future__ import annotations

__all__ = ["CheckpointError", "DivergenceError"]


class DivergenceError(ArithmeticError):
    """The loss became infinite or not a number; the message names epoch and step."""


class CheckpointError(RuntimeError):
    """A checkpoint is damaged or belongs to another run; the message says which and what to do."""
