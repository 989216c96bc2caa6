"""What a training run measured, epoch by epoch."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from torch import nn

__all__ = ["History"]

Row = dict[str, Any]


@dataclass
class History:
    """One row per finished epoch.

    Keys of a row: ``epoch`` (from 0), ``lr`` (of its last step), ``seconds``, ``train_loss``,
    ``train_top1`` (percent, on augmented images, while the weights moved), where there is an
    evaluation ``evaluate_loss``, ``evaluate_top1``, ``evaluate_top5`` (percent), with a moving
    average the same with ``ema_``, and whatever callbacks added. A value that has no meaning,
    such as the accuracy of a regression, is ``None``.

    Attributes:
        rows: the rows, in order.
        ema: the model with averaged weights, if the config asked for one; not part of
            ``to_dict``.
    """

    rows: list[Row] = field(default_factory=list)
    ema: nn.Module | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: str) -> list[Any]:
        """One column, such as ``history["train_loss"]``; ``None`` where an epoch lacks it.

        Raises:
            KeyError: no epoch has it.
        """
        if not any(key in row for row in self.rows):
            known = sorted({name for row in self.rows for name in row})
            raise KeyError(f"no epoch has {key!r}; there are {known}")
        return [row.get(key) for row in self.rows]

    def add(self, row: Row) -> None:
        """Append a row; scalars of torch and NumPy become plain numbers.

        Raises:
            TypeError: a value cannot go into JSON.
        """
        plain = {key: _plain(value) for key, value in row.items()}
        try:
            json.dumps(plain)
        except TypeError as error:
            raise TypeError(f"metrics {plain} must be numbers, text, lists or dicts") from error
        self.rows.append(plain)

    @property
    def last(self) -> Row:
        """The row of the last finished epoch; empty before there is one."""
        return self.rows[-1] if self.rows else {}

    def to_dict(self) -> dict[str, list[Any]]:
        """Columns by name, ready for JSON."""
        names = {name: None for row in self.rows for name in row}
        return {name: self[name] for name in names}


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value  # torch and NumPy alike
