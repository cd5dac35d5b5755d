"""Puts the service together."""

from mendbus.contracts.asks import AttemptResult, Execute
from mendbus.runtime import Drain, Runtime
from mendbus.telemetry import Span
from mendbus_executor.agent_actuator import AgentActuator
from mendbus_executor.attempt import carry_out

PARALLEL = 16


async def start(runtime: Runtime) -> Drain:
    """Starts the service: 16 attempts at a time, in any order."""
    actuator = AgentActuator(runtime.bus, runtime.subjects, runtime.now)

    async def execute(request: Execute, span: Span) -> AttemptResult:
        return await carry_out(request, actuator, runtime.tracer, span, runtime.now)

    await runtime.serve("execute", runtime.subjects.execute, Execute, execute, concurrency=PARALLEL)

    async def drain() -> None:
        """Attempts under way have been waited for when their subscription stopped."""

    return drain
