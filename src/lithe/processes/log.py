"""The log of several processes: shown as it comes, without torchrun's own part, its end kept."""

from __future__ import annotations

import codecs
import re
from collections import deque
from collections.abc import Callable

__all__ = ["Log"]

PIECE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)")
#: torchrun's notes, such as "W1123 01:15:06.300000 19448 torch/distributed/elastic/..."; the path
#: begins where the process runs.
NOTE = re.compile(r"[IWE]\d{4} [\d:.]+ \d+ \S*torch/distributed/")
FAILED = re.compile(r"failed \(exitcode: (-?\d+)\) local_rank: (\d+)")
BANNER = re.compile(r"\*{20,}|Setting OMP_NUM_THREADS environment variable")
SENTENCE = re.compile(r"(?:error: |interrupted; )(.*)")
KEPT = 200  # lines


class Log:
    """Takes the bytes of a log and shows its lines.

    Args:
        show: takes each line, or each state of a progress bar, with its line end.

    Attributes:
        sentence: why the processes ended, where one of them, or torchrun, said so.
    """

    def __init__(self, show: Callable[[str], object]) -> None:
        self.show, self.sentence = show, ""
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._open, self._over = "", False
        self._lines: deque[str] = deque(maxlen=KEPT)

    def add(self, data: bytes) -> None:
        """Take some bytes; what makes whole lines is shown."""
        text = self._open + self._decode(data)
        end = 0
        for piece in PIECE.finditer(text):
            # a "\r" at the very end may be half of a "\r\n"
            if piece.end() == len(text) and piece[0].endswith("\r"):
                break
            self._take(piece[0])
            end = piece.end()
        self._open = text[end:]

    def close(self) -> None:
        """Take what is left as a last line."""
        if self._open:
            self._take(self._open)
            self._open = ""

    def last(self, n: int) -> list[str]:
        """The last ``n`` lines."""
        return list(self._lines)[-n:]

    def _take(self, piece: str) -> None:
        line = piece.strip("\r\n")
        if NOTE.match(line):
            failed = FAILED.search(line)
            self._over |= failed is not None
            if failed and not self.sentence and int(failed[1]) < 0:
                self.sentence = f"process {failed[2]} was killed by signal {-int(failed[1])}"
        if self._over or NOTE.match(line) or BANNER.match(line):
            return  # after a failure torchrun reports on itself
        if said := SENTENCE.match(line):
            self.sentence = line if line.startswith("interrupted") else said[1]
        if piece.endswith("\n") and line:
            self._lines.append(line)
        self.show(piece)
