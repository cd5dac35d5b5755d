"""What the live picture knows: agents, incidents with their stage, alerts and rates, by what comes in. Knows no bus."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any, Final, Literal

from mendbus.asking.incidents import DONE
from mendbus.asking.text import clean
from mendbus.contracts.canary import is_canary
from mendbus.contracts.messages import Alert, HealthStatus

Stage = Literal["reported", "decided", "commanded", "verified", "settling", "waiting", "settled"]
Told = Callable[[str, str, Any], None]
"""Hears that an `agent`, `incident` or `alert` (by its key) changed, and what it is now, or what an operator did."""
STAGES: Final[tuple[Stage, ...]] = ("reported", "decided", "commanded", "verified", "settling")
"""In their order. `waiting` (for a person, or the end of a pause) and `settled`, the end, are none of them."""
PASSED: Final = ("received", "classified", "assessed", "decided", "acting", "verifying", "settled")
"""What an incident passes, in its order, each with a time of its own."""
RATE_SECONDS: Final = 60
"""Rates are of the last minute."""
MAX_LIVE: Final = 1000
"""Incidents, and alerts, that are held; the oldest give way."""
MAX_AGENTS: Final = 10_000

_NANO: Final = 1_000_000_000
_TEXT: Final = 200
_CANARIES: Final = 100
"""The canary's last incidents, so that their errors are not counted."""
_WORST: Final = ("failed", "critical", "poor", "fair", "good", "excellent", "unknown", "retired")


@dataclass(slots=True)
class LiveIncident:
    """An incident that is not done with; the time in nanoseconds since 1970."""

    id: str
    agent: str
    error: str
    opened_unix_nano: int
    stage: Stage = "reported"
    told: str = "classifying"
    """The stage in words."""
    errors: int = 0
    sequence: int = -1
    """Of its last outcome."""
    outcome: str | None = None
    """Of its last outcome, once it has one."""
    strategy: str | None = None
    category: str | None = None
    severity: str | None = None
    times: dict[str, int] = field(default_factory=dict[str, int])
    """When each of `PASSED` was reached, in nanoseconds since 1970."""


@dataclass(slots=True)
class Watched:
    """An agent as it was last told of."""

    key: str
    status: str
    score: float
    reason: str
    changed_unix_nano: int


