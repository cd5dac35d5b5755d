"""What can be exported, in one table, and the one way in which a stream becomes rows."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Protocol

from mendbus.bus import Bus, StoredMessage
from mendbus.contracts.subjects import Subjects
from mendbus.export import ALERT_COLUMNS, AUDIT_COLUMNS, INCIDENT_COLUMNS, AlertRows, AuditRows, IncidentRows, Row
from mendbus.export_health import HEALTH_COLUMNS, MinuteRows, SecondRows


class Rows(Protocol):
    """Turns stored messages, in their order, into rows; holds no more than a fixed number of them."""

    def of(self, message: StoredMessage) -> Iterator[Row]:
        """The rows that are due when this one has been read."""
        ...

    def rest(self) -> Iterator[Row]:
        """Those held back until the end."""
        ...


@dataclass(frozen=True, slots=True)
class Export:
    """One export: its columns in their order, the stream it is read from, and who makes rows of that.

    `family`: whose subjects in the stream are read, as `Subjects.everyone` takes it. `lag_nano`: a row's own time
    counts, and its message is stored at most so much later; 0: the time that its message was stored counts.
    """

    columns: tuple[str, ...]
    stream: str
    family: str
    rows: Callable[[], Rows]
    lag_nano: int = 0


_NANO: Final = 1_000_000_000

EXPORTS: Final[Mapping[str, Export]] = MappingProxyType(
    {
        "audit": Export(AUDIT_COLUMNS, "JOURNAL", "journal", AuditRows),
        "incidents": Export(INCIDENT_COLUMNS, "RECOVERIES", "outcome", IncidentRows),
        "health": Export(HEALTH_COLUMNS, "HEALTH", "history.minute", MinuteRows, 1200 * _NANO),
        "health_seconds": Export(HEALTH_COLUMNS, "HEALTH", "history.second", SecondRows, 1200 * _NANO),
        "alerts": Export(ALERT_COLUMNS, "ALERTS", "alert", AlertRows),
    }
)


async def rows_of(
    bus: Bus,
    subjects: Subjects,
    export: Export,
    since: int | None = None,
    until: int | None = None,
    on_message: Callable[[int], None] = lambda sequence: None,
) -> AsyncIterator[Row]:
    """The rows of an export of a range (nanoseconds since 1970), oldest first.

    `on_message` is told the stream sequence of each message that was read. Raises `NoResponders` without the stream.
    """
    rows = export.rows()
    async for message in bus.read(
        subjects.stream(export.stream), subjects.everyone(export.family), since_unix_nano=since
    ):
        if until is not None and message.time_unix_nano > until + export.lag_nano:
            break
        on_message(message.sequence)
        for row in rows.of(message):
            if not export.lag_nano or _within(row, since, until):
                yield row
    for row in rows.rest():
        yield row


def _within(row: Row, since: int | None, until: int | None) -> bool:
    at: int = row["time_unix_nano"]
    return (since is None or at >= since) and (until is None or at <= until)
