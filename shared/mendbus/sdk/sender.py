"""Publishes what the outbox holds, one publish in flight, until the server has it; and asks what became of it."""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from mendbus import codec
from mendbus.bus import Bus, Message, Stored, ToStore
from mendbus.contracts.errors import BusClosed, BusError, MendbusError, Refused, StoreRefused
from mendbus.contracts.messages import AgentRef, SettledQuery, SettledReply
from mendbus.contracts.subjects import CONTENT_TYPE, HEADER_CONTENT_TYPE, MAX_SERVICE_BODY, Subjects
from mendbus.sdk.outbox import ASK_AFTER, ENTRY_SIZE, Entry, Keeper, Outbox
from mendbus.sdk.reports import DETAIL, Captured, cut, encode
from mendbus.telemetry import Span, Tracer

log = logging.getLogger("mendbus.sdk")

_STORE_SECONDS: Final = 2.0
_ASK_SECONDS: Final = 2.0
_ASK_AT_ONCE: Final = 700
"""Ids of one question: with their sequences they fit into a body of 64 KiB."""
_TICK_SECONDS: Final = 1.0
_IDLE_SECONDS: Final = 0.1
_ENCODED_AT_ONCE: Final = 8
_BACK_OFF: Final = (0.05, 5.0)
_LOG_SECONDS: Final = 60.0


class BackOff:
    """Growing pauses with full jitter, in seconds, so that many agents do not come back in step."""

    def __init__(self, first: float, longest: float) -> None:
        self._first = first
        self._longest = longest
        self._bound = first

    def reset(self) -> None:
        """Begins anew."""
        self._bound = self._first

    def next(self) -> float:
        """The next pause."""
        bound, self._bound = self._bound, min(2 * self._bound, self._longest)
        return random.uniform(bound / 4, bound)


