"""Pulling from a durable consumer: requests for many messages at once, and everything held kept alive."""

import asyncio
import logging
from collections import deque
from typing import Final

from mendbus.bus import ConsumerSpec, StoredMessage
from mendbus.bus.jetstream import API, from_consumer, pending_behind
from mendbus.bus.wire import Arrival, Listening, Wire, description_of, status_of
from mendbus.contracts.errors import BusClosed, BusError

_log = logging.getLogger(__name__)

_READY: Final = 500
"""Most messages that wait here to be taken."""
_SILENCE_SECONDS: Final = 1.0
_RETRY_SECONDS: Final = 0.1
_REQUEST_FORM: Final = b'{"batch":%d,"expires":30000000000,"idle_heartbeat":500000000}'
_HEARTBEAT = "100"
_EXPIRED = "408"


class PullDelivery:
    """Implements `Delivery`."""

    __slots__ = ("_consumption", "attempt", "message", "reply", "touched")

    def __init__(
        self, consumption: "PullConsumption", message: StoredMessage, attempt: int, reply: str, touched: float
    ) -> None:
        self._consumption = consumption
        self.message = message
        self.attempt = attempt
        self.reply = reply
        self.touched = touched
        """Loop time at which the server last heard that it is being worked on."""

    @property
    def pending(self) -> int:
        """See `Delivery`."""
        return pending_behind(self.reply)

    async def ack(self) -> None:
        """See `Delivery`. Nothing happens after `forget` or `stop`: the server delivers it again."""
        await self._consumption.acknowledge(self)


class PullConsumption:
    """Implements `Consumption`. One request is under way at a time, for as many messages as there is room for."""

    def __init__(self, wire: Wire, spec: ConsumerSpec) -> None:
        self._wire = wire
        self._spec = spec
        self._request = f"{API}CONSUMER.MSG.NEXT.{spec.stream}.{spec.name}"
        self._loop = asyncio.get_running_loop()
        self._held: dict[int, PullDelivery] = {}
        self._ready: deque[PullDelivery] = deque()
        self._taker = asyncio.Event()
        self._inbox = wire.new_inbox()
        self._asked = 0
        self._coming = 0
        """Messages that the request under way may still bring."""
        self._heard = 0.0
        self._not_before = 0.0
        self._over = ""
        self._listener: Listening | None = None
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Sends the first request; a consumer that does not exist yet is asked again until it does."""
        self._listener = await self._wire.listen(f"{self._inbox}.*", self._arrived)
        self._wire.watchers.add(self)
        await self._pull()
        self._keeper = asyncio.create_task(self._keep(), name=f"keep {self._spec.name}")

    async def take(self, limit: int) -> list[PullDelivery]:
        """See `Consumption`."""
        while not self._ready:
            if self._over:
                raise BusClosed(self._over)
            self._taker.clear()
            _ = await self._taker.wait()
        ready = self._ready
        taken = [ready.popleft() for _ in range(min(limit, len(ready)))]
        if self._coming == 0:
            await self._pull()
        return taken

    def forget(self) -> None:
        """See `Consumption`."""
        self._held.clear()
        self._ready.clear()

    async def stop(self) -> None:
        """See `Consumption`."""
        self.closed(f"pulling from {self._spec.name} was stopped")
        self._wire.watchers.discard(self)
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            _ = await asyncio.wait((keeper,))
        listener, self._listener = self._listener, None
        if listener is not None:
            await listener.end()

    async def reconnected(self) -> None:
        """See `Watcher`. The request that was under way is lost with the connection."""
        self._coming = 0
        await self._pull()

    def closed(self, reason: str) -> None:
        """See `Watcher`."""
        self._over = self._over or reason
        self.forget()
        self._taker.set()

    async def acknowledge(self, delivery: PullDelivery) -> None:
        """Answers for a delivery that is still held."""
        sequence = delivery.message.sequence
        if self._held.get(sequence) is not delivery:
            return
        del self._held[sequence]
        await self._wire.send(delivery.reply, b"")
        if self._coming == 0:
            await self._pull()

    async def _pull(self) -> None:
        """Asks for as many as there is room for, and for nothing when there is none."""
        now = self._loop.time()
        room = min(_READY - len(self._ready), self._spec.max_ack_pending - len(self._held))
        if self._over or self._coming or room <= 0 or now < self._not_before or not self._wire.connected:
            return
        self._coming = room
        self._heard = now
        self._asked += 1
        await self._wire.send(self._request, _REQUEST_FORM % room, reply=f"{self._inbox}.{self._asked}")

    async def _arrived(self, arrival: Arrival) -> None:
        self._heard = self._loop.time()
        if not arrival.reply:
            await self._told(arrival)
            return
        try:
            message, attempt, _ = from_consumer(arrival)
        except (ValueError, IndexError):
            _log.warning("something on our own inbox is no message for %s", self._spec.name)
            return
        self._coming = max(0, self._coming - 1)
        held = self._held.get(message.sequence)
        if held is not None:
            # It came again although it is being worked on: only the newest delivery may be answered.
            held.reply = arrival.reply
            held.touched = self._heard
        elif not self._over:
            delivery = PullDelivery(self, message, attempt, arrival.reply, self._heard)
            self._held[message.sequence] = delivery
            self._ready.append(delivery)
            self._taker.set()
        if self._coming == 0:
            await self._pull()

    async def _told(self, arrival: Arrival) -> None:
        """A word of the server about a request. All but the heartbeat end it."""
        status = status_of(arrival)
        if status == _HEARTBEAT or arrival.subject != f"{self._inbox}.{self._asked}":
            return
        self._coming = 0
        if status == _EXPIRED:
            await self._pull()
            return
        _log.warning("cannot pull from %s, trying again: %s %s", self._spec.name, status, description_of(arrival))
        self._not_before = self._loop.time() + _RETRY_SECONDS

    async def _keep(self) -> None:
        """Tells the server what is still being worked on, and asks again where an answer stays out."""
        pause = min(self._spec.ack_wait / 6, _SILENCE_SECONDS / 4)
        while not self._over:
            await asyncio.sleep(pause)
            if not self._wire.connected:
                continue
            try:
                await self._renew()
                if self._coming and self._loop.time() - self._heard > _SILENCE_SECONDS:
                    _log.warning("no word about the messages asked for from %s, asking again", self._spec.name)
                    self._coming = 0
                await self._pull()
            except BusError as error:
                _log.warning("keeping what is held of %s: %s", self._spec.name, error)

    async def _renew(self) -> None:
        now = self._loop.time()
        for delivery in list(self._held.values()):
            if now - delivery.touched >= self._spec.ack_wait / 3:
                delivery.touched = now
                await self._wire.send(delivery.reply, b"+WPI")
