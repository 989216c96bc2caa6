"""What the training loop asks of a data set."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from torch import Generator, Tensor

__all__ = ["DataSet"]


@runtime_checkable
class DataSet(Protocol):
    """A numbered collection of (input, target) pairs that cuts batches by index.

    The data never decides the order and never touches the global random state: the caller
    gives the indices and the generator, so a batch is a pure function of both.

    Attributes:
        name: a short name for records.
        fingerprint: hex sha256 of what the data set would hand out; a checkpoint remembers it.
        workers: processes that should prepare batches; 0 for data that lies in memory.
    """

    name: str
    workers: int

    @property
    def fingerprint(self) -> str:
        """Hex sha256 that changes whenever the data does."""
        ...

    def __len__(self) -> int: ...

    def batch(
        self,
        indices: Tensor,
        generator: Generator | None = None,
        augment: bool = False,
        part: slice = slice(None),
    ) -> tuple[Tensor, Tensor]:
        """Cut a batch.

        Args:
            indices: which items, int64 ``(n,)``.
            generator: source of the augmentation; needed where ``augment`` is true.
            augment: whether to augment.
            part: random numbers are drawn for all ``n`` items, but only this part is returned,
                so that several processes can share one batch.

        Returns:
            Inputs ``(m, ...)`` and targets ``(m, ...)`` with ``m`` the length of the part.
        """
        ...
