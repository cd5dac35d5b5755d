"""Links between the lab's processes: TCP proxies that can be told to refuse, delay, drop, truncate or fall silent."""

import asyncio
import random
from contextlib import suppress
from dataclasses import dataclass

_CHUNK = 65536


@dataclass(slots=True)
class Weather:
    """What a link does. `refuse`: nobody listens; `cut`: open connections end and new ones too; `silent`: bytes vanish;
    `delay`: seconds each chunk takes; `drop`: share of new connections that end at once; `lose`: share of chunks on
    which the connection breaks; `truncate`: so many bytes of what the far side says arrive, then the connection ends
    (0: all do).
    """

    refuse: bool = False
    cut: bool = False
    silent: bool = False
    delay: float = 0.0
    drop: float = 0.0
    lose: float = 0.0
    truncate: int = 0


class Link:
    """One proxy. `port` stays the same, whatever the weather."""

    def __init__(self, target: int, seed: int = 0) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._chance = random.Random(seed)
        self._clearing: asyncio.TimerHandle | None = None
        self.weather = Weather()
        self.port = 0

    async def start(self) -> None:
        """Listens on a port of the system's choice, or on the one that it had."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def set(self, weather: Weather, seconds: float = 0.0) -> None:
        """Changes the weather, for so many seconds or until it is changed again (0). A link that refuses or is cut
        also ends what is open.
        """
        if self._clearing is not None:
            self._clearing.cancel()
            self._clearing = None
        before, self.weather = self.weather, weather
        if weather.refuse and self._server is not None:
            self._server.close()
            self._server = None
        if weather.refuse or weather.cut or (before.silent and not weather.silent):
            self._abort()
        if not weather.refuse and self._server is None:
            await self.start()
        if seconds:
            self._clearing = asyncio.get_running_loop().call_later(seconds, self._clear)

    def _clear(self) -> None:
        self._clearing = None
        task = asyncio.create_task(self.set(Weather()), name="clear up")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _abort(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    def aim(self, target: int) -> None:
        """Leads to another port from now on; what is open is cut."""
        self._target = target
        for writer in list(self._open):
            writer.transport.abort()

    async def stop(self) -> None:
        """Ends it."""
        if self._clearing is not None:
            self._clearing.cancel()
        if self._server is not None:
            self._server.close()
        self._abort()
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
        for source, sink, back in ((reader, far_writer, False), (far_reader, writer, True)):
            self._open.add(sink)
            task = asyncio.create_task(self._pump(source, sink, back))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, back: bool) -> None:
        passed = 0
        with suppress(ConnectionError):
            # A connection that was cut meanwhile is closing, and takes nothing more.
            while (chunk := await source.read(_CHUNK)) and not sink.is_closing():
                weather = self.weather
                if weather.silent:
                    continue
                if self._chance.random() < weather.lose:
                    sink.transport.abort()
                    break
                if weather.delay:
                    await asyncio.sleep(weather.delay)
                    if sink.is_closing():
                        break
                if back and weather.truncate:
                    sink.write(chunk[: max(0, weather.truncate - passed)])
                    passed += len(chunk)
                    if passed >= weather.truncate:
                        break
                    continue
                sink.write(chunk)
                await sink.drain()
        self._open.discard(sink)
        with suppress(Exception):
            sink.close()
