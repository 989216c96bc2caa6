"""One training loop for every chapter, on ``accelerate``."""

from __future__ import annotations

from lithe.training.config import TrainConfig
from lithe.training.errors import CheckpointError, DivergenceError
from lithe.training.evaluation import evaluate
from lithe.training.history import History
from lithe.training.loop import fit
from lithe.training.schedule import learning_rate
from lithe.training.state import Callback, TrainState

__all__ = [
    "Callback",
    "CheckpointError",
    "DivergenceError",
    "History",
    "TrainConfig",
    "TrainState",
    "evaluate",
    "fit",
    "learning_rate",
]
