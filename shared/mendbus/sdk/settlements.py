"""What became of the events that the server has: heard, and asked for when nobody says."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from mendbus import codec
from mendbus.bus import Bus, Message
from mendbus.contracts.errors import BusError, Refused
from mendbus.contracts.messages import AgentRef, SettledQuery, SettledReply
from mendbus.contracts.subjects import MAX_SERVICE_BODY, Subjects
from mendbus.sdk.entries import Entry
from mendbus.sdk.outbox import ASK_AFTER, Outbox
from mendbus.sdk.pauses import BackOff, Complaints

log = logging.getLogger("mendbus.sdk")

_ASK_SECONDS: Final = 2.0
_ASK_AT_ONCE: Final = 700
"""Ids of one question: with their sequences they fit into a body of 64 KiB."""
_TICK_SECONDS: Final = 1.0
_REJECTED: Final = b"rejected"


class Settlements:
    """Ends the events of one agent's outbox. `ended` is told their ids; `now` nanoseconds since 1970."""

    def __init__(
        self,
        outbox: Outbox,
        agent: AgentRef,
        subjects: Subjects,
        now: Callable[[], int],
        ended: Callable[[Sequence[str]], None],
        complaints: Complaints,
    ) -> None:
        self._outbox = outbox
        self._agent = agent
        self._subject = subjects.settled(agent.kind, agent.id)
        self._now = now
        self._ended = ended
        self._complaints = complaints

    async def watch(self, bus: Bus) -> None:
        """Asks, every second, what became of events whose settlement is overdue."""
        back_off = BackOff(2.0, ASK_AFTER)
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            asked = self._outbox.to_ask(self._now(), loop.time(), _ASK_AT_ONCE) if bus.connected else []
            if not asked:
                continue
            try:
                await self._ask(bus, asked)
            except (BusError, Refused) as error:
                self._outbox.ask_again_at(asked, loop.time() + back_off.next())
                self._complaints.say("settled", f"nobody says what became of {len(asked)} error(s): {error}")
            else:
                back_off.reset()

    async def _ask(self, bus: Bus, asked: Sequence[Entry]) -> None:
        query = SettledQuery(
            agent=self._agent,
            event_ids=[entry.id for entry in asked],
            sequences={entry.id: entry.sequence for entry in asked if entry.sequence},
        )
        answer = await bus.request(self._subject, codec.encode(query), codec.headers(), timeout=_ASK_SECONDS)
        reply = codec.decode(SettledReply, answer.body, MAX_SERVICE_BODY)
        time = asyncio.get_running_loop().time()
        ids = set(query.event_ids)
        # What the answer leaves out is asked again later.
        self._outbox.ask_again_at(asked, time + ASK_AFTER)
        self._settle([event for event in reply.settled if event in ids], rejected=False)
        self._outbox.still_open(ids.intersection(reply.open), time)
        self._outbox.unknown([event for event in reply.unknown if event in ids])

    async def settlement(self, message: Message) -> None:
        """Takes a Settlement. An outcome that this version does not know settles all the same."""
        body = self._read(message)
        ids = cast("list[object]", body["event_ids"]) if isinstance(body.get("event_ids"), list) else []
        self._settle([str(event) for event in ids], rejected=body.get("outcome") == "rejected")

    async def outcome(self, message: Message) -> None:
        """Takes a RecoveryOutcome; only `rejected` matters here: its incident id is the id of the event."""
        # Outcomes are many and large, and few of them are rejections: most need not be unpacked.
        if _REJECTED not in message.body:
            return
        body = self._read(message)
        if body.get("outcome") == "rejected":
            self._settle([str(body.get("incident_id"))], rejected=True, reason=str(body.get("reason") or ""))

    def _read(self, message: Message) -> dict[str, Any]:
        try:
            body = codec.unpack(message.body, MAX_SERVICE_BODY)
            codec.check_agent(codec.validate(AgentRef, body.get("agent") or {}), self._agent.kind, self._agent.id)
        except Refused as refused:
            log.warning("a message on %s was not understood: %s", message.subject, refused)
            return {}
        return body

    def _settle(self, ids: Sequence[str], *, rejected: bool, reason: str = "") -> None:
        known = self._outbox.settle(ids, rejected=rejected)
        self._ended(ids)
        if rejected and known:
            why = reason or "no reason given"
            log.error("%d error report(s) were rejected, %s: %s", known, ", ".join(ids[:5]), why)
