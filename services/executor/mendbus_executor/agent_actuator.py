"""Acts on an agent over NATS: one command, one answer; one probe, one answer. Nobody there is an answer too."""

from collections.abc import Callable
from dataclasses import dataclass

from mendbus import codec
from mendbus.bus import Bus
from mendbus.contracts.asks import ProbeState
from mendbus.contracts.errors import BusError, NoResponders, Refused
from mendbus.contracts.messages import CommandResult, Probe, ProbeResult, RecoveryCommand
from mendbus.contracts.subjects import Subjects
from mendbus.telemetry import Span

NO_AGENT = "no_agent"
NO_ANSWER = "no_answer"
BAD_ANSWER = "bad_answer"


@dataclass(frozen=True, slots=True)
class Probed:
    """What a probe found."""

    state: ProbeState
    detail: str


class AgentActuator:
    """The agent itself, through the SDK in its process."""

    def __init__(self, bus: Bus, subjects: Subjects, now: Callable[[], int]) -> None:
        self._bus = bus
        self._subjects = subjects
        self._now = now

    async def command(self, command: RecoveryCommand, seconds: float, span: Span) -> CommandResult:
        """Has a command done. What goes wrong on the way is a result too: `failed` with a code."""
        subject = self._subjects.command(command.agent.kind, command.agent.id)
        try:
            reply = await self._bus.request(
                subject, codec.encode(command), codec.headers(span.traceparent), timeout=seconds
            )
            result = codec.decode(CommandResult, reply.body)
        except NoResponders:
            return _failed(command, NO_AGENT, f"nobody takes commands for {command.agent.key}")
        except Refused as refused:
            return _failed(command, BAD_ANSWER, str(refused))
        except BusError as error:
            return _failed(command, NO_ANSWER, str(error))
        if result.command_id != command.command_id:
            return _failed(command, BAD_ANSWER, f"the answer is to command {result.command_id}")
        return result

    async def probe(
        self, kind: str, agent: str, incident_id: str, operation: str | None, seconds: float, span: Span
    ) -> Probed:
        """Has the agent exercise the thing that failed."""
        deadline = self._now() + int(seconds * 1e9)
        probe = Probe(incident_id=incident_id, operation=operation, deadline_unix_nano=deadline)
        try:
            reply = await self._bus.request(
                self._subjects.probe(kind, agent), codec.encode(probe), codec.headers(span.traceparent), timeout=seconds
            )
            result = codec.decode(ProbeResult, reply.body)
        except NoResponders:
            return Probed("unreachable", f"nobody answers probes for {kind}/{agent}")
        except Refused as refused:
            return Probed("unhealthy", str(refused))
        except BusError as error:
            return Probed("silent", str(error))
        return Probed("healthy" if result.healthy else "unhealthy", result.detail or "")


def _failed(command: RecoveryCommand, code: str, detail: str) -> CommandResult:
    return CommandResult(command_id=command.command_id, status="failed", code=code, detail=detail[:1000])
