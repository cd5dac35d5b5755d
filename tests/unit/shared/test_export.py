"""Rows of an export: stable columns, nothing left out, constant memory."""

import csv
import json
from io import StringIO
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.unit.cli.samples import AGENT, INCIDENT, REPORTED, classification, opened, outcome

from mendbus import codec
from mendbus.bus import StoredMessage
from mendbus.contracts.asks import AttemptResult
from mendbus.contracts.fields import WireModel
from mendbus.contracts.journal import (
    Attempted,
    Claimed,
    Commanded,
    Concluded,
    Counted,
    Decided,
    Entry,
    JournalRecord,
    Operated,
    Rejected,
)
from mendbus.contracts.messages import RecoveryCommand
from mendbus.contracts.subjects import Subjects
from mendbus.contracts.summaries import DecisionSummary
from mendbus.contracts.vocabulary import Action
from mendbus.export import (
    AUDIT_COLUMNS,
    INCIDENT_COLUMNS,
    AuditRows,
    IncidentRows,
    csv_line,
    incident_row,
    json_line,
    rfc3339,
)

SUBJECTS = Subjects()


def command(action: Action) -> RecoveryCommand:
    return RecoveryCommand(
        command_id=f"command-{action}",
        incident_id=INCIDENT,
        attempt=2,
        agent=AGENT,
        action=action,
        strategy="isolate",
        parameters={},
        timeout_ms=1000,
        deadline_unix_nano=REPORTED,
        fence=7,
    )


def attempted(action: Action) -> Attempted:
    result = AttemptResult(incident_id=INCIDENT, status="done", verified=True, detail="it serves")
    return Attempted(incident_id=INCIDENT, command_id=f"command-{action}", result=result, ended_unix_nano=REPORTED)


def rows_of(*entries: Entry) -> list[dict[str, Any]]:
    record = JournalRecord(
        id="record-1",
        time_unix_nano=REPORTED + 5,
        partition=3,
        number=9,
        owner="selector/x",
        previous="d1",
        entries=list(entries),
    )
    return list(AuditRows().of(stored(record, SUBJECTS.journal(3))))


def stored(message: WireModel, subject: str, sequence: int = 41, at: int = REPORTED) -> StoredMessage:
    return StoredMessage(subject, codec.encode(message), {}, sequence, at)


def told(sequence: int, incident: str = INCIDENT) -> StoredMessage:
    return stored(outcome(sequence=sequence, incident_id=incident), SUBJECTS.outcome("runtime", "r1"))


def test_each_entry_has_a_row_with_every_column() -> None:
    """Events, decisions, attempts, undo and restore, outcomes and operators are told apart; all have all columns."""
    decision = DecisionSummary(policy="p", rule="ladder", reason="the next rung")
    rows = rows_of(
        Claimed(owner="selector/x"),
        opened(),
        Counted(incident_id=INCIDENT, lane="normal", sequences=[5, 6], event_ids=["a", "b"], error_count=7),
        Rejected(lane="normal", sequence=8, code="not_msgpack"),
        Decided(
            incident_id=INCIDENT,
            attempt=2,
            strategy="isolate",
            decision=decision,
            classification=classification(),
            command=command("apply"),
        ),
        attempted("apply"),
        Commanded(incident_id=INCIDENT, command=command("undo")),
        attempted("undo"),
        Commanded(incident_id=INCIDENT, command=command("restore")),
        Concluded(outcome=outcome()),
        Operated(verb="pause", by="ann", reason="release"),
        Operated(verb="approve", by="ann", incident_id=INCIDENT),
        Operated(verb="relabel", by="ann", incident_id=INCIDENT, reason="the disk", category="storage"),
    )
    assert all(tuple(row) == AUDIT_COLUMNS for row in rows)
    assert [row["kind"] for row in rows] == [
        *("owner", "event", "event", "event", "decision", "attempt", "undo", "attempt", "restore", "outcome"),
        *("operator", "approval", "operator"),
    ]
    assert [row["entry"] for row in rows] == list(range(len(rows)))
    _, first, counted, rejected, decided, applied, _, undone, _, concluded, paused, approved, relabelled = rows
    assert (first["agent"], first["error_type"], first["chain"], first["number"]) == (
        "runtime/r1",
        "ValueError",
        "3",
        9,
    )
    assert (counted["event_ids"], counted["error_count"]) == (["a", "b"], 7)
    assert (rejected["status"], rejected["reason"]) == ("rejected", "not_msgpack")
    assert (decided["strategy"], decided["reason"], decided["category"]) == ("isolate", "the next rung", "build")
    assert (applied["action"], applied["agent"], applied["verified"]) == ("apply", "runtime/r1", True)
    assert (undone["action"], undone["status"], undone["reason"]) == ("undo", "done", "it serves")
    assert (concluded["outcome"], concluded["error_count"]) == ("recovered", 3)
    assert (paused["action"], paused["by"], paused["reason"]) == ("pause", "ann", "release")
    assert (approved["action"], approved["incident_id"]) == ("approve", INCIDENT)
    assert (relabelled["action"], relabelled["category"]) == ("relabel", "storage")


