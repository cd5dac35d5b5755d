"""A process looks at itself for some seconds: CPU by function, wall time by function, lateness of its event loop.

A profiler of our own, because it must cost a service nothing while it is off and no memory when it is loaded. Two
timers of the kernel interrupt the loop, one by CPU time (SIGPROF) and one by wall time (SIGALRM), and what runs then is
noted. A sampling thread would see a loop only where that releases the interpreter's lock: nearly always asleep. Time
spent in C code shows on the Python function that runs next.
"""

import asyncio
import itertools
import math
import signal
import threading
import time
from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import PurePath
from types import CodeType, FrameType
from typing import Final, NamedTuple

CPU_TICK: Final = 0.001
"""Seconds of CPU time between two CPU samples (the kernel rounds it up to some milliseconds)."""
WALL_TICK: Final = 0.01
"""Seconds between two wall samples."""
LAG_TICK: Final = 0.02
"""Seconds for which the probe of the event loop sleeps."""
_DEEPEST: Final = 48
_TICK: Final = "_sampled.<locals>.look"

Stack = tuple[str, ...]
_Codes = tuple[CodeType, ...]


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
    """Samples this process for some seconds; functions are seen only where the loop runs in the main thread."""
    cpu: Counter[_Codes] = Counter()
    wall: Counter[_Codes] = Counter()
    before, began = time.process_time(), time.perf_counter()
    with (
        _sampled(signal.SIGPROF, signal.ITIMER_PROF, CPU_TICK, cpu),
        _sampled(signal.SIGALRM, signal.ITIMER_REAL, WALL_TICK, wall),
    ):
        lag = await _probe_loop(seconds)
    return Profile(time.perf_counter() - began, time.process_time() - before, lag, _named(cpu), _named(wall))


@contextmanager
def _sampled(number: signal.Signals, timer: int, tick: float, into: "Counter[_Codes]") -> Generator[None]:
    def look(_: int, frame: FrameType | None) -> None:
        into[_codes_of(frame)] += 1

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = signal.signal(number, look)
    former = signal.setitimer(timer, tick, tick)
    try:
        yield
    finally:
        signal.setitimer(timer, 0)
        # A tick may still be on its way, and by default it would end the process.
        signal.signal(number, _late_tick if handler in (signal.SIG_DFL, None) else handler)
        signal.setitimer(timer, *former)


def _late_tick(_: int, __: FrameType | None) -> None:
    """What comes after the end."""


async def _probe_loop(seconds: float) -> Lag:
    # Not by the loop's own time, which is that of its last turn, and whole milliseconds in some loops.
    clock = time.perf_counter
    end = clock() + seconds
    late: list[float] = []
    while (now := clock()) < end:
        await asyncio.sleep(LAG_TICK)
        late.append(max(0.0, clock() - now - LAG_TICK) * 1e3)
    return lag_of(late)


def lag_of(late_ms: Sequence[float]) -> Lag:
    """Percentiles by nearest rank."""
    ordered = sorted(late_ms)
    if not ordered:
        return Lag(0, 0.0, 0.0, 0.0)

    def at(share: float) -> float:
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)]

    return Lag(len(ordered), at(0.5), at(0.99), ordered[-1])


def _codes_of(frame: FrameType | None) -> _Codes:
    """What runs, innermost first; of a very deep stack the innermost. Quick, because it runs at each tick."""
    codes: list[CodeType] = []
    while frame is not None and len(codes) < _DEEPEST:
        codes.append(frame.f_code)
        frame = frame.f_back
    return tuple(codes)


def _named(samples: "Counter[_Codes]") -> dict[Stack, int]:
    stacks: Counter[Stack] = Counter()
    names: dict[CodeType, str] = {}
    for codes, count in samples.items():
        for code in codes:
            if code not in names:
                names[code] = _name_of(code)
        stack = tuple(names[code] for code in reversed(codes))
        # One timer may interrupt the other one's handler: that is no time of the program.
        own = next((at for at, name in enumerate(stack) if _TICK in name), len(stack))
        stacks[stack[:own]] += count
    return dict(stacks)


def _name_of(code: CodeType) -> str:
    path = PurePath(code.co_filename)
    folder = f"{path.parent.name}/" if path.parent.name else ""
    return f"{code.co_qualname} ({folder}{path.name}:{code.co_firstlineno})".replace(";", ",")


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
