"""Which incidents are open in any partition, whose they are, which agents are sick, and whose symptoms there are."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from mendbus.contracts.canary import is_canary
from mendbus.contracts.vocabulary import Severity

_CLOSED_KEPT = 1000


def is_grave(severity: Severity | None) -> bool:
    """Whether an agent says with an error that it cannot do its work."""
    return severity in ("critical", "fatal")


@dataclass(slots=True)
class Open:
    """An incident that has no outcome yet, or had one a while ago."""

    id: str
    agent: str
    opened_unix_nano: int
    grave: bool = False
    apply_id: str = ""
    outcome: str | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def rank(self) -> tuple[bool, int, str]:
        """The lower, the sooner it is dealt with: what is grave first, then what is older."""
        return not self.grave, self.opened_unix_nano, self.id


class OpenIncidents:
    """All incidents without an outcome; of the others, how the last thousand ended."""

    def __init__(self) -> None:
        self._open: dict[str, Open] = {}
        self._of_agent: dict[str, dict[str, Open]] = defaultdict(dict)
        self._ended: dict[str, Open] = {}
        self._symptoms: dict[str, list[str]] = {}
        self._unhelped: dict[str, str] = {}

    def apply(self, entry: dict[str, Any], at: int) -> None:
        """Takes an entry of the journal of any partition in."""
        match entry["type"]:
            case "opened":
                agent = f"{entry['agent']['kind']}/{entry['agent']['id']}"
                self.know(entry["incident_id"], agent, at, grave=is_grave(entry["error"].get("severity")))
            case "decided":
                self._decided(entry, at)
            case "attempted":
                found = self._open.get(entry["incident_id"])
                if found is not None and found.apply_id == entry["command_id"]:
                    self._attempted(found, verified=entry["result"]["verified"])
            case "concluded":
                self._concluded(entry["outcome"])
            case _:
                pass

    def know(self, incident_id: str, agent: str, opened_unix_nano: int, *, grave: bool = False) -> None:
        """Takes an open incident in."""
        if incident_id not in self._open and incident_id not in self._ended:
            found = Open(incident_id, agent, opened_unix_nano, grave)
            self._open[incident_id] = self._of_agent[agent][incident_id] = found

    def _attempted(self, found: Open, *, verified: bool) -> None:
        if verified or is_canary(found.agent):
            self._unhelped.pop(found.id, None)
        else:
            self._unhelped[found.id] = found.agent

    def _decided(self, entry: dict[str, Any], at: int) -> None:
        command = entry.get("command")
        if command is not None:
            # One that was parked or had recovered is open again.
            before, agent = self._ended.pop(entry["incident_id"], None), command["agent"]
            grave = before is not None and before.grave
            self.know(entry["incident_id"], f"{agent['kind']}/{agent['id']}", at, grave=grave)
            self._open[entry["incident_id"]].apply_id = command["command_id"]
        upstream = entry["decision"].get("state", {}).get("upstream_incident")
        if upstream and entry["decision"]["rule"] == "symptom":
            attached = self._symptoms.setdefault(upstream, [])
            if entry["incident_id"] not in attached:
                attached.append(entry["incident_id"])

    def _concluded(self, outcome: dict[str, Any]) -> None:
        incident_id = outcome["incident_id"]
        found = self._open.pop(incident_id, None) or self._ended.get(incident_id) or Open(incident_id, "", 0)
        self._unhelped.pop(incident_id, None)
        self._ended.pop(incident_id, None)
        self._ended[incident_id] = found
        found.outcome = outcome["outcome"]
        found.ended.set()
        if len(self._ended) > _CLOSED_KEPT:
            oldest = next(iter(self._ended))
            del self._ended[oldest]
            self._symptoms.pop(oldest, None)
        mine = self._of_agent.get(found.agent, {})
        mine.pop(incident_id, None)
        if not mine:
            self._of_agent.pop(found.agent, None)

    def of(self, agent: str) -> list[Open]:
        """The open incidents of an agent, the oldest first."""
        return list(self._of_agent.get(agent, {}).values())

    def recovered_of(self, agent: str) -> list[Open]:
        """Those of an agent's incidents that have recovered, as far as they are remembered."""
        return [found for found in self._ended.values() if found.agent == agent and found.outcome == "recovered"]

    def get(self, incident_id: str) -> Open | None:
        """An incident that is open."""
        return self._open.get(incident_id)

    def outcome(self, incident_id: str) -> str | None:
        """How an incident ended, if it did and that is remembered."""
        found = self._ended.get(incident_id)
        return found.outcome if found is not None else None

    def symptoms(self, incident_id: str) -> list[str]:
        """Incidents that were attached to this one."""
        return list(self._symptoms.get(incident_id, ()))

    def sick(self) -> set[str]:
        """Agents with an open incident in which an attempt has not helped."""
        return set(self._unhelped.values())
