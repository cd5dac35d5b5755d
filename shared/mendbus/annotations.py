"""What people wrote on incidents: notes, and what they say an incident really was. Read from `journal.control`."""

from collections import OrderedDict
from typing import Any, Final, NamedTuple

from mendbus import codec
from mendbus.bus import Bus
from mendbus.contracts.errors import Refused
from mendbus.contracts.journal import NOTE, RELABEL, JournalRecord, Operated
from mendbus.contracts.subjects import MAX_SERVICE_BODY, Subjects
from mendbus.contracts.vocabulary import Category, Severity

MAX_INCIDENTS: Final = 10_000
"""Incidents whose notes are remembered; those written on longest ago are forgotten first."""
MAX_NOTES: Final = 100
"""Notes remembered of one incident, the newest."""


class Note(NamedTuple):
    """A person's note on an incident; the time in nanoseconds since 1970."""

    time_unix_nano: int
    by: str
    text: str


class Relabel(NamedTuple):
    """What a person says an incident really was, and why; `severity` None: as it was found."""

    time_unix_nano: int
    by: str
    category: Category
    severity: Severity | None
    reason: str


class Annotations:
    """What was written on which incident; of several relabellings of one incident the last counts."""

    def __init__(self) -> None:
        self.notes: OrderedDict[str, list[Note]] = OrderedDict()
        """By incident id, the oldest note first."""
        self.relabels: OrderedDict[str, Relabel] = OrderedDict()

    def take(self, entry: Operated, time_unix_nano: int) -> None:
        """Takes what an operator did; what is neither a note nor a relabelling changes nothing."""
        incident = entry.incident_id
        if incident is None:
            return
        if entry.verb == NOTE:
            notes = self.notes.setdefault(incident, [])
            notes.append(Note(time_unix_nano, entry.by, entry.reason or ""))
            del notes[:-MAX_NOTES]
            self.notes.move_to_end(incident)
            if len(self.notes) > MAX_INCIDENTS:
                self.notes.popitem(last=False)
        elif entry.verb == RELABEL and entry.category is not None:
            self.relabels[incident] = Relabel(
                time_unix_nano, entry.by, entry.category, entry.severity, entry.reason or ""
            )
            self.relabels.move_to_end(incident)
            if len(self.relabels) > MAX_INCIDENTS:
                self.relabels.popitem(last=False)

    def facts(self, incident_id: str) -> dict[str, Any]:
        """What was written on one incident as plain values: `notes` and `relabel`, where there are any."""
        notes, relabel = self.notes.get(incident_id), self.relabels.get(incident_id)
        facts: dict[str, Any] = {"notes": [note._asdict() for note in notes]} if notes else {}
        return facts | ({"relabel": relabel._asdict()} if relabel else {})


async def read_annotations(
    bus: Bus,
    subjects: Subjects,
    since_unix_nano: int | None = None,
) -> Annotations:
    """Everything that was written since then. Raises `NoResponders` where there is no journal."""
    found = Annotations()
    async for stored in bus.read(subjects.stream("JOURNAL"), subjects.journal_control, since_unix_nano=since_unix_nano):
        try:
            record = codec.decode(JournalRecord, stored.body, MAX_SERVICE_BODY)
        except Refused:
            continue
        for entry in record.entries:
            if isinstance(entry, Operated):
                found.take(entry, record.time_unix_nano)
    return found
