"""Faults of a process: it dies, hangs, or runs out of something."""

import asyncio
import os
import signal
from contextlib import suppress

from tests.lab.faults import Case, Fault
from tests.lab.kinds import ORDER

_FOR_EVER = 3600.0
_HEADROOM_MEGABYTES = 64
_DESCRIPTORS = 128
_THREADS = {
    "versioning": 12,
    "build_pipeline": 32,
    "runtime": 32,
    "shader_pipeline": 16,
    "developer_tools": 12,
    "orchestrator": 64,
}
"""About as few as users feel: it matters how often a request must wait for its turn, and how long users wait."""


async def _kill(case: Case) -> None:
    os.kill(await case.member.worker(), signal.SIGKILL)


async def _segfault(case: Case) -> None:
    _ = await case.member.inside("inside_process.segfault")


async def _hang(case: Case) -> None:
    seconds = case.number("seconds")
    if case.parameters["how"] != "stopped":
        holds = case.parameters["how"] == "holds_interpreter"
        _ = await case.member.inside("inside_process.hang", holds_interpreter=holds, duration=seconds)
        return
    worker = await case.member.worker()
    os.kill(worker, signal.SIGSTOP)
    asyncio.get_running_loop().call_later(seconds, _continue, worker)


def _continue(process: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signal.SIGCONT)


async def _leak(case: Case) -> None:
    speed = case.number("megabytes_per_second")
    _ = await case.member.inside(
        "inside_process.leak",
        megabytes_per_second=speed,
        headroom=_HEADROOM_MEGABYTES,
        where=case.parameters["where"],
    )


async def _burn(case: Case) -> None:
    threads = int(case.number("times") * _THREADS[case.member.kind])
    _ = await case.member.inside("inside_process.burn", threads=threads, where=case.parameters["where"])


async def _descriptors(case: Case) -> None:
    _ = await case.member.inside("inside_process.descriptors", limit=_DESCRIPTORS, **case.parameters)


PROCESS = (
    Fault(
        "killed",
        "The worker process is ended by SIGKILL, as the kernel does when memory runs out.",
        "runtime",
        ORDER,
        _kill,
    ),
    Fault(
        "segfault",
        "Native code in the worker process writes to an address where there is nothing.",
        "runtime",
        ORDER,
        _segfault,
    ),
    Fault(
        "hang",
        "The worker's event loop answers to nothing for a while or for ever: its main thread waits in native code, "
        "with or without the interpreter's lock, or the process is stopped.",
        "runtime",
        ORDER,
        _hang,
        {"how": ("waits", "holds_interpreter", "stopped"), "seconds": (4.0, _FOR_EVER)},
        notices_seconds=8.0,
    ),
    Fault(
        "memory_leak",
        "Calls keep memory until the process may have no more: all of them, those that go the usual way, or those made "
        "while the optional feature is on.",
        "memory",
        ORDER,
        _leak,
        {"where": ("core", "usual_way", "feature"), "megabytes_per_second": (16, 64)},
        notices_seconds=10.0,
    ),
    Fault(
        "cpu_hog",
        "Threads burn the processor in the worker: for ever, while the optional feature is on, or so many for each "
        "operation beyond the first that may run at a time.",
        "performance",
        ORDER,
        _burn,
        {"where": ("core", "feature", "lanes"), "times": (1, 3)},
        notices_seconds=10.0,
    ),
    Fault(
        "descriptors",
        "Files or sockets are opened and never closed until the process may have no more: always, or while the "
        "optional feature is on. The runtime's calls need none.",
        "storage",
        tuple(kind for kind in ORDER if kind != "runtime"),
        _descriptors,
        {"where": ("core", "feature"), "sort": ("files", "sockets")},
        notices_seconds=5.0,
    ),
)
