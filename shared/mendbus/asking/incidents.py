"""Incidents as they stand: read from the stored outcomes and from the journal, found by the beginning of their id."""

import itertools
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import NamedTuple, TypeVar

from mendbus import codec
from mendbus.asking.errors import NotFound
from mendbus.bus import Bus
from mendbus.contracts.errors import Refused
from mendbus.contracts.journal import Concluded, Entry, JournalRecord, Opened
from mendbus.contracts.messages import AgentRef, RecoveryOutcome
from mendbus.contracts.subjects import MAX_SERVICE_BODY, Subjects, partition_of

T = TypeVar("T")

_SHORTEST_PREFIX = 8
_WHOLE_TIME = len("01a20b85-9cf8")
_MANY = 1000
"""Ids that are held to say how many begin alike."""
_SLACK_NANO = 600 * 1_000_000_000
_ID_TIME_DIGITS = 12
DONE = frozenset(("no_action", "rejected"))
"""Outcomes after which nothing more is to come."""


class Noted(NamedTuple):
    """An entry of the journal, and of the record around it: number, when it was written, by whom."""

    partition: int
    number: int
    time_unix_nano: int
    owner: str
    entry: Entry


async def outcomes_of(
    bus: Bus,
    subjects: Subjects,
    agent: tuple[str, str] | None = None,
    since_unix_nano: int | None = None,
    begins: str = "",
) -> AsyncIterator[RecoveryOutcome]:
    """Stored outcomes since then, of one agent or of all, of incidents whose id begins so, oldest first.

    What is none is left out.
    """
    filter_ = subjects.outcome(*agent) if agent else subjects.everyone("outcome")
    async for stored in bus.read(subjects.stream("RECOVERIES"), filter_, since_unix_nano=since_unix_nano):
        try:
            if begins and not _begins(str(codec.reread(stored.body).get("incident_id", "")), begins):
                continue
            outcome = codec.decode(RecoveryOutcome, stored.body, MAX_SERVICE_BODY)
        except Refused:
            continue
        yield outcome


async def read_outcomes(
    bus: Bus,
    subjects: Subjects,
    agent: tuple[str, str] | None = None,
    since_unix_nano: int | None = None,
    begins: str = "",
) -> list[RecoveryOutcome]:
    """All of these at once."""
    return [outcome async for outcome in outcomes_of(bus, subjects, agent, since_unix_nano, begins)]


async def entries_of(
    bus: Bus, subjects: Subjects, agent: tuple[str, str] | None = None, since_unix_nano: int | None = None
) -> AsyncIterator[Noted]:
    """Entries of the journal since then, of an agent's partition or of all, oldest first."""
    filter_ = subjects.journal(partition_of(*agent)) if agent else subjects.everyone("journal")
    async for stored in bus.read(subjects.stream("JOURNAL"), filter_, since_unix_nano=since_unix_nano):
        try:
            record = codec.decode(JournalRecord, stored.body, MAX_SERVICE_BODY)
        except Refused:
            continue
        for entry in record.entries:
            yield Noted(record.partition, record.number, record.time_unix_nano, record.owner, entry)


async def read_journal(
    bus: Bus,
    subjects: Subjects,
    agent: tuple[str, str] | None = None,
    since_unix_nano: int | None = None,
    begins: str = "",
) -> list[Noted]:
    """All of these on incidents whose id begins so."""
    found = entries_of(bus, subjects, agent, since_unix_nano)
    return [noted async for noted in found if _begins(incident_of(noted.entry) or "", begins)]


async def read_under_way(
    bus: Bus, subjects: Subjects, agent: tuple[str, str] | None = None, since_unix_nano: int | None = None
) -> dict[str, Opened]:
    """Incidents that have been opened since then and have no outcome yet."""
    waiting: dict[str, Opened] = {}
    async for noted in entries_of(bus, subjects, agent, since_unix_nano):
        _follow(waiting, noted.entry)
    return waiting


def fold(outcomes: Iterable[RecoveryOutcome]) -> dict[str, RecoveryOutcome]:
    """The last word on each incident: the outcome of the highest sequence, whatever order they came in."""
    last: dict[str, RecoveryOutcome] = {}
    for outcome in outcomes:
        known = last.get(outcome.incident_id)
        if known is None or outcome.sequence > known.sequence:
            last[outcome.incident_id] = outcome
    return last


def under_way(journal: Iterable[Noted]) -> dict[str, Opened]:
    """Incidents that have been opened and have no outcome yet."""
    waiting: dict[str, Opened] = {}
    for noted in journal:
        _follow(waiting, noted.entry)
    return waiting


def _follow(waiting: dict[str, Opened], entry: Entry) -> None:
    if isinstance(entry, Opened):
        waiting[entry.incident_id] = entry
    elif isinstance(entry, Concluded):
        waiting.pop(entry.outcome.incident_id, None)


