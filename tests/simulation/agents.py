"""Scripted agents that speak the wire contract, each in its own way, and the books they keep of what they did."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.simulation.schedule import AgentPlan, Report

from mendbus import codec
from mendbus.bus import Bus, Message
from mendbus.contracts.errors import BusError, Refused
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import (
    AgentHello,
    AgentRef,
    CommandResult,
    ErrorReported,
    ExceptionInfo,
    HealthSample,
    Probe,
    ProbeResult,
    RecoveryCommand,
    Settlement,
)
from mendbus.contracts.subjects import Subjects
from mendbus.contracts.vocabulary import CommandStatus

_STORE_SECONDS = 1.0
_PAUSE_SECONDS = 0.1
_HELLO_SECONDS = 1.0
_SLOW_SECONDS = 0.3
_LATE_SECONDS = 1.5
_RELAPSE_SECONDS = 0.2


@dataclass
class Books:
    """What outlives an agent's process: its outbox on disk, and what it did to the world."""

    plan: AgentPlan
    outbox: dict[str, tuple[str, bytes]] = field(default_factory=dict[str, tuple[str, bytes]])
    """Subject and body of what is not acknowledged yet, by event id."""
    acknowledged: dict[str, int] = field(default_factory=dict[str, int])
    """The `count` of each error whose storing was acknowledged, by event id; 0 for bytes that are no error."""
    settled: set[str] = field(default_factory=set[str])
    effects: Counter[tuple[str, int, str]] = field(default_factory=Counter[tuple[str, int, str]])
    """How often each (incident, attempt, action) took effect."""
    commands: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    """Each effect's command id, and when it began."""
    broken: set[str] = field(default_factory=set[str])
    """Operations that fail now."""
    healed: set[str] = field(default_factory=set[str])
    """Operations that worked again at some time."""
    boots: int = 0

    @property
    def name(self) -> str:
        """Of the agent, as people know it."""
        return f"{self.plan.kind}/{self.plan.id}"


