"""What services and agents cost by being there: memory, start, a call of report(), the way of a health sample."""

import asyncio
import statistics
import sys
import time
from pathlib import Path

import psutil
from tests.bench.bed import DEFAULT_POLICY, Bed, bed, warm_up
from tests.bench.figures import Book, Mode
from tests.bench.plan import ROOT, Plan, pause
from tests.bench.together import closed_loop
from tests.harness import installation

from mendbus import codec
from mendbus.bus import Message
from mendbus.contracts.messages import AgentRef, HealthSample, HealthStatus
from mendbus.contracts.vocabulary import SERVICES

_IDLE_SECONDS = 2.0
_MIB = 1 << 20
_UP_SECONDS = 60.0


async def measure_memory(plan: Plan, book: Book, mode: Mode, folder: Path) -> None:
    """Private memory of each service with its agents idle, and at the end of a load of distinct recoveries."""
    async with bed(folder, plan, mode, 2 * plan.under_way) as made:
        await asyncio.sleep(_IDLE_SECONDS)
        idle = made.memory()
        await warm_up(made, plan.warm_up)
        _ = await closed_loop(made, plan.under_way, plan.distinct_seconds)
        loaded = made.memory()
        for service in SERVICES:
            book.note(f"memory.idle.{service}", mode, idle[service])
            book.note(f"memory.loaded.{service}", mode, loaded[service])
        book.describe("memory", mode, idle=idle, loaded=loaded)
    book.note("memory.single", mode, await _single_process(folder, mode))


async def _single_process(folder: Path, mode: Mode) -> float:
    """Resident memory of `mendbus up --single-process`, without its server, in MB."""
    log = folder / "single.err"
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).parent / "mendbus"),
            *("up", "--single-process", "--nats-port", "0", "--http-port", "0", "--data-dir", str(folder / "single")),
            cwd=ROOT,
            env={"MENDBUS_TRACE": "true" if mode == "traced" else "false"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(_UP_SECONDS):
            while line := await process.stdout.readline():
                if b"nats://" in line:
                    break
            else:
                msg = f"`mendbus up --single-process` ended before it was ready: {log.read_text()[-2000:]}"
                raise RuntimeError(msg)
        await asyncio.sleep(_IDLE_SECONDS)
        return psutil.Process(process.pid).memory_info().rss / _MIB
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), _UP_SECONDS)


async def measure_start(plan: Plan, book: Book, mode: Mode, folder: Path) -> None:
    """Services one after the other from nothing to ready; then what the SDK's call and a health sample take."""
    folder.mkdir(parents=True)
    for run in range(plan.runs):
        home = folder / str(run)
        home.mkdir()
        environment = {"MENDBUS_TRACE": "true" if mode == "traced" else "false"}
        async with installation(home, SERVICES[0], policy=DEFAULT_POLICY, environment=environment) as system:
            # The first one makes the streams; what is measured is a start as it happens after a crash.
            await system.services[0].terminate()
            for service in SERVICES:
                begun = time.perf_counter()
                await system.run(service)
                book.note(f"start.{service}", mode, time.perf_counter() - begun)
    async with bed(folder / "bed", plan, mode, 1) as made:
        await warm_up(made, plan.warm_up)
        child = made.children[0]
        for _ in range(plan.runs):
            child.tell(do="cost", calls=plan.calls)
            answer = await child.answer(plan.calls * 0.05 + _UP_SECONDS)
            book.note_times("start.report", mode, [taken / 1e6 for taken in answer["nanoseconds"]])
        taken = await status_times(made, plan.samples)
        book.note_times("start.status", mode, taken)
        book.describe("start", mode, samples=len(taken), status_mean_ms=statistics.fmean(taken))


async def status_times(made: Bed, samples: int) -> list[float]:
    """Milliseconds from a sample to the status that it changes; every second sample is of a new agent."""
    subjects = made.system.subjects
    told = asyncio.Queue[HealthStatus]()

    async def hear(message: Message) -> None:
        status = codec.decode(HealthStatus, message.body)
        if status.agent.kind == "bench":
            told.put_nowait(status)

    subscription = await made.bus.subscribe(subjects.everyone("status"), hear)
    await made.bus.barrier()
    taken: list[float] = []
    for number in range(samples):
        agent = AgentRef(kind="bench", id=f"h{number // 2}")
        metrics = {"availability_ratio": 1.0 - 0.9 * (number % 2), "errors_per_s": 20.0 * (number % 2)}
        begun = time.time_ns()
        sample = HealthSample(
            agent=agent, time_unix_nano=begun, sequence=number % 2, interval_ms=60_000, metrics=metrics
        )
        await made.bus.publish(subjects.health(agent.kind, agent.id), codec.encode(sample))
        status = await asyncio.wait_for(told.get(), _UP_SECONDS)
        taken.append((time.time_ns() - begun) / 1e6)
        assert status.agent.id == agent.id
        await pause()
    await subscription.stop()
    return taken
