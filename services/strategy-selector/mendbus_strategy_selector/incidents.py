"""Which incidents are open in any partition, whose they are, which agents are sick, and whose symptoms there are."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from mendbus.contracts.canary import is_canary

_CLOSED_KEPT = 1000


@dataclass(slots=True)
class Open:
    """An incident that has no outcome yet."""

    id: str
    agent: str
    opened_unix_nano: int
    apply_id: str = ""
    ended: asyncio.Event = field(default_factory=asyncio.Event)


class OpenIncidents:
    """All incidents without an outcome; of the others, how the last thousand ended."""

    def __init__(self) -> None:
        self._open: dict[str, Open] = {}
        self._of_agent: dict[str, dict[str, Open]] = defaultdict(dict)
        self._ended: dict[str, str] = {}
        self._recovered: dict[str, Open] = {}
        self._symptoms: dict[str, list[str]] = {}
        self._unhelped: dict[str, str] = {}

    def apply(self, entry: dict[str, Any], at: int) -> None:
        """Takes an entry of the journal of any partition in."""
        match entry["type"]:
            case "opened":
                agent = f"{entry['agent']['kind']}/{entry['agent']['id']}"
                self.know(entry["incident_id"], agent, at)
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

    def know(self, incident_id: str, agent: str, opened_unix_nano: int) -> None:
        """Takes an open incident in."""
        if incident_id not in self._open and incident_id not in self._ended:
            self._open[incident_id] = self._of_agent[agent][incident_id] = Open(incident_id, agent, opened_unix_nano)

    def _attempted(self, found: Open, *, verified: bool) -> None:
        if verified or is_canary(found.agent):
            self._unhelped.pop(found.id, None)
        else:
            self._unhelped[found.id] = found.agent

    def _decided(self, entry: dict[str, Any], at: int) -> None:
        command = entry.get("command")
        if command is not None:
            # One that was parked or had recovered is open again.
            self._ended.pop(entry["incident_id"], None)
            self._recovered.pop(entry["incident_id"], None)
            self.know(entry["incident_id"], f"{command['agent']['kind']}/{command['agent']['id']}", at)
            self._open[entry["incident_id"]].apply_id = command["command_id"]
        upstream = entry["decision"].get("state", {}).get("upstream_incident")
        if upstream and entry["decision"]["rule"] == "symptom":
            attached = self._symptoms.setdefault(upstream, [])
            if entry["incident_id"] not in attached:
                attached.append(entry["incident_id"])

    def _concluded(self, outcome: dict[str, Any]) -> None:
        incident_id = outcome["incident_id"]
        found = self._open.pop(incident_id, None)
        self._unhelped.pop(incident_id, None)
        self._ended.pop(incident_id, None)
        self._ended[incident_id] = outcome["outcome"]
        if len(self._ended) > _CLOSED_KEPT:
            oldest = next(iter(self._ended))
            del self._ended[oldest]
            self._recovered.pop(oldest, None)
            self._symptoms.pop(oldest, None)
        if found is not None:
            found.ended.set()
            if outcome["outcome"] == "recovered":
                self._recovered[incident_id] = found
            mine = self._of_agent[found.agent]
            mine.pop(incident_id, None)
            if not mine:
                del self._of_agent[found.agent]

    def of(self, agent: str) -> list[Open]:
        """The open incidents of an agent, the oldest first."""
        return list(self._of_agent.get(agent, {}).values())

    def recovered_of(self, agent: str) -> list[Open]:
        """Those of an agent's incidents that have recovered, as far as they are remembered."""
        return [found for found in self._recovered.values() if found.agent == agent]

    def get(self, incident_id: str) -> Open | None:
        """An incident that is open."""
        return self._open.get(incident_id)

    def outcome(self, incident_id: str) -> str | None:
        """How an incident ended, if it did and that is remembered."""
        return self._ended.get(incident_id)

    def symptoms(self, incident_id: str) -> list[str]:
        """Incidents that were attached to this one."""
        return list(self._symptoms.get(incident_id, ()))

    def sick(self) -> set[str]:
        """Agents with an open incident in which an attempt has not helped."""
        return set(self._unhelped.values())
