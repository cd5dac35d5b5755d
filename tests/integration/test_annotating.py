"""Notes and relabellings through the commands and a selector on the in-memory bus: on disk, shown, refused."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.integration.operating import order, ref
from tests.integration.test_pipeline import pipeline
from tests.support import talk_to

from mendbus.analytics_reading import analyse
from mendbus.annotations import read_annotations
from mendbus.audit_reading import verify
from mendbus.cli import explaining, listing, notes
from mendbus.contracts.errors import MendbusError
from mendbus_strategy_selector import incidents

STORAGE: dict[str, Any] = {"category": "storage", "severity": "critical"}


async def test_what_a_person_writes_is_on_disk_and_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A note and a relabelling stand in a journal that is whole; `incidents`, `explain` and analytics tell them."""
    async with pipeline(tmp_path) as run:
        talk_to(monkeypatch, run.bus, notes, explaining, listing)
        agent = await run.agent()
        await agent.report("Leaky")
        told = await run.outcome(lambda o: o.settled is True)
        words = (run.settings, "note", told.incident_id[:30], "kim saw it too", "kim", {})
        await notes.send(*words, as_json=False)
        assert capsys.readouterr().out == f"note {told.incident_id}: on disk\n"
        words = (run.settings, "relabel", told.incident_id, "the disk was full", "kim", STORAGE)
        await notes.send(*words, as_json=True)
        assert json.loads(capsys.readouterr().out)["verb"] == "relabel"
        await explaining.tell(run.settings, told.incident_id, audit=False, as_json=False)
        shown = capsys.readouterr().out
        assert "note            kim saw it too (by kim, " in shown
        assert "relabelled      storage, critical (by kim, " in shown
        await explaining.tell(run.settings, told.incident_id, audit=False, as_json=True)
        assert json.loads(capsys.readouterr().out)["notes"][0]["text"] == "kim saw it too"
        await listing.show(run.settings, 10, 60.0, None, only_open=False, as_json=False)
        shown = capsys.readouterr().out
        assert "storage (relabelled)" in shown
        assert "critical" in shown
        await listing.show(run.settings, 10, 60.0, None, only_open=False, as_json=True)
        assert json.loads(capsys.readouterr().out)[0]["relabel"]["category"] == "storage"
        report = await analyse(run.bus, run.subjects, 0, 2**62)
        assert (report.incidents, report.success.hits, report.most_failing_agent) == (1, 1, "runtime/a1")
        assert (report.relabelled, report.most_common_category) == (1, "storage")
        assert [(row.strategy, row.success.hits) for row in report.strategies] == [("retry", 1)]
        assert (await verify(run.bus, run.subjects, [], lambda: 0, chain="control")).whole


async def test_an_incident_that_the_owner_has_forgotten_can_be_written_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What neither is open nor ended lately is known by its outcome, as long as that is kept."""
    async with pipeline(tmp_path) as run:
        agent = await run.agent()
        await agent.report("Old")
        told = await run.outcome(lambda o: o.settled is True)
        monkeypatch.setattr(incidents.OpenIncidents, "outcome", lambda *_: None)
        arguments: dict[str, Any] = {"incident": told.incident_id}
        assert (await order(run, "note", agent=ref("a1"), arguments=arguments)).ok
        assert not (await order(run, "note", agent=ref("a2"), arguments=arguments)).ok
        assert list((await read_annotations(run.bus, run.subjects)).notes) == [told.incident_id]


async def test_what_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """Nothing is written on an incident that nobody knows, nor a label that is none."""
    async with pipeline(tmp_path) as run:
        answer = await order(run, "note", agent=ref("a1"), arguments={"incident": "i1"})
        assert (answer.ok, answer.detail) == (False, "there is no incident i1 of runtime/a1")
        answer = await order(run, "relabel", agent=ref("a1"), arguments={"incident": "i1", "category": "unknown"})
        assert not answer.ok
        assert "no category to learn from" in (answer.detail or "")
        assert not (await read_annotations(run.bus, run.subjects)).notes


async def test_an_incident_that_is_not_there_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command says so before anything is sent."""
    async with pipeline(tmp_path) as run:
        talk_to(monkeypatch, run.bus, notes)
        with pytest.raises(MendbusError, match="no incident that begins with"):
            await notes.send(run.settings, "note", "ffffffffffff", "x", None, {}, as_json=False)
