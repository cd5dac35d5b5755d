"""Budgets: the next rung, the latch and `resume`, healing that stops, retries that wait."""

import time
from pathlib import Path

from tests.harness import ProtocolAgent
from tests.integration.operating import ALL, introduce, order
from tests.integration.test_pipeline import QUICK, pipeline

from mendbus.bus.memory import MemoryServer
from mendbus.testing import eventually

RESTARTING = QUICK + 'first = "restart"\n'


async def test_over_the_budget_of_an_agent_the_next_rung_is_taken(tmp_path: Path) -> None:
    """The second restart within a minute is not done, and the alternatives say why; another agent still gets one."""
    async with pipeline(tmp_path, RESTARTING + "restarts_per_agent = 1\n") as run:
        agent, other = await run.agent("a1"), await run.agent("a2")
        await agent.report("One")
        assert (await run.outcome(lambda o: o.outcome == "recovered")).strategy == "restart"
        await agent.report("Two")
        second = await run.outcome(lambda o: o.error is not None and o.error.exception.type == "Two")
        assert second.strategy == "retry"
        assert second.decision is not None
        why = {a.strategy: a.why_not for a in second.decision.alternatives}
        assert why["restart"] == "over budget: 1 restarts of the agent in 60 s"
        await other.report("Three")
        assert (await run.outcome(lambda o: o.agent.id == "a2")).strategy == "restart"


async def test_over_the_budget_of_a_kind_its_other_agents_take_the_next_rung_too(tmp_path: Path) -> None:
    """An agent that was never restarted is not restarted when its kind had its share; one of another kind is."""
    async with pipeline(tmp_path, RESTARTING + "restarts_per_kind = 1\n") as run:
        await (await run.agent("a1")).report("One")
        await run.outcome(lambda o: o.agent.id == "a1")
        await (await run.agent("a2")).report("Two")
        assert (await run.outcome(lambda o: o.agent.id == "a2")).strategy == "retry"
        stranger = await introduce(run, "b1", kind="builds", needs=[], strategies=("restart",))
        await stranger.report("Three")
        assert (await run.outcome(lambda o: o.agent.id == "b1")).strategy == "restart"


async def test_over_the_last_budget_recovery_latches_off_until_it_is_resumed(tmp_path: Path) -> None:
    """Everything is suppressed then, also what needs no restart, also under the next owner; `resume` takes it up."""
    server = MemoryServer()
    policy = RESTARTING + "restarts_in_all = 1\n"
    async with pipeline(tmp_path, policy, server=server) as run:
        agent = await run.agent()
        await agent.report("One")
        await run.outcome(lambda o: o.outcome == "recovered")
        await agent.report("Two")
        told = await run.outcome(lambda o: o.outcome == "suppressed")
        assert told.decision is not None
        assert told.decision.rule == "latched"

        async def latched() -> bool:
            return bool((await order(run, "status")).data["latched"])

        await eventually(latched)
    async with pipeline(tmp_path, server=server) as run:
        other = await run.agent("a2")
        await other.report("Three")
        assert "latched off" in ((await run.outcome(lambda o: o.outcome == "suppressed")).reason or "")
        await run.agent("a1")
        assert (await order(run, "resume", **ALL)).ok
        await run.outcome(lambda o: o.incident_id == told.incident_id and o.outcome == "recovered")
        await run.outcome(lambda o: o.agent.id == "a2" and o.outcome == "recovered")


async def test_healing_stops_when_too_many_are_sick(tmp_path: Path) -> None:
    """As soon as attempts have not helped too many agents, no more are made and a person is called."""
    async with pipeline(tmp_path, QUICK + "sick_at_least = 1\nsick_share = 0.5\n") as run:
        agent = await run.agent()
        agent.works = False
        await agent.report("Broken")
        told = await run.outcome(lambda o: o.outcome == "escalated")
        assert len(told.attempts) == 1
        assert told.decision is not None
        assert (told.decision.rule, told.reason) == ("sick", "1 of 1 agents are sick at once: healing stops")


async def test_healing_goes_on_while_most_are_well(tmp_path: Path) -> None:
    """One sick agent of three does not stop it."""
    async with pipeline(tmp_path, QUICK + "sick_at_least = 1\nsick_share = 0.5\n") as run:
        agents = [await run.agent(f"a{number}") for number in range(3)]
        agents[0].works = False
        await agents[0].report("Broken")
        told = await run.outcome(lambda o: o.outcome == "escalated")
        assert len(told.attempts) == 2, "retry and restart"


async def test_retries_over_the_budget_wait(tmp_path: Path) -> None:
    """More retries than fit into a second take longer than one, and are all done."""
    async with pipeline(tmp_path, QUICK + "retries_per_second = 2\n") as run:
        agent: ProtocolAgent = await run.agent()
        begun = time.monotonic()
        for name in ("One", "Two", "Three"):
            await agent.report(name)
            told = await run.outcome(lambda o, n=name: o.error is not None and o.error.exception.type == n)
            assert (told.outcome, told.strategy) == ("recovered", "retry")
        assert time.monotonic() - begun > 0.9
