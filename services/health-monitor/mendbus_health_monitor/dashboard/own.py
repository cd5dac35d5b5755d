"""The dashboard's own place on the bus: a user of its own, since what it reads and orders is not the service's."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Final

import mendbus.bus.nats as nats_bus
from mendbus.bus import Bus
from mendbus.contracts.errors import BusError
from mendbus.runtime import Runtime
from mendbus.security.access import access
from mendbus.security.credentials import DASHBOARD

log = logging.getLogger("mendbus")

_PAUSE_SECONDS: Final = 1.0
_CLOSE_SECONDS: Final = 5.0


async def keep(runtime: Runtime, show: Callable[[Runtime], Callable[[], None]]) -> None:
    """Calls `show` with the dashboard's own runtime, and anew whenever its connection is gone for good.

    What `show` spawns ends with the connection; what it returns is called then. The service goes on all the while.
    """
    while True:
        async with _connected(runtime) as (bus, gone), asyncio.TaskGroup() as tasks:
            own = replace(runtime, bus=bus, tasks=tasks, spawned=set[asyncio.Task[None]]())
            hide = show(own)
            try:
                log.error("the dashboard lost its connection: %s", await gone)
            finally:
                hide()
                for task in own.spawned:
                    _ = task.cancel()
        await asyncio.sleep(_PAUSE_SECONDS)


@asynccontextmanager
async def _connected(runtime: Runtime) -> AsyncGenerator[tuple[Bus, Awaitable[str]]]:
    gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def on_dead(reason: str) -> None:
        if not gone.done():
            gone.set_result(reason)

    settings = runtime.settings
    files = settings.model_copy(update={"nats_credentials": settings.dashboard_credentials})
    told = ""
    while True:
        try:
            bus = await nats_bus.connect(
                settings.nats_url,
                name=f"dashboard/{runtime.instance}",
                on_dead=on_dead,
                access=access(files, DASHBOARD),
            )
            break
        except BusError as error:
            if told != str(error):
                log.error("the dashboard is not served yet, it is tried again: %s", error)
            told = str(error)
            await asyncio.sleep(_PAUSE_SECONDS)
    try:
        yield bus, gone
    finally:
        with suppress(TimeoutError, BusError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await bus.close()
