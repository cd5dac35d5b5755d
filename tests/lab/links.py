"""Links between the lab's processes: TCP proxies that can be told to refuse, delay, drop or fall silent."""

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass

_CHUNK = 65536


@dataclass(slots=True)
class Weather:
    """What a link does. `refuse`: nobody listens; `cut`: open connections end and new ones too; `silent`: bytes vanish;
    `delay`: seconds each chunk takes; `drop`: share of new connections that end at once.
    """

    refuse: bool = False
    cut: bool = False
    silent: bool = False
    delay: float = 0.0
    drop: float = 0.0


class Link:
    """One proxy. `port` stays the same, whatever the weather."""

    def __init__(self, target: int, seed: int = 0) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._chance = random.Random(seed)
        self.weather = Weather()
        self.port = 0

    async def start(self) -> None:
        """Listens on a port of the system's choice, or on the one that it had."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def set(self, weather: Weather) -> None:
        """Changes the weather. A link that refuses or is cut also ends what is open."""
        before, self.weather = self.weather, weather
        if weather.refuse and self._server is not None:
            self._server.close()
            self._server = None
        if weather.refuse or weather.cut or (before.silent and not weather.silent):
            for writer in list(self._open):
                writer.transport.abort()
        if not weather.refuse and self._server is None:
            await self.start()

    def aim(self, target: int) -> None:
        """Leads to another port from now on; what is open is cut."""
        self._target = target
        for writer in list(self._open):
            writer.transport.abort()

    async def stop(self) -> None:
        """Ends it."""
        if self._server is not None:
            self._server.close()
        for writer in list(self._open):
            writer.transport.abort()
        for task in list(self._tasks):
            _ = task.cancel()
        if self._tasks:
            _ = await asyncio.wait(self._tasks)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.weather.cut or self._chance.random() < self.weather.drop:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            self._open.add(sink)
            task = asyncio.create_task(self._pump(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while chunk := await source.read(_CHUNK):
                if self.weather.silent:
                    continue
                if self.weather.delay:
                    await asyncio.sleep(self.weather.delay)
                sink.write(chunk)
                await sink.drain()
        self._open.discard(sink)
        with suppress(Exception):
            sink.close()
