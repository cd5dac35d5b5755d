"""Puts the service together: everything it stands on is named here once."""

from mendbus import instruments
from mendbus.abilities import abilities
from mendbus.contracts.messages import AgentGoodbye, FailurePredicted, SettledQuery
from mendbus.modelstore import ModelStore
from mendbus.runtime import Drain, Runtime
from mendbus_strategy_selector import choice_model, keeping
from mendbus_strategy_selector.agents import Agents
from mendbus_strategy_selector.asks import Asks
from mendbus_strategy_selector.choices import Choices, Life
from mendbus_strategy_selector.control import Controls
from mendbus_strategy_selector.foreseen import PredictionIntake
from mendbus_strategy_selector.overview import Overview
from mendbus_strategy_selector.ownership import Ownership
from mendbus_strategy_selector.policies import Policies
from mendbus_strategy_selector.steps import Context


async def start(runtime: Runtime) -> Drain:
    """Starts the service; it owns its partitions when this returns. Raises `SettingsError` for wrong files."""
    policies = Policies(runtime.settings.policy_file)
    runtime.spawn(policies.watch(), "policy")
    agents = Agents(abilities(runtime.settings.executor_file))
    subjects = runtime.subjects
    choices = Choices(await keeping.restore(runtime.bus, subjects))
    life = Life(ModelStore(runtime.bus, subjects, choice_model.SERVICE), choices, runtime.now)
    await life.look()
    await keeping.catch_up(runtime.bus, subjects, choices.lessons, runtime.now)
    runtime.spawn(life.follow(), "models")
    overview = Overview(runtime.now, choices.lessons)
    runtime.subscriptions.append(await overview.follow(runtime.bus, subjects))
    runtime.subscriptions.append(await agents.follow(runtime.bus, subjects))
    await runtime.listen(subjects.everyone("agent.goodbye"), AgentGoodbye, agents.goodbye, dead=False)
    asks = Asks(runtime.bus, subjects, policies, runtime.readiness, runtime.now)
    context = Context(asks, agents, policies, overview, choices, runtime.tracer, runtime.now, runtime.meter)
    ownership = Ownership(runtime, context)
    await runtime.listen(subjects.everyone("settled"), SettledQuery, ownership.settled)
    predictions = PredictionIntake(runtime, policies, lambda number: ownership.owned(number) is not None)
    await runtime.listen(subjects.everyone("prediction"), FailurePredicted, predictions.hear)
    runtime.meter.observe(instruments.QUEUE_LAG, lambda: sum(partition.lag for partition in ownership.partitions))
    runtime.meter.observe(
        instruments.OPEN_INCIDENTS, lambda: sum(partition.open_incidents for partition in ownership.partitions)
    )
    await ownership.start()
    await Controls(runtime, context, ownership).start()
    return ownership.drain
