"""The command line's words about alerts, against a health-monitor and a selector on the in-memory bus."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.integration.test_pipeline import QUICK, Pipeline, pipeline
from tests.support import memory_runtime, talk_to

import mendbus_health_monitor
from mendbus import codec
from mendbus.asking import alerts
from mendbus.cli import alerts_ordering, alerts_showing
from mendbus.contracts.errors import MendbusError
from mendbus.contracts.journal import JournalRecord, Operated
from mendbus.contracts.subjects import MAX_SERVICE_BODY
from mendbus.testing import eventually

POLICY = QUICK + 'enable_automatic_recovery = false\n[alerts]\ndisabled = ["service"]\n'
Capture = pytest.CaptureFixture[str]


@asynccontextmanager
async def alerted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Pipeline]:
    """A pipeline in which every incident needs a person, and that has a health-monitor."""
    async with (
        pipeline(folder, POLICY) as run,
        memory_runtime(mendbus_health_monitor.build(), run.server, settings=run.settings),
    ):
        talk_to(monkeypatch, run.bus, alerts_showing, alerts_ordering)
        yield run


async def operated(run: Pipeline) -> list[Operated]:
    """What operators did, as the journal has it."""
    read = run.bus.read(run.subjects.stream("JOURNAL"), f"{run.subjects.root}.journal.*")
    records = [codec.decode(JournalRecord, stored.body, MAX_SERVICE_BODY) async for stored in read]
    return [entry for record in records for entry in record.entries if isinstance(entry, Operated)]


def said(capsys: Capture) -> Any:
    """What a command printed for programs."""
    return json.loads(capsys.readouterr().out)


async def test_an_alert_is_listed_taken_on_and_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Open, shown, acknowledged by the beginning of its incident's id; the audit trail has who, which and why."""
    async with alerted(tmp_path, monkeypatch) as run:
        await alerts_showing.open_ones(run.settings, as_json=False)
        assert capsys.readouterr().out == "no open alerts\n"
        agent = await run.agent()
        await agent.report("Held")
        told = await run.outcome(lambda o: o.outcome == "suppressed")
        assert told.incident_id

        async def listed() -> Any:
            await alerts_showing.open_ones(run.settings, as_json=True)
            return said(capsys)

        [row] = await eventually(listed)
        assert (row["key"], row["state"], row["rule"]) == (f"incident:{told.incident_id}", "raised", "incident")
        await alerts_ordering.acknowledge(run.settings, told.incident_id[:30], "on it", "kim", as_json=False)
        assert capsys.readouterr().out == f"ack {row['key']}: acknowledged until it is resolved\n"
        await alerts_showing.open_ones(run.settings, as_json=False)
        assert "acknowledged by kim" in capsys.readouterr().out
        await alerts_showing.one(run.settings, row["key"], as_json=False)
        shown = capsys.readouterr().out
        assert "because   on it" in shown
        assert f"mendbus explain {told.incident_id}" in shown
        [entry] = await operated(run)
        assert (entry.verb, entry.by, entry.reason, entry.key) == ("ack", "kim", "on it", row["key"])
        assert entry.agent is not None
        assert entry.agent.key == "runtime/a1"
        with pytest.raises(MendbusError, match="no open alert begins with 'x'"):
            await alerts_ordering.acknowledge(run.settings, "x", None, None, as_json=False)


async def test_a_silence_is_of_what_fits_everything_that_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """An agent and a kind that it is not of are both named, and nothing of that agent is silent."""
    async with alerted(tmp_path, monkeypatch) as run:
        named = {"rule": None, "key": None}
        whom = ("runtime", "a1")
        await alerts_ordering.silence(run.settings, whom, "build_pipeline", named, 3600.0, None, "kim", as_json=True)
        made = said(capsys)["silence"]
        assert (made["agent"], made["kind"]) == ("runtime/a1", "build_pipeline")


async def test_a_silence_is_made_listed_ended_and_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """Each says in one line what was done; the history has the alert as it stands."""
    async with alerted(tmp_path, monkeypatch) as run:
        await alerts_showing.silences(run.settings, as_json=False)
        assert capsys.readouterr().out == "no silences\n"
        named = {"rule": "incident", "key": None}
        await alerts_ordering.silence(run.settings, None, "runtime", named, 3600.0, "works", "kim", as_json=True)
        made = said(capsys)["silence"]
        await alerts_showing.silences(run.settings, as_json=False)
        assert "rule incident kind runtime" in capsys.readouterr().out
        agent = await run.agent()
        await agent.report("Held")

        async def muted() -> bool:
            await alerts_showing.history(run.settings, 3600.0, as_json=False)
            return "muted" in capsys.readouterr().out

        await eventually(muted)
        await alerts_showing.history(run.settings, 3600.0, as_json=True)
        [row] = said(capsys)
        assert row["muted_by"] == f"silence:{made['id']}"
        await alerts_ordering.unsilence(run.settings, made["id"][-8:], "done", "lee", as_json=False)
        assert "is silent no more" in capsys.readouterr().out
        entries = await operated(run)
        assert [(entry.verb, entry.by, entry.kind, entry.key) for entry in entries] == [
            ("silence", "kim", "runtime", made["id"]),
            ("unsilence", "lee", "runtime", made["id"]),
        ]
        assert entries[0].until_unix_nano == made["until_unix_nano"]
        with pytest.raises(MendbusError, match="0 silences have an id like"):
            await alerts_ordering.unsilence(run.settings, "x", None, None, as_json=False)


async def test_without_a_health_monitor_nobody_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """The error says which service is missing; what may not be noted is refused by the selector."""
    async with pipeline(tmp_path) as run:
        talk_to(monkeypatch, run.bus, alerts_showing)
        with pytest.raises(MendbusError, match="is a health-monitor running"):
            await alerts_showing.open_ones(run.settings, as_json=False)
        for arguments in ({}, {"verb": "pause", "key": "x"}, {"verb": "ack"}):
            with pytest.raises(MendbusError, match="audit was refused: audit notes one of ack, redrive, "):
                await alerts.ask(run.bus, run.subjects, "audit", arguments)
