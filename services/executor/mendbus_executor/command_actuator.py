"""Acts on an agent by programs of the user's own, inside the sandbox; each command once, however often it is asked."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Final

from mendbus.contracts.messages import CommandResult, RecoveryCommand
from mendbus.contracts.vocabulary import UNDOABLE, CommandStatus
from mendbus.telemetry import Span
from mendbus_executor.agent_actuator import Probed
from mendbus_executor.attempt import Actuator
from mendbus_executor.command_memory import Busy, Claim, CommandMemory
from mendbus_executor.sandbox import Ran, run, seconds_within
from mendbus_executor.table import CommandKind, fill

log = logging.getLogger("mendbus")

_POLL_SECONDS: Final = 0.02


class CommandActuator:
    """Programs by kind of agent. `agent`: probes the kinds that have no probe program."""

    def __init__(self, kinds: Mapping[str, CommandKind], memory: CommandMemory, agent: Actuator) -> None:
        self._kinds = kinds
        self._memory = memory
        self._agent = agent

    async def command(self, command: RecoveryCommand, seconds: float, span: Span) -> CommandResult:
        """Runs the program of the strategy, unless this command was begun before."""
        kind = self._kinds[command.agent.kind]
        template = kind.commands.get(command.strategy)
        undoes = command.action != "apply"
        taken_back = template is not None and any("{action}" in text for text in template)
        if template is None or (undoes and not (taken_back and command.strategy in UNDOABLE)):
            detail = f"no program does {command.action} of {command.strategy} for {command.agent.kind}"
            return CommandResult(command_id=command.command_id, status="unsupported", detail=detail)
        try:
            argv = fill(template, _values(command))
        except ValueError as error:
            return _result(command, "failed", "unsafe_argument", str(error))
        clock = asyncio.get_running_loop().time
        end = clock() + seconds
        try:
            claim = await self._begin(command, end)
        except OSError as error:
            return _result(command, "failed", "no_memory_of_commands", str(error))
        if not isinstance(claim, Claim):
            return claim
        try:
            time = min(kind.wall_ms / 1000, seconds_within(end - clock()))
            ran = await run(argv, kind.environment, kind.limits, time, claim.lock)
            result = _said(command, ran)
            try:
                await asyncio.to_thread(claim.finish, result)
            except OSError as error:
                # Who asks again hears `interrupted`; who asked this time may as well hear what is known.
                log.error("the result of command %s is not kept: %s", command.command_id, error)
        finally:
            claim.close()
        return result

    async def _begin(self, command: RecoveryCommand, end: float) -> Claim | CommandResult:
        while True:
            claim = await asyncio.to_thread(self._memory.begin, command)
            if not isinstance(claim, Busy):
                return claim
            if asyncio.get_running_loop().time() + _POLL_SECONDS >= end:
                if claim.same:
                    return _result(command, "accepted", None, "still at work")
                return _result(command, "failed", "busy", "another command for this agent is still at work")
            await asyncio.sleep(_POLL_SECONDS)

    async def probe(
        self, kind: str, agent: str, incident_id: str, operation: str | None, seconds: float, span: Span
    ) -> Probed:
        """Runs the probe program, or asks the agent where there is none."""
        of_kind = self._kinds[kind]
        if of_kind.probe is None:
            return await self._agent.probe(kind, agent, incident_id, operation, seconds, span)
        values = {"kind": kind, "id": agent, "incident_id": incident_id, "operation": operation or ""}
        try:
            argv = fill(of_kind.probe, values)
        except ValueError as error:
            return Probed("unhealthy", str(error))
        ran = await run(argv, of_kind.environment, of_kind.limits, seconds_within(seconds))
        return Probed("healthy" if ran.ok else "unhealthy", "" if ran.ok else f"{ran.code}: {ran.last_words}")


def _values(command: RecoveryCommand) -> dict[str, str]:
    given = {name: command.parameters.get(name) for name in ("to", "factor")}
    return {
        "kind": command.agent.kind,
        "id": command.agent.id,
        "action": command.action,
        "strategy": command.strategy,
        "operation": command.operation or "",
        "command_id": command.command_id,
        "incident_id": command.incident_id,
        "attempt": str(command.attempt),
        **{name: "" if value is None else str(value) for name, value in given.items()},
    }


def _said(command: RecoveryCommand, ran: Ran) -> CommandResult:
    left = f" ({ran.stragglers} processes that it left were killed)" if ran.stragglers else ""
    status: CommandStatus = "done" if ran.ok else "failed"
    result = _result(command, status, None if ran.ok else ran.code, f"{ran.last_words}{left}")
    return result.model_copy(update={"duration_ms": round(ran.seconds * 1000)})


def _result(command: RecoveryCommand, status: CommandStatus, code: str | None, detail: str) -> CommandResult:
    cut = detail.encode()[:1000].decode("utf-8", "ignore")
    return CommandResult(command_id=command.command_id, status=status, code=code, detail=cut or None)