class Agent:
    """One process of an agent, from its boot on."""

    def __init__(self, books: Books, bus: Bus, subjects: Subjects, now: Callable[[], int]) -> None:
        books.boots += 1
        self._books = books
        self._plan = books.plan
        self._bus = bus
        self._subjects = subjects
        self._now = now
        self._ref = AgentRef(kind=self._plan.kind, id=self._plan.id, instance=f"boot-{books.boots}")
        self._results: dict[str, asyncio.Future[CommandResult]] = {}
        self._fence = 0
        self._interval_ms = round(books.plan.sample_seconds * 1000)

    async def run(self) -> None:
        """Listens, introduces itself, sends what is in the outbox, and then one sample after the other."""
        subjects, plan, bus = self._subjects, self._plan, self._bus
        await bus.subscribe(subjects.command(plan.kind, plan.id), self._command, concurrency=8)
        await bus.subscribe(subjects.probe(plan.kind, plan.id), self._probe, concurrency=8)
        await bus.subscribe(subjects.settlement(plan.kind, plan.id), self._settlement)
        await self._say_hello()
        async with asyncio.TaskGroup() as group:
            for event_id in self._books.outbox:
                group.create_task(self._send(event_id))
            group.create_task(self._live())

    async def report(self, report: Report) -> None:
        """Puts an error into the outbox and sends it until that is acknowledged."""
        event_id = new_id()
        error = ErrorReported(
            id=event_id,
            time_unix_nano=self._now(),
            agent=self._ref,
            exception=ExceptionInfo(type=report.what, message=report.message),
            severity=report.severity,
            operation=report.what,
            count=report.count,
        )
        body = codec.encode(error) if report.valid else codec.encode(error)[:-3]
        subject = self._subjects.error(report.severity, self._plan.kind, self._plan.id)
        if report.valid:
            self._books.broken.add(report.what)
        self._books.outbox[event_id] = subject, body
        await self._send(event_id)

    async def _send(self, event_id: str) -> None:
        subject, body = self._books.outbox.get(event_id, ("", b""))
        while event_id in self._books.outbox:
            try:
                await self._bus.store(subject, body, id=event_id, timeout=_STORE_SECONDS)
            except BusError:
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                self._books.outbox.pop(event_id, None)
                self._books.acknowledged[event_id] = _count_of(body)

    async def _say_hello(self) -> None:
        hello = AgentHello(agent=self._ref, strategies=list(self._plan.strategies), interval_ms=self._interval_ms)
        subject = self._subjects.hello(self._plan.kind, self._plan.id)
        while True:
            try:
                await self._bus.request(subject, codec.encode(hello), timeout=_HELLO_SECONDS)
            except BusError:
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                return

    async def _live(self) -> None:
        subject, number = self._subjects.health(self._plan.kind, self._plan.id), 0
        while True:
            number += 1
            sample = HealthSample(
                agent=self._ref,
                time_unix_nano=self._now(),
                sequence=number,
                interval_ms=self._interval_ms,
                metrics={"cpu_percent": 10.0 + number % 7},
            )
            await self._bus.publish(subject, codec.encode(sample))
            await asyncio.sleep(self._plan.sample_seconds)

    async def _command(self, message: Message) -> None:
        behaviour = self._plan.behaviour
        if behaviour == "silent":
            return
        command = codec.decode(RecoveryCommand, message.body)
        known = self._results.get(command.command_id)
        refused = self._refusal(command) if known is None else None
        if refused is not None:
            result = CommandResult(command_id=command.command_id, status=refused)
        elif known is not None:
            result = await asyncio.shield(known)
        else:
            promise = self._results[command.command_id] = asyncio.get_running_loop().create_future()
            self._fence = command.fence
            result = await self._do(command)
            promise.set_result(result)
        if behaviour == "late":
            await asyncio.sleep(_LATE_SECONDS)
        await self._bus.publish(message.reply, codec.encode(result))
        if behaviour == "double":
            other = CommandResult(command_id=command.command_id, status="failed", code="second_answer")
            await self._bus.publish(message.reply, codec.encode(other))

    def _refusal(self, command: RecoveryCommand) -> CommandStatus | None:
        if command.agent.key != self._ref.key or command.instance not in (None, self._ref.instance):
            return "misaddressed"
        if command.fence < self._fence:
            return "stale"
        if command.action == "apply" and command.strategy not in self._plan.strategies:
            return "unsupported"
        return None

    async def _do(self, command: RecoveryCommand) -> CommandResult:
        books, operation = self._books, command.operation or ""
        books.effects[command.incident_id, command.attempt, command.action] += 1
        books.commands.append((command.command_id, self._now()))
        if self._plan.behaviour == "slow":
            await asyncio.sleep(_SLOW_SECONDS)
        if command.action == "apply" and command.strategy in self._plan.cures:
            first = operation not in books.healed
            books.broken.discard(operation)
            books.healed.add(operation)
            if self._plan.relapses and first:
                asyncio.get_running_loop().call_later(_RELAPSE_SECONDS, books.broken.add, operation)
        return CommandResult(command_id=command.command_id, status="done")

    async def _probe(self, message: Message) -> None:
        if self._plan.behaviour == "silent":
            return
        if self._plan.behaviour == "slow":
            await asyncio.sleep(_SLOW_SECONDS)
        probe = codec.decode(Probe, message.body)
        healthy = (probe.operation or "") not in self._books.broken
        result = ProbeResult(healthy=healthy, operation=probe.operation, checked_unix_nano=self._now())
        await self._bus.publish(message.reply, codec.encode(result))

    async def _settlement(self, message: Message) -> None:
        self._books.settled.update(codec.decode(Settlement, message.body).event_ids)


def _count_of(body: bytes) -> int:
    try:
        return codec.decode(ErrorReported, body).count
    except Refused:
        return 0
