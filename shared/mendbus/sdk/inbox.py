"""Commands and probes as they come over the bus: read, carried out under a span of their own, answered."""

import logging
from typing import Final, TypeVar

from pydantic import BaseModel

from mendbus import codec
from mendbus.bus import Bus, Message
from mendbus.contracts.errors import BusError, Refused
from mendbus.contracts.ids import is_token
from mendbus.contracts.messages import AgentRef, CommandResult, Probe, ProbeResult, RecoveryCommand
from mendbus.contracts.subjects import (
    HEADER_SERVICE_ERROR,
    HEADER_SERVICE_ERROR_CODE,
    MAX_SERVICE_BODY,
)
from mendbus.contracts.vocabulary import STRATEGIES
from mendbus.redacted import redact_detail
from mendbus.redaction import DEFAULT, Redaction
from mendbus.sdk.commands import CommandDesk
from mendbus.sdk.probes import Probes
from mendbus.telemetry import Tracer, parent_of

log = logging.getLogger("mendbus.sdk")

A = TypeVar("A", CommandResult, ProbeResult)

_FINE: Final = ("done", "accepted")


class Inbox:
    """Answers what the executor asks of one agent."""

    def __init__(
        self, agent: AgentRef, desk: CommandDesk, probes: Probes, tracer: Tracer, redaction: Redaction = DEFAULT
    ) -> None:
        self._agent = agent
        self._desk = desk
        self._probes = probes
        self._tracer = tracer
        self._redaction = redaction

    async def command(self, bus: Bus, message: Message) -> None:
        """A RecoveryCommand. One with a strategy that this version does not know is `unsupported`."""
        try:
            codec.check_content_type(message.headers)
            command = codec.decode(RecoveryCommand, message.body, MAX_SERVICE_BODY)
        except Refused as refused:
            unknown = _unknown_strategy(message.body)
            if unknown is not None:
                await self._reply(bus, message, unknown)
            else:
                await self._refuse(bus, message, refused)
            return
        attributes = {
            "mendbus.agent": self._agent.key,
            "mendbus.incident.id": command.incident_id,
            "mendbus.command.id": command.command_id,
            "mendbus.strategy": command.strategy,
            "mendbus.action": command.action,
            "messaging.system": "nats",
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.destination.name": message.subject,
        }
        if command.operation:
            attributes["mendbus.operation"] = command.operation
        span = self._tracer.start(f"command {command.strategy}", "consumer", parent_of(message.headers), attributes)
        result = self._redacted(await self._desk.take(command))
        failure = None if result.status in _FINE else result.detail or result.code or result.status
        found = {"mendbus.status": result.status}
        if failure is not None:
            found["error.type"] = result.code or result.status
        span.end(found, failure)
        await self._reply(bus, message, result, span.traceparent)

    async def probe(self, bus: Bus, message: Message) -> None:
        """A Probe."""
        try:
            codec.check_content_type(message.headers)
            probe = codec.decode(Probe, message.body, MAX_SERVICE_BODY)
        except Refused as refused:
            await self._refuse(bus, message, refused)
            return
        attributes = {"mendbus.agent": self._agent.key, "messaging.system": "nats"}
        if probe.incident_id:
            attributes["mendbus.incident.id"] = probe.incident_id
        if probe.operation:
            attributes["mendbus.operation"] = probe.operation
        span = self._tracer.start("probe", "consumer", parent_of(message.headers), attributes)
        result = self._redacted(await self._probes.answer(probe))
        # A probe that finds the agent sick has done its work: the span is no failure.
        span.end({"mendbus.healthy": result.healthy, "mendbus.detail": result.detail or ""})
        await self._reply(bus, message, result, span.traceparent)

    def _redacted(self, answer: A) -> A:
        detail = redact_detail(answer.detail, self._redaction)
        return answer if detail == answer.detail else answer.model_copy(update={"detail": detail})

    async def _reply(self, bus: Bus, message: Message, answer: BaseModel, traceparent: str = "") -> None:
        await self._send(bus, message, codec.encode(answer), codec.headers(traceparent))

    async def _refuse(self, bus: Bus, message: Message, refused: Refused) -> None:
        log.warning("refused a message on %s: %s", message.subject, refused)
        headers = {HEADER_SERVICE_ERROR: " ".join(str(refused).split())[:400], HEADER_SERVICE_ERROR_CODE: "400"}
        await self._send(bus, message, b"", headers)

    @staticmethod
    async def _send(bus: Bus, message: Message, body: bytes, headers: dict[str, str]) -> None:
        if not message.reply:
            return
        try:
            await bus.publish(message.reply, body, headers)
        except BusError as error:
            # The executor asks again, and gets the stored result.
            log.warning("an answer on %s could not be sent: %s", message.subject, error)


def _unknown_strategy(body: bytes) -> CommandResult | None:
    try:
        command = codec.unpack(body, MAX_SERVICE_BODY)
    except Refused:
        return None
    command_id, strategy = command.get("command_id"), command.get("strategy")
    if not isinstance(command_id, str) or not is_token(command_id):
        return None
    if not isinstance(strategy, str) or strategy in STRATEGIES:
        return None
    return CommandResult(
        command_id=command_id, status="unsupported", detail=f"this agent knows no strategy {strategy[:100]!r}"
    )
