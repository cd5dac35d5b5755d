"""The lab's own hand: sends one command or probe to an agent over NATS, as the pipeline would, and decides nothing.

What the default policy gives along with each strategy is written down here a second time, so that what a strategy is
worth does not change with what the pipeline makes of it.
"""

import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from mendbus import codec
from mendbus.bus import Bus, Message
from mendbus.contracts.errors import BusError, NoResponders, Refused
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import (
    AgentRef,
    CommandResult,
    ErrorReported,
    PeerNotice,
    Probe,
    ProbeResult,
    RecoveryCommand,
)
from mendbus.contracts.subjects import CONTENT_TYPE, HEADER_CONTENT_TYPE, Subjects

PARAMETERS: dict[str, dict[str, Any]] = {
    "retry": {"max_tries": 3, "base_ms": 20, "max_ms": 500, "jitter": "full"},
    "fallback": {},
    "rollback": {},
    "isolate": {"reason": "recovery"},
    "restart": {"mode": "warm", "grace_ms": 500},
    "scale_down": {"factor": 0.5},
    "graceful_degradation": {},
    "failover": {},
}
"""The strategies that an agent carries out, with what a command of the default policy says."""
TIMEOUT_MS = 5000 // 3
"""The first of three attempts that may take five seconds together."""
_EVENTS = 16
_HEARD = 2000


@dataclass(frozen=True, slots=True)
class Heard:
    """An error that an agent reported, and when it came (monotonic)."""

    at: float
    error: ErrorReported


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a command. `status`: as the agent says, or `no_agent`, `no_answer`, `bad_answer`."""

    status: str
    code: str
    detail: str
    seconds: float

    @property
    def done(self) -> bool:
        """Whether it took effect, or may yet."""
        return self.status in ("done", "accepted")


class Hand:
    """Hears what agents report, and commands them."""

    def __init__(self, bus: Bus, subjects: Subjects) -> None:
        self._bus = bus
        self._subjects = subjects
        self._heard: deque[Heard] = deque(maxlen=_HEARD)
        self._fence = 0

    async def start(self) -> None:
        """Listens. Raises `BusError`."""
        _ = await self._bus.subscribe(self._subjects.everyone("error"), self._error)

    async def _error(self, message: Message) -> None:
        self._heard.append(Heard(time.monotonic(), codec.decode(ErrorReported, message.body)))

    def heard(self, kind: str, id_: str, since: float) -> list[ErrorReported]:
        """What an agent has reported since then (monotonic), the first first."""
        return [
            one.error
            for one in self._heard
            if one.at >= since and one.error.agent.kind == kind and one.error.agent.id == id_
        ]

    async def command(self, kind: str, id_: str, strategy: str, since: float) -> Answer:
        """Has an agent carry out a strategy against the first kind of error that it has reported since then."""
        errors = self.heard(kind, id_, since)
        first = errors[0] if errors else None
        same = [
            error.id
            for error in errors
            if first is not None and (error.exception.type, error.operation) == (first.exception.type, first.operation)
        ]
        self._fence += 1
        command = RecoveryCommand(
            command_id=new_id(),
            incident_id=new_id(),
            attempt=1,
            agent=AgentRef(kind=kind, id=id_),
            action="apply",
            strategy=strategy,  # pyright: ignore[reportArgumentType]
            operation=first.operation if first else None,
            event_ids=same[:_EVENTS],
            checkpoint_id=first.checkpoint_id if first else None,
            parameters=PARAMETERS[strategy],
            timeout_ms=TIMEOUT_MS,
            deadline_unix_nano=time.time_ns() + TIMEOUT_MS * 1_000_000,
            fence=self._fence,
        )
        begun = time.monotonic()
        answer = await self._send(command, begun)
        if strategy == "isolate" and answer.done:
            await self.notice(kind, id_, "isolated")
        return answer

    async def _send(self, command: RecoveryCommand, begun: float) -> Answer:
        subject = self._subjects.command(command.agent.kind, command.agent.id)
        try:
            reply = await self._bus.request(
                subject, codec.encode(command), codec.headers(), timeout=command.timeout_ms / 1000
            )
            result = codec.decode(CommandResult, reply.body)
        except (NoResponders, Refused, BusError) as error:
            named = {NoResponders: "no_agent", Refused: "bad_answer"}.get(type(error), "no_answer")
            return Answer(named, "", str(error)[:200], time.monotonic() - begun)
        return Answer(result.status, result.code or "", (result.detail or "")[:200], time.monotonic() - begun)

    async def notice(self, kind: str, id_: str, event: str) -> None:
        """Tells all agents that one is `isolated`, or `restored`."""
        notice = PeerNotice(
            id=new_id(),
            time_unix_nano=time.time_ns(),
            agent=AgentRef(kind=kind, id=id_),
            event=event,  # pyright: ignore[reportArgumentType]
        )
        headers = {HEADER_CONTENT_TYPE: CONTENT_TYPE}
        await self._bus.publish(self._subjects.notice(kind, id_), codec.encode(notice), headers)

    async def probe(self, kind: str, id_: str, operation: str | None, seconds: float = 1.0) -> tuple[bool, str]:
        """Has an agent exercise an operation, or itself: whether it found itself well, and what it said."""
        probe = Probe(operation=operation, deadline_unix_nano=time.time_ns() + int(seconds * 1e9))
        try:
            reply = await self._bus.request(
                self._subjects.probe(kind, id_), codec.encode(probe), codec.headers(), timeout=seconds
            )
            result = codec.decode(ProbeResult, reply.body)
        except (Refused, BusError) as error:
            return False, str(error)
        return result.healthy, result.detail or ""
