"""One attempt: command, then probe until healthy or the time is over. The probe's word counts, not the command's."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from mendbus.contracts.asks import AttemptResult, Execute
from mendbus.contracts.fields import MAX_TIMEOUT_MS
from mendbus.contracts.messages import CommandResult, RecoveryCommand
from mendbus.telemetry import Span, Tracer
from mendbus_executor.agent_actuator import NO_AGENT, Probed

_FIRST_PAUSE_SECONDS = 0.005
_LONGEST_PAUSE_SECONDS = 0.25
_SHORTEST_WAIT_SECONDS = 0.01


class Actuator(Protocol):
    """A way to act on an agent. A repeat of a command has no second effect, whatever the way."""

    async def command(self, command: RecoveryCommand, seconds: float, span: Span) -> CommandResult:
        """Has a command done, within a time."""
        ...

    async def probe(
        self, kind: str, agent: str, incident_id: str, operation: str | None, seconds: float, span: Span
    ) -> Probed:
        """Has the thing that failed exercised, within a time."""
        ...


async def carry_out(
    request: Execute, actuator: Actuator, tracer: Tracer, span: Span, now: Callable[[], int]
) -> AttemptResult:
    """Carries out an attempt within its `timeout_ms`, and within an hour; without a command it only probes."""
    clock = asyncio.get_running_loop().time
    # The policy allows no more; what asks for a longer time would keep others waiting for ever.
    end = clock() + min(request.timeout_ms, MAX_TIMEOUT_MS) / 1000
    command = request.command
    if command is None:
        probed = await _verify(request, actuator, tracer, span, now, end, patient=False)
        healthy = probed.state == "healthy"
        return AttemptResult(
            incident_id=request.incident_id,
            status="done" if healthy else "failed",
            code=None if healthy else probed.state,
            detail=probed.detail[:1000] or None,
            verified=healthy,
            probed_unix_nano=now(),
        )
    commanded = now()
    done = await actuator.command(command, max(_SHORTEST_WAIT_SECONDS, end - clock()), span)
    acted = now()
    # A command that never arrived or that the agent cannot do changed nothing; there is nothing to verify.
    if done.code == NO_AGENT or done.status in ("unsupported", "unauthorized"):
        return _result(request, done, None, commanded, acted, None)
    patient = done.status == "accepted"
    probed = await _verify(request, actuator, tracer, span, now, end, patient=patient)
    return _result(request, done, probed, commanded, acted, now())


async def _verify(
    request: Execute,
    actuator: Actuator,
    tracer: Tracer,
    parent: Span,
    now: Callable[[], int],
    end: float,
    *,
    patient: bool,
) -> Probed:
    """Probes; `patient`: again and again until the time is over, because the agent is still at work."""
    clock = asyncio.get_running_loop().time
    span = tracer.start("verify", "client", parent.traceparent or None, {"mendbus.incident.id": request.incident_id})
    pause = _FIRST_PAUSE_SECONDS
    while True:
        left = max(_SHORTEST_WAIT_SECONDS, end - clock())
        probed = await actuator.probe(
            request.agent_kind, request.agent_id, request.incident_id, request.operation, left, span
        )
        if probed.state == "healthy" or not patient or clock() + pause >= end:
            break
        await asyncio.sleep(pause)
        pause = min(_LONGEST_PAUSE_SECONDS, pause * 2)
    healthy = probed.state == "healthy"
    span.end({"mendbus.verified": healthy}, error=None if healthy else probed.state)
    return probed


def _result(
    request: Execute,
    done: CommandResult,
    probed: Probed | None,
    commanded: int,
    acted: int,
    probed_unix_nano: int | None,
) -> AttemptResult:
    healthy = probed is not None and probed.state == "healthy"
    # What the agent said it could not do did not heal it: a healthy probe after it is luck, not a recovery.
    verified = healthy and done.status in ("done", "accepted", "misaddressed")
    detail = done.detail if done.detail and not verified else (probed.detail if probed else None)
    return AttemptResult(
        incident_id=request.incident_id,
        command_id=done.command_id,
        status=done.status,
        code=done.code,
        detail=(detail or done.detail or "")[:1000] or None,
        verified=verified,
        undo_token=done.undo_token,
        commanded_unix_nano=commanded,
        acted_unix_nano=acted,
        probed_unix_nano=probed_unix_nano,
    )
