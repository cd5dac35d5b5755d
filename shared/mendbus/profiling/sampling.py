"""A process looks at itself for some seconds: CPU by function, wall time by function, lateness of its event loop.

A profiler of our own, because it must cost a service nothing while it is off and no memory when it is loaded. CPU is
sampled by a timer of the process's CPU time (SIGPROF): what runs is seen, whether or not it releases the interpreter's
lock. Wall time is sampled by a thread that looks at the loop's stack, so that waiting is seen too.
"""

import asyncio
import itertools
import math
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import PurePath
from types import FrameType
from typing import Final, NamedTuple

CPU_TICK: Final = 0.001
"""Seconds of CPU time between two CPU samples (the kernel rounds it up, commonly to 1 or 4 ms)."""
WALL_TICK: Final = 0.005
"""Seconds between two wall samples."""
LAG_TICK: Final = 0.01
"""Seconds for which the probe of the event loop sleeps."""
_DEEPEST: Final = 48
_SWITCH: Final = 0.0005
"""Seconds after which a running thread has to let the wall sampler look."""

Stack = tuple[str, ...]


class Lag(NamedTuple):
    """How late the event loop woke a task that had slept, in milliseconds."""

    samples: int
    p50_ms: float
    p99_ms: float
    max_ms: float


class Profile(NamedTuple):
    """What was seen. Stacks run outermost first; their values are numbers of samples."""

    wall_seconds: float
    cpu_seconds: float
    lag: Lag
    cpu: dict[Stack, int]
    wall: dict[Stack, int]


class Function(NamedTuple):
    """A function's share, in milliseconds: by itself, and with what it called."""

    name: str
    cpu_self_ms: float
    cpu_ms: float
    wall_self_ms: float
    wall_ms: float


async def profile(seconds: float) -> Profile:
    """Samples this process for some seconds; CPU by function only when the loop runs in the main thread."""
    stop = threading.Event()
    cpu: Counter[Stack] = Counter()
    wall: Counter[Stack] = Counter()
    sampler = threading.Thread(
        target=_sample_wall, args=(threading.get_ident(), wall, stop), name="profile", daemon=True
    )
    before, began = time.process_time(), time.perf_counter()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH)
    sampler.start()
    try:
        with _cpu_samples(cpu):
            lag = await _probe_loop(seconds)
        spent, taken = time.process_time() - before, time.perf_counter() - began
    finally:
        sys.setswitchinterval(interval)
        stop.set()
        sampler.join(timeout=1.0)
    return Profile(taken, spent, lag, dict(cpu), dict(wall))


@contextmanager
def _cpu_samples(into: "Counter[Stack]") -> Generator[None]:
    def look(_: int, frame: FrameType | None) -> None:
        into[stack_of(frame)] += 1

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGPROF, look)
    signal.setitimer(signal.ITIMER_PROF, CPU_TICK, CPU_TICK)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        # A tick may still be on its way, and by default it would end the process.
        signal.signal(signal.SIGPROF, _late_tick if former in (signal.SIG_DFL, None) else former)


def _late_tick(_: int, __: FrameType | None) -> None:
    """What comes after the end."""


def _sample_wall(thread: int, into: "Counter[Stack]", stop: threading.Event) -> None:
    while not stop.wait(WALL_TICK):
        into[stack_of(sys._current_frames().get(thread))] += 1  # pyright: ignore[reportPrivateUsage]


async def _probe_loop(seconds: float) -> Lag:
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    late: list[float] = []
    while (now := loop.time()) < end:
        await asyncio.sleep(LAG_TICK)
        late.append(max(0.0, loop.time() - now - LAG_TICK) * 1e3)
    return lag_of(late)


def lag_of(late_ms: Sequence[float]) -> Lag:
    """Percentiles by nearest rank."""
    ordered = sorted(late_ms)
    if not ordered:
        return Lag(0, 0.0, 0.0, 0.0)

    def at(share: float) -> float:
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

    return Lag(len(ordered), at(0.5), at(0.99), ordered[-1])


def stack_of(frame: FrameType | None) -> Stack:
    """Names of the functions of a stack, outermost first; of a very deep one the innermost."""
    names: list[str] = []
    while frame is not None and len(names) < _DEEPEST:
        code = frame.f_code
        path = PurePath(code.co_filename)
        folder = f"{path.parent.name}/" if path.parent.name else ""
        names.append(f"{code.co_qualname} ({folder}{path.name}:{code.co_firstlineno})".replace(";", ","))
        frame = frame.f_back
    return tuple(reversed(names))


def functions(profile: Profile) -> list[Function]:
    """All functions seen, the one that uses most CPU by itself first."""
    cpu_self, cpu_total = _by_function(profile.cpu, profile.cpu_seconds * 1e3)
    wall_self, wall_total = _by_function(profile.wall, profile.wall_seconds * 1e3)
    found = [
        Function(
            name, cpu_self.get(name, 0.0), cpu_total.get(name, 0.0), wall_self.get(name, 0.0), wall_total.get(name, 0.0)
        )
        for name in dict.fromkeys(itertools.chain(cpu_total, wall_total))
    ]
    return sorted(found, key=lambda one: (-one.cpu_self_ms, -one.cpu_ms, -one.wall_self_ms, one.name))


def _by_function(stacks: dict[Stack, int], total_ms: float) -> tuple[dict[str, float], dict[str, float]]:
    each = total_ms / max(1, sum(stacks.values()))
    alone: Counter[str] = Counter()
    within: Counter[str] = Counter()
    for stack, count in stacks.items():
        if stack:
            alone[stack[-1]] += count
        for name in set(stack):
            within[name] += count
    return {name: n * each for name, n in alone.items()}, {name: n * each for name, n in within.items()}
