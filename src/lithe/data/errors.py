"""The one error of the data sets."""

from __future__ import annotations

__all__ = ["DataError"]


class DataError(ValueError):
    """Data is missing, damaged or not what it was said to be; the message says what to do."""
