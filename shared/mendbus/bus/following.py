"""Following a stream for ever: a passing push consumer that is made anew wherever something may have been missed."""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from mendbus.bus import StoredMessage
from mendbus.bus.jetstream import Json, ask_api, from_consumer
from mendbus.bus.serving import guarded
from mendbus.bus.wire import Arrival, Listening, Wire
from mendbus.contracts.errors import BusError

_log = logging.getLogger(__name__)

_HEARTBEAT_SECONDS: Final = 1.0
_SILENCE_SECONDS: Final = 3.0
_ASK_SECONDS: Final = 5.0
_PAUSE_SECONDS: Final = 0.2
_IDLE_NANOS: Final = 10 * 1_000_000_000


class Following:
    """Implements `Subscription` for `Bus.follow`."""

    def __init__(
        self,
        wire: Wire,
        stream: str,
        subject: str,
        handler: Callable[[StoredMessage], Awaitable[None]],
        *,
        last_per_subject: bool,
    ) -> None:
        self._wire = wire
        self._stream = stream
        self._subject = subject
        self._handler = handler
        self._last_per_subject = last_per_subject
        self._position: int | None = None
        """Every sequence up to this one has been handled; None: from the beginning, as asked."""
        self._count = 0
        self._arrivals: deque[Arrival] = deque()
        self._arrival = asyncio.Event()
        self._broken = False
        self._listener: Listening | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises `ApiError` where there is no such stream."""
        if not self._last_per_subject:
            self._position = (await self._info())["state"]["last_seq"]
        await self._begin()
        self._wire.watchers.add(self)
        self._task = asyncio.create_task(self._run(), name=f"follow {self._stream}")

    async def stop(self) -> None:
        """Ends delivery; a handler at work is cancelled."""
        self._wire.watchers.discard(self)
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()
            _ = await asyncio.wait((task,))
        await self._end()

    async def reconnected(self) -> None:
        """See `Watcher`."""
        self._broken = True
        self._arrival.set()

    def closed(self, reason: str) -> None:
        """See `Watcher`."""
        _log.debug("no longer following %s: %s", self._stream, reason)
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while True:
            try:
                await self._deliver()
            except (ValueError, IndexError):
                _log.warning("something on our own inbox is no message of %s", self._stream)
            _log.info("following %s again from sequence %s", self._stream, self._position)
            level = logging.WARNING
            while True:
                try:
                    await self._restart()
                    break
                except BusError as error:
                    _log.log(level, "cannot follow %s, trying again: %s", self._stream, error)
                    level = logging.DEBUG
                    await asyncio.sleep(_PAUSE_SECONDS)

    async def _deliver(self) -> None:
        """Returns when something may have been missed."""
        while not self._broken:
            if not self._arrivals:
                self._arrival.clear()
                try:
                    async with asyncio.timeout(_SILENCE_SECONDS):
                        _ = await self._arrival.wait()
                except TimeoutError:
                    return
                continue
            arrival = self._arrivals.popleft()
            if not arrival.reply:
                delivered = (arrival.headers or {}).get("Nats-Last-Consumer")
                if delivered is None or int(delivered) != self._count:
                    return
                continue
            message, _, count = from_consumer(arrival)
            if count != self._count + 1:
                return
            self._count = count
            await guarded(self._handler, message, message.subject)
            self._position = message.sequence

    async def _restart(self) -> None:
        await self._end()
        info = await self._info()
        # A stream in memory is empty after a restart of its server, and counts from one again.
        anew = info["config"]["storage"] == "memory" or info["state"]["last_seq"] < (self._position or 0)
        if anew:
            self._position = None if self._last_per_subject else 0
        await self._begin()

    async def _begin(self) -> None:
        self._arrivals.clear()
        self._count = 0
        self._broken = False
        inbox = self._wire.new_inbox()
        self._listener = await self._wire.listen(inbox, self._arrived)
        name = secrets.token_hex(8)
        config: Json = {
            "name": name,
            "deliver_subject": inbox,
            "ack_policy": "none",
            "filter_subject": self._subject,
            "idle_heartbeat": round(_HEARTBEAT_SECONDS * 1_000_000_000),
            "inactive_threshold": _IDLE_NANOS,
            "mem_storage": True,
            "num_replicas": 1,
        }
        if self._position is None:
            config["deliver_policy"] = "last_per_subject"
        else:
            config |= {"deliver_policy": "by_start_sequence", "opt_start_seq": self._position + 1}
        question: Json = {"stream_name": self._stream, "config": config}
        try:
            _ = await ask_api(self._wire, f"CONSUMER.CREATE.{self._stream}.{name}", question, timeout=_ASK_SECONDS)
        except BusError:
            await self._end()
            raise

    async def _end(self) -> None:
        listener, self._listener = self._listener, None
        if listener is not None:
            await listener.end()

    async def _arrived(self, arrival: Arrival) -> None:
        self._arrivals.append(arrival)
        self._arrival.set()

    async def _info(self) -> Json:
        return await ask_api(self._wire, f"STREAM.INFO.{self._stream}", timeout=_ASK_SECONDS)
