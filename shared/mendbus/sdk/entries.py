"""What an outbox holds, and what keeps it on disk."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from mendbus.sdk.reports import Captured, Key, Occurrences

ENTRY_SIZE: Final = 400
"""About the bytes of memory that an entry takes beside its body."""
RESEND_UNASKED_NS: Final = 300 * 10**9
"""Nanoseconds after its first sending within which an event may be sent again without asking first."""

_RANKS: Final = {"warning": 0, "critical": 2, "fatal": 3}
_RANK_OTHER: Final = 1


def rank_of(severity: str | None) -> int:
    """The place of a severity in the order of shedding; unsaid counts as `error`."""
    return _RANKS.get(severity or "", _RANK_OTHER)


@dataclass(slots=True, eq=False)
class Entry:
    """One event of the outbox. `captured` is None and `body` set once it is frozen; times as their names say."""

    id: str
    key: Key
    severity: str | None
    captured: Captured | None
    count: int
    first_ns: int
    last_ns: int
    size: int
    body: bytes | None = None
    traceparent: str = ""
    first_sent_ns: int = 0
    sequence: int = 0
    acknowledged: bool = False
    in_flight: bool = False
    asked_since_sent: bool = False
    ask_at: float = 0.0
    dirty: bool = False
    gone: bool = False

    @property
    def occurrences(self) -> Occurrences:
        """How often and when."""
        return Occurrences(self.count, self.first_ns, self.last_ns)


class Keeper(Protocol):
    """Keeps events where they outlive the process. Every method may raise `MendbusError`."""

    def load(self) -> list[Entry]:
        """What was kept, oldest first; bodies stay where they are."""
        ...

    def body(self, id: str) -> bytes | None:  # noqa: A002 - the wire's own word
        """The body of one event, if it is kept."""
        ...

    def keep(self, entries: Iterable[tuple[Entry, bytes | None]], gone: Iterable[str]) -> None:
        """Writes entries, with a body where there is a new one, and removes those gone; all or nothing."""
        ...

    def close(self) -> None:
        """Lets go of the file."""
        ...


@dataclass(slots=True)
class Counts:
    """Reported failures (each repeat counts) by what became of them; `forgotten` are acknowledged ones."""

    reported: int = 0
    acknowledged: int = 0
    settled: int = 0
    rejected: int = 0
    shed: int = 0
    forgotten: int = 0


def must_ask(entry: Entry, now_ns: int) -> bool:
    """Whether an event may be sent again only after the other side said that it does not know it.

    The server recognises a repeated id for ten minutes only; a clock that was set back does not prove the contrary.
    """
    if not entry.first_sent_ns or entry.asked_since_sent:
        return False
    return not 0 <= now_ns - entry.first_sent_ns < RESEND_UNASKED_NS
