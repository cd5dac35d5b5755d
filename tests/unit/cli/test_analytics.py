"""`mendbus analytics`: read from the streams as the dashboard reads it, and shown for people."""

import pytest
from tests.unit.cli.samples import REPORTED
from tests.unit.shared.test_analytics import END, START, attempt, incident, told

from mendbus import codec, streams
from mendbus.analytics_reading import analyse
from mendbus.bus.memory import MemoryServer
from mendbus.cli.analytics import show
from mendbus.contracts.journal import JournalRecord, Operated
from mendbus.contracts.messages import Alert
from mendbus.contracts.subjects import Subjects

SUBJECTS = Subjects()


async def test_a_range_is_read_and_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Outcomes, relabellings and alerts come to a report; people read its figures with counts and intervals."""
    bus = MemoryServer(time_unix_nano=lambda: START).connect("test")
    await streams.ensure(bus, SUBJECTS, 1 << 30)
    outcomes = [
        told(1, "recovered", attempt("restart"), fingerprint="f"),
        told(2, "recovered", attempt("restart"), fingerprint="f"),
        told(3, "escalated", attempt("retry"), agent="r2"),
    ]
    for one in outcomes:
        await bus.store(SUBJECTS.outcome("runtime", one.agent.id), codec.encode(one))
    await bus.store(SUBJECTS.outcome("runtime", "r1"), b"\xc1")
    label = Operated(verb="relabel", by="kim", incident_id=incident(3), reason="disk", category="storage")
    record = JournalRecord(
        id="r", time_unix_nano=START, partition=0, number=1, owner="s/x", previous="", entries=[label]
    )
    await bus.store(SUBJECTS.journal_control, codec.encode(record))
    alert = Alert(id="a", key="k", time_unix_nano=START, severity="major", state="raised", change="raised", summary="s")
    await bus.store(SUBJECTS.alert("raised", "major"), codec.encode(alert))
    await bus.store(SUBJECTS.alert("raised", "minor"), b"\xc1")
    read: list[int] = []
    report = await analyse(bus, SUBJECTS, START, END, read.append)
    empty = await analyse(bus, SUBJECTS, REPORTED - 2, REPORTED - 1)
    await bus.close()
    assert len(read) == 4
    show(report)
    shown = capsys.readouterr().out
    for words in (
        "incidents       3 (2 recovered, 1 escalated) of 6 errors, 1 relabelled by people",
        "recovered       66.7% (21%-94%, 2 of 3)",
        "needed a person 33.3% (6%-79%, 1 of 3)",
        "MTTR            20.0 ms",
        "most common     memory",
        "most failing    runtime/r1",
        "storage",
        "2 times  ValueError: boom [red]?[31m",
        "restart helped most often",
        "heap profile",
        "alerts raised   1 (1 major)",
    ):
        assert words in shown, words
    show(empty)
    assert "no incidents were opened" in capsys.readouterr().out
