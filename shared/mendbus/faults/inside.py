"""Faults of an agent's process, brought about from inside."""

import ctypes
import errno
import os
import threading
from typing import Final

import psutil

from mendbus.faults import LONGEST_SECONDS, Parameter, ProcessFault, Values

_MIB: Final = 1 << 20


def _block(values: Values, over: threading.Event) -> None:
    _ = over.wait(LONGEST_SECONDS)


def _segfault(values: Values, over: threading.Event) -> None:
    _ = ctypes.string_at(0)


def _leak(values: Values, over: threading.Event) -> None:
    # Never more than half of what is free, so that the host is not what fails.
    most = min(int(values["mib"]), int(psutil.virtual_memory().available / 2 / _MIB))
    held: list[bytes] = []
    try:
        while len(held) < most and not over.wait(1.0 / values["mib_per_s"]):
            held.append(b"\x01" * _MIB)
    except MemoryError:
        pass
    _ = over.wait(LONGEST_SECONDS)
    held.clear()


def _descriptors(values: Values, over: threading.Event) -> None:
    held: list[int] = []
    try:
        while len(held) < values["count"] and not over.wait(1.0 / values["per_s"]):
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
    finally:
        _ = over.wait(LONGEST_SECONDS)
        for descriptor in held:
            os.close(descriptor)


INSIDE: Final = (
    ProcessFault(
        name="blocked_loop",
        description="The event loop on which the agent was started is held by a call that does not return.",
        run=_block,
        on_loop=True,
    ),
    ProcessFault(
        name="segfault", description="The process reads address 0, and the kernel ends it (SIGSEGV).", run=_segfault
    ),
    ProcessFault(
        name="leak",
        description="Memory is taken and not given back until the fault is over; at most half of what is free.",
        parameters=(
            Parameter("mib", 256, 1, 4096, "MiB in all", whole=True),
            Parameter("mib_per_s", 64, 1, 1024, "MiB a second"),
        ),
        run=_leak,
    ),
    ProcessFault(
        name="descriptors",
        description="Files are opened and not closed until the fault is over, or until none is left to be had.",
        parameters=(
            Parameter("count", 4096, 1, 65536, "files in all", whole=True),
            Parameter("per_s", 5000, 1, 100_000, "files a second"),
        ),
        run=_descriptors,
    ),
)
"""All of them, in the order of the catalogue."""
