"""What others say of agents' errors: how many were counted, which incidents recovery could not end. Knows no bus."""

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

ERRORS_SECONDS: Final = 10.0
"""Counted errors fade away in this time (to a share of 1/e)."""
MAX_AGENTS: Final = 10_000
MAX_INCIDENTS: Final = 100
"""Remembered of one agent; the one told of longest ago is forgotten first."""

_PARKED: Final = frozenset(("escalated", "failed", "suppressed", "awaiting_approval"))
_ENDED: Final = frozenset(("recovered", "no_action"))
_LEAST_RATE: Final = 0.01
_NANO: Final = 1_000_000_000


@dataclass(slots=True)
class Trouble:
    """One agent's."""

    parked: dict[str, None] = field(default_factory=dict[str, None])
    """Incidents that wait for a person."""
    _counted: OrderedDict[str, int] = field(default_factory=OrderedDict[str, int])
    _level: float = 0.0
    _level_unix_nano: int = 0

    def errors_per_s(self, now: int) -> float:
        """The rate at which its errors have been counted lately; `now` in nanoseconds."""
        if not self._level:
            return 0.0
        passed = max(0, now - self._level_unix_nano)
        rate = self._level * math.exp(-passed / (ERRORS_SECONDS * _NANO))
        return rate if rate >= _LEAST_RATE else 0.0

    def count(self, incident_id: str, errors: int, now: int) -> None:
        """An incident has so many errors by now."""
        before = self._counted.pop(incident_id, 0)
        self._counted[incident_id] = max(before, errors)
        if len(self._counted) > MAX_INCIDENTS:
            self._counted.popitem(last=False)
        if errors > before:
            self._level = self.errors_per_s(now) + (errors - before) / ERRORS_SECONDS
            self._level_unix_nano = now

    def stand(self, incident_id: str, outcome: str, *, settled: bool) -> None:
        """An incident stands so."""
        if outcome in _ENDED or settled:
            self.parked.pop(incident_id, None)
        elif outcome in _PARKED:
            self.parked[incident_id] = None
            if len(self.parked) > MAX_INCIDENTS:
                del self.parked[next(iter(self.parked))]


class Troubles:
    """All agents', by key (`kind/id`)."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, Trouble] = OrderedDict()

    def get(self, key: str) -> Trouble | None:
        """One agent's, if anything was heard of it."""
        return self._of.get(key)

    def hear(self, outcome: Mapping[str, Any], stored_unix_nano: int, now: int) -> str | None:
        """Takes in an outcome as it was unpacked; the key of an agent whose death has been recovered from, if so.

        Raises `KeyError` or `TypeError` for what is no outcome.
        """
        agent, incident = outcome["agent"], str(outcome["incident_id"])
        key = f"{agent['kind']}/{agent['id']}"
        trouble = self._of.setdefault(key, Trouble())
        self._of.move_to_end(key)
        if len(self._of) > MAX_AGENTS:
            self._of.popitem(last=False)
        if now - stored_unix_nano < ERRORS_SECONDS * _NANO:
            trouble.count(incident, int(outcome["error_count"]), now)
        word = str(outcome["outcome"])
        trouble.stand(incident, word, settled=bool(outcome.get("settled")))
        error: Mapping[str, Any] = outcome.get("error") or {}
        return key if word == "recovered" and error.get("severity") == "fatal" else None
