"""Reports one error in the name of an agent, and waits for what becomes of it."""

import asyncio
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from mendbus import codec
from mendbus.bus import Message
from mendbus.cli.connect import connected
from mendbus.cli.listing import standing
from mendbus.cli.output import clean, document, say
from mendbus.contracts.errors import MendbusError, Refused
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import ErrorReported, RecoveryOutcome, Settlement
from mendbus.contracts.subjects import CONTENT_TYPE, HEADER_CONTENT_TYPE, MAX_SERVICE_BODY
from mendbus.contracts.vocabulary import Severity
from mendbus.settings import Settings

if TYPE_CHECKING:
    from mendbus.bus import Bus

_CLOSE_SECONDS = 1.0


class Draft(NamedTuple):
    """What a person says about an error."""

    kind: str
    agent: str
    error_type: str
    message: str
    severity: Severity | None
    operation: str | None


async def send(settings: Settings, draft: Draft, wait_seconds: float | None, *, as_json: bool) -> None:
    """Stores the error and prints its event id; then waits for its outcome, if asked, and prints that.

    Raises `MendbusError` when the server does not store it, or no outcome comes in time.
    """
    from mendbus.telemetry import open_tracer

    now = time.time_ns()
    event_id = new_id(now)
    error = codec.validate(
        ErrorReported,
        {
            "id": event_id,
            "time_unix_nano": now,
            "agent": {"kind": draft.kind, "id": draft.agent},
            "exception": {"type": draft.error_type, "message": draft.message},
            "severity": draft.severity,
            "operation": draft.operation,
        },
    )
    subject = settings.subjects.error(draft.severity, draft.kind, draft.agent)
    tracer = open_tracer("mendbus-cli", settings)
    async with connected(settings) as bus:
        outcome: asyncio.Future[RecoveryOutcome | Settlement] = asyncio.get_running_loop().create_future()
        if wait_seconds is not None:
            await _listen(bus, settings, draft, event_id, outcome)
        attributes = {
            "messaging.system": "nats",
            "messaging.operation.name": "publish",
            "messaging.operation.type": "send",
            "messaging.destination.name": subject,
            "messaging.message.id": event_id,
            "mendbus.agent": error.agent.key,
            "error.type": draft.error_type,
        }
        span = tracer.start(f"publish error.{draft.severity or 'unknown'}", "producer", None, attributes, now)
        headers = {HEADER_CONTENT_TYPE: CONTENT_TYPE} | ({"traceparent": span.traceparent} if span.traceparent else {})
        stored = await bus.store(subject, codec.encode(error), headers, id=event_id)
        span.end()
        await tracer.close(_CLOSE_SECONDS)
        facts: dict[str, Any] = {"event_id": event_id, "subject": subject, "sequence": stored.sequence}
        if not as_json:
            say(event_id)
        if wait_seconds is not None:
            told = await _outcome(outcome, wait_seconds)
            facts["outcome"] = told.model_dump(exclude_none=True)
            if not as_json:
                say(_sentence(told))
    if as_json:
        document(facts)


async def _listen(
    bus: "Bus",
    settings: Settings,
    draft: Draft,
    event_id: str,
    outcome: "asyncio.Future[RecoveryOutcome | Settlement]",
) -> None:
    """Hears the outcome that names the event; beyond the first hundred events only the settlement does."""

    async def hear_outcome(message: Message) -> None:
        told = codec.decode(RecoveryOutcome, message.body, MAX_SERVICE_BODY)
        if event_id in told.event_ids and not outcome.done():
            outcome.set_result(told)

    async def hear_settlement(message: Message) -> None:
        told = codec.decode(Settlement, message.body, MAX_SERVICE_BODY)
        if event_id in told.event_ids and not outcome.done():
            outcome.set_result(told)

    await bus.subscribe(settings.subjects.outcome(draft.kind, draft.agent), hear_outcome)
    await bus.subscribe(settings.subjects.settlement(draft.kind, draft.agent), hear_settlement)
    await bus.barrier()


async def _outcome(
    outcome: "asyncio.Future[RecoveryOutcome | Settlement]", seconds: float
) -> RecoveryOutcome | Settlement:
    try:
        return await asyncio.wait_for(outcome, seconds)
    except TimeoutError:
        raise MendbusError(
            f"no outcome within {seconds:g} s; the error is stored and will be dealt with: see `mendbus incidents --open`"
        ) from None


def _sentence(told: RecoveryOutcome | Settlement) -> str:
    if isinstance(told, Settlement):
        return f"{told.outcome}  incident {told.incident_id or '-'}"
    strategy = f" by {told.strategy}" if told.strategy and told.outcome == "recovered" else ""
    reason = f"  {told.reason}" if told.reason else ""
    return clean(f"{standing(told)}{strategy}  incident {told.incident_id}{reason}")
