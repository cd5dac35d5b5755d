"""The tools of `conformance`: how to ask one agent, and commands that do it no harm."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from mendbus import codec
from mendbus.bus import Bus, Message
from mendbus.contracts.errors import BusError, BusTimeout, NoResponders, Refused, ServiceFailed
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import AgentHello, CommandResult, ProbeResult
from mendbus.contracts.subjects import CONTENT_TYPE, HEADER_CONTENT_TYPE, Subjects, partition_of
from mendbus.contracts.vocabulary import SILENT_AGENT_STRATEGIES, Strategy

NOWHERE: Final = "conformance_check"
"""An operation, an agent id, a boot id that nobody has."""


class Broken(Exception):
    """The agent breaks the rule; the text says what was seen."""


class Unseen(Exception):
    """The rule could not be checked; the text says why."""


class Drive:
    """What the checks share: how to ask this agent, and what it has said of itself."""

    def __init__(
        self,
        bus: Bus,
        subjects: Subjects,
        kind: str,
        agent_id: str,
        now: Callable[[], int],
        timeout: float,
        error_wait: float,
    ) -> None:
        self.bus = bus
        self.subjects = subjects
        self.kind = kind
        self.id = agent_id
        self.now = now
        self.timeout = timeout
        self.error_wait = error_wait
        self.hello: AgentHello | None = None
        self.first: tuple[dict[str, Any], CommandResult] | None = None

    async def heard(self, subject: str, count: int, seconds: float) -> list[tuple[float, Message]]:
        """Up to so many messages of a subject with the loop's time of each, heard within so many seconds."""
        loop = asyncio.get_running_loop()
        messages: list[tuple[float, Message]] = []
        enough = asyncio.Event()

        async def listen(message: Message) -> None:
            messages.append((loop.time(), message))
            if len(messages) >= count:
                enough.set()

        subscription = await self.bus.subscribe(subject, listen)
        try:
            async with asyncio.timeout(seconds):
                await enough.wait()
        except TimeoutError:
            pass
        finally:
            await subscription.stop()
        return messages[:count]

    async def ask(
        self, subject: str, body: bytes, headers: dict[str, str] | None = None, seconds: float | None = None
    ) -> bytes:
        """One answer. Raises `Broken` when none comes, `ServiceFailed` when it is a refusal."""
        sent = {HEADER_CONTENT_TYPE: CONTENT_TYPE} | (headers or {})
        wait = seconds or self.timeout
        try:
            reply = await self.bus.request(subject, body, sent, timeout=wait)
        except NoResponders:
            raise Broken(f"nobody listens on {subject}") from None
        except BusTimeout:
            raise Broken(f"no answer on {subject} within {wait:g} s") from None
        return reply.body

    async def probe(self, extra: dict[str, Any] | None = None, headers: dict[str, str] | None = None) -> ProbeResult:
        """The answer to a probe."""
        deadline = self.now() + int(self.timeout * 1e9)
        body = codec.pack({"deadline_unix_nano": deadline} | (extra or {}))
        subject = self.subjects.probe(self.kind, self.id)
        try:
            return codec.decode(ProbeResult, await self.ask(subject, body, headers))
        except (Refused, ServiceFailed) as error:
            raise Broken(f"the probe's answer is no ProbeResult: {error}") from None

    async def command(self, strategy: str, **changes: Any) -> tuple[dict[str, Any], CommandResult]:
        """A command and its answer; sent once more when a command of the system came between and raised the fence."""
        command = await self.build(strategy, **changes)
        result = await self.send(command)
        if result.status == "stale" and not changes.keys() & {"fence", "command_id"}:
            command = await self.build(strategy, **changes)
            result = await self.send(command)
        return command, result

    async def send(self, command: dict[str, Any], headers: dict[str, str] | None = None) -> CommandResult:
        """The answer to a command as it stands."""
        subject = self.subjects.command(self.kind, self.id)
        try:
            result = codec.decode(CommandResult, await self.ask(subject, codec.pack(command), headers))
        except (Refused, ServiceFailed) as error:
            raise Broken(f"the command's answer is no CommandResult: {error}") from None
        if result.command_id != command["command_id"]:
            raise Broken(f"the answer is to command {result.command_id!r}, asked was {command['command_id']!r}")
        return result

    async def build(self, strategy: str, **changes: Any) -> dict[str, Any]:
        """A command that fits, but for the changes."""
        parameters: dict[str, Any] = {"max_tries": 1, "base_ms": 1, "max_ms": 1, "jitter": "full"}
        milliseconds = int(self.timeout * 1000)
        command: dict[str, Any] = {
            "command_id": new_id(),
            "incident_id": NOWHERE,
            "attempt": 1,
            "agent": {"kind": self.kind, "id": self.id},
            "action": "apply",
            "strategy": strategy,
            "operation": NOWHERE,
            "parameters": {"features": list[str]()} if strategy == "graceful_degradation" else parameters,
            "timeout_ms": milliseconds,
            "deadline_unix_nano": self.now() + milliseconds * 1_000_000,
            "fence": await self.fence(),
        }
        return command | changes

    async def fence(self) -> int:
        """The sequence of the last record in the journal of the agent's partition, at least 1."""
        subject = self.subjects.journal(partition_of(self.kind, self.id))
        try:
            stored = await self.bus.last(self.subjects.stream("JOURNAL"), subject)
        except BusError:
            stored = None  # no journal: the agent runs without the services
        return max(1, stored.sequence) if stored else 1

    def gentle(self) -> Strategy:
        """A strategy that the agent supports and that can be asked for without any effect."""
        supported = self.hello.strategies if self.hello else SILENT_AGENT_STRATEGIES
        for strategy in ("retry", "graceful_degradation"):
            if strategy in supported:
                return strategy
        raise Unseen("the agent supports neither retry nor graceful_degradation, and nothing else is harmless")
