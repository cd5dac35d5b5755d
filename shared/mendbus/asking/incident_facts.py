"""Incidents as lists and one by one: what the commands show, gathered once for whoever shows it."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from mendbus.annotations import Annotations, read_annotations
from mendbus.asking.errors import NotFound
from mendbus.asking.incidents import (
    Noted,
    find_journal,
    find_outcomes,
    incident_of,
    is_open,
    outcomes_of,
    read_journal,
    read_under_way,
    short_ids,
    time_of,
)
from mendbus.bus import Bus
from mendbus.contracts.canary import is_canary
from mendbus.contracts.journal import Opened
from mendbus.contracts.messages import RecoveryOutcome
from mendbus.contracts.subjects import Subjects


class Listed(NamedTuple):
    """The newest incidents, the newest last; `ids`: the shortest beginnings that tell all there are apart."""

    incidents: Sequence[RecoveryOutcome | Opened]
    ids: dict[str, str]
    written: Annotations

    def facts(self) -> list[dict[str, Any]]:
        """For programs."""
        return [_facts(one) | self.written.facts(one.incident_id) for one in self.incidents]


async def listed(
    bus: Bus, subjects: Subjects, limit: int, since_seconds: float, agent: tuple[str, str] | None, *, only_open: bool
) -> Listed:
    """The newest incidents of so many seconds. With `only_open` those without an outcome are among them."""
    since = max(0, time.time_ns() - int(since_seconds * 1e9))
    newest = Newest(limit, only_open=only_open, canary=agent is not None)
    async for outcome in outcomes_of(bus, subjects, agent, since):
        newest.take(outcome)
    written = await read_annotations(bus, subjects, since)
    waiting: list[Opened] = []
    if only_open:
        waiting = [
            opened
            for opened in (await read_under_way(bus, subjects, agent, since)).values()
            if (opened.agent.kind, opened.agent.id) == agent or (agent is None and not is_canary(opened.agent))
        ]
    ids = short_ids((*newest.sequences, *(opened.incident_id for opened in waiting)))
    return Listed([*newest.told(), *waiting][-limit:], ids, written)


class Newest:
    """The last word on each of the newest incidents; of older ones no more than that there were."""

    def __init__(self, limit: int, *, only_open: bool, canary: bool) -> None:
        self.sequences: dict[str, int] = {}
        """Of all incidents, by id: the highest sequence."""
        self._limit = limit
        self._only_open = only_open
        self._canary = canary
        self._kept: dict[str, RecoveryOutcome] = {}

    def take(self, outcome: RecoveryOutcome) -> None:
        """An outcome, in whatever order."""
        incident_id = outcome.incident_id
        known = self.sequences.get(incident_id, -1)
        if outcome.sequence <= known or (is_canary(outcome.agent) and not self._canary):
            self.sequences.setdefault(incident_id, outcome.sequence)
            return
        self.sequences[incident_id] = outcome.sequence
        if self._only_open and not is_open(outcome):
            self._kept.pop(incident_id, None)
        elif known < 0 or incident_id in self._kept or self._only_open:
            self._kept[incident_id] = outcome
        # One that is open now may be listed when newer ones have closed: of those all are kept.
        if not self._only_open and len(self._kept) > 2 * self._limit:
            self._kept = {one.incident_id: one for one in self.told()[-self._limit :]}

    def told(self) -> list[RecoveryOutcome]:
        """These incidents, the newest last."""
        return sorted(self._kept.values(), key=_reported)


class Explained(NamedTuple):
    """One incident: its outcomes by sequence if it has some, these entries of the journal, and what people wrote."""

    outcomes: Sequence[RecoveryOutcome]
    journal: Sequence[Noted]
    written: Annotations

    @property
    def incident_id(self) -> str:
        """The whole id."""
        return self.outcomes[-1].incident_id if self.outcomes else incident_of(self.journal[0].entry) or ""

    def facts(self) -> dict[str, Any]:
        """For programs."""
        return {
            "incident": self.outcomes[-1].model_dump(exclude_none=True) if self.outcomes else None,
            "outcomes": [outcome.model_dump(exclude_none=True) for outcome in self.outcomes],
            "journal": [_entry(noted) for noted in self.journal],
            **self.written.facts(self.incident_id),
        }


async def explained(bus: Bus, subjects: Subjects, prefix: str, *, audit: bool) -> Explained:
    """The incident whose id begins so; with `audit`, or when it has no outcome, with every entry of the journal on it.

    Raises `NotFound` when there is none, or several.
    """
    outcomes = await find_outcomes(bus, subjects, prefix)
    if not outcomes:
        journal = await find_journal(bus, subjects, prefix)
    elif audit:
        last = outcomes[-1]
        since = min(o.times.reported or 0 for o in outcomes)
        entries = await read_journal(bus, subjects, (last.agent.kind, last.agent.id), since, last.incident_id)
        journal = [noted for noted in entries if incident_of(noted.entry) == last.incident_id]
    else:
        journal = []
    written = await read_annotations(bus, subjects, time_of(prefix))
    if not outcomes and not journal:
        raise NotFound(f"there is no incident that begins with {prefix!r}: see `mendbus incidents`")
    return Explained(outcomes, journal, written)


def _reported(outcome: RecoveryOutcome) -> int:
    return outcome.times.reported or 0


def _facts(one: RecoveryOutcome | Opened) -> dict[str, Any]:
    if isinstance(one, Opened):
        return {"outcome": None} | one.model_dump(exclude_none=True, exclude={"type", "tried", "stale"})
    return one.model_dump(exclude_none=True)


def _entry(noted: Noted) -> dict[str, Any]:
    head = {
        "partition": noted.partition,
        "number": noted.number,
        "time_unix_nano": noted.time_unix_nano,
        "owner": noted.owner,
    }
    return head | noted.entry.model_dump(exclude_none=True)