class Sender:
    """Sends for one agent. `keeper`: where events are kept on disk, if they are; `now` nanoseconds since 1970."""

    def __init__(
        self,
        outbox: Outbox,
        keeper: Keeper | None,
        agent: AgentRef,
        subjects: Subjects,
        tracer: Tracer,
        now: Callable[[], int],
        metrics: Callable[[], Mapping[str, float]],
        checkpoint: Callable[[], str | None],
    ) -> None:
        self._outbox = outbox
        self._keeper = keeper
        self._agent = agent
        self._agent_body = {name: value for name, value in agent.model_dump().items() if value is not None}
        self._subjects = subjects
        self._tracer = tracer
        self._now = now
        self._metrics = metrics
        self._checkpoint = checkpoint
        self._spans: dict[str, Span] = {}
        self._traced: dict[tuple[str, ...], float] = {}
        self._woken = asyncio.Event()
        self._shed_logged = 0
        self._logged_at: dict[str, float] = {}
        self.hurry = False
        """Whether the agent is about to stop, so that repeats must not be waited for."""

    def wake(self) -> None:
        """There is something to send; on the agent's own loop."""
        self._woken.set()

    # -- publishing

    async def run(self, bus: Bus) -> None:
        """Publishes for as long as the connection lives. Raises `BusClosed` when it is gone for good."""
        back_off = BackOff(*_BACK_OFF)
        loop = asyncio.get_running_loop()
        while not bus.closed:
            self._woken.clear()
            batch = self._outbox.take(self._now(), loop.time(), hurry=self.hurry) if bus.connected else []
            try:
                await self._prepare(batch)
                self.keep()
                if batch and not await self._publish(bus, batch):
                    await self._pause(back_off.next())
                elif batch:
                    back_off.reset()
                elif not bus.connected:
                    await asyncio.sleep(_IDLE_SECONDS)
                else:
                    await self._wait_for_more(loop)
            finally:
                self._outbox.release(batch)
        raise BusClosed("the connection is closed")

    async def _wait_for_more(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            async with asyncio.timeout(self._outbox.next_due(loop.time())):
                _ = await self._woken.wait()
        except TimeoutError:
            return

    async def _pause(self, seconds: float) -> None:
        # Not cut short by new events: they would turn a server in trouble into one that is hammered.
        await asyncio.sleep(min(seconds, 0.2) if self.hurry else seconds)

    async def _prepare(self, batch: Sequence[Entry]) -> None:
        time = asyncio.get_running_loop().time()
        for number, entry in enumerate(batch, start=1):
            if entry.captured is not None:
                self._trace(entry, time)
                entry.body = self._encoded(entry, entry.captured)
                entry.captured = None
                self._outbox.resize(entry, len(entry.body) + ENTRY_SIZE)
            elif entry.body is None and self._keeper is not None:
                self._fetch(entry, self._keeper)
            if number % _ENCODED_AT_ONCE == 0:
                # Commands and probes must not wait for the encoding of a whole batch.
                await asyncio.sleep(0)

    def _fetch(self, entry: Entry, keeper: Keeper) -> None:
        try:
            entry.body = keeper.body(entry.id)
        except MendbusError as error:
            self._complain("keeper", str(error))
            return
        if entry.body is None:
            log.error("error %s is not in the outbox's file any more and cannot be sent", entry.id)
            self._outbox.lose(entry)

    def _encoded(self, entry: Entry, captured: Captured) -> bytes:
        return encode(
            captured,
            id=entry.id,
            agent=self._agent_body,
            occurrences=entry.occurrences,
            metrics=self._metrics(),
            checkpoint_id=self._checkpoint(),
        )

    async def _publish(self, bus: Bus, batch: Sequence[Entry]) -> bool:
        """Whether the server has all of them now."""
        messages = [(entry, self._message(entry, entry.body)) for entry in batch if entry.body is not None]
        try:
            if len(messages) > 1 and await self._publish_batch(bus, messages):
                return len(messages) == len(batch)
            done = True
            for entry, message in messages:
                done &= await self._publish_one(bus, entry, message)
        except BusClosed:
            raise
        except BusError as error:
            self._complain("publish", f"errors wait in the outbox, NATS does not take them: {error}")
            return False
        return done and len(messages) == len(batch)

    async def _publish_batch(self, bus: Bus, messages: Sequence[tuple[Entry, ToStore]]) -> bool:
        try:
            stored = await bus.store_batch([message for _, message in messages], timeout=_STORE_SECONDS)
        except StoreRefused as refused:
            # One that is stored already, or will never be, spoils a whole batch: then each for itself.
            log.debug("an atomic batch of %d was refused: %s", len(messages), refused)
            return False
        # A batch is stored without a gap, so its last sequence tells the others.
        for number, (entry, _) in enumerate(messages, start=1):
            self._acknowledged(entry, stored.sequence - len(messages) + number)
        return True

    async def _publish_one(self, bus: Bus, entry: Entry, message: ToStore) -> bool:
        try:
            stored: Stored = await bus.store(
                message.subject, message.body, message.headers, id=message.id, timeout=_STORE_SECONDS
            )
        except StoreRefused as refused:
            self._complain("refused", f"NATS refused error {entry.id}, which is sent again: {refused}")
            return False
        self._acknowledged(entry, stored.sequence)
        return True

    def _message(self, entry: Entry, body: bytes) -> ToStore:
        headers = {HEADER_CONTENT_TYPE: CONTENT_TYPE}
        if entry.traceparent:
            headers["traceparent"] = entry.traceparent
        return ToStore(self._subjects.error(entry.severity, self._agent.kind, self._agent.id), body, headers, entry.id)

    def _acknowledged(self, entry: Entry, sequence: int) -> None:
        span = self._spans.pop(entry.id, None)
        if span is not None:
            span.end({"messaging.nats.sequence": sequence})
        self._outbox.acknowledge(entry, sequence, asyncio.get_running_loop().time())

    # -- tracing

    def _trace(self, entry: Entry, time: float) -> None:
        """Starts the root of this failure's trace, unless the same failure had one within the last second."""
        while self._traced and next(iter(self._traced.values())) < time - 1.0:
            del self._traced[next(iter(self._traced))]
        captured = entry.captured
        if captured is None or entry.key in self._traced:
            return
        self._traced[entry.key] = time
        severity = entry.severity or "unknown"
        subject = self._subjects.error(entry.severity, self._agent.kind, self._agent.id)
        attributes = {
            "messaging.system": "nats",
            "messaging.operation.name": "publish",
            "messaging.operation.type": "send",
            "messaging.destination.name": subject,
            "messaging.destination.template": f"{self._subjects.root}.error.{{severity}}.{{kind}}.{{agent}}",
            "messaging.message.id": entry.id,
            "mendbus.agent": self._agent.key,
            "error.type": captured.type,
            "exception.message": cut(captured.message, DETAIL),
        }
        if captured.words.operation:
            attributes["mendbus.operation"] = captured.words.operation
        span = self._tracer.start(f"publish error.{severity}", "producer", None, attributes)
        entry.traceparent = span.traceparent
        self._spans[entry.id] = span

    def end_spans(self) -> None:
        """Ends the spans of what was not acknowledged."""
        for span in self._spans.values():
            span.end(error="not acknowledged by the server")
        self._spans.clear()

    # -- keeping

    def keep(self) -> None:
        """Writes what changed to disk, where there is one; memory goes on when the disk does not."""
        if self._keeper is None:
            return
        entries, gone = self._outbox.changes()
        if not entries and not gone:
            return
        try:
            self._keeper.keep([(entry, self._body_to_keep(entry)) for entry in entries], gone)
        except MendbusError as error:
            self._outbox.mark_again(entries, gone)
            self._complain("keeper", f"{error}; errors are kept in memory meanwhile")
            return
        for entry in entries:
            if entry.acknowledged and entry.body is not None:
                entry.body = None
                self._outbox.resize(entry, ENTRY_SIZE)

    def _body_to_keep(self, entry: Entry) -> bytes | None:
        return self._encoded(entry, entry.captured) if entry.captured is not None else entry.body

    # -- settlement

    async def watch_settlements(self, bus: Bus) -> None:
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
                self._complain("settled", f"nobody says what became of {len(asked)} error(s): {error}")
            else:
                back_off.reset()

    async def _ask(self, bus: Bus, asked: Sequence[Entry]) -> None:
        query = SettledQuery(
            agent=self._agent,
            event_ids=[entry.id for entry in asked],
            sequences={entry.id: entry.sequence for entry in asked if entry.sequence},
        )
        answer = await bus.request(
            self._subjects.settled(self._agent.kind, self._agent.id),
            codec.encode(query),
            {HEADER_CONTENT_TYPE: CONTENT_TYPE},
            timeout=_ASK_SECONDS,
        )
        reply = codec.decode(SettledReply, answer.body, MAX_SERVICE_BODY)
        time = asyncio.get_running_loop().time()
        # What the answer leaves out is asked again later.
        self._outbox.ask_again_at(asked, time + ASK_AFTER)
        _ = self._outbox.settle(reply.settled)
        self._outbox.still_open(reply.open, time)
        self._outbox.unknown(reply.unknown)

    async def settlement(self, message: Message) -> None:
        """Takes a Settlement. An outcome that this version does not know settles all the same."""
        try:
            body = codec.unpack(message.body, MAX_SERVICE_BODY)
        except Refused as refused:
            log.warning("a settlement was not understood: %s", refused)
            return
        ids = body.get("event_ids")
        if isinstance(ids, list):
            self._settle([str(event) for event in ids], rejected=body.get("outcome") == "rejected")  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]

    async def outcome(self, message: Message) -> None:
        """Takes a RecoveryOutcome; only `rejected` matters here: its incident id is the id of the event."""
        try:
            body = codec.unpack(message.body, MAX_SERVICE_BODY)
        except Refused as refused:
            log.warning("an outcome was not understood: %s", refused)
            return
        if body.get("outcome") == "rejected":
            self._settle([str(body.get("incident_id"))], rejected=True, reason=str(body.get("reason") or ""))

    def _settle(self, ids: Sequence[str], *, rejected: bool, reason: str = "") -> None:
        known = self._outbox.settle(ids, rejected=rejected)
        for event in ids:
            span = self._spans.pop(event, None)
            if span is not None:
                span.end()
        if rejected and known:
            log.error(
                "%d error report(s) were rejected, %s: %s", known, ", ".join(ids[:5]), reason or "no reason given"
            )

    # -- looking after

    async def tend(self) -> None:
        """Writes to disk what changed and tells what was shed, also while there is no connection at all."""
        while True:
            await asyncio.sleep(_TICK_SECONDS if self._keeper is None else _IDLE_SECONDS)
            self.keep()
            self._say_shed()
            for event in [event for event in self._spans if not self._outbox.holds(event)]:
                self._spans.pop(event).end(error="shed from the full outbox")

    def _say_shed(self) -> None:
        shed = self._outbox.counts.shed
        if shed > self._shed_logged and self._may_log("shed"):
            log.error(
                "the outbox is full: %d failure(s) were shed since last said, %d in all", shed - self._shed_logged, shed
            )
            self._shed_logged = shed

    def _complain(self, topic: str, text: str) -> None:
        if self._may_log(topic):
            log.warning("%s", text)

    def _may_log(self, topic: str) -> bool:
        time = asyncio.get_running_loop().time()
        if time - self._logged_at.get(topic, -_LOG_SECONDS) < _LOG_SECONDS:
            return False
        self._logged_at[topic] = time
        return True
