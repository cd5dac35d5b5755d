"""What is supervised, what can become of it, and the probe command."""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from mendbus.contracts.errors import MendbusError


class ProcessDied(MendbusError):
    """The supervised process ended by itself. Attributes: `pid`, `status` (negative: a signal)."""

    def __init__(self, pid: int, status: int, last_lines: Sequence[str]) -> None:
        self.pid = pid
        self.status = status
        how = f"ended with status {status}" if status >= 0 else f"was ended by {signal_name(-status)}"
        self.how = how
        last = "\n".join(last_lines)
        # The number of the process is no part of what happened: the same death twice is one failure.
        super().__init__(f"the process {how}" + (f":\n{last}" if last else ""))


class ProcessHung(MendbusError):
    """The supervised process lives and gives no heartbeat."""


class ProbeFailed(MendbusError):
    """The probe command ended with another status than 0."""


def signal_name(number: int) -> str:
    """A signal's name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


@dataclass(frozen=True, slots=True)
class Program:
    """What to supervise. `probe`: a command that ends with 0 when all is well.

    `scale_down`, `scale_up`: signals by which the program takes itself one step down or up.
    """

    argv: Sequence[str]
    standby: bool = False
    heartbeat_ms: int = 500
    grace_seconds: float = 5.0
    probe: Sequence[str] | None = None
    preload: Sequence[str] = ()
    scale_down: signal.Signals | None = None
    scale_up: signal.Signals | None = None


async def run_probe(argv: Sequence[str]) -> None:
    """Runs a probe command; cancelled, it is killed with its group. Raises `ProbeFailed` and `OSError`."""
    process = await asyncio.create_subprocess_exec(
        *argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        _, said = await process.communicate()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        # Also when it is cancelled: nobody else would reap it.
        _ = await process.wait()
    if process.returncode:
        last = said.decode("utf-8", "replace").strip().rpartition("\n")[2][:200]
        raise ProbeFailed(f"the probe ended with status {process.returncode}: {last}")
