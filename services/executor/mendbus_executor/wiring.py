"""Puts the service together."""

import asyncio

from mendbus.contracts.asks import AttemptResult, Execute
from mendbus.runtime import Drain, Runtime
from mendbus.telemetry import Span
from mendbus_executor.agent_actuator import AgentActuator
from mendbus_executor.attempt import Actuator, carry_out
from mendbus_executor.by_kind import ByKind
from mendbus_executor.table import CommandKind, KubernetesKind, Table, read_table

PARALLEL = 16
"""Attempts under way at once, and as many mere probes: what waits for a probe must not wait for a slow command."""
_SLOTS = 16 * PARALLEL
"""Requests held at once, those included that wait for their turn: several strategy-selectors ask."""


def choose(runtime: Runtime, table: Table) -> Actuator:
    """The agent itself, but for the kinds that the table gives to another actuator."""
    agent = AgentActuator(runtime.bus, runtime.subjects, runtime.now)
    commands = {name: kind for name, kind in table.kinds.items() if isinstance(kind, CommandKind)}
    workloads = {name: kind for name, kind in table.kinds.items() if isinstance(kind, KubernetesKind)}
    others: dict[str, Actuator] = {}
    # Imported where they are needed only, so that an executor without them stays small.
    if commands:
        from mendbus_executor.command_actuator import CommandActuator
        from mendbus_executor.command_memory import CommandMemory

        memory = CommandMemory(runtime.settings.data_dir / "executor" / "commands")
        others |= dict.fromkeys(commands, CommandActuator(commands, memory, agent))
    if workloads:
        from mendbus_executor.kubernetes_actuator import KubernetesActuator
        from mendbus_executor.kubernetes_api import Api

        cluster = table.kubernetes
        api = Api(cluster.api, cluster.token_file, cluster.ca_file)
        others |= dict.fromkeys(workloads, KubernetesActuator(workloads, api, agent))
    return ByKind(agent, others) if others else agent


async def start(runtime: Runtime) -> Drain:
    """Starts the service: 16 attempts at a time, in any order. Raises `SettingsError` for a wrong table."""
    actuator = choose(runtime, read_table(runtime.settings.executor_file))
    attempts = asyncio.Semaphore(PARALLEL)
    probes = asyncio.Semaphore(PARALLEL)

    async def execute(request: Execute, span: Span) -> AttemptResult:
        async with probes if request.command is None else attempts:
            return await carry_out(request, actuator, runtime.tracer, span, runtime.now)

    await runtime.serve("execute", runtime.subjects.execute, Execute, execute, concurrency=_SLOTS)

    async def drain() -> None:
        """Attempts under way have been waited for when their subscription stopped."""

    return drain
