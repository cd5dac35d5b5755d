"""Commands that show incidents and their traces: what was stored is what they show."""

import json
from typing import Any

import pytest
from tests.system.commands import OTHER, do, in_json, journal, keep, many, mendbus
from tests.unit.cli.samples import INCIDENT, REPORTED, error, outcome

from mendbus.bus import Bus
from mendbus.contracts.journal import JournalRecord, Operated
from mendbus.contracts.messages import Alert
from mendbus.settings import Settings
from mendbus.traces import SpanRow, TraceFile


def test_incidents_are_listed_by_their_last_word(settings: Settings) -> None:
    """Each incident has one line, the newest last, under an id that is enough to explain it."""
    keep(settings, *many(settings.subjects))
    shown = mendbus("incidents", "--since", "365d")
    first, second = [line.split() for line in shown.stdout.splitlines()[1:]]
    assert first[1:7] == ["runtime/r1", "build", "error", "retry", "recovered", "3"]
    assert second[5] == "escalated"
    for words, incident in ((first, INCIDENT), (second, OTHER)):
        assert incident.startswith(words[0])
        assert f"incident {incident}: " in mendbus("explain", words[0]).stdout
    assert [one["incident_id"] for one in in_json("incidents")] == [INCIDENT, OTHER]
    assert [one["incident_id"] for one in in_json("incidents", "--limit", "1")] == [OTHER]


def test_open_incidents_are_those_that_need_somebody(settings: Settings) -> None:
    """--open leaves out what is done with, and shows what has no outcome yet."""
    keep(settings, *many(settings.subjects))
    listed = in_json("incidents", "--open")
    assert [(one["incident_id"][-3:], one["outcome"]) for one in listed] == [("0ff", "escalated"), ("aaa", None)]
    assert mendbus("incidents", "--open").stdout.splitlines()[2].split()[5] == "open"


def test_incidents_are_filtered_by_agent_and_time(settings: Settings) -> None:
    """Other agents' incidents, and those told before the time that is looked back, are left out."""
    keep(settings, *many(settings.subjects))
    assert in_json("incidents", "--agent", "runtime/r2", "--open") == []
    assert len(in_json("incidents", "--agent", "runtime/r1")) == 2
    assert mendbus("incidents", "--since", "0s").stdout == "no incidents\n"


def test_what_is_no_outcome_is_passed_over(settings: Settings) -> None:
    """Bytes in a stream that are no message do not hide the others."""

    async def spoil(bus: Bus) -> None:
        await bus.store(settings.subjects.outcome("runtime", "r1"), b"\xc1")
        await bus.store(settings.subjects.journal(0), b"\xc1")

    do(settings, spoil)
    keep(settings, *many(settings.subjects))
    assert len(in_json("incidents", "--open")) == 2


def test_an_incident_is_explained_with_its_journal(settings: Settings) -> None:
    """--audit adds the entries of the journal; JSON has every outcome that was told."""
    keep(settings, *many(settings.subjects), journal(settings.subjects, INCIDENT))
    told = in_json("explain", INCIDENT, "--audit")
    assert [one["sequence"] for one in told["outcomes"]] == [0, 1]
    assert told["incident"]["settled"] is True
    plain = mendbus("explain", INCIDENT)
    assert "attempt 2" in plain.stdout
    assert "journal" not in plain.stdout


def test_an_incident_under_way_is_explained_from_the_journal(settings: Settings) -> None:
    """What has no outcome yet is found by the journal."""
    keep(settings, *many(settings.subjects))
    shown = mendbus("explain", "018bcfe5-6800-7000-8000-000000000a")
    assert "under way" in shown.stdout
    assert "opened" in shown.stdout


@pytest.mark.parametrize(("prefix", "said"), [("018bcfe5", "2 incidents begin"), ("ffff", "there is no incident")])
def test_an_incident_is_never_guessed(settings: Settings, prefix: str, said: str) -> None:
    """A beginning that fits several incidents, or none, is refused."""
    keep(settings, *many(settings.subjects))
    shown = mendbus("explain", prefix)
    assert shown.exit_code == 1
    assert said in shown.stderr


