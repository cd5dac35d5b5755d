"""Pauses: decided and parked, taken up again when the pause ends or is lifted, known to whoever owns next."""

from pathlib import Path
from typing import Any

import pytest
from tests.integration.operating import ALL, order, pause, ref, until
from tests.integration.test_pipeline import QUICK, Pipeline, pipeline

from mendbus.bus.memory import MemoryServer
from mendbus.contracts.errors import ServiceFailed
from mendbus.contracts.messages import ControlResult
from mendbus.testing import eventually


@pytest.mark.parametrize("named", [{"agent": ref("a1")}, {"kind": "runtime"}, {}], ids=["agent", "kind", "all"])
async def test_what_is_paused_is_decided_and_parked_until_it_is_resumed(tmp_path: Path, named: dict[str, Any]) -> None:
    """Under a pause the strategy is chosen and not done; lifted, the same incident is recovered by it."""
    async with pipeline(tmp_path) as run:
        agent = await run.agent()
        await pause(run, **named)
        await agent.report("Held")
        told = await run.outcome(lambda o: o.outcome == "suppressed")
        assert told.strategy == "retry"
        assert told.decision is not None
        assert told.decision.rule == "paused"
        assert "paused by kim: to pause" in (told.reason or "")
        assert not agent.effects
        assert (await order(run, "resume", **(named or ALL))).ok
        after = await run.outcome(lambda o: o.outcome == "recovered")
        assert (after.incident_id, after.sequence) == (told.incident_id, 1)


async def test_a_pause_of_one_agent_leaves_the_others_alone(tmp_path: Path) -> None:
    """Another agent of the kind is recovered meanwhile."""
    async with pipeline(tmp_path) as run:
        held, free = await run.agent("a1"), await run.agent("a2")
        await pause(run, agent=ref("a1"))
        await held.report("Held")
        await free.report("Free")
        told = await run.outcome(lambda o: o.outcome == "recovered")
        assert told.agent.id == "a2"
        assert not held.effects


async def test_a_pause_ends_by_itself(tmp_path: Path) -> None:
    """When its time is over the parked incident is taken up."""
    async with pipeline(tmp_path) as run:
        agent = await run.agent()
        await pause(run, 0.4)
        await agent.report("Held")
        await run.outcome(lambda o: o.outcome == "suppressed")
        await run.outcome(lambda o: o.outcome == "recovered")


FALLBACK = QUICK + 'first = "fallback"\n'


@pytest.mark.parametrize("named", [{"agent": ref("a1")}, {"kind": "runtime"}, {}], ids=["agent", "kind", "all"])
async def test_nothing_is_restored_under_a_pause(tmp_path: Path, named: dict[str, Any]) -> None:
    """A restore is an action too: it is held for hold time after hold time, and comes once the pause is lifted."""
    async with pipeline(tmp_path, FALLBACK) as run:
        agent = await run.agent(strategies=("fallback",))
        await agent.report("Remote")
        await run.outcome(lambda o: o.outcome == "recovered")
        await pause(run, **named)
        told = await run.outcome(lambda o: o.settled is True)
        await _held(run, 2)
        assert (told.incident_id, 1, "restore") not in agent.effects
        assert (await order(run, "resume", **(named or ALL))).ok
        await eventually(lambda: (told.incident_id, 1, "restore") in agent.effects)


@pytest.mark.parametrize("switch", ["dry_run = true\n", "enable_automatic_recovery = false\n"])
async def test_nothing_is_restored_while_recovery_is_switched_off(tmp_path: Path, switch: str) -> None:
    """What limits an agent stays in force when the policy says meanwhile that nothing is to be done."""
    async with pipeline(tmp_path, FALLBACK.replace("hold_seconds = 0.2", "hold_seconds = 1.5")) as run:
        agent = await run.agent(strategies=("fallback",))
        await agent.report("Remote")
        await run.outcome(lambda o: o.outcome == "recovered")
        (tmp_path / "policy.toml").write_text(FALLBACK + switch)
        told = await run.outcome(lambda o: o.settled is True)
        await _held(run, 3)
        assert set(agent.effects) == {(told.incident_id, 1, "apply")}


