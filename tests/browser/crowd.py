"""A crowd of agents on one connection, for pages to show: they greet, tell their health, fail, and obey commands.

`python -m tests.browser.crowd URL [AGENTS]` keeps one at work until it is interrupted.
"""

import asyncio
import math
import random
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mendbus import codec
from mendbus.bus import Bus, Message
from mendbus.bus.nats import connect
from mendbus.contracts.errors import BusError
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import (
    AgentHello,
    AgentRef,
    Cause,
    CommandResult,
    ErrorReported,
    ExceptionInfo,
    Frame,
    HealthSample,
    Operation,
    Probe,
    ProbeResult,
    RecoveryCommand,
)
from mendbus.contracts.subjects import Subjects
from mendbus.contracts.vocabulary import AGENT_KINDS, STRATEGIES, Severity

GIB: Final = 1 << 30


@dataclass(frozen=True)
class Fault:
    """A failure that an agent of a kind meets: `tries` attempts of recovery do not help against it."""

    kind: str
    type: str
    message: str
    operation: str
    severity: Severity = "error"
    tries: int = 0
    cause: tuple[str, str] | None = None


FAULTS: Final = (
    Fault("build_pipeline", "SyntaxError", "unexpected token '}' in src/cart.ts (41:7)", "compile", tries=1),
    Fault("build_pipeline", "ModuleNotFoundError", "no module named 'left_pad' imported by src/price.ts", "resolve"),
    Fault("runtime", "MemoryError", "cannot allocate 2147483648 bytes for the module graph", "reload", "critical"),
    Fault("runtime", "ReferenceError", "totals is not defined, raised by cart.hot.js", "reload", tries=1),
    Fault(
        "versioning",
        "ConnectionResetError",
        "[Errno 104] connection reset by peer while fetching refs/heads/main",
        "fetch",
        cause=("TimeoutError", "no bytes for 10 s"),
    ),
    Fault("versioning", "FileNotFoundError", "[Errno 2] No such file or directory: '.git/refs/heads/next'", "resolve"),
    Fault("developer_tools", "TimeoutError", "the inspector did not answer within 5 s", "attach", "warning"),
    Fault("shader_pipeline", "OSError", "[Errno 28] No space left on device: 'cache/spirv/9f2c.bin'", "store", tries=9),
    Fault("shader_pipeline", "CompileError", "'vec5' : undeclared identifier in water.frag", "compile", tries=1),
    Fault(
        "orchestrator", "PermissionError", "token of worker was refused: signature does not match", "call", "critical"
    ),
    Fault("orchestrator", "DeadlockError", "two reloads wait for each other: lock of scene held for 30 s", "plan"),
)
_SOURCES: Final = {"build_pipeline": "bundler", "runtime": "loader", "shader_pipeline": "compiler"}


