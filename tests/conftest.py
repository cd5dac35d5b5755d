"""What all tests share: a real NATS server, buses of both kinds, a root of their own, and a look at what they leave."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, cast

import pytest

from mendbus.bus import Bus
from mendbus.bus import nats as nats_bus
from mendbus.bus.memory import MemoryServer
from mendbus.server import NatsServer

Connect = Callable[[str], Awaitable[Bus]]

_ROOTS = itertools.count(1)
_WIND_DOWN = 20
"""Turns of the event loop in which what has been cancelled may end."""


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One real server for all tests that do not harm it."""
    server = NatsServer.start(tmp_path_factory.mktemp("nats"))
    yield server
    server.stop()


@pytest.fixture
def root() -> str:
    """First tokens of subjects that no other test uses."""
    return f"test.v{next(_ROOTS)}"


@pytest.fixture(params=["memory", "nats"])
async def connect_bus(request: pytest.FixtureRequest) -> AsyncIterator[Connect]:
    """Connects buses to one server, in memory or real, and closes them after the test."""
    buses: list[Bus] = []
    memory = MemoryServer()

    async def connect(name: str) -> Bus:
        if request.param == "memory":
            buses.append(memory.connect(name))
        else:
            server = cast("NatsServer", request.getfixturevalue("nats_server"))
            buses.append(await nats_bus.connect(server.url, name=name, prefix_inbox=f"_INBOX_{name}"))
        return buses[-1]

    yield connect
    for bus in buses:
        await bus.close()


@pytest.fixture
async def bus(connect_bus: Connect) -> Bus:
    """One bus of each kind."""
    return await connect_bus("test")


@pytest.fixture(autouse=True)
async def _no_tasks_left() -> AsyncIterator[None]:
    """A test that leaves tasks behind fails: nobody would see how they end."""
    before = asyncio.all_tasks()
    yield
    for _ in range(_WIND_DOWN):
        left = asyncio.all_tasks() - before - {cast("asyncio.Task[Any]", asyncio.current_task())}
        if not left:
            return
        await asyncio.sleep(0)
    pytest.fail(f"the test left tasks behind: {sorted(task.get_name() for task in left)}")
