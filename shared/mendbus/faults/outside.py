"""Faults of a process on this host, brought about from outside: signals, limits, competition."""

import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psutil

from mendbus.faults import OutsideFault, Parameter, Values

_MIB: Final = 1 << 20
_BUSY: Final = "import time\nend = time.monotonic() + {seconds}\nwhile time.monotonic() < end:\n    pass\n"


def process_space() -> str:
    """Where process ids mean the same processes: this boot of this host, and on Linux this namespace of ids."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot}/{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:
        return socket.gethostname()


def _nothing() -> None:
    return


def _kill(pid: int, values: Values, seconds: float) -> Callable[[], None]:
    psutil.Process(pid).kill()
    return _nothing


def _stop(pid: int, values: Values, seconds: float) -> Callable[[], None]:
    # Knows the process by its start too: another one with the same number later is not it.
    process = psutil.Process(pid)
    process.suspend()
    return process.resume


def _limit(pid: int, which: int, amount: int) -> Callable[[], None]:
    """Sets the soft limit, never above the present one; the hard one stays, so that it can be taken back."""
    process = psutil.Process(pid)
    soft, hard = resource.prlimit(pid, which)
    present = (limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY)
    _ = resource.prlimit(pid, which, (min((amount, *present)), hard))

    def back() -> None:
        if process.is_running():
            _ = resource.prlimit(pid, which, (soft, hard))

    return back


def _memory_limit(pid: int, values: Values, seconds: float) -> Callable[[], None]:
    used = psutil.Process(pid).memory_info().vms
    return _limit(pid, resource.RLIMIT_AS, used + int(values["headroom_mib"] * _MIB))


def _descriptor_limit(pid: int, values: Values, seconds: float) -> Callable[[], None]:
    return _limit(pid, resource.RLIMIT_NOFILE, psutil.Process(pid).num_fds() + int(values["headroom"]))


def _file_size_limit(pid: int, values: Values, seconds: float) -> Callable[[], None]:
    return _limit(pid, resource.RLIMIT_FSIZE, int(values["bytes"]))


def _cpu(pid: int, values: Values, seconds: float) -> Callable[[], None]:
    cores = psutil.Process(pid).cpu_affinity()
    children: list[subprocess.Popen[bytes]] = []

    def back() -> None:
        for child in children:
            child.kill()
        for child in children:
            _ = child.wait()

    try:
        for _ in range(int(values["processes"])):
            child = subprocess.Popen((sys.executable, "-S", "-c", _BUSY.format(seconds=seconds)))
            children.append(child)
            psutil.Process(child.pid).cpu_affinity(cores)
    except BaseException:
        back()
        raise
    return back


OUTSIDE: Final = (
    OutsideFault(name="kill", description="The process is ended by SIGKILL.", bring=_kill, lasts=False),
    OutsideFault(
        name="stop", description="The process is stopped by SIGSTOP, and goes on when the fault is over.", bring=_stop
    ),
    OutsideFault(
        name="memory_limit",
        description="The process gets no more address space than it has, and a little.",
        parameters=(Parameter("headroom_mib", 16, 0, 65536, "MiB that it may still take"),),
        bring=_memory_limit,
    ),
    OutsideFault(
        name="descriptor_limit",
        description="The process may open no more files and connections than it has open, and a few.",
        parameters=(Parameter("headroom", 0, 0, 65536, "how many it may still open", whole=True),),
        bring=_descriptor_limit,
    ),
    OutsideFault(
        name="file_size_limit",
        description="The process may write no file beyond a size. Python raises OSError; other programs may be ended "
        "by SIGXFSZ.",
        parameters=(Parameter("bytes", 0, 0, 1 << 30, "largest size of a file", whole=True),),
        bring=_file_size_limit,
    ),
    OutsideFault(
        name="cpu",
        description="Busy processes compete for the cores on which the process may run.",
        parameters=(Parameter("processes", 2 * (os.cpu_count() or 1), 1, 256, "how many of them", whole=True),),
        bring=_cpu,
    ),
)
"""All of them, in the order of the catalogue."""
