"""Notes and relabellings, as the journal of operators holds them."""

import pytest
from tests.unit.cli.samples import INCIDENT, REPORTED, outcome
from tests.unit.shared.test_export import stored

from mendbus import annotations, codec, streams
from mendbus.annotations import MAX_NOTES, Annotations, Relabel, read_annotations
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.journal import JournalRecord, Operated
from mendbus.contracts.subjects import Subjects
from mendbus.export_relabels import RELABEL_COLUMNS, RelabelRows

SUBJECTS = Subjects()
LABEL = Operated(
    verb="relabel", by="kim", incident_id=INCIDENT, reason="the disk", category="storage", severity="critical"
)


def note(text: str, incident: str = INCIDENT) -> Operated:
    return Operated(verb="note", by="ann", incident_id=incident, reason=text)


async def test_what_was_written_is_read_back() -> None:
    """Notes in their order, of relabellings the last; pauses and broken records are passed over."""
    bus = MemoryServer().connect("test")
    await streams.ensure(bus, SUBJECTS, 1 << 30)
    entries = [note("first"), Operated(verb="pause", by="kim"), LABEL, note("second")]
    entries.append(LABEL.model_copy(update={"category": "network", "severity": None}))
    for number, entry in enumerate(entries):
        record = JournalRecord(
            id=f"r{number}", time_unix_nano=REPORTED + number, partition=0, number=number, owner="s/x", previous="",
            entries=[entry],
        )  # fmt: skip
        await bus.store(SUBJECTS.journal_control, codec.encode(record))
    await bus.store(SUBJECTS.journal_control, b"\xc1")
    found = await read_annotations(bus, SUBJECTS)
    await bus.close()
    assert [one.text for one in found.notes[INCIDENT]] == ["first", "second"]
    assert found.relabels[INCIDENT] == (REPORTED + 4, "kim", "network", None, "the disk")
    facts = found.facts(INCIDENT)
    assert facts["notes"][0] == {"time_unix_nano": REPORTED, "by": "ann", "text": "first"}
    assert facts["relabel"]["category"] == "network"
    assert found.facts("another") == {}


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one incident the newest notes are kept, and of incidents those written on last."""
    found = Annotations()
    for number in range(MAX_NOTES + 5):
        found.take(note(str(number)), number)
    assert len(found.notes[INCIDENT]) == MAX_NOTES
    assert found.notes[INCIDENT][-1].text == str(MAX_NOTES + 4)
    monkeypatch.setattr(annotations, "MAX_INCIDENTS", 2)
    for number in range(4):
        found.take(note("x", f"i{number}"), number)
        found.take(LABEL.model_copy(update={"incident_id": f"i{number}"}), number)
    assert list(found.notes) == list(found.relabels) == ["i2", "i3"]


def test_a_relabelling_is_an_example_to_learn_from() -> None:
    """A row has the label, what was found instead, and the whole error; other incidents have none."""
    rows = RelabelRows()
    rows.relabels = {INCIDENT: Relabel(REPORTED, "kim", "storage", None, "the disk")}
    where = SUBJECTS.outcome("runtime", "r1")
    seen = [outcome(sequence=0), outcome(incident_id="other"), outcome(sequence=2, error=None), outcome(sequence=1)]
    assert [row for one in seen for row in rows.of(stored(one, where))] == []
    (row,) = rows.rest()
    assert tuple(row) == RELABEL_COLUMNS
    assert (row["category"], row["severity"], row["was_category"]) == ("storage", "error", "build")
    assert (row["error"]["exception"]["type"], row["error_type"], row["operation"]) == ("ValueError",) * 2 + ("reload",)
