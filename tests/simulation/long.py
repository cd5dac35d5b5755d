"""Hours of simulated time under light load and sparse faults: what the services keep must level off.

Nothing real is measured here but the size of what each live replica holds: everything that can be reached from its
runtime, and that is its own.
"""

import asyncio
import contextvars
import gc
import random
import sys
import types
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from tests.lab.slopes import theil_sen
from tests.simulation.clock import SimulatedLoop
from tests.simulation.network import Network
from tests.simulation.schedule import REPLICAS, AgentPlan, Crash, Noise, Report, Schedule, Stop
from tests.simulation.world import Result, World, play

from mendbus.bus.memory_streams import MemoryStream

HOUR = 3600.0
SAMPLE_SECONDS = 10.0
ERROR_SECONDS = 90.0
"""Between two errors of an agent, on average."""
LEVEL_SHARE = 0.05
"""A state whose second half of the time is longer by more than this, with certainty, has not levelled off."""
_LOOK_SECONDS = 60.0
_SIZES = 144
_AGENTS = 3
_WHAT = ("Alpha", "Beta", "Gamma", "Delta", "Epsilon")
_SKIPPED = (
    type,
    types.ModuleType,
    types.CodeType,
    types.BuiltinFunctionType,
    contextvars.Context,
    asyncio.AbstractEventLoop,
    Network,
    World,
    MemoryStream,
)


def draw(hours: float, seed: int) -> Schedule:
    """A schedule: every agent reports now and then, and seldom something dies, stops, or is lost on the way."""
    chance = random.Random(f"long {seed}")
    seconds = hours * HOUR
    return Schedule(
        seed=seed,
        noise=Noise(lose=0.0005, double=0.0005, delay=0.002, delay_seconds=0.5),
        small_bounds=False,
        agents=tuple(_agent(chance, number, seconds) for number in range(_AGENTS)),
        crashes=tuple(
            Crash(
                at=at,
                service=(service := chance.choice(sorted(REPLICAS))),
                replica=chance.randrange(REPLICAS[service]),
                down=round(chance.uniform(0.5, 30.0), 3),
                how=chance.choice(("kill", "terminate")),
            )
            for at in _times(chance, seconds, HOUR)
        ),
        stops=tuple(
            Stop(at, chance.choice(("strategy-selector", "executor")), 0, round(chance.uniform(0.5, 5.0), 3))
            for at in _times(chance, seconds, 2 * HOUR)
        ),
        seconds=seconds,
    )


def _agent(chance: random.Random, number: int, seconds: float) -> AgentPlan:
    reports = tuple(
        Report(
            at=at,
            what=(what := chance.choice(_WHAT)),
            message=f"{what.lower()} cannot go on",
            severity=chance.choice(("warning", "error", "error", "critical")),
            count=chance.choice((1, 1, 1, 3)),
            valid=chance.random() < 0.999,
        )
        for at in _times(chance, seconds, ERROR_SECONDS)
    )
    return AgentPlan(
        kind=("runtime", "build_pipeline", "orchestrator")[number % 3],
        id=f"a{number}",
        behaviour="honest",
        strategies=("retry", "restart", "rollback"),
        cures=("retry", "restart") if number else ("rollback",),
        relapses=False,
        restarts=_times(chance, seconds, 4 * HOUR),
        reports=reports,
        sample_seconds=SAMPLE_SECONDS,
    )


def _times(chance: random.Random, seconds: float, every: float) -> tuple[float, ...]:
    """Moments at random, so many seconds apart on average."""
    found: list[float] = []
    at = chance.expovariate(1 / every)
    while at < seconds - 1.0:
        found.append(round(at, 4))
        at += chance.expovariate(1 / every)
    return tuple(found)


