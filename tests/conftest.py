"""What all tests share: a real NATS server, buses of both kinds, a root of their own, and a look at what they leave."""

import asyncio
import itertools
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from tests.integration.streams import STREAM, WORKER

from mendbus.bus import Bus
from mendbus.bus import nats as nats_bus
from mendbus.bus.memory import MemoryServer
from mendbus.server import NatsServer

Connect = Callable[[str], Awaitable[Bus]]

for _name in ("COLUMNS", "LINES"):
    # Set in the processes that run tests side by side; what is tried here has no terminal, and must not be told of one.
    _ = os.environ.pop(_name, None)

_ROOTS = itertools.count(1)
_WIND_DOWN = 20
"""Turns of the event loop in which what has been cancelled may end."""


def pytest_configure(config: pytest.Config) -> None:
    """Marks of tests that need more than Python."""
    config.addinivalue_line("markers", "go: needs Go and modules from its proxy, for `make test-go`")
    config.addinivalue_line("markers", "jaeger: needs a Jaeger, for `make test-jaeger`")
    # As a shell starts what ends in `&`: SIGINT is ignored, also by every program that a test presses Ctrl-C in.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        _ = signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def nats_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsServer]:
    """One real server for all tests that do not harm it."""
    server = NatsServer.start(tmp_path_factory.mktemp("nats"))
    yield server
    server.stop()


@pytest.fixture
def doomed_server(tmp_path: Path) -> Iterator[NatsServer]:
    """A server of the test's own, to be killed and stopped."""
    server = NatsServer.start(tmp_path / "doomed")
    yield server
    if server.running:
        os.kill(server.pid, signal.SIGCONT)
    server.stop()


@pytest.fixture
def deaths() -> list[str]:
    """What `on_dead` of `doomed_bus` was told."""
    return []


@pytest.fixture
async def doomed_bus(doomed_server: NatsServer, deaths: list[str]) -> AsyncIterator[nats_bus.NatsBus]:
    """A bus on that server, with one stream and one consumer."""
    connected = await nats_bus.connect(doomed_server.url, name="test", on_dead=deaths.append)
    await connected.ensure([STREAM], [WORKER])
    yield connected
    await connected.close()


@pytest.fixture
def quick_watchdog(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watchdog that looks often and waits a second for its message; to be named before `doomed_bus`."""
    monkeypatch.setattr(nats_bus, "_WATCH_SECONDS", 0.02)
    monkeypatch.setattr(nats_bus, "_ECHO_SECONDS", 1)


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
