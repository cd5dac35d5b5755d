"""The table of exports: each reads its stream row by row, in constant memory, whatever the length."""

import sys
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest
from tests.unit.cli.samples import INCIDENT, REPORTED
from tests.unit.shared.test_export import stored

from mendbus import codec, streams
from mendbus.bus import Bus, StoredMessage
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.fields import WireModel
from mendbus.contracts.journal import Counted, JournalRecord
from mendbus.contracts.messages import AgentRef, Alert, ErrorReported, ExceptionInfo, RecoveryOutcome
from mendbus.contracts.subjects import Subjects
from mendbus.export import IncidentRows, Row, csv_line
from mendbus.export_alerts import ALERT_COLUMNS, AlertRows
from mendbus.exports import EXPORTS, Export, rows_of

SUBJECTS = Subjects()
AGENT = AgentRef(kind="runtime", id="r1")
ALERT = Alert(
    id="a-1",
    key="incident:i1",
    time_unix_nano=REPORTED,
    severity="major",
    state="raised",
    agent=AGENT,
    summary="it is down",
    incident_id="i1",
)
OUTCOME = RecoveryOutcome(
    incident_id=INCIDENT,
    sequence=0,
    agent=AGENT,
    fingerprint="f",
    outcome="recovered",
    error_count=1,
    event_count=1,
    trace_id="",
    error=ErrorReported(id="e", time_unix_nano=1, agent=AGENT, exception=ExceptionInfo(type="X", message="m")),
)
RECORD = JournalRecord(
    id="r",
    time_unix_nano=1,
    partition=3,
    number=1,
    owner="s/x",
    previous="",
    entries=[Counted(incident_id=INCIDENT, lane="normal", sequences=[1], event_ids=["e"], error_count=1)],
)


class Generated:
    """A bus that reads any number of messages, each made when it is asked for."""

    def __init__(self, count: int, body: Callable[[int], bytes], subject: str) -> None:
        self._count, self._body, self._subject = count, body, subject

    async def read(self, *_: Any, **__: Any) -> AsyncIterator[StoredMessage]:
        for number in range(self._count):
            yield StoredMessage(self._subject, self._body(number), {}, number + 1, REPORTED + number)


def incident(number: int) -> str:
    return f"{INCIDENT[:-6]}{number:06x}"


def outcome_body(number: int) -> bytes:
    return codec.encode(OUTCOME).replace(INCIDENT.encode(), incident(number).encode())


class Bare(IncidentRows):
    """Rows as short as can be: what is held back is tested, not what a row is made of."""

    def row(self, outcome: RecoveryOutcome, stored_unix_nano: int) -> Row:
        return {"incident_id": outcome.incident_id, "time_unix_nano": stored_unix_nano}


INCIDENTS = Export(("incident_id", "time_unix_nano"), "RECOVERIES", "outcome", Bare)


@pytest.mark.parametrize(
    ("export", "body", "rows"),
    [(INCIDENTS, outcome_body, 100_000), (EXPORTS["audit"], lambda _: codec.encode(RECORD), 20_000)],
    ids=["incidents", "audit"],
)
async def test_memory_does_not_grow_with_the_rows(
    export: Export, body: Callable[[int], bytes], rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every message has its row, and no more memory is held after all of them than after the first few thousand."""
    plain = {RecoveryOutcome: OUTCOME, JournalRecord: RECORD}

    def quick(model: type[WireModel], data: bytes, _limit: int) -> WireModel:
        where = data.index(INCIDENT[:-6].encode())
        return plain[model].model_copy(update={"incident_id": data[where : where + 36].decode()})

    # Judging each message would take most of a minute.
    monkeypatch.setattr(codec, "decode", quick)
    count, before, bus = 0, 0, Generated(rows, body, SUBJECTS.journal(3))
    read: list[int] = [0]
    async for row in rows_of(cast("Bus", bus), SUBJECTS, export, on_message=lambda n: read.__setitem__(0, n)):
        count += 1
        if count == 5_000:
            before = sys.getallocatedblocks()
            assert csv_line(row.values())
        elif count == rows - 5_000:
            assert sys.getallocatedblocks() < before + 2_000
    assert (count, read) == (rows, [rows])


def test_an_alert_is_a_row_each_time_it_changes() -> None:
    """Every column is there, and the whole alert; what is no alert is left out."""
    rows = AlertRows()
    (row,) = rows.of(stored(ALERT, SUBJECTS.alert("raised", "major")))
    assert tuple(row) == ALERT_COLUMNS
    assert (row["agent"], row["severity"], row["state"], row["sequence"]) == ("runtime/r1", "major", "raised", 41)
    assert row["details"]["summary"] == row["summary"] == "it is down"
    assert not list(rows.of(StoredMessage("x", b"\xc1", {}, 1, 1)))
    assert not list(rows.rest())


async def test_a_range_is_of_when_it_was_stored() -> None:
    """What was stored after the end of the range has no row; the names of the table are read from real streams."""
    bus = MemoryServer().connect("test")
    await streams.ensure(bus, SUBJECTS, 1 << 30)
    for number in range(3):
        told = ALERT.model_copy(update={"id": f"a-{number}"})
        await bus.store(SUBJECTS.alert("raised", "major"), codec.encode(told))
    every = [row async for row in rows_of(bus, SUBJECTS, EXPORTS["alerts"])]
    assert [row["alert_id"] for row in every] == ["a-0", "a-1", "a-2"]
    assert [row async for row in rows_of(bus, SUBJECTS, EXPORTS["alerts"], until=1)] == []
    for export in EXPORTS.values():
        assert [row async for row in rows_of(bus, SUBJECTS, export)] == ([] if export.stream != "ALERTS" else every)
    await bus.close()
