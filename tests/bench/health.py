"""What the health-monitor costs with many agents that speak twice a second, and how soon it tells of a change."""

import asyncio
import statistics
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
from tests.bench.bed import DEFAULT_POLICY, Bed, Outcomes
from tests.bench.figures import HEALTH_AGENTS, Book, Mode
from tests.bench.life import status_times
from tests.bench.plan import Plan
from tests.bench.processes import spawn
from tests.harness import installation

from mendbus.bus import Bus
from mendbus.contracts.subjects import Subjects

_MIB = 1 << 20
_START_SECONDS = 60.0
_SETTLE_SECONDS = 3.0
_ROW_BYTES = 26
"""What the server adds to subject, headers and body of a message that it keeps."""
_HEADER = "NATS/1.0\r\nNats-Msg-Id: \r\n\r\n"
_MINUTES = 1440


async def measure_health(plan: Plan, book: Book, mode: Mode, folder: Path) -> None:
    """One health-monitor alone, and more and more agents; it does nothing that is traced, so once is enough."""
    if mode == "untraced":
        return
    for run in range(plan.runs):
        home = folder / str(run)
        home.mkdir(parents=True)
        async with AsyncExitStack() as stack:
            system = await stack.enter_async_context(
                installation(home, "health-monitor", policy=DEFAULT_POLICY, environment={"MENDBUS_TRACE": "false"})
            )
            bus = await system.connect("bench")
            stack.push_async_callback(bus.close)
            monitor = psutil.Process(system.services[0].process.pid)
            await asyncio.sleep(_SETTLE_SECONDS)
            idle, there, curve = monitor.memory_full_info().uss, 0, list[dict[str, float]]()
            for agents in HEALTH_AGENTS:
                words = ["tests.bench.sampling", str(there), str(agents - there)]
                child = await spawn(words, system.environment, home)
                stack.push_async_callback(child.end)
                await child.answer(_START_SECONDS)
                there = agents
                await asyncio.sleep(_SETTLE_SECONDS)
                percent, used = await _watch(monitor, plan.health_seconds)
                book.note(f"health.cpu.{agents}", mode, percent)
                book.note(f"health.memory.{agents}", mode, (used - idle) / _MIB)
                curve.append({"agents": agents, "percent": round(percent, 2), "above_idle_mib": (used - idle) / _MIB})
                if agents == HEALTH_AGENTS[0]:
                    made = Bed(system, bus, Outcomes(), {}, [], None)
                    book.note_times("health.status", mode, await status_times(made, plan.samples))
            size = await _bytes_of_a_day(bus, system.subjects)
            if size is not None:
                book.note("health.day", mode, size / 1e6)
            book.describe("health", mode, idle_mib=idle / _MIB, curve=curve)


async def _watch(process: psutil.Process, seconds: float) -> tuple[float, int]:
    """Per cent of one core over so many seconds, and private bytes at their end."""
    loop = asyncio.get_running_loop()
    before, begun = process.cpu_times(), loop.time()
    await asyncio.sleep(seconds)
    after, ended = process.cpu_times(), loop.time()
    busy = after.user + after.system - before.user - before.system
    return busy / (ended - begun) * 100, process.memory_full_info().uss


async def _bytes_of_a_day(bus: Bus, subjects: Subjects) -> float | None:
    """Bytes that the rows of one agent's day take on the server; None when no minute has passed yet."""
    sizes = [
        len(stored.body) + len(stored.subject) + len(_HEADER) + sum(map(len, stored.headers.values())) + _ROW_BYTES
        async for stored in bus.read(subjects.stream("HEALTH"), subjects.everyone("history.minute"))
    ]
    return statistics.fmean(sizes) * _MINUTES if sizes else None
