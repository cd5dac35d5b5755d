"""What waits for a person: approved, rejected, not answered, closed; nothing else is held up by it."""

from pathlib import Path
from unittest.mock import patch

from tests.integration.operating import order, pause, ref
from tests.integration.test_pipeline import QUICK, pipeline

from mendbus.bus.memory import MemoryServer
from mendbus_strategy_selector import partition

ASKING = QUICK + 'require_approval = ["retry"]\n'


async def test_an_approved_strategy_goes_on(tmp_path: Path) -> None:
    """The incident waits without effect while others of its agent are done; approved, exactly that strategy is done."""
    async with pipeline(tmp_path, ASKING) as run:
        agent = await run.agent()
        await agent.report("Asking")
        told = await run.outcome(lambda o: o.outcome == "awaiting_approval")
        assert told.strategy == "retry"
        assert not agent.effects
        await agent.report("Slow", severity="warning")
        await run.outcome(lambda o: o.outcome == "no_action")
        answer = await order(run, "approve", agent=ref("a1"), arguments={"incident": told.incident_id})
        assert answer.ok, answer.detail
        assert "retry was approved by kim: to approve" in (answer.detail or "")
        after = await run.outcome(lambda o: o.outcome == "recovered")
        assert (after.incident_id, after.strategy) == (told.incident_id, "retry")
        assert after.decision is not None
        assert after.decision.rule == "approved"
        again = await order(run, "approve", agent=ref("a1"), arguments={"incident": told.incident_id})
        assert not again.ok


async def test_without_the_switch_nobody_is_asked(tmp_path: Path) -> None:
    """A strategy that is not named in `require_approval` is done at once."""
    async with pipeline(tmp_path, QUICK + 'require_approval = ["restart"]\n') as run:
        agent = await run.agent()
        await agent.report("Plain")
        assert (await run.outcome(lambda o: o.sequence == 0)).outcome == "recovered"


async def test_a_rejected_strategy_is_escalated(tmp_path: Path) -> None:
    """A person's no ends with a person, and with the reason."""
    async with pipeline(tmp_path, ASKING) as run:
        agent = await run.agent()
        await agent.report("Asking")
        told = await run.outcome(lambda o: o.outcome == "awaiting_approval")
        assert (await order(run, "reject", agent=ref("a1"), arguments={"incident": told.incident_id})).ok
        after = await run.outcome(lambda o: o.outcome == "escalated")
        assert after.reason == "retry was rejected by kim: to reject"
        assert not agent.effects


async def test_an_approval_that_never_comes_is_escalated(tmp_path: Path) -> None:
    """After the time-out a person is called; the approval comes too late then."""
    async with pipeline(tmp_path, ASKING + "approval_seconds = 0.2\n") as run:
        agent = await run.agent()
        await agent.report("Asking")
        told = await run.outcome(lambda o: o.outcome == "escalated")
        assert "nobody approved of retry" in (told.reason or "")
        late = await order(run, "approve", agent=ref("a1"), arguments={"incident": told.incident_id})
        assert "waits for no approval" in (late.detail or "")


async def test_an_approval_that_never_comes_is_escalated_once(tmp_path: Path) -> None:
    """A person is called once, and not again each time that the owner looks after what waits."""
    often = patch.object(partition, "_CHORES_SECONDS", 0.02)
    with often:
        async with pipeline(tmp_path, ASKING + "approval_seconds = 0.2\n") as run:
            agent = await run.agent()
            await agent.report("Asking")
            first = await run.outcome(lambda o: o.outcome == "escalated")
            await agent.report("Later")
            await run.outcome(lambda o: o.outcome == "escalated" and o.incident_id != first.incident_id)
            told = [o.outcome for o in run.outcomes if o.incident_id == first.incident_id]
            assert told == ["awaiting_approval", "escalated"]


async def test_an_incident_that_waits_is_known_to_the_next_owner(tmp_path: Path) -> None:
    """It can be approved after a restart; under a pause it is taken up when that ends, still approved."""
    server = MemoryServer()
    async with pipeline(tmp_path, ASKING, server=server) as run:
        agent = await run.agent()
        await agent.report("Asking")
        told = await run.outcome(lambda o: o.outcome == "awaiting_approval")
    async with pipeline(tmp_path, ASKING, server=server) as run:
        agent = await run.agent()
        await pause(run, kind="runtime")
        assert (await order(run, "approve", agent=ref("a1"), arguments={"incident": told.incident_id})).ok
        await run.outcome(lambda o: o.outcome == "suppressed")
        assert not agent.effects
        await order(run, "resume", kind="runtime")
        assert (await run.outcome(lambda o: o.outcome == "recovered")).strategy == "retry"


async def test_a_person_closes_a_parked_incident(tmp_path: Path) -> None:
    """A closed incident is done with: the same error opens a new one. What is not parked cannot be closed."""
    async with pipeline(tmp_path, "recovery_timeout_ms = 300\n") as run:
        agent = await run.agent(strategies=("retry",))
        agent.works = False
        await agent.report("Broken")
        told = await run.outcome(lambda o: o.outcome == "escalated")
        answer = await order(run, "close", agent=ref("a1"), arguments={"incident": told.incident_id})
        assert answer.ok, answer.detail
        closed = await run.outcome(lambda o: o.settled is True)
        assert (closed.outcome, closed.reason) == ("escalated", "closed by kim: to close")
        agent.works = True
        await agent.report("Broken")
        await run.outcome(lambda o: o.incident_id != told.incident_id)
        for incident, why in ((told.incident_id, "not parked"), ("unheard-of", "no incident")):
            refused = await order(run, "close", agent=ref("a1"), arguments={"incident": incident})
            assert why in (refused.detail or "")
        assert not (await order(run, "close", agent=ref("a1"))).ok
