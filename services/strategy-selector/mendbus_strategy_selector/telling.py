"""Telling the world: outcomes to the stream RECOVERIES, settlements to the agents. What is told is on disk already."""

import asyncio
import logging
from collections import deque
from dataclasses import dataclass

from mendbus import codec
from mendbus.bus import Bus
from mendbus.contracts.errors import BusClosed, BusError
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import AgentRef, PeerNotice, RecoveryCommand, RecoveryOutcome, Settlement
from mendbus.contracts.subjects import CONTENT_TYPE, HEADER_CONTENT_TYPE, Subjects
from mendbus.contracts.vocabulary import NoticeEvent, Outcome

log = logging.getLogger("mendbus")

SETTLED_AT_ONCE = 900
_AT_ONCE = 32
"""Most outcomes on their way to the server at a time."""
_PAUSE_SECONDS = 0.25


class Teller:
    """Stores outcomes, each until the server has it; a repeat is harmless by its id. Those of one incident in order."""

    def __init__(self, bus: Bus, subjects: Subjects) -> None:
        self._bus = bus
        self._subjects = subjects
        self._outcomes: deque[_Told] = deque()
        self._untold: dict[str, int] = {}
        """The highest sequence that is still to be told, by incident id."""
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def tell(self, outcome: RecoveryOutcome, body: bytes = b"", traceparent: str = "") -> None:
        """Has an outcome told soon; `body`: the outcome, if it is packed already."""
        self.tell_packed(
            outcome.incident_id, outcome.sequence, outcome.agent, body or codec.encode(outcome), traceparent
        )

    def tell_packed(self, incident_id: str, sequence: int, agent: AgentRef, body: bytes, traceparent: str) -> None:
        """Has a packed outcome told soon."""
        subject = self._subjects.outcome(agent.kind, agent.id)
        self._outcomes.append(_Told(incident_id, sequence, subject, body, codec.headers(traceparent)))
        self._untold[incident_id] = max(sequence, self._untold.get(incident_id, 0))
        self._idle.clear()
        self._wake.set()

    def has_told(self, incident_id: str) -> bool:
        """Whether the server has every outcome of an incident that was to be told."""
        return incident_id not in self._untold

    async def settle(self, agent: AgentRef, event_ids: list[str], outcome: Outcome, incident_id: str) -> None:
        """Tells an agent that events are done with. It asks if this gets lost."""
        for start in range(0, len(event_ids), SETTLED_AT_ONCE):
            chunk = event_ids[start : start + SETTLED_AT_ONCE]
            message = Settlement(agent=agent, event_ids=chunk, outcome=outcome, incident_id=incident_id)
            try:
                await self._bus.publish(
                    self._subjects.settlement(agent.kind, agent.id),
                    codec.encode(message),
                    {HEADER_CONTENT_TYPE: CONTENT_TYPE},
                )
            except BusError as error:
                log.debug("a settlement for %s was not sent: %s", agent.key, error)

    async def notice(self, command: RecoveryCommand, event: NoticeEvent, now: int) -> None:
        """Tells all agents of a peer, once, for whoever listens."""
        to = command.parameters.get("to")
        message = PeerNotice(
            id=new_id(now),
            time_unix_nano=now,
            agent=command.agent,
            event=event,
            to=to if isinstance(to, str) else None,
            incident_id=command.incident_id,
        )
        subject = self._subjects.notice(command.agent.kind, command.agent.id)
        try:
            await self._bus.publish(subject, codec.encode(message), {HEADER_CONTENT_TYPE: CONTENT_TYPE})
        except BusError as error:
            log.warning("the peers of %s were not told that it is %s: %s", command.agent.key, event, error)

    async def run(self) -> None:
        """Tells for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._outcomes:
                await asyncio.gather(*(self._store(told) for told in self._next()))
            self._idle.set()

    def _next(self) -> list["_Told"]:
        """The outcomes that have waited longest, no two of them of the same incident."""
        chosen: dict[str, _Told] = {}
        while self._outcomes and len(chosen) < _AT_ONCE and self._outcomes[0].incident_id not in chosen:
            told = self._outcomes.popleft()
            chosen[told.incident_id] = told
        return list(chosen.values())

    async def finish(self) -> None:
        """Returns when everything has been told."""
        await self._idle.wait()

    async def _store(self, told: "_Told") -> None:
        while True:
            try:
                await self._bus.store(
                    told.subject, told.body, told.headers, id=f"{told.incident_id}-{told.sequence}", timeout=2.0
                )
            except BusClosed:
                raise
            except BusError as error:
                log.debug("an outcome is told again: %s", error)
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                if self._untold.get(told.incident_id) == told.sequence:
                    del self._untold[told.incident_id]
                return


@dataclass(slots=True)
class _Told:
    incident_id: str
    sequence: int
    subject: str
    body: bytes
    headers: dict[str, str]
