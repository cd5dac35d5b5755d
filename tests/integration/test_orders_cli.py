"""The command line's orders, against a selector on the in-memory bus."""

from pathlib import Path

import pytest
from tests.integration.test_pipeline import QUICK, pipeline
from tests.support import talk_to

from mendbus.cli import ordering
from mendbus.contracts.errors import MendbusError


async def test_a_pause_and_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`pause` parks, `resume` takes up; both say in one line what was done."""
    async with pipeline(tmp_path) as run:
        talk_to(monkeypatch, run.bus, ordering)
        agent = await run.agent()
        order = ordering.Order("pause", ("runtime", "a1"), "lunch", "kim", seconds=60)
        await ordering.send(run.settings, order, as_json=False)
        assert capsys.readouterr().out == "pause runtime/a1: on disk\n"
        await agent.report("Held")
        told = await run.outcome(lambda o: o.outcome == "suppressed")
        assert "paused by kim: lunch" in (told.reason or "")
        await ordering.send(run.settings, ordering.Order("resume", ("runtime", "a1")), as_json=True)
        assert '"target": "runtime/a1"' in capsys.readouterr().out
        await run.outcome(lambda o: o.outcome == "recovered")


async def test_approving_and_closing_by_the_beginning_of_an_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An incident is found by its id's beginning; what cannot be done is an error with the reason."""
    async with pipeline(tmp_path, QUICK + 'require_approval = ["retry"]\n') as run:
        talk_to(monkeypatch, run.bus, ordering)
        agent = await run.agent()
        await agent.report("Asking")
        told = await run.outcome(lambda o: o.outcome == "awaiting_approval")
        await ordering.decide(run.settings, "approve", told.incident_id[:30], None, "kim", as_json=False)
        assert "retry was approved by kim" in capsys.readouterr().out
        await run.outcome(lambda o: o.outcome == "recovered")
        with pytest.raises(MendbusError, match=r"close .* was refused: .*not parked"):
            await ordering.decide(run.settings, "close", told.incident_id, None, None, as_json=False)
        with pytest.raises(MendbusError, match="no incident that begins with"):
            await ordering.decide(run.settings, "close", "ffffffffffff", None, None, as_json=False)
