"""What is measured on: a server, the five services, an OTLP receiver and agents, each a process; and what they say."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from tests.bench.agents import letters
from tests.bench.figures import Mode
from tests.bench.plan import Plan
from tests.bench.processes import Child, spawn
from tests.harness import Installation, installation

from mendbus import codec
from mendbus.bus import Bus, Message
from mendbus.contracts.errors import BusError
from mendbus.contracts.subjects import LANES, MAX_SERVICE_BODY, PARTITIONS
from mendbus.contracts.vocabulary import AGENT_KINDS, SERVICES

OUTCOME_SECONDS = 15.0
DEFAULT_POLICY = "# nothing here: every setting has its default\n"
LEAN_PROCESSES = 2
_START_SECONDS = 60.0
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Heard:
    """The first outcome of an incident; times in nanoseconds since 1970, 0 where it has none."""

    agent: str
    event_id: str
    outcome: str
    reported: int
    selected: int
    verified: int
    reason: str

    @property
    def milliseconds(self) -> float:
        """From the call of report() to the healthy probe."""
        return (self.verified - self.reported) / 1e6


class Outcomes:
    """Hears all outcomes: queues the first of each incident, keeps the count of the newest."""

    def __init__(self) -> None:
        self.first = asyncio.Queue[Heard]()
        self.newest: dict[str, tuple[int, int]] = {}
        """Sequence and error count, by incident."""

    async def hear(self, message: Message) -> None:
        """Takes an outcome."""
        body = codec.unpack(message.body, MAX_SERVICE_BODY)
        sequence, incident = body["sequence"], body["incident_id"]
        if sequence >= self.newest.get(incident, (-1, 0))[0]:
            self.newest[incident] = (sequence, body["error_count"])
        if sequence == 0:
            times: dict[str, int] = body.get("times") or {}
            agent = body["agent"]
            self.first.put_nowait(
                Heard(
                    f"{agent['kind']}/{agent['id']}",
                    (body.get("event_ids") or [""])[0],
                    body["outcome"],
                    times.get("reported") or 0,
                    times.get("selected") or 0,
                    times.get("verified") or 0,
                    body.get("reason") or "",
                )
            )

    async def next(self) -> Heard:
        """The next first outcome. Raises `TimeoutError`."""
        return await asyncio.wait_for(self.first.get(), OUTCOME_SECONDS)


@dataclass
class Bed:
    """Everything a row needs. `agents`: keys, each with the process it is in and its number there."""

    system: Installation
    bus: Bus
    outcomes: Outcomes
    agents: dict[str, tuple[Child, int]] = field(default_factory=dict[str, tuple[Child, int]])
    children: list[Child] = field(default_factory=list[Child])
    receiver: Child | None = None
    _words: int = 0

    def fail(self, keys: Iterable[str]) -> None:
        """Has each of the agents fail now, each with a failure there has not been yet."""
        told: dict[Child, list[tuple[int, str]]] = {}
        for key in keys:
            self._words += 1
            child, number = self.agents[key]
            told.setdefault(child, []).append((number, letters(self._words)))
        for child, what in told.items():
            child.tell(do="fail", what=what)

    async def flushed(self) -> dict[str, Any]:
        """What all agents have reported and what was acknowledged, together."""
        for child in self.children:
            child.tell(do="flush")
        answers = [await child.answer(_START_SECONDS * 2) for child in self.children]
        return {
            "flushed": all(answer["flushed"] for answer in answers),
            "reported": sum(answer["reported"] for answer in answers),
            "shed": sum(answer["shed"] for answer in answers),
            "acknowledged": {key: at for answer in answers for key, at in answer["acknowledged"].items()},
        }

    def processes(self) -> list[tuple[str, psutil.Process]]:
        """The services' and the server's processes, each with its name."""
        found = [(service.name, psutil.Process(service.process.pid)) for service in self.system.services]
        return [*found, ("nats-server", psutil.Process(self.system.server.pid))]

    def cpu(self) -> dict[str, float]:
        """CPU seconds used so far by each service (all replicas together), the server, all agent processes together,
        and the bench's own.
        """
        used: dict[str, float] = dict.fromkeys(SERVICES, 0.0)
        for name, process in self.processes():
            used[name] = used.get(name, 0.0) + _cpu(process)
        used["agents"] = sum(_cpu(psutil.Process(child.pid)) for child in self.children)
        used["bench"] = _cpu(psutil.Process())
        if self.receiver is not None:
            used["OTLP receiver"] = _cpu(psutil.Process(self.receiver.pid))
        return used

    def memory(self) -> dict[str, float]:
        """Private memory of each process, in MB (2**20 bytes)."""
        return {name: process.memory_full_info().uss / _MIB for name, process in self.processes()}

    async def lag(self) -> int:
        """Errors that are stored and that the owners have not acknowledged."""
        subjects, total = self.system.subjects, 0
        stream = subjects.stream("ERRORS")
        for partition in range(PARTITIONS):
            for lane in LANES:
                name = subjects.consumer(partition, lane)
                answer = await self.bus.request(f"$JS.API.CONSUMER.INFO.{stream}.{name}", b"", timeout=5.0)
                found = json.loads(answer.body)
                total += found["num_pending"] + found["num_ack_pending"]
        return total


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def per_unit(before: dict[str, float], after: dict[str, float], units: float) -> dict[str, float]:
    """CPU milliseconds a unit of work, by process."""
    return {name: round((after[name] - before[name]) * 1000 / max(1.0, units), 4) for name in after}


def of_services(cpu: dict[str, float]) -> float:
    """The sum over the five services."""
    return sum(cpu[service] for service in SERVICES)


def outcomes_of(heard: Iterable[Heard]) -> dict[str, int]:
    """How many ended in which way."""
    return Counter(
        found.outcome if found.outcome == "recovered" else f"{found.outcome}: {found.reason}" for found in heard
    )


@asynccontextmanager
async def bed(
    folder: Path, plan: Plan, mode: Mode, agents: int, *, lean: bool = False, replicas: int = 1
) -> AsyncGenerator[Bed]:
    """A fresh installation under the default policy, with that many agents of the six kinds in turn.

    They are agents of the SDK in several processes, or `lean` ones in two. `replicas`: of each service but the
    health-monitor, which runs once.
    """
    folder.mkdir(parents=True)
    environment = {"MENDBUS_TRACE": "true" if mode == "traced" else "false"}
    async with AsyncExitStack() as stack:
        receiver = None
        if mode == "traced":
            receiver, endpoint = await stack.enter_async_context(_receiver(folder))
            environment["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
        services = [name for name in SERVICES for _ in range(1 if name == "health-monitor" else replicas)]
        system = await stack.enter_async_context(
            installation(folder, *services, policy=DEFAULT_POLICY, environment=environment)
        )
        bus = await system.connect("bench")
        stack.push_async_callback(bus.close)
        made = Bed(system, bus, Outcomes(), receiver=receiver)
        await bus.subscribe(system.subjects.everyone("outcome"), made.outcomes.hear)
        names = [f"{AGENT_KINDS[number % len(AGENT_KINDS)]}/a{number}" for number in range(agents)]
        processes = min(LEAN_PROCESSES if lean else plan.processes, agents)
        for group in (names[first::processes] for first in range(processes)):
            module = "tests.bench.lean" if lean else "tests.bench.agents"
            child = await spawn([module, *group], system.environment, folder)
            stack.push_async_callback(child.end)
            made.children.append(child)
            made.agents.update({name: (child, number) for number, name in enumerate(group)})
        for child in made.children:
            await child.answer(_START_SECONDS)
        yield made
        with suppress(BusError):
            await bus.barrier()


@asynccontextmanager
async def _receiver(folder: Path) -> AsyncGenerator[tuple[Child, str]]:
    """A live OTLP receiver and its endpoint."""
    child = await spawn(["mendbus.otlp_sink", "--port", "0"], {}, folder)
    try:
        yield child, await child.line(_START_SECONDS)
    finally:
        await child.terminate()
        counts = await child.answer(_START_SECONDS)
        await child.end()
        assert counts["requests"], f"the OTLP receiver heard nothing: {counts}"


async def warm_up(made: Bed, number: int) -> None:
    """Recovers so many errors, one at a time, that are not measured: the first ones build models and caches."""
    keys: Sequence[str] = list(made.agents)
    for count in range(number):
        made.fail([keys[count % len(keys)]])
        await made.outcomes.next()
    await made.flushed()