@dataclass
class Member:
    """One agent of the crowd."""

    bus: Bus
    subjects: Subjects
    kind: str
    id: str
    burden: float = 0.2
    """From 0 (idle) to 1 (about to fall over)."""
    leak: float = 0.0
    """Bytes of memory it gains each second."""
    limits: Mapping[str, float] = field(default_factory=lambda: {"memory_bytes": 2.0 * GIB, "queue_depth": 500.0})
    silent: bool = False
    instance: str = field(default_factory=new_id)
    failing: dict[str, int] = field(default_factory=dict[str, int])
    """Of each operation, how many more attempts will not help."""
    _memory: float = 0.4 * GIB
    _sequence: int = 0
    _done: dict[str, CommandResult] = field(default_factory=dict[str, CommandResult])

    @property
    def ref(self) -> AgentRef:
        """Who it is."""
        return AgentRef(kind=self.kind, id=self.id, version="2.4.1", instance=self.instance)

    async def join(self) -> None:
        """Listens, and greets until it was heard. Raises `BusError`."""
        await self.bus.subscribe(self.subjects.command(self.kind, self.id), self._command)
        await self.bus.subscribe(self.subjects.probe(self.kind, self.id), self._probe)
        hello = AgentHello(
            id=new_id(),
            time_unix_nano=now(),
            agent=self.ref,
            strategies=[strategy for strategy in STRATEGIES if strategy != "escalate"],
            operations=[
                Operation(name=name) for name in sorted({one.operation for one in FAULTS if one.kind == self.kind})
            ],
            features=["source_maps", "type_checking"],
            limits=dict(self.limits),
            interval_ms=1000,
            sdk="crowd",
        )
        while True:
            try:
                await self.bus.request(self.subjects.hello(self.kind, self.id), codec.encode(hello), timeout=2.0)
            except BusError:
                await asyncio.sleep(0.2)
            else:
                return

    async def tell(self, at: float) -> None:
        """One health sample, `at` seconds into its life."""
        if self.silent:
            return
        self._sequence += 1
        wave = 0.5 + 0.5 * math.sin(at / 40 + hash_of(self.id))
        load = min(1.0, max(0.02, self.burden * (0.7 + 0.5 * wave) + random.gauss(0, 0.02)))
        self._memory += self.leak
        if self._memory > 0.97 * self.limits["memory_bytes"]:
            self._memory = 0.4 * GIB
        sample = HealthSample(
            agent=self.ref,
            time_unix_nano=now(),
            sequence=self._sequence,
            interval_ms=1000,
            metrics={
                "cpu_percent": 100 * load,
                "memory_bytes": self._memory * (1 + random.gauss(0, 0.004)),
                "disk_percent": 40 + 30 * self.burden,
                "network_bytes_per_s": 2e6 * load * (0.8 + 0.4 * random.random()),
                "errors_per_s": max(0.0, 6 * (load - 0.6)),
                "response_time_ms": 20 + 40 * load + 9000 * max(0.0, load - 0.7) ** 2 + abs(random.gauss(0, 4)),
                "throughput_per_s": 220 * (1.1 - load) * (0.9 + 0.2 * wave),
                "availability_ratio": 1.0 - 0.4 * max(0.0, load - 0.75),
                "temperature_celsius": 46 + 25 * load,
                "power_watts": 18 + 70 * load,
                "cache_hit_ratio": 0.97 - 0.3 * load,
                "queue_depth": round(90 * load + 600 * max(0.0, load - 0.8)),
            },
            limits=dict(self.limits),
        )
        await self.bus.publish(self.subjects.health(self.kind, self.id), codec.encode(sample))

    async def fail(self, fault: Fault) -> str:
        """Reports a failure; returns its event id. Raises `BusError`."""
        self.failing[fault.operation] = fault.tries
        event_id = new_id()
        source = _SOURCES.get(self.kind, "main")
        cause = [Cause(type=fault.cause[0], message=fault.cause[1])] if fault.cause else []
        error = ErrorReported(
            id=event_id,
            time_unix_nano=now(),
            agent=self.ref,
            exception=ExceptionInfo(
                type=fault.type,
                message=fault.message,
                frames=[
                    Frame(file="asyncio/events.py", function="_run", line=84, in_app=False),
                    Frame(file=f"agent/{source}.py", function="run", line=212),
                    Frame(file=f"agent/{source}.py", function=fault.operation, line=97),
                ],
                causes=cause,
            ),
            severity=fault.severity,
            operation=fault.operation,
            attributes={"branch": "main", "workers": 4},
        )
        subject = self.subjects.error(fault.severity, self.kind, self.id)
        await self.bus.store(subject, codec.encode(error), id=event_id, timeout=5.0)
        return event_id

    async def _command(self, message: Message) -> None:
        command = codec.decode(RecoveryCommand, message.body)
        result = self._done.get(command.command_id)
        if result is None:
            await asyncio.sleep(random.uniform(0.01, 0.06))
            result = CommandResult(command_id=command.command_id, status="done", detail=f"{command.strategy} done")
            self._done[command.command_id] = result
        await self.bus.publish(message.reply, codec.encode(result))

    async def _probe(self, message: Message) -> None:
        probe = codec.decode(Probe, message.body)
        left = self.failing.get(probe.operation or "", 0)
        self.failing[probe.operation or ""] = max(0, left - 1)
        detail = "it works" if not left else "it still fails in the same way"
        answer = ProbeResult(healthy=not left, operation=probe.operation, detail=detail, checked_unix_nano=now())
        await self.bus.publish(message.reply, codec.encode(answer))


def now() -> int:
    """Nanoseconds since 1970."""
    import time

    return time.time_ns()


def hash_of(text: str) -> float:
    """The same small number for the same text in every process."""
    return sum(map(ord, text)) % 60


async def gather(bus: Bus, number: int, subjects: Subjects | None = None) -> list[Member]:
    """That many agents of all kinds, introduced: most are well, one leaks memory, two are burdened."""
    subjects = subjects or Subjects()
    members = [
        Member(bus, subjects, AGENT_KINDS[place % len(AGENT_KINDS)], f"{_NAMES[place % len(_NAMES)]}-{place + 1:02d}")
        for place in range(number)
    ]
    for place, member in enumerate(members):
        member.burden = (0.12, 0.25, 0.18, 0.4, 0.3, 0.2, 0.22)[place % 7]
    if number > 5:
        members[2].leak = 0.25e6
        members[4].burden = 0.78
        members[1].burden = 0.66
    async with asyncio.TaskGroup() as group:
        for member in members:
            group.create_task(member.join())
    return members


_NAMES: Final = ("atlas", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron", "iris", "juno", "kelp", "lark")


async def health(members: list[Member]) -> None:
    """Everybody's health, once a second, for ever."""
    at = 0.0
    while True:
        for member in members:
            await member.tell(at)
            await asyncio.sleep(0.9 / len(members))
        await asyncio.sleep(0.1)
        at += 1.0


async def failures(members: list[Member], every: float) -> None:
    """A failure of somebody about every so many seconds, for ever."""
    choose = random.Random(7)
    while True:
        member = choose.choice(members)
        fitting = [fault for fault in FAULTS if fault.kind == member.kind]
        await member.fail(choose.choice(fitting))
        await asyncio.sleep(choose.expovariate(1 / every))


async def main(url: str, number: int) -> None:
    """Keeps a crowd at work."""
    bus = await connect(url, name="crowd")
    members = await gather(bus, number)
    print(f"{len(members)} agents", flush=True)
    async with asyncio.TaskGroup() as group:
        group.create_task(health(members))
        group.create_task(failures(members, 15.0))
        if number > 8:
            await asyncio.sleep(120)
            members[8].silent = True


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 24))
