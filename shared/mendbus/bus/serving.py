"""Messages handed to a handler of the services' own, one at a time or several."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar, cast

from mendbus.bus import Handler, Message
from mendbus.bus.wire import Arrival, Listening, Wire

_log = logging.getLogger(__name__)

_FINISH_SECONDS = 30.0

T = TypeVar("T")


class Served:
    """A subscription with a handler of the services' own."""

    def __init__(self, handler: Handler, concurrency: int) -> None:
        self._handler = handler
        self._slots = asyncio.Semaphore(concurrency) if concurrency > 1 else None
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: Listening | None = None
        self._subscriptions: set[Served] = set()

    async def start(self, wire: Wire, subject: str, queue: str, subscriptions: "set[Served]") -> None:
        """Subscribes; keeps itself in the set until it has been stopped."""
        self._listener = await wire.listen(subject, self._arrived, queue)
        self._subscriptions = subscriptions
        subscriptions.add(self)

    async def stop(self) -> None:
        """See `Subscription`. Handlers that take longer than 30 s are cancelled."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        try:
            async with asyncio.timeout(_FINISH_SECONDS):
                await listener.finish()
                if self._tasks:
                    _ = await asyncio.wait(self._tasks)
        except TimeoutError:
            _log.warning("handlers were still at work %g s after their subscription ended", _FINISH_SECONDS)
        finally:
            self._subscriptions.discard(self)
            await listener.end()
            for task in self._tasks:
                task.cancel()

    async def _arrived(self, arrival: Arrival) -> None:
        message = Message(arrival.subject, arrival.data, arrival.headers or {}, arrival.reply)
        if self._slots is None:
            await guarded(self._handler, message, message.subject)
            return
        _ = await self._slots.acquire()
        task = asyncio.create_task(guarded(self._handler, message, message.subject))
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        cast("asyncio.Semaphore", self._slots).release()


async def guarded(handler: Callable[[T], Awaitable[None]], message: T, subject: str) -> None:
    """Calls a handler; what it raises is logged."""
    try:
        await handler(message)
    except asyncio.CancelledError:
        # One that comes out of the handler itself must not end the reader that called it.
        if cast("asyncio.Task[None]", asyncio.current_task()).cancelling():
            raise
        _log.exception("the handler of %r was cancelled from inside", subject)
    except Exception:
        _log.exception("the handler of %r failed", subject)