@dataclass
class Sizes:
    """What was measured on the way: for each service the bytes of its largest replica, and for each stream its bytes
    and messages. `at`: hours.
    """

    at: list[float] = field(default_factory=list[float])
    services: dict[str, list[float]] = field(default_factory=dict[str, list[float]])
    streams: dict[str, list[tuple[int, int]]] = field(default_factory=dict[str, list[tuple[int, int]]])
    kept: dict[str, Counter[str]] = field(default_factory=dict[str, Counter[str]])
    """Of each service the types that it held most of when last measured."""

    def measure(self, world: World) -> None:
        """Adds a row."""
        self.at.append(round(world.loop.seconds() / HOUR, 3))
        largest: dict[str, float] = dict.fromkeys(REPLICAS, float("nan"))
        for runtime in list(world.live.values()):
            size, kept = held(runtime)
            if not size <= largest[runtime.service]:
                largest[runtime.service] = size
                self.kept[runtime.service] = kept
        for service, size in largest.items():
            self.services.setdefault(service, []).append(size)
        for name in ("ERRORS", "JOURNAL", "RECOVERIES", "ALERTS", "DEAD"):
            stream = world.network.stream(name)
            state = stream.state() if stream is not None else {"bytes": 0, "messages": 0}
            self.streams.setdefault(name, []).append((state["bytes"], state["messages"]))


def held(root: object) -> tuple[float, Counter[str]]:
    """Bytes of everything that can be reached from an object and is not the world's, and how many there are by type."""
    seen: set[int] = set()
    stack: list[object] = [root]
    size, kinds = 0.0, Counter[str]()
    while stack:
        one = stack.pop()
        if id(one) in seen or isinstance(one, _SKIPPED) or _is_globals(one):
            continue
        seen.add(id(one))
        size += sys.getsizeof(one, 0)
        kinds[type(one).__name__] += 1
        stack += gc.get_referents(one)
    return size, kinds


def _is_globals(one: object) -> bool:
    return isinstance(one, dict) and "__builtins__" in cast("dict[Any, Any]", one)


@dataclass
class Long:
    """What came of it. `rising`: services whose state had not levelled off, with a word of how much it grew."""

    result: Result
    sizes: Sizes
    rising: dict[str, str]
    levels: dict[str, dict[str, float]]

    @property
    def failed(self) -> bool:
        """Whether something is wrong."""
        return bool(self.result.wrong or self.rising)


def level(sizes: Sizes) -> tuple[dict[str, str], dict[str, dict[str, float]]]:
    """Services that still grow in the second half of the time, and the figures of all."""
    rising: dict[str, str] = {}
    levels: dict[str, dict[str, float]] = {}
    hours = np.array(sizes.at)
    late = hours >= hours[-1] / 2
    for service, values in sizes.services.items():
        size = np.array(values)
        known = late & np.isfinite(size)
        if known.sum() < 4:
            continue
        slope = theil_sen(hours[known], size[known])
        middle, span = float(np.median(size[known])), float(hours[-1] / 2)
        levels[service] = {
            "kib": round(middle / 1024, 1),
            "most_kib": round(float(np.nanmax(size)) / 1024, 1),
            "kib_per_hour": round(slope.slope / 1024, 3),
            "low": round(slope.low / 1024, 3),
            "high": round(slope.high / 1024, 3),
        }
        if slope.low * span > LEVEL_SHARE * middle:
            rising[service] = f"grows by {slope.slope / 1024:.1f} KiB an hour, of {middle / 1024:.0f} KiB"
    return rising, levels


def simulate_hours(hours: float, seed: int = 1, say: Callable[[str], None] = lambda _: None) -> Long:
    """Runs it. Takes about a minute for so many hours as the machine can do; see `say` for how far it is."""
    sizes = Sizes()
    schedule = draw(hours, seed)

    def watch(world: World) -> None:
        loop: SimulatedLoop = world.loop
        every = max(_LOOK_SECONDS, schedule.seconds / _SIZES)

        def look() -> None:
            # Read before the server forgets it.
            world.audit.look()
            loop.call_later(_LOOK_SECONDS, look)

        def measure() -> None:
            if loop.seconds() <= schedule.seconds:
                # The schedules of seconds are run without collecting garbage; here it would be mistaken for state.
                gc.collect()
                sizes.measure(world)
                loop.call_later(every, measure)
                if len(sizes.at) % 12 == 0:
                    kib = {name: round(size[-1] / 1024) for name, size in sizes.services.items()}
                    say(f"{sizes.at[-1]:6.1f} h, {world.network.messages} messages, KiB {kib}")

        loop.call_later(_LOOK_SECONDS, look)
        loop.call_later(every, measure)

    result = play(schedule, watch)
    rising, levels = level(sizes)
    return Long(result, sizes, rising, levels)
