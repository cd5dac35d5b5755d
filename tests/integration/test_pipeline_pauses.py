"""Pauses: decided and parked, taken up again when the pause ends or is lifted, known to whoever owns next."""

from pathlib import Path
from typing import Any

import pytest
from tests.integration.operating import ALL, order, pause, ref, until
from tests.integration.test_pipeline import pipeline

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
