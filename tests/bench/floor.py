"""The floor: four processes that hand the same error on over bare nats-py, and promise nothing.

`python -m tests.bench.floor N` is stage N: it decodes, encodes and publishes to the next.
"""

import asyncio
import os
import sys
import time
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

import msgpack  # pyright: ignore[reportMissingTypeStubs]
import nats
from nats.aio.msg import Msg
from tests.bench.figures import Book
from tests.bench.plan import ROOT, Plan, pause
from tests.bench.processes import spawn

from mendbus import codec
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import AgentRef, ErrorReported, ExceptionInfo, Frame
from mendbus.server import NatsServer
from mendbus.service import run_loop

STAGES = 4
# The client and the codec as any user has them, without this project's own layers; neither is typed throughout.
_connect = cast("Callable[[str], Awaitable[Any]]", nats.connect)
_packb = cast("Callable[[Any], bytes]", cast("Any", msgpack).packb)
_unpackb = cast("Callable[[bytes], Any]", cast("Any", msgpack).unpackb)

_READY = "floor.ready"
_WINDOW = 500
_SECONDS = 30.0


async def measure(plan: Plan, book: Book, folder: Path) -> None:
    """One at a time for the times, then as many as are under way at once for the rate."""
    folder.mkdir(parents=True)
    server = NatsServer.start(folder / "nats")
    try:
        async with floor_on(server.url, folder) as floor:
            for run in range(plan.runs + 1):
                taken, rate = await floor.times(plan.errors), await floor.rate(plan.floor_seconds)
                # The first run warms up.
                if run:
                    book.note_times("floor", "untraced", taken)
                    book.note("floor.rate", "untraced", rate)
            book.describe("floor", "untraced", body_bytes=len(floor.body), under_way=_WINDOW)
    finally:
        server.stop()


@asynccontextmanager
async def floor_on(url: str, folder: Path) -> AsyncGenerator["Floor"]:
    """The four stages on a server that runs."""
    async with AsyncExitStack() as stack:
        connection = await _connect(url)
        stack.push_async_callback(connection.close)
        ready = asyncio.Queue[Msg]()
        await connection.subscribe(_READY, cb=_into(ready))
        await connection.flush()
        for number in range(1, STAGES + 1):
            stage = await spawn(["tests.bench.floor", str(number)], {"NATS_URL": url}, folder)
            stack.push_async_callback(stage.end)
        for _ in range(STAGES):
            await asyncio.wait_for(ready.get(), _SECONDS)
        yield Floor(connection)


class Floor:
    """The agent's side of the floor: what it sends comes back from the last stage."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.body = _error_body()

    async def times(self, number: int) -> list[float]:
        """Milliseconds of the whole way, one at a time."""
        back = asyncio.Queue[Msg]()
        subscription = await self._connection.subscribe(f"floor.{STAGES + 1}", cb=_into(back))
        await self._connection.flush()
        taken: list[float] = []
        for _ in range(number):
            begun = time.perf_counter_ns()
            await self._connection.publish("floor.1", self.body)
            await asyncio.wait_for(back.get(), _SECONDS)
            taken.append((time.perf_counter_ns() - begun) / 1e6)
            await pause()
        await subscription.unsubscribe()
        return taken

    async def rate(self, seconds: float) -> float:
        """Messages a second with many under way."""
        room = asyncio.Semaphore(_WINDOW)
        arrived = 0

        async def back(_: Msg) -> None:
            nonlocal arrived
            arrived += 1
            room.release()

        subscription = await self._connection.subscribe(f"floor.{STAGES + 1}", cb=back)
        begun = time.perf_counter()
        while time.perf_counter() - begun < seconds:
            await asyncio.wait_for(room.acquire(), _SECONDS)
            await self._connection.publish("floor.1", self.body)
        rate = arrived / (time.perf_counter() - begun)
        for _ in range(_WINDOW):
            await asyncio.wait_for(room.acquire(), _SECONDS)
        await subscription.unsubscribe()
        return rate


def _into(queue: asyncio.Queue[Msg]) -> Callable[[Msg], Awaitable[None]]:
    async def put(message: Msg) -> None:
        queue.put_nowait(message)

    return put


def _error_body() -> bytes:
    """An error as large as the SDK writes one."""
    error = _captured()
    frames = [
        Frame(file=place.filename, function=place.name, line=place.lineno or 0, in_app=True)
        for place in traceback.extract_tb(error.__traceback__)
    ]
    return codec.encode(
        ErrorReported(
            id=new_id(),
            time_unix_nano=time.time_ns(),
            agent=AgentRef(kind="runtime", id="a0", instance=new_id()),
            exception=ExceptionInfo(
                type=type(error).__name__,
                message=str(error),
                stacktrace="".join(traceback.format_exception(error)),
                frames=frames,
            ),
            severity="error",
            operation="read",
            metrics={"cpu_percent": 3.0, "memory_bytes": 4e7, "disk_percent": 20.0, "errors_per_s": 1.0},
        )
    )


def _captured() -> OSError:
    try:
        _ = (ROOT / "there is no such file").read_bytes()
    except OSError as error:
        return error
    msg = f"{ROOT} has a file that it must not have"
    raise AssertionError(msg)


async def stage(number: int) -> None:
    """One stage, until its parent goes."""
    connection = await _connect(os.environ["NATS_URL"])

    async def hand_on(message: Msg) -> None:
        await connection.publish(f"floor.{number + 1}", _packb(_unpackb(message.data)))

    await connection.subscribe(f"floor.{number}", cb=hand_on)
    await connection.flush()
    await connection.publish(_READY, b"")
    await asyncio.to_thread(sys.stdin.read)
    await connection.close()


if __name__ == "__main__":
    run_loop(stage(int(sys.argv[1])))
