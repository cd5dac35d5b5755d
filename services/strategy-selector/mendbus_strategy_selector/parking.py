"""Parked incidents: what they wait for, when they are taken up again, and what a person does about them.

None of them holds a message or its agent up.
"""

from typing import Final

from mendbus.contracts.journal import Operated
from mendbus.contracts.messages import Control
from mendbus_strategy_selector.budgets import LATCHED
from mendbus_strategy_selector.decide import APPROVAL, PAUSED
from mendbus_strategy_selector.incident import Incident
from mendbus_strategy_selector.steps import Steps

_NANO = 1_000_000_000

INCIDENT_VERBS: Final = frozenset(("approve", "reject", "close"))
"""What a person can do about one incident."""


class Parking:
    """The parked incidents of one partition that go on when something happens."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        self._context = steps.context
        self._waiting: dict[str, Incident] = {}
        self._taken: set[str] = set()

    def watch(self, incident: Incident) -> None:
        """Notes an incident, if it is parked until something happens by itself or a person approves."""
        self._taken.discard(incident.id)
        if incident.phase == "parked" and incident.rule in (PAUSED, LATCHED, APPROVAL):
            self._waiting[incident.id] = incident

    def due(self) -> list[Incident]:
        """Takes out those whose wait is over: no longer paused or latched, approved, or not approved in time."""
        due: list[Incident] = []
        for incident in list(self._waiting.values()):
            if incident.phase != "parked":
                del self._waiting[incident.id]
            elif self._over(incident):
                del self._waiting[incident.id]
                self._taken.add(incident.id)
                due.append(incident)
        return due

    def _over(self, incident: Incident) -> bool:
        overview, now = self._context.overview, self._steps.now()
        if incident.rule == LATCHED:
            return not overview.latched and not overview.latch_due
        if incident.rule == PAUSED:
            paused = self._steps.state.pauses.holding(incident.agent, now) or overview.pauses.holding(
                incident.agent, now
            )
            return paused is None
        return incident.approved is not None or self.late(incident)

    def late(self, incident: Incident) -> bool:
        """Whether an incident has waited for approval too long."""
        if incident.standing != "awaiting_approval" or incident.approved is not None:
            return False
        asked = incident.selected_unix_nano or incident.concluded_unix_nano
        return self._steps.now() >= asked + self._context.policy.approval_seconds * _NANO

    async def give_up(self, incident: Incident) -> None:
        """Escalates an incident that nobody approved of in time."""
        seconds = self._context.policy.approval_seconds
        reason = f"nobody approved of {incident.strategy} within {seconds:g} s"
        await self._steps.conclude(incident, "escalated", reason, None)

    async def operate(self, control: Control, incident_id: str) -> str:
        """Does what a person decided about an incident, and says so. Raises `ValueError` when it cannot be done."""
        incident = self._steps.state.incidents.get(incident_id)
        if incident is None:
            msg = f"there is no incident {incident_id} of {control.agent.key if control.agent else '?'}"
            raise ValueError(msg)
        standing = incident.standing or "under way"
        if incident.phase != "parked" or incident_id in self._taken or incident.approved is not None:
            now = "going on" if incident.phase == "parked" else incident.phase
            msg = f"incident {incident_id} is not parked: it is {now} ({standing})"
            raise ValueError(msg)
        done = Operated(
            verb=control.verb, by=control.by, incident_id=incident_id, reason=control.reason, agent=incident.agent
        )
        why = f" by {control.by}" + (f": {control.reason}" if control.reason else "")
        if control.verb == "close":
            reason = f"closed{why}"[:1000]
            await self._steps.conclude(incident, incident.standing or "escalated", reason, None, done, settled=True)
            return reason
        if standing != "awaiting_approval":
            msg = f"incident {incident_id} waits for no approval: it is {standing}"
            raise ValueError(msg)
        if control.verb == "reject":
            reason = f"{incident.strategy} was rejected{why}"[:1000]
            await self._steps.conclude(incident, "escalated", reason, None, done)
            return reason
        await self._steps.write(done)
        return f"{incident.strategy} was approved{why}"[:1000]
