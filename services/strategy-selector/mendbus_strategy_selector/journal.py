"""The journal of one partition: group commit, fence and hash chain.

What is appended while a write is under way goes into the next one. Every write states the sequence that the subject's
last message must have; when somebody else wrote, this owner is one no longer.
"""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

from mendbus import codec
from mendbus.bus import Bus, StoredMessage
from mendbus.contracts.errors import (
    BusError,
    BusTimeout,
    MendbusError,
    NoResponders,
    Refused,
    StoreRefused,
    WrongSequence,
)
from mendbus.contracts.ids import new_id
from mendbus.contracts.journal import Concluded, Entry, JournalRecord
from mendbus.contracts.messages import RecoveryOutcome
from mendbus.contracts.subjects import CONTENT_TYPE, HEADER_CONTENT_TYPE, MAX_SERVICE_BODY, Subjects

log = logging.getLogger("mendbus")

_RECORD_BYTES = MAX_SERVICE_BODY - 4096
_STORE_SECONDS = 2.0
_LAZY_SECONDS = 0.01
_PAUSE_SECONDS = 0.05
_REFUSED_SECONDS = 1.0
_WATCH_SECONDS = 1.0
_HEADERS = {HEADER_CONTENT_TYPE: CONTENT_TYPE}


class Fenced(MendbusError):
    """Another service has written to the partition's journal: drop everything at once."""


@dataclass(slots=True)
class Position:
    """Where a journal stands: the last record's number, its stream sequence and the SHA-256 of its body."""

    number: int = 0
    sequence: int = 0
    digest: str = ""


@dataclass(slots=True)
class _Waiting:
    entries: list[bytes]
    commit: "asyncio.Future[Position]"
    cut: bool


def read_record(message: StoredMessage) -> JournalRecord:
    """A stored record. Raises `Refused` when it is none."""
    return codec.decode(JournalRecord, message.body, MAX_SERVICE_BODY)


def _owner_of(message: StoredMessage) -> str:
    try:
        return read_record(message).owner
    except Refused:
        return ""


def _told(message: StoredMessage) -> list[RecoveryOutcome]:
    """The outcomes in a record; none in what cannot be read: no state can be rebuilt from that, either."""
    try:
        record = read_record(message)
    except Refused:
        return []
    return [entry.outcome for entry in record.entries if isinstance(entry, Concluded)]


def _parts(entries: list[bytes]) -> list[list[bytes]]:
    """The entries in order, in lists that fit a record each."""
    parts: list[list[bytes]] = [[]]
    size = 0
    for entry in entries:
        if parts[-1] and size + len(entry) > _RECORD_BYTES:
            parts.append([])
            size = 0
        parts[-1].append(entry)
        size += len(entry)
    return parts


def digest_of(body: bytes) -> str:
    """What the next record says of this one."""
    return hashlib.sha256(body).hexdigest()


