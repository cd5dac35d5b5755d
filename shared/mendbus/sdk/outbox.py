"""The outbox: every failure an agent reported, kept until its settlement, bounded, and counted exactly.

Any thread may `add`; everything else is the agent's own thread's. An entry is open while repeats of its failure may
still be counted into it, frozen once it was handed out for publishing (its id then stands for these very bytes), and
acknowledged once the server has it. What is published, what waits and what was shed add up to what was reported.

When full, it sheds, in this order: a repeat is counted into an open entry of the same failure and costs nothing; else
the oldest unacknowledged `warning` goes, then `error` and unsaid, then `critical`, and `fatal` last, the new one taking
part. What the server has acknowledged stands in a bound of its own, so that it is never shed for what was not, nor
keeps it out: the oldest copy of it is forgotten when there are more than the bound, its event itself is stored.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from mendbus.contracts.ids import new_id
from mendbus.sdk.entries import Counts, Entry, must_ask, rank_of
from mendbus.sdk.reports import Captured, Key

BATCH: Final = 100
BATCH_BYTES: Final = 512 * 1024
MAX_BYTES: Final = 32 << 20
"""Bytes of memory for what is not acknowledged, and as many for the copies of what is."""
REPEAT_PAUSE: Final = 0.05
"""Seconds in which repeats of a failure that was just published are gathered before the next of it goes out."""
ASK_AFTER: Final = 30.0
"""Seconds without a settlement after which an agent asks."""


@dataclass
class Outbox:
    """See the module's docstring. `limit`: most events that wait for acknowledgement, and for settlement, each."""

    limit: int = 10_000
    keeping: bool = False
    wake: Callable[[], None] = lambda: None
    counts: Counts = field(default_factory=Counts)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._open: dict[Key, Entry] = {}
        self._pending: tuple[dict[str, Entry], ...] = ({}, {}, {}, {})
        self._pending_bytes = 0
        self._acknowledged: dict[str, Entry] = {}
        self._acknowledged_bytes = 0
        self._published: dict[Key, float] = {}
        self._dirty: dict[str, Entry] = {}
        self._gone: list[str] = []

    # -- any thread

    def count_repeat(self, key: Key, now_ns: int) -> str | None:
        """Counts a repeat into the open entry of the same failure; its event id, or None when there is none."""
        with self._lock:
            entry = self._open.get(key)
            if entry is None:
                return None
            self._repeat(entry, now_ns)
            return entry.id

    def add(self, key: Key, captured: Captured, now_ns: int) -> str:
        """Takes a failure in, shedding where it must; the event id."""
        with self._lock:
            entry = self._open.get(key)
            if entry is not None:
                self._repeat(entry, now_ns)
                return entry.id
            entry = Entry(new_id(now_ns), key, captured.words.severity, captured, 1, now_ns, now_ns, captured.size)
            self._open[key] = entry
            self.counts.reported += 1
            self._put(entry)
            self._mark(entry)
            self._shed()
        self.wake()
        return entry.id

    def _repeat(self, entry: Entry, now_ns: int) -> None:
        entry.count += 1
        entry.last_ns = now_ns
        self.counts.reported += 1
        if self.keeping and not entry.dirty:
            self._mark(entry)

    # -- the agent's own thread: publishing

    def take(self, now_ns: int, now: float, *, hurry: bool = False) -> list[Entry]:
        """Events to publish next, at most a batch, the gravest first; they are frozen and in flight from here on.

        `now` in seconds of the loop. Repeats of what was just published wait a moment, unless there is a `hurry`.
        """
        taken: list[Entry] = []
        size = 0
        with self._lock:
            for pending in reversed(self._pending):
                for entry in pending.values():
                    if len(taken) == BATCH or (taken and size + entry.size > BATCH_BYTES):
                        return taken
                    if entry.in_flight or self._too_soon(entry, now, hurry=hurry) or must_ask(entry, now_ns):
                        continue
                    self._freeze(entry, now_ns, now)
                    taken.append(entry)
                    size += entry.size
        return taken

    def next_due(self, now: float) -> float | None:
        """Seconds until repeats that wait a moment may be published; None when there are none."""
        with self._lock:
            due = [
                self._published[entry.key] + REPEAT_PAUSE - now
                for pending in self._pending
                for entry in pending.values()
                if not entry.first_sent_ns and entry.key in self._published
            ]
        return max(0.0, min(due)) if due else None

    def _too_soon(self, entry: Entry, now: float, *, hurry: bool) -> bool:
        if entry.first_sent_ns or hurry:
            return False
        published = self._published.get(entry.key)
        return published is not None and now - published < REPEAT_PAUSE

    def _freeze(self, entry: Entry, now_ns: int, now: float) -> None:
        if self._open.get(entry.key) is entry:
            del self._open[entry.key]
        if not entry.first_sent_ns:
            # Only the latest second matters, and a dict keeps the order in which keys were put in.
            self._published.pop(entry.key, None)
            self._published[entry.key] = now
            while len(self._published) > 1 and next(iter(self._published.values())) < now - 1.0:
                del self._published[next(iter(self._published))]
            entry.first_sent_ns = now_ns
        entry.asked_since_sent = False
        entry.in_flight = True
        self._mark(entry)

    def acknowledge(self, entry: Entry, sequence: int, now: float) -> None:
        """The server has it, under this sequence of its stream."""
        with self._lock:
            entry.in_flight = False
            if entry.gone or entry.acknowledged:
                return
            entry.sequence = sequence
            self._to_acknowledged(entry, now)
            self.counts.acknowledged += entry.count

    def release(self, entries: Iterable[Entry]) -> None:
        """Whether the server has them is not known: they are sent again, under the same ids."""
        with self._lock:
            for entry in entries:
                entry.in_flight = False
            self._shed()

    def lose(self, entry: Entry) -> None:
        """It cannot be sent any more; counted as shed."""
        with self._lock:
            if not entry.gone:
                self.counts.shed += entry.count
                self._remove(entry)

    # -- the agent's own thread: settlement

    def to_ask(self, now_ns: int, now: float, limit: int) -> list[Entry]:
        """Events whose settlement is overdue, and those that must not be sent again unasked."""
        with self._lock:
            asked = [entry for entry in self._acknowledged.values() if entry.ask_at <= now][:limit]
            for pending in self._pending:
                for entry in pending.values():
                    if len(asked) == limit:
                        return asked
                    if entry.ask_at <= now and not entry.in_flight and must_ask(entry, now_ns):
                        asked.append(entry)
        return asked

    def ask_again_at(self, entries: Iterable[Entry], at: float) -> None:
        """Nobody answered: ask again then (seconds of the loop)."""
        with self._lock:
            for entry in entries:
                entry.ask_at = at

    def settle(self, ids: Iterable[str], *, rejected: bool = False) -> int:
        """These are done with and forgotten; how many of them were known."""
        known = 0
        with self._lock:
            for event in ids:
                entry = self._find(event)
                # An open entry was never sent, so nobody can speak of it.
                if entry is None or entry.captured is not None:
                    continue
                known += 1
                if not entry.acknowledged:
                    self.counts.acknowledged += entry.count
                if rejected:
                    self.counts.rejected += entry.count
                else:
                    self.counts.settled += entry.count
                self._remove(entry)
        return known

    def still_open(self, ids: Iterable[str], now: float) -> None:
        """These are known to the other side and not done with yet."""
        with self._lock:
            for event in ids:
                entry = self._find(event)
                if entry is None:
                    continue
                if entry.acknowledged:
                    entry.ask_at = now + ASK_AFTER
                elif entry.first_sent_ns:
                    self.counts.acknowledged += entry.count
                    self._to_acknowledged(entry, now)

    def unknown(self, ids: Iterable[str]) -> None:
        """The other side does not know these: they are sent again, under the same ids."""
        with self._lock:
            for event in ids:
                entry = self._find(event)
                if entry is None or not entry.first_sent_ns:
                    continue
                entry.asked_since_sent = True
                if entry.acknowledged:
                    del self._acknowledged[entry.id]
                    self._acknowledged_bytes -= entry.size
                    entry.acknowledged = False
                    self.counts.acknowledged -= entry.count
                    self._put(entry)
                    self._mark(entry)
        self.wake()

    # -- the agent's own thread: what is kept on disk

    def restore(self, entries: Iterable[Entry]) -> None:
        """Takes in what an earlier process left; what became of the acknowledged ones is asked at once."""
        with self._lock:
            for entry in entries:
                self.counts.reported += entry.count
                if entry.acknowledged:
                    self.counts.acknowledged += entry.count
                    self._acknowledged[entry.id] = entry
                    self._acknowledged_bytes += entry.size
                else:
                    self._put(entry)
            self._shed()
            self._forget()

    def changes(self) -> tuple[list[Entry], list[str]]:
        """Entries that differ from what is kept, and ids to remove; both are taken as written from here on."""
        with self._lock:
            dirty, gone = [entry for entry in self._dirty.values() if not entry.gone], self._gone
            for entry in dirty:
                entry.dirty = False
            self._dirty, self._gone = {}, []
        return dirty, gone

    def mark_again(self, entries: Iterable[Entry], gone: Iterable[str]) -> None:
        """Keeping them failed; they differ still."""
        with self._lock:
            for entry in entries:
                self._mark(entry)
            self._gone.extend(gone)

    # -- figures

    def holds(self, event: str) -> bool:
        """Whether an event is here still."""
        with self._lock:
            return self._find(event) is not None

    @property
    def waiting(self) -> int:
        """Events that the server has not acknowledged."""
        return sum(len(pending) for pending in self._pending)

    @property
    def unsettled(self) -> int:
        """Events that the server has, and that are not done with."""
        return len(self._acknowledged)

    def waiting_failures(self) -> int:
        """Failures (each repeat counts) that the server has not acknowledged."""
        with self._lock:
            return sum(entry.count for pending in self._pending for entry in pending.values())

    # -- under the lock

    def _find(self, event: str) -> Entry | None:
        entry = self._acknowledged.get(event)
        if entry is None:
            entry = next((found for pending in self._pending if (found := pending.get(event)) is not None), None)
        return entry

    def _put(self, entry: Entry) -> None:
        self._pending[rank_of(entry.severity)][entry.id] = entry
        self._pending_bytes += entry.size

    def _mark(self, entry: Entry) -> None:
        if self.keeping and not entry.gone:
            entry.dirty = True
            self._dirty[entry.id] = entry

    def _to_acknowledged(self, entry: Entry, now: float) -> None:
        self._pending[rank_of(entry.severity)].pop(entry.id, None)
        self._pending_bytes -= entry.size
        entry.acknowledged = True
        entry.ask_at = now + ASK_AFTER
        self._acknowledged[entry.id] = entry
        self._acknowledged_bytes += entry.size
        self._mark(entry)
        self._forget()

    def _remove(self, entry: Entry) -> None:
        if entry.acknowledged:
            del self._acknowledged[entry.id]
            self._acknowledged_bytes -= entry.size
        else:
            del self._pending[rank_of(entry.severity)][entry.id]
            self._pending_bytes -= entry.size
        if self._open.get(entry.key) is entry:
            del self._open[entry.key]
        entry.gone = True
        self._dirty.pop(entry.id, None)
        if self.keeping:
            self._gone.append(entry.id)

    def resize(self, entry: Entry, size: int) -> None:
        """An entry takes another number of bytes of memory than was thought."""
        with self._lock:
            if entry.gone:
                return
            if entry.acknowledged:
                self._acknowledged_bytes += size - entry.size
            else:
                self._pending_bytes += size - entry.size
            entry.size = size

    def _shed(self) -> None:
        while self.waiting > self.limit or self._pending_bytes > MAX_BYTES:
            victim = next(
                (entry for pending in self._pending for entry in pending.values() if not entry.in_flight), None
            )
            if victim is None:
                return
            self.counts.shed += victim.count
            self._remove(victim)

    def _forget(self) -> None:
        while len(self._acknowledged) > self.limit or self._acknowledged_bytes > MAX_BYTES:
            oldest = next(iter(self._acknowledged.values()))
            self.counts.forgotten += oldest.count
            self._remove(oldest)
