"""What tests stand on: waiting for something to become true, and a real NATS server."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar, cast

from mendbus.server import NatsServer

__all__ = ["NatsServer", "eventually", "nats_server"]

T = TypeVar("T")


async def eventually(predicate: Callable[[], T | Awaitable[T]], timeout: float = 5.0, *, every: float = 0.01) -> T:
    """Asks until the answer is true, and returns it; the predicate may be a coroutine function.

    Raises `AssertionError` after `timeout` seconds, with the last answer, and as its cause the predicate's last
    `AssertionError`, so that a predicate may itself assert.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout
    while True:
        cause: AssertionError | None = None
        answer: object = None
        try:
            answer = predicate()
            if inspect.isawaitable(answer):
                answer = await cast("Awaitable[object]", answer)
        except AssertionError as error:
            cause, answer = error, None
        if answer:
            return cast("T", answer)
        if loop.time() > deadline:
            name = getattr(predicate, "__qualname__", repr(predicate))
            msg = f"{name} was not true within {timeout:g} s, its last answer was {answer!r}"
            raise AssertionError(msg) from cause
        await asyncio.sleep(every)


@contextmanager
def nats_server(data_dir: Path | None = None, *, port: int = 0, extra: str = "") -> Generator[NatsServer]:
    """A real server for the length of a block, with its files in a temporary folder unless one is named."""
    with TemporaryDirectory(prefix="mendbus-nats-") as folder:
        server = NatsServer.start(data_dir or Path(folder), port, extra=extra)
        try:
            yield server
        finally:
            server.stop()
