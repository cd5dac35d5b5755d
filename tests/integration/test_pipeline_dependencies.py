"""Symptoms: an agent's errors wait for the agent it depends on, and are judged by a probe after that recovered."""

import asyncio
from pathlib import Path

from tests.integration.operating import introduce
from tests.integration.test_pipeline import QUICK, Pipeline, pipeline

from mendbus import codec
from mendbus.bus import Message
from mendbus.contracts.messages import PeerNotice, RecoveryOutcome
from mendbus.contracts.vocabulary import Strategy

PATIENT = QUICK + "recovery_timeout_ms = 3000\n"


async def chain(run: Pipeline) -> list[RecoveryOutcome]:
    """A database that is away, an API that needs it, a shop that needs the API: all fail, then the database is back.

    Returns the first outcome of each in the order they were told.
    """
    database = await introduce(run, "db", needs=[], strategies=("retry", "restart"))
    api = await introduce(run, "api", needs=["runtime/db"])
    shop = await introduce(run, "shop", kind="web", needs=["runtime/api"])
    database.answers = False
    for agent in (database, api, shop):
        await agent.report("Down")
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.2)
    database.answers = True
    return [await run.outcome(lambda o, i=agent.id: o.agent.id == i) for agent in (database, api, shop)]


async def test_symptoms_wait_and_need_no_action_when_the_cause_is_gone(tmp_path: Path) -> None:
    """Dependents are probed in dependency order after the recovery; nothing is done to them."""
    async with pipeline(tmp_path, PATIENT) as run:
        database, api, shop = await chain(run)
        assert database.outcome == "recovered"
        assert database.symptoms == [api.incident_id]
        assert (api.outcome, api.attempts) == ("no_action", [])
        assert (api.reason or "").startswith(f"symptom of incident {database.incident_id}")
        assert (shop.outcome, shop.attempts) == ("no_action", [])
        assert (shop.reason or "").startswith(f"symptom of incident {api.incident_id}")
        told = [o.agent.id for o in run.outcomes if o.sequence == 0]
        assert told == ["db", "api", "shop"]


async def test_without_coordination_nobody_waits(tmp_path: Path) -> None:
    """With `enable_cross_agent_coordination` off each goes its own way at once."""
    async with pipeline(tmp_path, PATIENT + "enable_cross_agent_coordination = false\n") as run:
        database, api, shop = await chain(run)
        assert next(o.agent.id for o in run.outcomes if o.sequence == 0) != "db"
        assert {api.outcome, shop.outcome} == {"recovered"}
        assert database.symptoms == []


async def test_a_dependent_that_is_still_ill_goes_its_own_way(tmp_path: Path) -> None:
    """The probe after the recovery of the cause is not healthy: the dependent gets its own attempts."""
    async with pipeline(tmp_path, PATIENT) as run:
        database = await introduce(run, "db", needs=[], strategies=("retry", "restart"))
        api = await introduce(run, "api", needs=["runtime"], strategies=("retry", "restart"))
        database.answers, api.works = False, False
        await database.report("Down")
        await asyncio.sleep(0.05)
        await api.report("Down")
        await asyncio.sleep(0.2)
        assert not api.effects
        database.answers = True
        told = await run.outcome(lambda o: o.agent.id == "api")
        assert [a.strategy for a in told.attempts] == ["retry", "restart"]


async def test_a_dependent_of_what_cannot_be_recovered_goes_its_own_way(tmp_path: Path) -> None:
    """When the cause is escalated, its symptoms wait no longer."""
    async with pipeline(tmp_path, QUICK + "recovery_timeout_ms = 400\n") as run:
        database = await introduce(run, "db", needs=[])
        api = await introduce(run, "api", needs=["runtime/db"])
        database.answers = False
        await database.report("Down")
        await asyncio.sleep(0.05)
        await api.report("Down")
        told = await run.outcome(lambda o: o.agent.id == "api")
        assert (told.outcome, told.strategy) == ("recovered", "retry")
        assert (await run.outcome(lambda o: o.agent.id == "db")).outcome == "escalated"


async def notices(run: Pipeline, strategy: Strategy, wanted: int) -> list[PeerNotice]:
    """What all agents hear while a strategy is applied and lifted."""
    heard: list[PeerNotice] = []
    enough = asyncio.Event()

    async def hear(message: Message) -> None:
        heard.append(codec.decode(PeerNotice, message.body))
        if len(heard) == wanted:
            enough.set()

    await run.bus.subscribe(run.subjects.everyone("notice"), hear)
    agent = await run.agent(strategies=(strategy,))
    await agent.report("Remote")
    await asyncio.wait_for(enough.wait(), 5.0)
    return heard


async def test_peers_hear_of_isolation_and_its_end(tmp_path: Path) -> None:
    """`isolated` after the command, `restored` after it was lifted."""
    async with pipeline(tmp_path, QUICK + 'first = "isolate"\n') as run:
        heard = await notices(run, "isolate", 2)
        assert [(n.agent.id, n.event) for n in heard] == [("a1", "isolated"), ("a1", "restored")]


async def test_peers_hear_of_a_failover(tmp_path: Path) -> None:
    """`failed_over` says to whom, where the policy does."""
    policy = QUICK + 'first = "failover"\n[parameters.failover]\nto = "a2"\n'
    async with pipeline(tmp_path, policy) as run:
        heard = await notices(run, "failover", 1)
        assert [(n.event, n.to) for n in heard] == [("failed_over", "a2")]
