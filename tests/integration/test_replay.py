"""Replay: recorded decisions made again, under the same policy the same, under another one not all."""

from pathlib import Path

import pytest
from tests.integration.operating import order
from tests.integration.test_pipeline import QUICK, pipeline
from tests.support import talk_to

from mendbus import codec
from mendbus.cli import replaying
from mendbus.contracts.errors import MendbusError
from mendbus.testing import eventually

REPLAYED = QUICK + 'first = "restart"\n'


async def test_the_same_policy_decides_the_same_and_another_one_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every decision of the journal is found again; the differences name incident, old and new choice."""
    async with pipeline(tmp_path) as run:
        agent = await run.agent()
        agent.works = False
        await agent.report("Broken")
        told = await run.outcome(lambda o: o.outcome == "escalated")
        await run.bus.store(run.subjects.journal_control, codec.pack({"entries": [{"type": "decided"}]}))
        same = await order(run, "replay", arguments={"policy": QUICK})
        assert (same.ok, same.data["decided"], same.data["different"], same.data["unreadable"]) == (True, 4, 0, 1)
        other = await order(run, "replay", arguments={"policy": REPLAYED})
        (found,) = [d for d in other.data["differences"] if d["attempt"] == 1]
        assert found["incident_id"] == told.incident_id
        assert (found["was"]["strategy"], found["would_be"]["strategy"]) == ("retry", "restart")
        assert other.data["changes"]["retry -> restart"] == 1
        none = await order(run, "replay", arguments={"policy": "", "since_unix_nano": 2**62})
        assert none.data["decided"] == 0

        talk_to(monkeypatch, run.bus, replaying)
        await replaying.show(run.settings, REPLAYED, 3600.0, as_json=False)
        printed = capsys.readouterr().out
        assert "would be different" in printed
        assert "retry -> restart" in printed
        with pytest.raises(MendbusError, match="nonsense"):
            await replaying.show(run.settings, "first = 'pray'\nnonsense = 1\n", 3600.0, as_json=False)


async def test_a_replay_without_a_policy_is_refused(tmp_path: Path) -> None:
    """The text of a policy is needed."""
    async with pipeline(tmp_path) as run:
        refused = await order(run, "replay")
        assert not refused.ok


async def test_a_changed_policy_is_in_force_within_a_second(tmp_path: Path) -> None:
    """The digest that `status` tells changes, and the next decision is made under the new policy."""
    async with pipeline(tmp_path) as run:
        agent = await run.agent()
        before = (await order(run, "status")).data["policy_digest"]
        (tmp_path / "policy.toml").write_text(REPLAYED)

        async def changed() -> bool:
            return (await order(run, "status")).data["policy_digest"] != before

        await eventually(changed)
        await agent.report("Broken")
        assert (await run.outcome(lambda o: o.sequence == 0)).strategy == "restart"
