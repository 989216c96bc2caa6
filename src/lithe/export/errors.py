"""The one error of this package."""

__all__ = ["ExportError"]


class ExportError(ValueError):
    """A model that cannot be written, or a file that cannot be trusted or understood."""
