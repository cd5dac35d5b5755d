"""Brings every change of an alert into the stream ALERTS, in order, however long the server refuses."""

import asyncio
import logging
from collections import deque
from typing import Final

from mendbus import codec
from mendbus.contracts.errors import BusError
from mendbus.contracts.messages import Alert
from mendbus.contracts.subjects import CONTENT_TYPE, HEADER_CONTENT_TYPE, MAX_SERVICE_BODY
from mendbus.runtime import Runtime

log = logging.getLogger("mendbus")

_RETRY_SECONDS: Final = 1.0
_KEEP_SECONDS: Final = 5.0
_WAITING_ALERTS: Final = 1000
_NANO: Final = 1_000_000_000
_UNSYNCED_NANO: Final = 10 * _NANO
"""How old an alert is at least that a killed server has on disk: ALERTS is acknowledged before it is written."""
_KEPT_NANO: Final = 60 * _NANO
"""How much older than the last one stored an alert may be to be kept: more than a look at the connection takes."""
_UNSYNCED_ALERTS: Final = 1000


class Storing:
    """A queue of changes, and the one task that empties it."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._waiting: asyncio.Queue[Alert] = asyncio.Queue(_WAITING_ALERTS)
        self._stored: deque[tuple[int, bytes]] = deque(maxlen=_UNSYNCED_ALERTS)
        """When each was made, and the packed alert."""

    async def put(self, alert: Alert) -> None:
        """Takes a change in; waits while very many are not stored."""
        await self._waiting.put(alert)

    async def keep(self, alert: Alert) -> None:
        """Takes a change in and returns when it is stored, or has not been for 5 s."""
        await self._waiting.put(alert)
        try:
            async with asyncio.timeout(_KEEP_SECONDS):
                await self._waiting.join()
        except TimeoutError:
            log.warning("the alert %s is not stored yet", alert.key)

    async def done(self) -> None:
        """Returns when everything is stored."""
        await self._waiting.join()

    async def run(self) -> None:
        """Stores what comes, for ever."""
        while True:
            alert = await self._waiting.get()
            while True:
                if await self._store(alert):
                    break
                await asyncio.sleep(_RETRY_SECONDS)
            self._stored.append((alert.time_unix_nano, codec.encode(alert)))
            while self._stored[0][0] < alert.time_unix_nano - _KEPT_NANO:
                _ = self._stored.popleft()
            self._waiting.task_done()

    async def again(self, connected_unix_nano: int) -> None:
        """Stores once more what a server that was killed after that time may not have on disk."""
        since = connected_unix_nano - _UNSYNCED_NANO
        again = [body for at, body in self._stored if at >= since]
        self._stored.clear()
        for body in again:
            await self._waiting.put(codec.decode(Alert, body, MAX_SERVICE_BODY))

    async def _store(self, alert: Alert) -> bool:
        subject = self._runtime.subjects.alert(alert.state, alert.severity)
        try:
            await self._runtime.bus.store(
                subject, codec.encode(alert), {HEADER_CONTENT_TYPE: CONTENT_TYPE}, id=alert.id
            )
        except BusError as error:
            # The log is the path that does not use the bus.
            log.error("cannot store the %s alert %r: %s", alert.severity, alert.summary, error)
            self._runtime.readiness.set("alerts", False, f"alerts cannot be stored: {error}")
            return False
        self._runtime.readiness.set("alerts", True)
        return True