class Board:
    """Everything that is shown, kept current by what is taken in."""

    def __init__(self, now: Callable[[], int], told: Told = lambda what, key, value: None) -> None:
        """`now`: nanoseconds since 1970."""
        self.now = now
        self._told = told
        self.agents: dict[str, Watched] = {}
        self.incidents: dict[str, LiveIncident] = {}
        self.alerts: dict[str, Alert] = {}
        self.problem = ""
        """Why what is shown may not be whole; empty: it is."""
        self._events: list[tuple[int, str, int]] = []
        self._sums: Counter[str] = Counter()
        self._canary: deque[str] = deque(maxlen=_CANARIES)

    def forget_incidents(self) -> None:
        """Before they are read again, the rates with them."""
        self.incidents.clear()
        self._events.clear()
        self._sums.clear()

    def take_status(self, status: HealthStatus) -> None:
        """A health status."""
        if is_canary(status.agent):
            return
        self._see(Watched(status.agent.key, status.status, status.score, clean(status.reason), status.time_unix_nano))

    def take_listing(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Agents as the health-monitor lists them."""
        for row in rows:
            key = _key(row["agent"])
            if not is_canary(key):
                seen = int(row["last_seen_unix_nano"])
                self._see(Watched(key, str(row["status"]), float(row["score"]), clean(str(row["reason"])), seen))

    def _see(self, agent: Watched) -> None:
        if agent.key in self.agents or len(self.agents) < MAX_AGENTS:
            self.agents[agent.key] = agent
            self._told("agent", agent.key, agent)

    def take_alert(self, alert: Alert) -> None:
        """An alert; one that is resolved is gone."""
        if alert.agent is not None and is_canary(alert.agent):
            return
        self.alerts.pop(alert.key, None)
        self._told("alert", alert.key, alert)
        if alert.state != "resolved":
            self.alerts[alert.key] = alert
            if len(self.alerts) > MAX_LIVE:
                del self.alerts[next(iter(self.alerts))]

    def take_outcome(self, outcome: Mapping[str, Any], at: int = 0) -> None:
        """An outcome, told then (0: now): it may be the last word, or leave the incident settling or waiting.

        Raises `KeyError` or `TypeError` for what is none.
        """
        incident_id = outcome["incident_id"]
        agent, known = _key(outcome["agent"]), self.incidents.get(incident_id)
        if is_canary(agent) or (known is not None and outcome["sequence"] < known.sequence):
            return
        settled = bool(outcome.get("settled") or outcome["outcome"] in DONE)
        settling = not settled and outcome["outcome"] == "recovered"
        told = f"settling after {outcome.get('strategy')}" if settling else outcome["outcome"].replace("_", " ")
        times: Mapping[str, int] = outcome.get("times", {})
        found: Mapping[str, Any] = outcome.get("classification") or {}
        incident = LiveIncident(
            id=incident_id,
            agent=agent,
            error=_error(outcome.get("error")) or (known.error if known else ""),
            opened_unix_nano=times.get("reported") or self.now(),
            stage="settled" if settled else "settling" if settling else "waiting",
            told=told,
            errors=outcome["error_count"],
            sequence=outcome["sequence"],
            outcome=outcome["outcome"],
            strategy=outcome.get("strategy"),
            category=found.get("category"),
            severity=found.get("severity"),
            times=(known.times if known else {}) | _passed(times) | ({"settled": at or self.now()} if settled else {}),
        )
        if settled:
            self.incidents.pop(incident_id, None)
            self._told("incident", incident_id, incident)
        else:
            self._hold(incident)

    def _hold(self, incident: LiveIncident) -> None:
        self.incidents[incident.id] = incident
        self._told("incident", incident.id, incident)
        if len(self.incidents) > MAX_LIVE:
            del self.incidents[next(iter(self.incidents))]

    def take_entry(self, entry: Mapping[str, Any], at: int) -> None:
        """An entry of the journal, written then. Raises `KeyError` or `TypeError` for one that is none."""
        match entry["type"]:
            case "opened":
                self._opened(entry, at)
            case "counted":
                self._counted(entry["incident_id"], entry["error_count"], at)
            case "decided":
                self._decided(entry, at)
            case "commanded":
                command = entry["command"]
                if command["action"] == "undo":
                    self._step(entry["incident_id"], "decided", f"undoing {command['strategy']}")
            case "attempted":
                self._attempted(entry["incident_id"], entry["ended_unix_nano"], verified=entry["result"]["verified"])
            case "concluded":
                self._concluded(entry["outcome"], at)
            case "operated":
                self._told("operated", f"{at}.{entry['verb']}.{entry.get('key') or entry.get('incident_id')}",
                           {**entry, "time_unix_nano": at})  # fmt: skip
            case _:
                pass

    def _opened(self, entry: Mapping[str, Any], at: int) -> None:
        agent = _key(entry["agent"])
        if is_canary(agent):
            self._canary.append(entry["incident_id"])
        elif entry["incident_id"] not in self.incidents:
            error = entry["error"]
            self._hold(
                LiveIncident(
                    entry["incident_id"],
                    agent,
                    _error(error),
                    at,
                    category=error.get("category"),
                    severity=error.get("severity"),
                    times={"received": at},
                )
            )
            self._count("incidents", 1, at)

    def _decided(self, entry: Mapping[str, Any], at: int) -> None:
        strategy, acts = entry.get("strategy"), entry.get("command") is not None
        incident = self.incidents.get(entry["incident_id"])
        if incident is not None:
            found, times = entry["classification"], _passed(entry.get("times", {}))
            incident.strategy, incident.category = strategy, found["category"]
            incident.severity = found["severity"]
            incident.times = {"received": incident.opened_unix_nano} | times
            incident.times |= {"decided": times.get("decided", at)} | ({"acting": at} if acts else {})
        told = f"{strategy} #{entry['attempt']}" if acts else f"decided: {strategy or 'nothing'}"
        self._step(entry["incident_id"], "commanded" if acts else "decided", told)

    def _attempted(self, incident_id: str, at: int, *, verified: bool) -> None:
        incident = self.incidents.get(incident_id)
        if incident is not None and incident.stage == "commanded":
            did = incident.told.partition(" ")[0]
            incident.times["verifying"] = at
            self._step(
                incident_id, "verified" if verified else "decided", f"{did} {'helped' if verified else 'failed'}"
            )

    def _step(self, incident_id: str, stage: Stage, told: str) -> None:
        incident = self.incidents.get(incident_id)
        if incident is not None:
            incident.stage = stage
            incident.told = told
            self._told("incident", incident_id, incident)

    def _counted(self, incident_id: str, errors: int, at: int) -> None:
        incident = self.incidents.get(incident_id)
        if incident is not None:
            incident.errors += errors
            self._told("incident", incident_id, incident)
        if incident_id not in self._canary:
            self._count("errors", errors, at)

    def _concluded(self, outcome: Mapping[str, Any], at: int) -> None:
        known = self.incidents.get(outcome["incident_id"])
        # Told again with more errors it is no further outcome.
        new = outcome["sequence"] == 0 if known is None else known.stage not in ("settling", "waiting")
        if new and not is_canary(_key(outcome["agent"])):
            self._count(outcome["outcome"], 1, at)
        self.take_outcome(outcome, at)

    def _count(self, what: str, number: int, at: int) -> None:
        heappush(self._events, (at, what, number))
        self._sums[what] += number

    def rate(self, what: str) -> int:
        """How many `errors`, `incidents`, or outcomes by their name there were in the last minute."""
        while self._events and self._events[0][0] < self.now() - RATE_SECONDS * _NANO:
            _, old, number = heappop(self._events)
            self._sums[old] -= number
        return self._sums[what]

    def rates(self) -> dict[str, int]:
        """All of these that are known, by name."""
        return {what: self.rate(what) for what in sorted({"errors", "incidents", *self._sums})}

    def statuses(self) -> list[tuple[str, int]]:
        """How many agents there are of each status, the worst first."""
        counts = Counter(agent.status for agent in self.agents.values())
        return [(status, counts[status]) for status in _WORST if counts[status]]

    def worst(self) -> list[Watched]:
        """All agents but those that have left, the worst first."""
        left = [agent for agent in self.agents.values() if agent.status != "retired"]
        return sorted(left, key=lambda agent: (_WORST.index(agent.status), agent.score, agent.key))

    def live(self) -> list[LiveIncident]:
        """All incidents: first those under way, then those that wait, the newest of each first.

        So what is new is seen where there is room for a few.
        """
        return sorted(self.incidents.values(), key=lambda one: (one.stage == "waiting", -one.opened_unix_nano, one.id))


def _key(agent: Mapping[str, Any]) -> str:
    return f"{agent['kind']}/{agent['id']}"


def _passed(times: Mapping[str, int | None]) -> dict[str, int]:
    """What an incident has passed, from the times in its decision or outcome."""
    acted = times.get("verified") or times.get("acted")
    found = {
        "received": times.get("reported"),
        "classified": times.get("classified"),
        "assessed": times.get("assessed"),
        "decided": times.get("selected"),
        "acting": times.get("commanded"),
        "verifying": acted,
    }
    return {name: at for name, at in found.items() if at is not None}


def _error(error: Mapping[str, Any] | None) -> str:
    if error is None:
        return ""
    said = error["exception"]
    return clean(f"{said['type']}: {said['message']}"[:_TEXT])
