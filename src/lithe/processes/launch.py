"""Start torchrun from Python, show what it says, and end it in good order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from lithe.processes.log import Log
from lithe.processes.orphans import LAUNCHER
from lithe.processes.ranks import DEFAULT, wanted
from lithe.processes.terminal import open_ends

__all__ = ["ProcessesError", "launch"]

GRACE = 45.0  # seconds; torchrun itself gives its processes 30
LAST = 20  # lines of the log in an error
PLACE = {"RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}


class ProcessesError(RuntimeError):
    """Processes that train together ended with an error.

    Attributes:
        lines: the end of their log.
        code: exit status.
    """

    def __init__(self, message: str, lines: Sequence[str], code: int) -> None:
        super().__init__(message)
        self.lines, self.code = list(lines), code


def launch(
    module: str,
    arguments: Sequence[str] = (),
    processes: int = 2,
    *,
    show: Callable[[str], object] | None = None,
    progress: bool | None = None,
) -> None:
    """Run ``python -m module arguments`` on several processes of this machine, under torchrun.

    What they print is shown as it comes. Ctrl-C, or the stop button of a notebook, ends them all;
    so does the end of the calling process. The cores are shared out among them unless
    ``OMP_NUM_THREADS`` says otherwise.

    Args:
        module: what each process runs.
        arguments: of its command line.
        processes: how many.
        show: takes pieces of text as they come; by default they go to ``sys.stdout``.
        progress: give the processes a terminal, so that they draw progress bars; by default if
            this process has one, outside CI.

    Raises:
        ValueError: ``processes`` is no whole number from 1 up.
        ProcessesError: one of them failed; the message says why, or holds the end of the log.
        KeyboardInterrupt: interrupted; all of them have ended.
    """
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        *("--nproc-per-node", str(wanted(processes)), "-m", module, *arguments),
    ]
    log = Log(show or _on_stdout)
    ours, theirs = open_ends(_watched() if progress is None else progress)
    try:
        torchrun = subprocess.Popen(
            command,
            env=_environment(processes),
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a terminal's Ctrl-C is passed on below, once
        )
        os.close(theirs)
        code = _followed(torchrun, ours, log)
    finally:
        os.close(ours)
    if code:
        raise ProcessesError(_why(module, processes, code, log), log.last(LAST), code)


def _followed(torchrun: subprocess.Popen[bytes], output: int, log: Log) -> int:
    """Show the output until it ends; the exit status."""
    try:
        while text := _read(output):
            log.add(text)
        log.close()
        return torchrun.wait()
    except BaseException:
        _stop(torchrun, output)
        raise


def _stop(torchrun: subprocess.Popen[bytes], output: int) -> None:
    """Interrupt all processes and wait until they are gone."""
    drain = threading.Thread(target=_to_the_end, args=(output,), daemon=True)
    drain.start()  # who cannot write cannot end
    with suppress(ProcessLookupError):
        torchrun.send_signal(signal.SIGINT)
    try:
        torchrun.wait(GRACE)
    except BaseException:  # too slow, or interrupted again: its processes end with it
        torchrun.kill()
        torchrun.wait()
    drain.join(GRACE)


def _read(output: int) -> bytes:
    try:
        return os.read(output, 1 << 16)
    except OSError:  # how a terminal says that nobody holds its other end
        return b""


def _to_the_end(output: int) -> None:
    while _read(output):
        pass


def _why(module: str, processes: int, code: int, log: Log) -> str:
    reason = log.sentence or "\n".join(log.last(LAST)) or f"exit status {code}, and no word"
    return f"{module} on {processes} processes: {reason}"


def _environment(processes: int) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in {*PLACE, DEFAULT}}
    share = max(1, (os.cpu_count() or 1) // processes)
    return {"OMP_NUM_THREADS": str(share), **kept, LAUNCHER: str(os.getpid())}


def _watched() -> bool:
    return sys.stderr.isatty() and not os.environ.get("CI")


def _on_stdout(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
