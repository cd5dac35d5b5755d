"""What faults do inside a worker. Each takes the `Worker`, on whose main thread it is called, and returns at once.

`where`, for those that have it: `core`, all that the process does; `usual_way`, operations and their probes, but not
the other ways to do them; `feature`, only while the optional features of the work are on; `lanes`, in proportion to
how many operations beyond the first may run at a time.
"""

import ctypes
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

_MEGABYTE = 1 << 20
_SHARE_OF_HEADROOM = 8
_RESPONSE_SECONDS = 0.05
"""Until when the answer about the injection is out, and how often a thread looks whether a feature is on."""


def segfault(_: Any) -> None:
    """Native code writes to an address where there is nothing."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    timer = threading.Timer(_RESPONSE_SECONDS, ctypes.memset, (8, 0, 1))
    timer.daemon = True
    timer.start()


def hang(_: Any, holds_interpreter: bool, duration: float) -> None:
    """The main thread waits in native code, with or without the interpreter's lock; up to 4,294 seconds."""
    library = ctypes.PyDLL(None) if holds_interpreter else ctypes.CDLL(None)

    def wait(*_: Any) -> None:
        library.usleep(ctypes.c_uint(int(duration * 1_000_000)))

    # A signal's handler runs on the main thread, wherever that is.
    signal.signal(signal.SIGALRM, wait)
    signal.setitimer(signal.ITIMER_REAL, _RESPONSE_SECONDS)


def leak(worker: Any, megabytes_per_second: float, headroom: int, where: str) -> int:
    """Calls keep memory that they should have let go of, until the process may have no more; the limit in bytes."""
    limit = _memory() + headroom * _MEGABYTE
    resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    kept: list[bytearray] = []
    turn = threading.Lock()
    most = headroom * _MEGABYTE // _SHARE_OF_HEADROOM
    since = time.monotonic()

    @contextmanager
    def keep() -> Any:
        nonlocal since
        with turn:
            if where == "feature" and not _featured(worker):
                kept.clear()
            else:
                now = time.monotonic()
                kept.append(bytearray(min(most, int((now - since) * megabytes_per_second * _MEGABYTE))))
                since = now
        yield

    _around(worker, keep, where)
    return limit


def burn(worker: Any, threads: int, where: str) -> None:
    """Threads compute and compute."""
    level = worker.lanes.limit
    begin = threading.Event()

    def burn(number: int) -> None:
        value = number
        _ = begin.wait()
        while True:
            wanted = threads * (worker.lanes.limit - 1) / max(1, level - 1) if where == "lanes" else threads
            if number >= wanted or (where == "feature" and not _featured(worker)):
                time.sleep(_RESPONSE_SECONDS)
                continue
            for _ in range(50_000):
                value = value * 48_271 % 2_147_483_647

    for number in range(threads):
        _thread(lambda number=number: burn(number))
    begin.set()


def descriptors(worker: Any, limit: int, sort: str, where: str) -> None:
    """Files or sockets are opened and never closed, until the process may have no more."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    opened: list[int] = []

    def exhaust() -> None:
        while True:
            if where == "feature" and not _featured(worker):
                while opened:
                    os.close(opened.pop())
            else:
                with suppress(OSError):
                    while True:
                        opened.append(
                            socket.socket().detach() if sort == "sockets" else os.open(os.devnull, os.O_RDONLY)
                        )
            time.sleep(_RESPONSE_SECONDS / 5)

    _thread(exhaust)


def fill(_: Any, limit: int) -> None:
    """No file may grow beyond so many bytes; writing more is an error."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def deadlock(worker: Any, every_ms: float, where: str) -> None:
    """Calls take one lock and then another, a thread beside them takes the other one first."""
    books, log = threading.Lock(), threading.Lock()

    @contextmanager
    def account() -> Any:
        with books:
            time.sleep(0.005)
            with log:
                pass
        yield

    def tidy() -> None:
        while True:
            with log:
                time.sleep(0.005)
                with books:
                    pass
            time.sleep(every_ms / 1000)

    _around(worker, account, where)
    _thread(tidy)


def contend(worker: Any, held: float, where: str) -> None:
    """A thread has a lock that calls need, so long at a time, and is seldom without it."""
    lock = threading.Lock()

    @contextmanager
    def look_up() -> Any:
        with lock:
            pass
        yield

    def compact() -> None:
        while True:
            if where != "feature" or _featured(worker):
                with lock:
                    time.sleep(held)
            time.sleep(_RESPONSE_SECONDS / 2)

    _around(worker, look_up, where)
    _thread(compact)


def _around(worker: Any, step: Callable[[], AbstractContextManager[None]], where: str) -> None:
    """Has each call and probe go through a step, also when the work is taken up anew: the code is what it is."""
    call, probe = worker.do_call, worker.do_probe

    def do_call(operation: str, arguments: list[Any], way: str = "") -> Any:
        if way and where == "usual_way":
            return call(operation, arguments, way)
        with step():
            return call(operation, arguments, way)

    def do_probe(operation: str) -> Any:
        with step():
            return probe(operation)

    worker.do_call, worker.do_probe = do_call, do_probe


def _featured(worker: Any) -> bool:
    return worker.work is not None and any(worker.work.features.values())


def _memory() -> int:
    """How much this process may write to and has to itself, in bytes: what `RLIMIT_DATA` limits.

    The size of the whole address space would tell little: much of it is reserved for threads that may need it.
    """
    with open("/proc/self/status") as file:
        return int(file.read().partition("VmData:")[2].split()[0]) * 1024


def _thread(run: Callable[[], None]) -> None:
    threading.Thread(target=run, daemon=True).start()
