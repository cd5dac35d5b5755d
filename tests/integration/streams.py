"""What the tests of the bus share: streams, consumers and messages of their own."""

import asyncio
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from mendbus.bus import Bus, ConsumerSpec, Consumption, Delivery, Message, StoredMessage, StreamSpec
from mendbus.bus.nats import NatsBus
from mendbus.contracts.errors import BusTimeout, NoResponders

STREAM = StreamSpec("S", ("s.>",))
WORKER = ConsumerSpec("S", "worker", ("s.>",), ack_wait=0.5)


def stream_of(root: str, **settings: object) -> StreamSpec:
    return replace(StreamSpec(root.replace(".", "_"), (f"{root}.>",)), **settings)  # pyright: ignore[reportArgumentType]


async def stored_stream(bus: Bus, root: str, **settings: object) -> str:
    """A stream for all subjects below a root."""
    spec = stream_of(root, **settings)
    assert await bus.ensure([spec], []) == []
    return spec.name


async def durable(bus: Bus, root: str, *, ack_wait: float = 5.0, pending: int = 500) -> ConsumerSpec:
    spec = ConsumerSpec(root.replace(".", "_"), "worker", (f"{root}.>",), ack_wait, pending)
    assert await bus.ensure([], [spec]) == []
    return spec


async def fill(bus: Bus, subject: str, count: int) -> None:
    for number in range(count):
        await bus.store(subject, b"%d" % number)


async def bodies(bus: Bus, stream: str, subject: str, **how: int | bool) -> list[bytes]:
    return [message.body async for message in bus.read(stream, subject, **how)]  # pyright: ignore[reportArgumentType]


async def take(consumption: Consumption, count: int, timeout: float = 5.0) -> list[Delivery]:
    taken: list[Delivery] = []
    async with asyncio.timeout(timeout):
        while len(taken) < count:
            taken += await consumption.take(count - len(taken))
    return taken


async def ignore(_: StoredMessage | Message) -> None:
    """A handler that does nothing."""


def client_of(bus: NatsBus) -> Any:
    """The client library's own client."""
    return cast("Any", bus)._link._client


async def store_until_kept(bus: Bus, body: bytes, name: str) -> None:
    """As an agent does: the same id until the server has said that it is kept."""
    while True:
        try:
            await bus.store("s.x", body, id=name, timeout=1.0)
        except (BusTimeout, NoResponders):
            await asyncio.sleep(0.02)
        else:
            return


def hang(pid: int) -> None:
    """Stops a process, and returns when all of it stands still."""
    os.kill(pid, signal.SIGSTOP)
    while " T " not in Path(f"/proc/{pid}/stat").read_text():
        time.sleep(0.001)
