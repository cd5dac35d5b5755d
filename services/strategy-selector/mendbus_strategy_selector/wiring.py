"""Puts the service together: everything it stands on is named here once."""

from mendbus.contracts.messages import AgentGoodbye, SettledQuery
from mendbus.runtime import Drain, Runtime
from mendbus_strategy_selector.agents import Agents
from mendbus_strategy_selector.asks import Asks
from mendbus_strategy_selector.ownership import Ownership
from mendbus_strategy_selector.policy import load_policy
from mendbus_strategy_selector.steps import Context


async def start(runtime: Runtime) -> Drain:
    """Starts the service; it owns its partitions when this returns. Raises `SettingsError` for a wrong policy."""
    policy = load_policy(runtime.settings.policy_file)
    agents = Agents()
    subjects = runtime.subjects
    runtime.subscriptions.append(await agents.follow(runtime.bus, subjects))
    await runtime.listen(subjects.everyone("agent.goodbye"), AgentGoodbye, agents.goodbye, dead=False)
    asks = Asks(runtime.bus, subjects, policy, runtime.readiness, runtime.now)
    ownership = Ownership(runtime, Context(asks, agents, policy, runtime.tracer, runtime.now))
    await runtime.listen(subjects.everyone("settled"), SettledQuery, ownership.settled)
    await ownership.start()
    return ownership.drain
