"""Faults that grow worse by degrees, at a rate of choice, so that there is something to foresee. For recordings.

`takes`: seconds from nothing to the limit; `reach`: the share of the way after which it stays as it is. What reaches
1 fails, what stays at a half is a look-alike: the same signs, and nobody is the worse for it. Each has the name of the
fault of the catalogue that it is the slow form of, after `drift_`.
"""

import asyncio
import importlib
import os
import pkgutil
import resource
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.lab import faults
from tests.lab.faults import Case, Fault, Value
from tests.lab.judging import PATIENCE_SECONDS
from tests.lab.kinds import ORDER
from tests.lab.links import Weather

TAKES = (15.0, 30.0, 60.0, 90.0)
_RATES: dict[str, tuple[Value, ...]] = {"takes": TAKES, "reach": (1.0,)}
_STEP_SECONDS = 0.1
LEAK_BYTES = 160 << 20
_CLOCK_SECONDS = 0.02
"""What took less is too short to tell from it how fast the machine is."""
DESCRIPTORS = 120
_JOB_SECONDS = 0.2
SCAN_PATIENCES = 1.6
DELAY_PATIENCES = 0.7
_going: dict[int, asyncio.Task[None]] = {}
"""What changes links of an agent, by its port."""
_DESK = ("shader_pipeline", "developer_tools", "orchestrator")
"""Those whose users notice when what they depend on does not answer."""


# -- inside the worker


def _gradually(step: Callable[[float], None], takes: float, reach: float) -> None:
    """Has a thread call `step` with the share of the way, up to `reach` and then on."""
    begun = time.monotonic()

    def run() -> None:
        while True:
            step(min(reach, (time.monotonic() - begun) / takes))
            time.sleep(_STEP_SECONDS)

    threading.Thread(target=run, name="drift", daemon=True).start()


def prepare(_: Any) -> None:
    """Imports what faults are made of, so that no recording shows by its memory that one was about to begin."""
    for module in pkgutil.iter_modules(faults.__path__, f"{faults.__name__}."):
        _ = importlib.import_module(module.name)


def leak(worker: Any, takes: float, reach: float) -> None:
    """Calls keep memory that they should let go of, under a limit of the kernel's that is not far away."""
    data = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_DATA, (data + LEAK_BYTES, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    kept: list[bytes] = []
    held = 0
    turn = threading.Lock()
    begun = time.monotonic()
    call = worker.do_call

    def leaking(*arguments: Any, **named: Any) -> Any:
        nonlocal held
        with turn:
            share = (time.monotonic() - begun) / takes
            due = int((share if reach >= 1.0 else min(reach, share)) * LEAK_BYTES) - held
            if due > 0:
                # Filled, because what is not written to takes no memory.
                kept.append(b"\1" * due)
                held += due
        return call(*arguments, **named)

    worker.do_call = leaking


def descriptors(_: Any, takes: float, reach: float) -> None:
    """Opens files and closes none, under a limit that is not far away."""
    most = len(os.listdir("/proc/self/fd")) + DESCRIPTORS
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    kept: list[int] = []

    def step(share: float) -> None:
        with suppress(OSError):
            while len(kept) < share * DESCRIPTORS or share >= 1.0:
                kept.append(os.open("/dev/null", os.O_RDONLY))

    _gradually(step, takes, reach)


def backlog(worker: Any, takes: float, reach: float) -> None:
    """Gives the worker jobs that wait for something slow, in the end more of them than it has lanes for."""
    owed = 0.0
    last = time.monotonic()

    def step(share: float) -> None:
        nonlocal owed, last
        now = time.monotonic()
        # At the whole of the way half as many again come in as can be done.
        owed += (now - last) * share * 1.5 * worker.lanes.limit / _JOB_SECONDS
        last = now
        while owed >= 1.0:
            worker.lanes.put(lambda: time.sleep(_JOB_SECONDS))
            owed -= 1.0

    _gradually(step, takes, reach)


def scan(_: Any, takes: float, reach: float, longest: float) -> None:
    """Sums up a list that grows, in one go, during which nothing else in the process runs."""
    rate, grown = 1e7, 0

    def step(share: float) -> None:
        nonlocal rate, grown
        grown = int(share * longest * rate)
        begun = time.thread_time()
        _ = sum(range(grown))
        took = time.thread_time() - begun
        if took > _CLOCK_SECONDS:
            rate = grown / took

    _gradually(step, takes, reach)


# -- outside


def _inside(name: str, more: Callable[[Case], dict[str, float]] = lambda _: {}) -> Callable[[Case], Awaitable[None]]:
    async def inject(case: Case) -> None:
        parameters = {"takes": case.number("takes"), "reach": case.number("reach")}
        await case.member.inside(f"drift.{name}", **parameters, **more(case))

    return inject


def _weather(make: Callable[[Case, float], Weather]) -> Callable[[Case], Awaitable[None]]:
    async def run(case: Case) -> None:
        begun = time.monotonic()
        while True:
            share = min(case.number("reach"), (time.monotonic() - begun) / case.number("takes"))
            for link in case.member.links.values():
                await link.set(make(case, share))
            await asyncio.sleep(_STEP_SECONDS)

    async def inject(case: Case) -> None:
        _going[case.member.port] = asyncio.create_task(run(case), name="drift")

    return inject


async def _clear(case: Case) -> None:
    task = _going.pop(case.member.port, None)
    if task is not None:
        _ = task.cancel()
        _ = await asyncio.wait((task,))
    for link in case.member.links.values():
        await link.set(Weather())


def _delay(case: Case, share: float) -> Weather:
    return Weather(delay=share * DELAY_PATIENCES * PATIENCE_SECONDS[case.member.kind])


DRIFTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault(
            "drift_memory_leak",
            "Memory is kept until the kernel gives no more.",
            "memory",
            ORDER,
            _inside("leak"),
            _RATES,
        ),
        Fault(
            "drift_descriptors",
            "Files are opened and not closed until no more may be open.",
            "storage",
            tuple(kind for kind in ORDER if kind != "runtime"),
            _inside("descriptors"),
            _RATES,
        ),
        Fault(
            "drift_queue_overload",
            "Slow jobs come in, more and more often, until they come faster than they are done.",
            "performance",
            ORDER,
            _inside("backlog"),
            _RATES,
        ),
        Fault(
            "drift_cpu_hog",
            "What is gone through in one go grows, and everything else in the process waits meanwhile.",
            "performance",
            ORDER,
            _inside("scan", lambda case: {"longest": SCAN_PATIENCES * PATIENCE_SECONDS[case.member.kind]}),
            _RATES,
        ),
        Fault(
            "drift_slow_upstream",
            "What the agent depends on answers ever more slowly.",
            "performance",
            _DESK,
            _weather(_delay),
            _RATES,
            end=_clear,
        ),
        Fault(
            "drift_flaky_upstream",
            "Ever more connections to what the agent depends on end at once.",
            "network",
            _DESK,
            _weather(lambda _, share: Weather(drop=0.9 * share**3)),
            _RATES,
            end=_clear,
        ),
    )
}
