"""The one error of the ledger."""

from __future__ import annotations

__all__ = ["LedgerError"]


class LedgerError(ValueError):
    """A record or a claim is not what the ledger can hold; the message says where and why."""
