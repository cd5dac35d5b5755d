"""Publishes what the outbox holds, one publish in flight, until the server has it; and has it kept on disk."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from mendbus import codec
from mendbus.bus import Bus, ToStore
from mendbus.contracts.errors import BusClosed, BusError, MendbusError, StoreRefused
from mendbus.contracts.messages import AgentRef
from mendbus.contracts.subjects import Subjects
from mendbus.redaction import DEFAULT, Redaction, redact
from mendbus.sdk.entries import ENTRY_SIZE, Entry, Keeper
from mendbus.sdk.outbox import Outbox
from mendbus.sdk.pauses import BackOff, Complaints
from mendbus.sdk.reports import Captured, encode
from mendbus.sdk.texts import DETAIL, cut
from mendbus.telemetry import Span, Tracer

log = logging.getLogger("mendbus.sdk")

_STORE_SECONDS: Final = 2.0
_TICK_SECONDS: Final = 1.0
_IDLE_SECONDS: Final = 0.1
_ENCODED_AT_ONCE: Final = 8
_BACK_OFF: Final = (0.05, 5.0)
_OVER_SHARE: Final = ", since this agent fills ERRORS: what it has stored must be counted first"


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
        acted_ns: Callable[[], int],
        complaints: Complaints,
        redaction: Redaction = DEFAULT,
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
        self._acted_ns = acted_ns
        self._spans: dict[str, Span] = {}
        self._traced: dict[tuple[str, ...], float] = {}
        self._woken = asyncio.Event()
        self._shed_told = 0
        self._complaints = complaints
        self._redaction = redaction
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
                self._outbox.resize(entry, len(entry.body or b"") + ENTRY_SIZE)
            elif entry.body is None and self._keeper is not None:
                self._fetch(entry, self._keeper)
            if number % _ENCODED_AT_ONCE == 0:
                # Commands and probes must not wait for the encoding of a whole batch.
                await asyncio.sleep(0)

    def _fetch(self, entry: Entry, keeper: Keeper) -> None:
        try:
            entry.body = keeper.body(entry.id)
        except MendbusError as error:
            self._complaints.say("keeper", str(error))
            return
        if entry.body is None:
            log.error("error %s is not in the outbox's file any more and cannot be sent", entry.id)
            self._outbox.lose(entry)

    def _encoded(self, entry: Entry, captured: Captured) -> bytes | None:
        try:
            return encode(
                captured,
                id=entry.id,
                agent=self._agent_body,
                occurrences=entry.occurrences,
                metrics=self._metrics(),
                checkpoint_id=self._checkpoint(),
                acted_ns=self._acted_ns(),
                redaction=self._redaction,
            )
        except Exception:
            # One failure that cannot be put into words must not keep all the others from being told.
            log.exception("error %s cannot be encoded and is lost", entry.id)
            self._outbox.lose(entry)
            return None

    async def _publish(self, bus: Bus, batch: Sequence[Entry]) -> bool:
        """Whether the server has all of them now, but for those that are lost."""
        messages = [(entry, self._message(entry, entry.body)) for entry in batch if entry.body is not None]
        done = not any(entry.body is None and not entry.gone for entry in batch)
        try:
            if len(messages) > 1 and await self._publish_batch(bus, messages):
                return done
            for entry, message in messages:
                done &= await self._publish_one(bus, entry, message)
        except BusClosed:
            raise
        except BusError as error:
            self._complaints.say("publish", f"errors wait in the outbox, NATS does not take them: {error}")
            return False
        return done

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
            stored = await bus.store(
                message.subject, message.body, message.headers, id=message.id, timeout=_STORE_SECONDS
            )
        except StoreRefused as refused:
            why = _OVER_SHARE if "messages per subject" in refused.description else ""
            self._complaints.say("refused", f"NATS refused error {entry.id}, which is sent again{why}: {refused}")
            return False
        self._acknowledged(entry, stored.sequence)
        return True

    def _message(self, entry: Entry, body: bytes) -> ToStore:
        subject = self._subjects.error(entry.severity, self._agent.kind, self._agent.id)
        return ToStore(subject, body, codec.headers(entry.traceparent), entry.id)

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
            "exception.message": cut(redact(captured.message, self._redaction), DETAIL),
        }
        if captured.words.operation:
            attributes["mendbus.operation"] = captured.words.operation
        span = self._tracer.start(f"publish error.{severity}", "producer", None, attributes)
        entry.traceparent = span.traceparent
        self._spans[entry.id] = span

    def end_spans(self, ids: Sequence[str], error: str | None = None) -> None:
        """Ends the spans of events of which no acknowledgement is to be expected."""
        for event in ids:
            span = self._spans.pop(event, None)
            if span is not None:
                span.end(error=error)

    def close(self) -> None:
        """Ends what is open and has the last state kept."""
        self.end_spans(list(self._spans), "not acknowledged by the server")
        self.keep()

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
            self._complaints.say("keeper", f"{error}; errors are kept in memory meanwhile")
            return
        for entry in entries:
            if entry.acknowledged and entry.body is not None:
                entry.body = None
                self._outbox.resize(entry, ENTRY_SIZE)

    def _body_to_keep(self, entry: Entry) -> bytes | None:
        return self._encoded(entry, entry.captured) if entry.captured is not None else entry.body

    # -- looking after

    async def tend(self) -> None:
        """Writes to disk what changed and tells what was shed, also while there is no connection at all."""
        while True:
            await asyncio.sleep(_TICK_SECONDS if self._keeper is None else _IDLE_SECONDS)
            self.keep()
            self._say_shed()
            shed = [event for event in self._spans if not self._outbox.holds(event)]
            self.end_spans(shed, "shed from the full outbox")

    def _say_shed(self) -> None:
        shed = self._outbox.counts.shed
        new = shed - self._shed_told
        if new and self._complaints.say("shed", f"the outbox is full: {new} failure(s) more were shed, {shed} in all"):
            self._shed_told = shed
