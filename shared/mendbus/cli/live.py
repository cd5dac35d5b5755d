"""The live view: reads what there is, follows what comes, and redraws in place until Ctrl-C."""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable
from typing import Final

from rich.console import Console, Group
from rich.live import Live

from mendbus.asking.view import View
from mendbus.bus import Bus
from mendbus.cli.connect import connected
from mendbus.cli.drawing import draw
from mendbus.contracts.errors import BusClosed, BusError
from mendbus.settings import Settings

_REDRAW_SECONDS: Final = 0.5
_QUICK_SECONDS: Final = 0.1
"""How soon what has come is drawn: not each message on its own."""
_ENDING: Final = (signal.SIGINT, signal.SIGTERM)


async def show(settings: Settings, console: Console | None = None, now: Callable[[], int] = time.time_ns) -> None:
    """Draws until SIGINT or SIGTERM, then leaves the terminal as it was. Raises `BusError` when the bus is gone."""
    console = console or Console(highlight=False)
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    async with connected(settings) as bus:
        view = View(bus, settings.subjects, now)
        await view.listen()
        for number in _ENDING:
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGWINCH, view.news.set)
        try:
            async with asyncio.TaskGroup() as tasks:
                reading = tasks.create_task(_keep_loaded(view, bus))
                with Live(console=console, screen=True, auto_refresh=False) as screen:
                    where = f"{settings.root} on {settings.nats_url}"
                    await _redraw(view, bus, where, console, screen, stop)
                reading.cancel()
        except* BusClosed as gone:
            raise BusError(f"the connection to {settings.nats_url} is gone for good") from gone
        finally:
            for number in (*_ENDING, signal.SIGWINCH):
                loop.remove_signal_handler(number)


async def _keep_loaded(view: View, bus: Bus) -> None:
    """Reads everything at the start, and again after each reconnect: what was told meanwhile was not heard."""
    while True:
        reconnects = bus.reconnects
        await view.load()
        while bus.reconnects == reconnects or not bus.connected:  # noqa: ASYNC110 - nobody tells of a reconnect
            await asyncio.sleep(_REDRAW_SECONDS)


async def _redraw(view: View, bus: Bus, where: str, console: Console, screen: Live, stop: asyncio.Event) -> None:
    board = view.board
    while not stop.is_set():
        view.news.clear()
        width, height = console.size
        if bus.closed:
            raise BusClosed
        if not bus.connected:
            board.problem = "not connected: what is shown is from before"
        screen.update(Group(*draw(board, where, width, height)), refresh=True)
        # Both a signal and news end the wait; news that keep coming do not draw without pause.
        for seconds, event in ((_QUICK_SECONDS, stop), (_REDRAW_SECONDS, view.news)):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(event.wait(), seconds)
            if stop.is_set():
                return
