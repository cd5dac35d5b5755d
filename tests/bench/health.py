"""What the health-monitor costs with many agents that speak twice a second, and how soon it tells of a change."""

import asyncio
import statistics
import time
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
from tests.bench.bed import DEFAULT_POLICY, Bed, Outcomes
from tests.bench.figures import HEALTH_AGENTS, Book, Mode
from tests.bench.life import status_times
from tests.bench.plan import Plan
from tests.bench.processes import spawn
from tests.bench.sampling import INTERVAL_MS
from tests.harness import installation

from mendbus import codec
from mendbus.bus import Bus, Message
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import (
    AgentRef,
    Control,
    ControlResult,
    ErrorReported,
    ExceptionInfo,
    HealthSample,
    HealthStatus,
)
from mendbus.contracts.subjects import MAX_SERVICE_BODY, Subjects

_MIB = 1 << 20
_START_SECONDS = 60.0
_SETTLE_SECONDS = 3.0
_ROW_BYTES = 26
"""What the server adds to subject, headers and body of a message that it keeps."""
_HEADER = "NATS/1.0\r\nNats-Msg-Id: \r\n\r\n"
_MINUTES = 1440
_FAILING = 10
"""Agents that fall silent, and agents that die."""


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
                taken, begun = await _taken(bus, system.subjects), time.perf_counter()
                percent, used = await _watch(monitor, plan.health_seconds)
                rate = (await _taken(bus, system.subjects) - taken) / (time.perf_counter() - begun)
                book.note(f"health.cpu.{agents}", mode, percent)
                book.note(f"health.memory.{agents}", mode, (used - idle) / _MIB)
                # A machine that is too busy to send so many samples shows a cost that is none.
                curve.append(
                    {
                        "agents": agents,
                        "samples_per_s": round(rate),
                        "percent": round(percent, 2),
                        # Where this rises along the curve, something costs more than in proportion.
                        "us_per_sample": round(percent * 1e4 / max(rate, 1.0), 1),
                        "mib": round((used - idle) / _MIB, 1),
                        "mib_per_100_agents": round((used - idle) / _MIB * 100 / agents, 1),
                    }
                )
                if agents == HEALTH_AGENTS[0]:
                    made = Bed(system, bus, Outcomes(), {}, [], None)
                    book.note_times("health.status", mode, await status_times(made, plan.samples))
                    silent, died = await _failures(bus, system.subjects)
                    book.note("health.silent", mode, max(silent))
                    book.note("health.died", mode, max(died) * 1000)
            size = await _bytes_of_a_day(bus, system.subjects)
            if size is not None:
                book.note("health.day", mode, size / 1e6)
            book.describe("health", mode, idle_mib=idle / _MIB, curve=curve)


async def _taken(bus: Bus, subjects: Subjects) -> int:
    """Samples that the monitor has taken in so far."""
    control = Control(
        id=new_id(), time_unix_nano=time.time_ns(), verb="agents", by="bench", agent=AgentRef(kind="runtime", id="h0")
    )
    reply = await bus.request(subjects.control("agents"), codec.encode(control), timeout=_START_SECONDS)
    return codec.decode(ControlResult, reply.body, MAX_SERVICE_BODY).data["samples"]["taken"]


async def _watch(process: psutil.Process, seconds: float) -> tuple[float, int]:
    """Per cent of one core over so many seconds, and private bytes at their end."""
    loop = asyncio.get_running_loop()
    before, begun = process.cpu_times(), loop.time()
    await asyncio.sleep(seconds)
    after, ended = process.cpu_times(), loop.time()
    busy = after.user + after.system - before.user - before.system
    return busy / (ended - begun) * 100, process.memory_full_info().uss


async def _failures(bus: Bus, subjects: Subjects) -> tuple[list[float], list[float]]:
    """Seconds from the last sample to `failed`, and from a fatal error to `failed`, of some agents each."""
    told: dict[str, asyncio.Future[float]] = {}
    loop = asyncio.get_running_loop()

    async def hear(message: Message) -> None:
        status = codec.decode(HealthStatus, message.body)
        waiting = told.get(status.agent.id)
        if status.status == "failed" and waiting is not None and not waiting.done():
            waiting.set_result(loop.time())

    async def speak(agent: AgentRef) -> float:
        now = time.time_ns()
        sample = HealthSample(agent=agent, time_unix_nano=now, sequence=0, interval_ms=INTERVAL_MS, metrics={})
        await bus.publish(subjects.health(agent.kind, agent.id), codec.encode(sample))
        return loop.time()

    async def die(agent: AgentRef) -> float:
        now, begun = time.time_ns(), loop.time()
        death = ExceptionInfo(type="ProcessDied", message="the process was ended by SIGKILL")
        error = ErrorReported(id=new_id(), time_unix_nano=now, agent=agent, exception=death, severity="fatal")
        await bus.store(subjects.error("fatal", agent.kind, agent.id), codec.encode(error), id=error.id)
        return begun

    subscription = await bus.subscribe(subjects.everyone("status"), hear)
    await bus.barrier()
    found: list[list[float]] = []
    for name, act in (("s", speak), ("d", die)):
        agents = [AgentRef(kind="bench", id=f"{name}{number}") for number in range(_FAILING)]
        told |= {agent.id: loop.create_future() for agent in agents}
        begun = {agent.id: await act(agent) for agent in agents}
        async with asyncio.timeout(_START_SECONDS):
            found.append([await told[agent] - at for agent, at in begun.items()])
    await subscription.stop()
    return found[0], found[1]


async def _bytes_of_a_day(bus: Bus, subjects: Subjects) -> float | None:
    """Bytes that the rows of one agent's day take on the server; None when no minute has passed yet."""
    sizes = [
        len(stored.body) + len(stored.subject) + len(_HEADER) + sum(map(len, stored.headers.values())) + _ROW_BYTES
        async for stored in bus.read(subjects.stream("HEALTH"), subjects.everyone("history.minute"))
    ]
    return statistics.fmean(sizes) * _MINUTES if sizes else None
