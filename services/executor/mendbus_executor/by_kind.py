"""The right actuator for each kind of agent."""

from collections.abc import Mapping

from mendbus.contracts.messages import CommandResult, RecoveryCommand
from mendbus.telemetry import Span
from mendbus_executor.agent_actuator import Probed
from mendbus_executor.attempt import Actuator


class ByKind:
    """Hands on to the actuator of a kind, or to the usual one."""

    def __init__(self, usual: Actuator, kinds: Mapping[str, Actuator]) -> None:
        self._usual = usual
        self._kinds = kinds

    async def command(self, command: RecoveryCommand, seconds: float, span: Span) -> CommandResult:
        """See `Actuator`."""
        return await self._kinds.get(command.agent.kind, self._usual).command(command, seconds, span)

    async def probe(
        self, kind: str, agent: str, incident_id: str, operation: str | None, seconds: float, span: Span
    ) -> Probed:
        """See `Actuator`."""
        return await self._kinds.get(kind, self._usual).probe(kind, agent, incident_id, operation, seconds, span)