class Journal:
    """Appends entries to `journal.<partition>`; `run` does the writing and raises `Fenced`."""

    def __init__(
        self,
        bus: Bus,
        subjects: Subjects,
        partition: int,
        owner: str,
        position: Position,
        now: Callable[[], int],
        *,
        subject: str = "",
    ) -> None:
        self._bus = bus
        self._subject = subject or subjects.journal(partition)
        self._stream = subjects.stream("JOURNAL")
        self._partition = partition
        self._owner = owner
        self._now = now
        self._waiting: list[_Waiting] = []
        self._wake = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None
        self.position = position

    def append(self, *entries: Entry | bytes, cut: bool = False, lazy: bool = False) -> asyncio.Future[Position]:
        """Puts entries into the next record, together; the future is done, with the position, when they are on disk.

        An entry may be packed already. `cut`: nothing that is appended later goes into the same record. `lazy`: nobody
        waits for it but the disk, so it may wait up to 10 ms for company; each write that this saves is an fsync less.
        """
        loop = asyncio.get_running_loop()
        commit: asyncio.Future[Position] = loop.create_future()
        packed = [entry if isinstance(entry, bytes) else codec.encode(entry) for entry in entries]
        *before, last = _parts(packed)
        # Written in this order: the last is on disk after all the others.
        self._waiting += [_Waiting(part, loop.create_future(), cut=False) for part in before]
        self._waiting.append(_Waiting(last, commit, cut))
        if not lazy:
            self._wake.set()
        elif self._alarm is None:
            self._alarm = loop.call_later(_LAZY_SECONDS, self._wake.set)
        return commit

    async def write(self, *entries: Entry) -> None:
        """Writes one record at once, for a journal that nobody runs. Raises `Fenced`."""
        await self._write([codec.encode(entry) for entry in entries])

    async def outcome(self, sequence: int, incident_id: str) -> RecoveryOutcome | None:
        """The last outcome of an incident in a record that was written before, if it is still kept.

        Raises `BusError`.
        """
        async for message in self._bus.read(self._stream, self._subject, start=sequence):
            mine = [outcome for outcome in _told(message) if outcome.incident_id == incident_id]
            return mine[-1] if mine else None
        return None

    async def outcomes(self, since_unix_nano: int) -> AsyncIterator[RecoveryOutcome]:
        """All outcomes in records stored since then. Raises `BusError`."""
        async for message in self._bus.read(self._stream, self._subject, since_unix_nano=since_unix_nano):
            for outcome in _told(message):
                yield outcome

    async def finish(self) -> None:
        """Returns when everything appended so far is on disk."""
        if self._waiting:
            await asyncio.wait((self._waiting[-1].commit,))

    async def watch(self) -> None:
        """Looks for ever whether somebody else has written, while there is nothing to write that would show it.

        Who took over while this owner was stopped may have given the partition back since. Raises `Fenced`.
        """
        seen = -1
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            idle, seen = self.position.sequence == seen, self.position.sequence
            if not idle:
                continue
            try:
                last = await self._bus.last(self._stream, self._subject)
            except BusError:
                continue
            if last is not None and last.sequence > self.position.sequence and _owner_of(last) != self._owner:
                raise Fenced(f"partition {self._partition} had another owner meanwhile")

    async def run(self) -> None:
        """Writes for ever. Raises `Fenced`; then nothing that was not on disk ever will be."""
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                if self._alarm is not None:
                    self._alarm.cancel()
                    self._alarm = None
                while self._waiting:
                    size = self._fitting()
                    group = self._waiting[:size]
                    await self._write([entry for waiting in group for entry in waiting.entries])
                    del self._waiting[:size]
                    for waiting in group:
                        if not waiting.commit.done():
                            waiting.commit.set_result(self.position)
        finally:
            if self._alarm is not None:
                self._alarm.cancel()
            for waiting in self._waiting:
                waiting.commit.cancel()
            self._waiting.clear()

    def _fitting(self) -> int:
        total = 0
        for index, waiting in enumerate(self._waiting):
            total += sum(map(len, waiting.entries))
            if total > _RECORD_BYTES and index:
                return index
            if waiting.cut:
                return index + 1
        return len(self._waiting)

    async def _write(self, entries: list[bytes]) -> None:
        before = self.position
        record_id = new_id()
        head = {
            "id": record_id,
            "time_unix_nano": self._now(),
            "partition": self._partition,
            "number": before.number + 1,
            "owner": self._owner,
            "previous": before.digest,
        }
        body = codec.pack_with_list(head, "entries", entries)
        sequence = await self._store(record_id, body, before.sequence)
        self.position = Position(before.number + 1, sequence, digest_of(body))

    async def _store(self, record_id: str, body: bytes, expected: int) -> int:
        while True:
            try:
                stored = await self._bus.store(
                    self._subject, body, _HEADERS, id=record_id, expected_last=expected, timeout=_STORE_SECONDS
                )
            except WrongSequence:
                mine = await self._written_before(record_id)
                if mine is None:
                    raise Fenced(f"partition {self._partition} has another owner") from None
                return mine
            except (BusTimeout, NoResponders):
                # Whether it was written is not known: the same record is sent again, under the same id.
                await asyncio.sleep(_PAUSE_SECONDS)
            except StoreRefused as error:
                log.error("the journal cannot be written, nothing is decided until it can: %s", error)
                await asyncio.sleep(_REFUSED_SECONDS)
            else:
                return stored.sequence

    async def _written_before(self, record_id: str) -> int | None:
        while True:
            try:
                last = await self._bus.last(self._stream, self._subject)
                return last.sequence if last is not None and read_record(last).id == record_id else None
            except Refused:
                return None
            except BusError:
                await asyncio.sleep(_PAUSE_SECONDS)
