"""What the channel graph refuses, and how it says so."""

from __future__ import annotations

__all__ = ["UncuttableError", "UntraceableError"]


class UncuttableError(ValueError):
    """A request asks for an index set that the network's structure does not allow."""


class UntraceableError(RuntimeError):
    """An operation, or a whole forward pass, that the channel graph cannot follow.

    Attributes:
        operation: the operation's name, ``"forward"`` when the pass itself failed.
        module: dotted path of the module whose forward calls it, ``""`` for the root.
        line: ``"folder/file.py:12"``, the source line, ``"?"`` when none was recorded.
    """

    def __init__(self, operation: str, module: str, line: str, detail: str = "") -> None:
        self.operation, self.module, self.line = operation, module, line
        inside = f"`{module}`" if module else "the root module"
        message = f"cannot follow channels through `{operation}` in {inside} ({line})"
        super().__init__(f"{message}: {detail}" if detail else message)