def _begins(incident_id: str, prefix: str) -> bool:
    return incident_id.startswith((prefix, prefix.lower()))


def is_open(outcome: RecoveryOutcome) -> bool:
    """Whether an incident is not done with: still settling, or waiting for a person who has not closed it."""
    return not outcome.settled and outcome.outcome not in DONE


def incident_of(entry: Entry) -> str | None:
    """The incident that an entry of the journal is about, if it is about one."""
    if isinstance(entry, Concluded):
        return entry.outcome.incident_id
    return getattr(entry, "incident_id", None)


def short_ids(ids: Iterable[str]) -> dict[str, str]:
    """For each id the shortest beginning that no other of them has, and that none made in another millisecond will."""
    ordered = sorted(set(ids))
    if not ordered:
        return {}
    shared = [0, *itertools.starmap(_common, itertools.pairwise(ordered)), 0]
    return {
        one: one[: max(_WHOLE_TIME, before + 1, after + 1)]
        for one, before, after in zip(ordered, shared[:-1], shared[1:], strict=True)
    }


def _common(a: str, b: str) -> int:
    same = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        same += 1
    return same


def time_of(prefix: str) -> int | None:
    """The earliest time (ns) at which an id (UUIDv7) with this beginning can have been made, less some slack.

    None where the beginning is too short to say, or is none of such an id.
    """
    digits = prefix.replace("-", "")[:_ID_TIME_DIGITS]
    if len(digits) < _SHORTEST_PREFIX or not all(digit in "0123456789abcdefABCDEF" for digit in digits):
        return None
    earliest = int(digits.ljust(_ID_TIME_DIGITS, "0"), 16) * 1_000_000 - _SLACK_NANO
    return max(0, earliest) if earliest < time.time_ns() else None


def match(prefix: str, ids: Iterable[str]) -> str | None:
    """The one id that begins so, or None. Raises `NotFound` when there are several."""
    found = sorted({one for one in ids if _begins(one, prefix)})
    if prefix in found:
        return prefix
    if len(found) > 1:
        named = ", ".join(found[:4]) + (" ..." if len(found) > 4 else "")
        count = f"{len(found)} or more" if len(found) >= _MANY else str(len(found))
        raise NotFound(f"{count} incidents begin with {prefix!r}: {named}")
    return found[0] if found else None


async def find_outcomes(bus: Bus, subjects: Subjects, prefix: str) -> Sequence[RecoveryOutcome]:
    """All outcomes of the one incident whose id begins so, by sequence; none when it has none.

    Raises `NotFound` when several begin so.
    """
    since = time_of(prefix)
    outcomes = await _of_one(outcomes_of(bus, subjects, None, since, prefix), _incident_id, prefix)
    if not outcomes and since is not None:
        # An id that somebody else chose only looks as if it held a time.
        outcomes = await _of_one(outcomes_of(bus, subjects, begins=prefix), _incident_id, prefix)
    return sorted(outcomes, key=lambda outcome: outcome.sequence)


async def _of_one(told: AsyncIterator[T], id_of: Callable[[T], str | None], prefix: str) -> list[T]:
    """What is told of the one incident whose id begins so. Raises `NotFound` when several do.

    Of several nothing but ids is held, and of those no more than `_MANY`: a short beginning is that of every incident
    there is.
    """
    ids: set[str] = set()
    held: list[T] = []
    async for one in told:
        incident_id = id_of(one)
        if incident_id is None or not _begins(incident_id, prefix):
            continue
        if incident_id not in ids and (len(ids) < _MANY or incident_id == prefix):
            ids.add(incident_id)
            held = [known for known in held if len(ids) == 1 or id_of(known) == prefix]
        if len(ids) == 1 or incident_id == prefix:
            held.append(one)
    _ = match(prefix, ids)
    return held


def _incident_id(outcome: RecoveryOutcome) -> str:
    return outcome.incident_id


def _noted_of(noted: Noted) -> str | None:
    return incident_of(noted.entry)


async def find_incident(bus: Bus, subjects: Subjects, prefix: str) -> tuple[str, AgentRef]:
    """Id and agent of the one incident whose id begins so. Raises `NotFound` when there is none, or several."""
    outcomes = await find_outcomes(bus, subjects, prefix)
    if outcomes:
        return outcomes[-1].incident_id, outcomes[-1].agent
    for noted in await find_journal(bus, subjects, prefix):
        if isinstance(noted.entry, Opened):
            return noted.entry.incident_id, noted.entry.agent
    raise NotFound(f"there is no incident that begins with {prefix!r}: see `mendbus incidents`")


async def find_journal(bus: Bus, subjects: Subjects, prefix: str) -> Sequence[Noted]:
    """The entries of the journal on the one incident whose id begins so. Raises `NotFound` when several do."""
    return await _of_one(entries_of(bus, subjects, since_unix_nano=time_of(prefix)), _noted_of, prefix)
