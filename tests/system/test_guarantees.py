"""What must hold whatever dies: nothing lost, nothing counted twice, nothing done twice, every incident ends."""

import asyncio
import signal
from pathlib import Path

import pytest
from tests.harness import assert_exact, installation, load, make_agents, read_ledger, settled_ledger

from mendbus.contracts.vocabulary import SERVICES
from mendbus.testing import eventually

pytestmark = pytest.mark.timeout(180)

RATE = 500.0
SECONDS = 3.0


@pytest.mark.parametrize("victim", SERVICES)
async def test_a_killed_service_loses_and_doubles_nothing(tmp_path: Path, victim: str) -> None:
    """SIGKILL of any service under 500 errors/s: all errors are counted once, all incidents end."""
    async with installation(tmp_path) as system:
        bus = await system.connect()
        agents = await make_agents(bus, system.subjects, 20)
        loading = asyncio.create_task(load(agents, RATE, SECONDS))
        await eventually(lambda: sum(len(a.reported) for a in agents) > RATE / 2, 20.0)
        await system.named(victim)[0].kill()
        await system.run(victim)
        await loading
        assert_exact(await settled_ledger(bus, system.subjects, agents), agents)
        await bus.close()


async def test_a_killed_server_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """SIGKILL of nats-server under load: what was acknowledged is still there, once."""
    async with installation(tmp_path) as system:
        bus = await system.connect()
        agents = await make_agents(bus, system.subjects, 20)
        loading = asyncio.create_task(load(agents, RATE, SECONDS))
        await eventually(lambda: sum(len(a.reported) for a in agents) > RATE / 2, 20.0)
        system.server.kill()
        await system.server.begin_async()
        await loading
        assert_exact(await settled_ledger(bus, system.subjects, agents), agents)
        await bus.close()


async def test_what_a_killed_server_had_not_yet_written_is_told_again(tmp_path: Path) -> None:
    """Outcomes and alerts are acknowledged before they are on disk; after a crash of the server they come back."""
    async with installation(tmp_path) as system:
        bus = await system.connect()
        agents = await make_agents(bus, system.subjects, 3)
        agents[0].works = False
        for agent in agents:
            await agent.report("Lost")
        before = await settled_ledger(bus, system.subjects, agents)
        alerts = system.subjects.stream("ALERTS"), system.subjects.everyone("alert")
        await eventually(lambda: bus.subjects(*alerts), 10.0)
        system.server.kill()
        for name in ("RECOVERIES", "ALERTS"):
            for path in tmp_path.glob(f"nats/**/{system.subjects.stream(name)}/msgs/*"):
                path.unlink()
        await system.server.begin_async()
        after = await settled_ledger(bus, system.subjects, agents)
        assert after.told == before.told
        await eventually(lambda: bus.subjects(*alerts), 10.0)
        await bus.close()


async def test_an_owner_that_wakes_up_late_is_fenced(tmp_path: Path) -> None:
    """SIGSTOP of the owner: another replica takes over; the sleeper changes nothing when it wakes."""
    async with installation(tmp_path) as system:
        bus = await system.connect()
        agents = await make_agents(bus, system.subjects, 20)
        loading = asyncio.create_task(load(agents, RATE, SECONDS))
        await eventually(lambda: sum(len(a.reported) for a in agents) > RATE / 2, 20.0)
        sleeper = system.named("strategy-selector")[0]
        sleeper.send(signal.SIGSTOP)
        await system.run("strategy-selector")
        await loading
        sleeper.send(signal.SIGCONT)
        assert_exact(await settled_ledger(bus, system.subjects, agents), agents)
        await bus.close()


async def test_two_owners_share_the_partitions(tmp_path: Path) -> None:
    """Two selector replicas own the eight partitions between them, and a killed one's go to the other."""
    async with installation(tmp_path) as system:
        bus = await system.connect()
        await system.run("strategy-selector")
        agents = await make_agents(bus, system.subjects, 20)
        loading = asyncio.create_task(load(agents, 200.0, SECONDS))
        await eventually(lambda: sum(len(a.reported) for a in agents) > 150, 20.0)
        await system.named("strategy-selector")[0].kill()
        await loading
        assert_exact(await settled_ledger(bus, system.subjects, agents), agents)
        await bus.close()


async def test_a_hung_predictor_replica_costs_only_its_answer(tmp_path: Path) -> None:
    """SIGSTOP of one of two predictors: every error is recovered, without waiting for it."""
    async with installation(tmp_path) as system:
        bus = await system.connect()
        await system.run("predictor")
        agents = await make_agents(bus, system.subjects, 20)
        hung = system.named("predictor")[0]
        hung.send(signal.SIGSTOP)
        await load(agents, 100.0, 2.0)
        ledger = await settled_ledger(bus, system.subjects, agents)
        hung.send(signal.SIGCONT)
        assert_exact(ledger, agents)
        await bus.close()


