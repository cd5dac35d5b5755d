"""Faults of a process: it dies, hangs, or runs out of something."""

import os
import signal

from tests.lab.faults import Case, Fault
from tests.lab.kinds import ORDER


async def _kill(case: Case) -> None:
    os.kill(await case.member.worker(), signal.SIGKILL)


PROCESS = (
    Fault(
        "killed",
        "The worker process is ended by SIGKILL, as the kernel does when memory runs out.",
        "runtime",
        ORDER,
        _kill,
    ),
)
