"""A running health-monitor for tests, what agents say to it, and what it tells."""

import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.support import Clock, ask, memory_runtime

from mendbus import codec
from mendbus.bus import Bus, Message
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.messages import (
    AgentGoodbye,
    AgentHello,
    Alert,
    Control,
    ControlResult,
    HealthSample,
    HealthStatus,
    RecoveryOutcome,
)
from mendbus.contracts.subjects import Subjects
from mendbus.runtime import Runtime
from mendbus_health_monitor import build

SUBJECTS = Subjects()
NOW = Clock()()


def agent(name: str = "a1", instance: str = "boot1") -> dict[str, Any]:
    return {"kind": "runtime", "id": name, "instance": instance}


def sample(sequence: int, errors_per_s: float = 0.0, **more: Any) -> HealthSample:
    known = {"agent": agent(), "time_unix_nano": NOW + sequence, "sequence": sequence, "interval_ms": 500}
    return HealthSample.model_validate({**known, "metrics": {"errors_per_s": errors_per_s}, **more})


def hello(**more: Any) -> AgentHello:
    known = {"id": "h1", "time_unix_nano": NOW, "agent": agent(), "strategies": ["retry"], "interval_ms": 500}
    return AgentHello.model_validate({**known, **more})


def goodbye(**more: Any) -> AgentGoodbye:
    return AgentGoodbye.model_validate({"id": "g1", "time_unix_nano": NOW + 10**9, "agent": agent(), **more})


def outcome(word: str, sequence: int = 0) -> RecoveryOutcome:
    return RecoveryOutcome.model_validate(
        {
            "incident_id": "i1",
            "sequence": sequence,
            "agent": agent(),
            "fingerprint": "v1:0",
            "outcome": word,
            "error_count": 1,
            "event_count": 1,
            "trace_id": "",
        }
    )


async def conclude(bus: Bus, word: str, sequence: int = 0) -> None:
    await bus.store(SUBJECTS.outcome("runtime", "a1"), codec.encode(outcome(word, sequence)))


async def control(bus: Bus, verb: str, **more: Any) -> dict[str, Any]:
    question = Control.model_validate({"id": "c1", "time_unix_nano": NOW, "verb": verb, "by": "test", **more})
    answer = await ask(bus, SUBJECTS.control(verb), question, ControlResult)
    assert (answer.ok, answer.service) == (True, "health-monitor")
    return answer.data


async def stored_alerts(bus: Bus) -> list[Alert]:
    read = bus.read(SUBJECTS.stream("ALERTS"), SUBJECTS.everyone("alert"))
    return [codec.decode(Alert, message.body) async for message in read]


class Told:
    """The statuses that a listener hears."""

    def __init__(self) -> None:
        self.statuses: list[HealthStatus] = []

    async def hear(self, message: Message) -> None:
        self.statuses.append(codec.decode(HealthStatus, message.body))

    @property
    def words(self) -> list[str]:
        return [status.status for status in self.statuses]


@asynccontextmanager
async def monitored(
    server: MemoryServer | None = None, now: Callable[[], int] = time.time_ns
) -> AsyncGenerator[tuple[Runtime, Bus, Told]]:
    """A running health-monitor, the bus of somebody else, and what that one is told."""
    server, told = server or MemoryServer(), Told()
    bus = server.connect("test")
    try:
        async with memory_runtime(build(), server, now=now) as runtime:
            subscription = await bus.subscribe(SUBJECTS.everyone("status"), told.hear)
            yield runtime, bus, told
            await subscription.stop()
    finally:
        await bus.close()
