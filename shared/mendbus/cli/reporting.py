"""Reports one error in the name of an agent, and waits for what becomes of it."""

import asyncio
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from mendbus import codec
from mendbus.bus import Message, Stored
from mendbus.cli.connect import connected
from mendbus.cli.listing import standing
from mendbus.cli.output import clean, document, say
from mendbus.contracts.errors import MendbusError
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import ErrorReported, RecoveryOutcome, Settlement
from mendbus.contracts.subjects import MAX_SERVICE_BODY, Subjects
from mendbus.contracts.vocabulary import Severity
from mendbus.settings import Settings

if TYPE_CHECKING:
    from mendbus.bus import Bus

_CLOSE_SECONDS = 1.0
_GRACE_SECONDS = 1.5


class Draft(NamedTuple):
    """What a person says about an error."""

    kind: str
    agent: str
    error_type: str
    message: str
    severity: Severity | None
    operation: str | None


class Ear:
    """Hears what becomes of one event; an outcome names the first hundred events, the settlement each of them."""

    def __init__(self, event_id: str) -> None:
        self._event_id = event_id
        self._outcomes: dict[str, RecoveryOutcome] = {}
        self._heard = asyncio.Event()
        self.settlement: Settlement | None = None

    async def listen(self, bus: "Bus", subjects: Subjects, kind: str, agent: str) -> None:
        """Returns when nothing can be missed any more."""
        await bus.subscribe(subjects.outcome(kind, agent), self.hear_outcome)
        await bus.subscribe(subjects.settlement(kind, agent), self.hear_settlement)
        await bus.barrier()

    async def hear_outcome(self, message: Message) -> None:
        """Takes an outcome of the agent in."""
        told = codec.decode(RecoveryOutcome, message.body, MAX_SERVICE_BODY)
        self._outcomes[told.incident_id] = told
        self._heard.set()

    async def hear_settlement(self, message: Message) -> None:
        """Takes a settlement of the agent in."""
        told = codec.decode(Settlement, message.body, MAX_SERVICE_BODY)
        if self._event_id in told.event_ids:
            self.settlement = told
            self._heard.set()

    def outcome(self) -> RecoveryOutcome | None:
        """The outcome of the event, if it has come."""
        settled = self.settlement.incident_id if self.settlement else None
        for outcome in self._outcomes.values():
            if self._event_id in outcome.event_ids or outcome.incident_id == settled:
                return outcome
        return None

    async def wait(self, seconds: float) -> RecoveryOutcome | Settlement | None:
        """The outcome; where that is lost, the settlement; None after `seconds` without a word."""
        deadline = asyncio.get_running_loop().time() + seconds
        while (outcome := self.outcome()) is None:
            self._heard.clear()
            # The outcome is stored on its way, so the settlement may be here before it.
            left = deadline - asyncio.get_running_loop().time()
            try:
                await asyncio.wait_for(self._heard.wait(), min(left, _GRACE_SECONDS) if self.settlement else left)
            except TimeoutError:
                return self.settlement
        return outcome


async def send(settings: Settings, draft: Draft, wait_seconds: float | None, *, as_json: bool) -> None:
    """Stores the error and prints its event id; then waits for its outcome, if asked, and prints that.

    Raises `MendbusError` when the server does not store it, or no outcome comes in time.
    """
    now = time.time_ns()
    error = codec.validate(
        ErrorReported,
        {
            "id": new_id(now),
            "time_unix_nano": now,
            "agent": {"kind": draft.kind, "id": draft.agent},
            "exception": {"type": draft.error_type, "message": draft.message},
            "severity": draft.severity,
            "operation": draft.operation,
        },
    )
    ear = Ear(error.id)
    async with connected(settings) as bus:
        if wait_seconds is not None:
            await ear.listen(bus, settings.subjects, draft.kind, draft.agent)
        stored = await _store(bus, settings, error)
        facts: dict[str, Any] = {"event_id": error.id, "sequence": stored.sequence}
        if not as_json:
            say(error.id)
        if wait_seconds is not None:
            told = await ear.wait(wait_seconds)
            if told is None:
                raise MendbusError(
                    f"no outcome of {error.id} within {wait_seconds:g} s; the error is stored and will be dealt with: "
                    "`mendbus incidents --open` shows it"
                )
            facts["outcome"] = told.model_dump(exclude_none=True)
            if not as_json:
                say(_sentence(told))
    if as_json:
        document(facts)


async def _store(bus: "Bus", settings: Settings, error: ErrorReported) -> Stored:
    """As an agent does it: its span is the root of the recovery's trace."""
    from mendbus.telemetry import open_tracer

    if not settings.otlp_endpoint and not settings.data_dir.is_dir():
        settings = settings.model_copy(update={"trace": False})  # no installation here that would read it
    tracer = open_tracer("mendbus-cli", settings)
    subject = settings.subjects.error(error.severity, error.agent.kind, error.agent.id)
    attributes = {
        "messaging.system": "nats",
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "messaging.destination.name": subject,
        "messaging.message.id": error.id,
        "mendbus.agent": error.agent.key,
        "error.type": error.exception.type,
    }
    span = tracer.start(f"publish error.{error.severity or 'unknown'}", "producer", None, attributes)
    try:
        return await bus.store(subject, codec.encode(error), codec.headers(span.traceparent), id=error.id)
    finally:
        span.end()
        await tracer.close(_CLOSE_SECONDS)


def _sentence(told: RecoveryOutcome | Settlement) -> str:
    if isinstance(told, Settlement):
        return f"{told.outcome}  incident {told.incident_id or '-'}"
    strategy = f" by {told.strategy}" if told.strategy and told.outcome == "recovered" else ""
    reason = f"  {told.reason}" if told.reason else ""
    return clean(f"{standing(told)}{strategy}  incident {told.incident_id}{reason}")