def test_what_incidents_came_to_is_told_and_exported(settings: Settings) -> None:
    """Analytics read the range that is asked for; every export reads its stream."""
    subjects = settings.subjects
    label = Operated(verb="relabel", by="kim", incident_id=OTHER, reason="the disk", category="storage")
    record = JournalRecord(
        id="r", time_unix_nano=REPORTED, partition=0, number=1, owner="selector/x", previous="", entries=[label]
    )
    alert = Alert(id="a-1", key="k", time_unix_nano=REPORTED, severity="major", state="raised", summary="look")
    keep(
        settings,
        *many(subjects),
        (subjects.journal_control, record),
        (subjects.alert("raised", "major"), alert),
    )
    report = in_json("analytics", "--from", "2023-11-14T00:00Z", "--to", "2023-11-15T00:00Z")
    assert (report["incidents"], report["success"]["hits"], report["success"]["of"]) == (2, 1, 2)
    assert [row["category"] for row in report["categories"]] == ["storage", "build"]
    assert "recovered       50.0% (9%-91%, 1 of 2)" in mendbus("analytics", "--from", "2023-11-14").stdout
    assert in_json("analytics", "--from", "1h")["incidents"] == 0
    (row,) = [json.loads(line) for line in mendbus("export", "relabels").stdout.splitlines()]
    assert (row["category"], row["error"]["exception"]["type"]) == ("storage", "ValueError")
    head, row = mendbus("export", "alerts", "--format", "csv").stdout.splitlines()
    assert head.startswith("time,time_unix_nano,sequence,alert_id,key,state,severity")
    assert "a-1,k,raised,major" in row


def _span(trace: str, span: str, incident: str, start: int) -> SpanRow:
    facts: dict[str, Any] = {"mendbus.incident.id": incident}
    return SpanRow(
        trace * 32, span * 16, "", "process error", "consumer", "selector", start, start + 5, facts, "ok", None
    )


def test_traces_are_listed_and_drawn(settings: Settings) -> None:
    """Traces are found by the beginning of their id, by their incident, and as the newest; several fit nothing."""
    rows = [_span("a", "1", INCIDENT, REPORTED), _span("b", "2", OTHER, REPORTED + 10)]
    TraceFile(settings.traces, "test").append(rows)
    listed = mendbus("trace").stdout.splitlines()
    assert [line.split()[0] for line in listed[1:]] == ["a" * 32, "b" * 32]
    assert [one["incident_id"] for one in in_json("trace")] == [OTHER, INCIDENT]
    assert mendbus("trace", "aaaa").stdout.startswith(f"trace {'a' * 32}")
    assert mendbus("trace", "--incident", OTHER).stdout.startswith(f"trace {'b' * 32}")
    assert [one["span_id"] for one in in_json("trace", "--last", "2")] == ["1" * 16, "2" * 16]
    assert mendbus("trace", "c").exit_code == 1
    assert "2 traces begin with ''" in mendbus("trace", "").stderr


def test_the_trace_of_an_incident_is_known_by_its_outcome(settings: Settings) -> None:
    """An incident whose spans do not name it is found by what the services told; elsewhere the collector is named."""
    keep(settings, (settings.subjects.outcome("runtime", "r1"), outcome(trace_id="d" * 32)))
    TraceFile(settings.traces, "test").append([_span("d", "1", "", REPORTED)])
    assert mendbus("trace", "--incident", INCIDENT[:12]).stdout.startswith(f"trace {'d' * 32}")
    assert "no incident" in mendbus("trace", "--incident", "ffffffff").stderr
    words = ("trace", "--data-dir", str(settings.data_dir / "empty"))
    assert "another --data-dir" in mendbus(*words).stderr
    shown = mendbus(*words, env={"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"})
    assert "Jaeger" in shown.stderr
    assert error().id