async def test_what_did_not_hold_is_undone_under_a_pause_and_nothing_new_begun(tmp_path: Path) -> None:
    """A pause leaves nothing half done: a change that made things worse is taken back, the next rung waits."""
    async with pipeline(tmp_path, 'settle_seconds = 30.0\nfirst = "fallback"\n') as run:
        agent = await run.agent(strategies=("fallback", "retry", "restart"))
        await agent.report("Worse")
        first = await run.outcome(lambda o: o.outcome == "recovered")
        await pause(run, agent=ref("a1"))
        await agent.report("Worse")
        told = await run.outcome(lambda o: o.outcome == "suppressed")
        assert told.incident_id == first.incident_id
        assert [(a.strategy, a.undone) for a in told.attempts] == [("fallback", True)]
        assert set(agent.effects) == {(told.incident_id, 1, "apply"), (told.incident_id, 1, "undo")}


async def _held(run: Pipeline, times: int) -> None:
    """Returns when it has been written so often that a strategy stays in force."""

    async def held() -> bool:
        stored = run.bus.read(run.subjects.stream("JOURNAL"), run.subjects.everyone("journal"))
        return sum([m.body.count(b"\xa4held") async for m in stored]) >= times

    await eventually(held)


@pytest.mark.parametrize(
    ("named", "arguments", "why"),
    [
        ({}, {"until_unix_nano": until(60)}, "acts on nothing"),
        ({"kind": "runtime"}, {"until_unix_nano": until(60), "all": True}, "2 things"),
        ({"kind": "runtime"}, {}, "end"),
        ({"kind": "runtime"}, {"until_unix_nano": until(-1)}, "end"),
        ({"kind": "runtime"}, {"until_unix_nano": until(8 * 24 * 3600)}, "7 days"),
    ],
)
async def test_a_pause_that_names_nothing_or_no_end_acts_on_nothing(
    tmp_path: Path, named: dict[str, Any], arguments: dict[str, Any], why: str
) -> None:
    """An empty or ambiguous target and a missing, past or distant end are refused with a sentence."""
    async with pipeline(tmp_path) as run:
        answer: ControlResult = await order(run, "pause", arguments=arguments, **named)
        assert not answer.ok
        assert why in (answer.detail or "")
        status = await order(run, "status")
        assert status.data["pauses"] == []


async def test_pauses_are_known_to_the_next_owner(tmp_path: Path) -> None:
    """Pauses of an agent and of a kind, and what they parked, survive a restart; resuming takes it up."""
    server = MemoryServer()
    async with pipeline(tmp_path, server=server) as run:
        agent = await run.agent()
        await pause(run, agent=ref("a1"))
        await pause(run, kind="builds")
        await agent.report("Held")
        parked = await run.outcome(lambda o: o.outcome == "suppressed")
    async with pipeline(tmp_path, server=server) as run:
        status = await order(run, "status")
        assert {p["scope"] for p in status.data["pauses"]} == {"runtime/a1", "builds"}
        agent = await run.agent("a1")
        await order(run, "resume", agent=ref("a1"))
        told = await run.outcome(lambda o: o.outcome == "recovered")
        assert told.incident_id == parked.incident_id


async def test_what_is_no_order_is_refused(tmp_path: Path) -> None:
    """Junk on a verb is answered with an error and kept as a dead letter."""
    async with pipeline(tmp_path) as run:
        with pytest.raises(ServiceFailed, match="400"):
            await run.bus.request(run.subjects.control("pause"), b"junk", timeout=2.0)

        async def dead() -> bool:
            found = await run.bus.last(run.subjects.stream("DEAD"), run.subjects.dead("strategy-selector"))
            return found is not None and found.body == b"junk"

        await eventually(dead)
