"""A coroutine under simulated time, without a schedule of faults: minutes pass at once, on however slow a machine."""

import asyncio
from collections.abc import Awaitable, Callable

from tests.simulation.clock import SimulatedLoop
from tests.simulation.determinism import determined

from mendbus.bus.memory import MemoryServer


def simulated(main: Callable[[MemoryServer], Awaitable[None]]) -> None:
    """Runs `main` to its end, on a server in memory that keeps the simulated time of day (as `time.time_ns` does)."""
    loop = SimulatedLoop()

    async def run() -> None:
        await main(MemoryServer(loop.time_unix_nano))

    with determined(1, loop.time_unix_nano):
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(loop.create_task(run()))
        finally:
            asyncio.set_event_loop(None)
            loop.close()