def test_what_is_no_record_is_a_row_too() -> None:
    """An audit trail that hides what it cannot read is none."""
    (row,) = AuditRows().of(StoredMessage(SUBJECTS.journal(3), b"\xc1", {}, 41, REPORTED))
    assert tuple(row) == AUDIT_COLUMNS
    assert (row["kind"], row["sequence"], row["time_unix_nano"]) == ("unreadable", 41, REPORTED)


def test_an_incident_has_one_row_with_its_last_word() -> None:
    """Of the outcomes of an incident that of the highest sequence makes the row, in whatever order they come."""
    rows = IncidentRows()
    assert not [row for n in (1, 0, 2) for row in rows.of(told(n))]
    (row,) = rows.rest()
    assert tuple(row) == INCIDENT_COLUMNS
    assert (row["sequence"], row["agent"], row["outcome"], row["attempts"]) == (2, "runtime/r1", "recovered", 2)
    assert (row["rule"], row["operation"], row["settled"]) == ("ladder", "reload", True)
    assert (row["recovery_ms"], row["verified_unix_nano"]) == (25.0, REPORTED + 25_000_000)
    assert not list(rows.of(StoredMessage("x", b"", {}, 1, 1)))


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), max_size=60), st.integers(1, 4))
def test_incidents_are_held_back_in_bounded_memory(said: list[tuple[int, int]], held: int) -> None:
    """However few are held back, the highest row of each incident is its last word."""
    rows = IncidentRows(held)
    out = [row for incident, sequence in said for row in rows.of(told(sequence, f"i{incident}"))]
    out += list(rows.rest())
    highest = {incident: max(n for i, n in said if i == incident) for incident, _ in said}
    assert {
        int(row["incident_id"][1:]): max(r["sequence"] for r in out if r["incident_id"] == row["incident_id"])
        for row in out
    } == highest


def test_times_are_rfc_3339_with_nanoseconds() -> None:
    """Nothing is lost between the two ways in which a time is written."""
    assert rfc3339(1_700_000_000_123_456_789) == "2023-11-14T22:13:20.123456789Z"
    assert rfc3339(None) is None


def test_a_row_survives_both_formats() -> None:
    """JSON and CSV readers get back what was in the row."""
    row = incident_row(outcome(), REPORTED)
    assert json.loads(json_line(row)) == row
    (read,) = csv.DictReader(StringIO(csv_line(INCIDENT_COLUMNS) + csv_line(row.values())))
    assert tuple(read) == INCIDENT_COLUMNS
    assert (read["settled"], read["error_message"]) == ("true", row["error_message"])
    assert json.loads(read["details"]) == row["details"]


def test_a_spreadsheet_runs_nothing() -> None:
    """Text of an agent that looks like a formula gets an apostrophe; numbers stay numbers."""
    assert csv_line(["=1+1", "@x", -5, ["-a", "b"], "fine", None]) == "'=1+1,'@x,-5,'-a b,fine,\r\n"
