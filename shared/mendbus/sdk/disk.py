"""An outbox that survives a restart of its process: one SQLite file per agent."""

import sqlite3
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from mendbus.contracts.errors import MendbusError
from mendbus.sdk.entries import ENTRY_SIZE, Entry

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS events (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    severity TEXT,
    count INTEGER NOT NULL,
    first_ns INTEGER NOT NULL,
    last_ns INTEGER NOT NULL,
    first_sent_ns INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    acknowledged INTEGER NOT NULL,
    traceparent TEXT NOT NULL,
    body BLOB NOT NULL
)
"""
_UPSERT: Final = """
INSERT INTO events (id, severity, count, first_ns, last_ns, first_sent_ns, sequence, acknowledged, traceparent, body)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET count = excluded.count, last_ns = excluded.last_ns,
    first_sent_ns = excluded.first_sent_ns, sequence = excluded.sequence, acknowledged = excluded.acknowledged,
    traceparent = excluded.traceparent, body = excluded.body
"""
_UPDATE: Final = "UPDATE events SET first_sent_ns = ?, sequence = ?, acknowledged = ? WHERE id = ?"


class OutboxError(MendbusError):
    """The file of an outbox cannot be opened, read or written; the text names it."""


class DiskKeeper:
    """Keeps events in `<folder>/<kind>.<agent>.outbox`, which one process at a time may hold.

    What is written survives the end of the process at once, and a crash of the machine after some seconds: SQLite's
    journal is not synced for each event, for that would cost every failure a wait for the disk.
    Raises `OutboxError` when the file cannot be opened or another process holds it.
    """

    def __init__(self, folder: Path, kind: str, agent: str) -> None:
        self._path = folder / f"{kind}.{agent}.outbox"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self._path, timeout=0.5, isolation_level=None, check_same_thread=False)
        except (OSError, sqlite3.Error) as error:
            raise self._failed("opened", error) from error
        try:
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.execute("BEGIN EXCLUSIVE")
            self._db.execute(_SCHEMA)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._db.close()
            raise self._failed("opened (does another process hold it?)", error) from error

    def _failed(self, what: str, error: Exception) -> OutboxError:
        return OutboxError(f"the outbox {str(self._path)!r} cannot be {what}: {error}")

    def load(self) -> list[Entry]:
        """What was kept, oldest first; bodies stay on disk."""
        try:
            rows = self._db.execute(
                "SELECT id, severity, count, first_ns, last_ns, first_sent_ns, sequence, acknowledged, traceparent"
                " FROM events ORDER BY number"
            ).fetchall()
        except sqlite3.Error as error:
            raise self._failed("read", error) from error
        return [
            Entry(
                id=row[0],
                key=("kept", row[0]),
                severity=row[1],
                captured=None,
                count=row[2],
                first_ns=row[3],
                last_ns=row[4],
                size=ENTRY_SIZE,
                first_sent_ns=row[5],
                sequence=row[6],
                acknowledged=bool(row[7]),
                traceparent=row[8],
            )
            for row in rows
        ]

    def body(self, id: str) -> bytes | None:  # noqa: A002 - the wire's own word
        """The body of one event, if it is kept."""
        try:
            row = self._db.execute("SELECT body FROM events WHERE id = ?", (id,)).fetchone()
        except sqlite3.Error as error:
            raise self._failed("read", error) from error
        return None if row is None else bytes(row[0])

    def keep(self, entries: Iterable[tuple[Entry, bytes | None]], gone: Iterable[str]) -> None:
        """Writes entries, with a body where there is a new one, and removes those gone; all or nothing."""

        def write() -> None:
            for entry, body in entries:
                state = (entry.first_sent_ns, entry.sequence, int(entry.acknowledged))
                if body is None:
                    self._db.execute(_UPDATE, (*state, entry.id))
                else:
                    values = (entry.id, entry.severity, entry.count, entry.first_ns, entry.last_ns)
                    self._db.execute(_UPSERT, (*values, *state, entry.traceparent, body))
            self._db.executemany("DELETE FROM events WHERE id = ?", ((event,) for event in gone))

        self._in_transaction(write)

    def _in_transaction(self, write: Callable[[], None]) -> None:
        try:
            self._db.execute("BEGIN")
            try:
                write()
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise self._failed("written", error) from error

    def close(self) -> None:
        """Lets go of the file."""
        self._db.close()