async def test_absent_classifier_and_predictor_cost_only_their_answers(tmp_path: Path) -> None:
    """Without classifier and predictor errors are decided as `unknown` and recovered."""
    async with installation(tmp_path, "strategy-selector", "executor", "health-monitor") as system:
        bus = await system.connect()
        agents = await make_agents(bus, system.subjects, 3)
        await agents[0].report("Lonely")
        ledger = await settled_ledger(bus, system.subjects, agents)
        (outcome,) = ledger.told.values()
        assert outcome.outcome == "recovered"
        assert outcome.classification is not None
        assert outcome.classification.category == "unknown"
        assert outcome.prediction is None
        await bus.close()


async def test_without_an_executor_incidents_wait_and_nothing_is_lost(tmp_path: Path) -> None:
    """No executor: nothing is executed; when one is there, the waiting incidents are recovered."""
    async with installation(tmp_path, "strategy-selector", "classifier", "health-monitor") as system:
        bus = await system.connect()
        agents = await make_agents(bus, system.subjects, 5)
        for agent in agents:
            await agent.report("Waiting")

        async def decided() -> bool:
            return (await read_ledger(bus, system.subjects)).decided == len(agents)

        await eventually(decided, 20.0)
        assert not any(agent.effects for agent in agents)
        await system.run("executor")
        ledger = await settled_ledger(bus, system.subjects, agents)
        assert {outcome.outcome for outcome in ledger.told.values()} == {"recovered"}
        assert_exact(ledger, agents)
        await bus.close()


async def test_a_backlog_drains_when_the_owner_is_back(tmp_path: Path) -> None:
    """Errors stored while no owner runs are counted and recovered by the next one."""
    async with installation(tmp_path) as system:
        bus = await system.connect()
        agents = await make_agents(bus, system.subjects, 10)
        await system.named("strategy-selector")[0].kill()
        await load(agents, 500.0, 1.0)
        await system.run("strategy-selector")
        assert_exact(await settled_ledger(bus, system.subjects, agents), agents)
        await bus.close()


async def test_a_silent_agent_slows_nobody_else_down(tmp_path: Path) -> None:
    """While one agent never answers, the errors of the others are recovered long before its time-outs end."""
    async with installation(tmp_path) as system:
        bus = await system.connect()
        agents = await make_agents(bus, system.subjects, 10)
        silent, others = agents[0], agents[1:]
        silent.answers = False
        for number in range(20):
            await silent.report(f"Hang{chr(65 + number)}")
        for agent in others:
            await agent.report("Ordinary")

        async def others_recovered() -> bool:
            told = (await read_ledger(bus, system.subjects)).told.values()
            return sum(o.outcome == "recovered" for o in told if o.agent.id != silent.id) == len(others)

        await eventually(others_recovered, 5.0)
        silent.answers = True
        assert_exact(await settled_ledger(bus, system.subjects, agents), agents)
        await bus.close()


async def test_a_hundred_parked_incidents_slow_nobody_down(tmp_path: Path) -> None:
    """A hundred incidents that wait for a person leave the way free for the next error."""
    async with installation(tmp_path) as system:
        bus = await system.connect()
        agents = await make_agents(bus, system.subjects, 11)
        sick, well = agents[:10], agents[10]
        for agent in sick:
            agent.works = False
        await asyncio.gather(*(agent.report(f"Stuck{chr(65 + number)}") for agent in sick for number in range(10)))

        async def parked() -> bool:
            told = (await read_ledger(bus, system.subjects)).told.values()
            return sum(o.outcome == "escalated" for o in told) == 100

        await eventually(parked, 60.0)
        await well.report("Ordinary")

        async def recovered() -> bool:
            told = (await read_ledger(bus, system.subjects)).told.values()
            return any(o.outcome == "recovered" and o.agent.id == well.id for o in told)

        await eventually(recovered, 2.0)
        assert_exact(await settled_ledger(bus, system.subjects, agents), agents)
        await bus.close()


async def test_sigterm_in_the_middle_of_work_loses_and_doubles_nothing(tmp_path: Path) -> None:
    """Every service is replaced in turn with SIGTERM under load; each ends with status 0."""
    async with installation(tmp_path) as system:
        bus = await system.connect()
        agents = await make_agents(bus, system.subjects, 20)
        loading = asyncio.create_task(load(agents, 200.0, 5.0))
        for name in SERVICES:
            (old,) = system.named(name)
            await system.run(name)
            assert await old.terminate() == 0, old.log.read_text()[-2000:]
        await loading
        assert_exact(await settled_ledger(bus, system.subjects, agents), agents)
        await bus.close()
