"""The other side of an agent, for the tests of the SDK: streams, an answer to hellos, and what an executor does."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel

from mendbus import Agent, RecoveryCommand, codec, streams
from mendbus.bus import Bus, Message
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import (
    AgentGoodbye,
    AgentHello,
    AgentRef,
    CommandResult,
    ErrorReported,
    HealthSample,
    HelloReply,
    Probe,
    ProbeResult,
)
from mendbus.contracts.subjects import Subjects

M = TypeVar("M", bound=BaseModel)
KIND, ID = "build_pipeline", "b1"


class System:
    """The other side: streams, somebody who answers hellos, and what an executor does."""

    def __init__(self, bus: Bus, url: str, root: str) -> None:
        self.bus = bus
        self.url = url
        self.subjects = Subjects(root)
        self.heard: list[BaseModel] = []
        self._fences = itertools.count(1)

    async def prepare(self) -> None:
        await streams.ensure(self.bus, self.subjects, 1 << 28)
        await self.listen("agent.hello", AgentHello, lambda _: HelloReply(stored=True, time_unix_nano=1))
        await self.listen("agent.goodbye", AgentGoodbye)
        await self.listen("health", HealthSample)

    async def listen(self, family: str, model: type[M], answer: Callable[[M], BaseModel] | None = None) -> None:
        async def hear(message: Message) -> None:
            body = codec.decode(model, message.body)
            self.heard.append(body)
            if answer is not None:
                await self.bus.publish(message.reply, codec.encode(answer(body)))

        await self.bus.subscribe(self.subjects.everyone(family), hear)

    def agent(self, **changes: Any) -> Agent:
        return Agent(KIND, ID, nats_url=self.url, root=self.subjects.root, **changes)

    def told(self, model: type[M]) -> list[M]:
        return [body for body in self.heard if isinstance(body, model)]

    async def errors(self) -> list[ErrorReported]:
        stored = self.bus.read(self.subjects.stream("ERRORS"), f"{self.subjects.root}.errors.>")
        return [codec.decode(ErrorReported, message.body) async for message in stored]

    async def counts(self) -> Counter[str]:
        """Failures stored, by message."""
        totals: Counter[str] = Counter()
        for error in await self.errors():
            totals[error.exception.message] += error.count
        return totals

    async def command(self, strategy: str, action: str = "apply", **changes: Any) -> CommandResult:
        values: dict[str, Any] = {
            "command_id": new_id(),
            "incident_id": "i1",
            "attempt": 1,
            "agent": AgentRef(kind=KIND, id=ID),
            "action": action,
            "strategy": strategy,
            "parameters": {},
            "timeout_ms": 2000,
            "deadline_unix_nano": time.time_ns() + 10**10,
            "fence": next(self._fences),
        }
        body = codec.encode(RecoveryCommand(**(values | changes)))
        return await self._ask(self.subjects.command(KIND, ID), body, CommandResult)

    async def probe(self, operation: str | None = None, seconds: float = 2.0) -> ProbeResult:
        probe = Probe(operation=operation, deadline_unix_nano=time.time_ns() + int(seconds * 1e9))
        return await self._ask(self.subjects.probe(KIND, ID), codec.encode(probe), ProbeResult)

    async def _ask(self, subject: str, body: bytes, answer: type[M]) -> M:
        return codec.decode(answer, (await self.bus.request(subject, body, timeout=5.0)).body)


async def in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    """What blocks, kept off the loop."""
    return await asyncio.to_thread(function, *arguments)
