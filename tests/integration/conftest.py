"""What the tests of the SDK share."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.integration.sdk_system import System

from mendbus.bus.nats import connect
from mendbus.server import NatsServer


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Spans go to the test's own folder."""
    monkeypatch.setenv("MENDBUS_TRACE_DIR", str(tmp_path / "traces"))


@pytest.fixture
async def system(nats_server: NatsServer, root: str, traces: None) -> AsyncIterator[System]:
    """A root of its own on the shared server."""
    bus = await connect(nats_server.url, name="system")
    system = System(bus, nats_server.url, root)
    await system.prepare()
    yield system
    await bus.close()


@pytest.fixture
def around(system: System, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> System:
    """The same, where processes that the test starts find it; they work in the test's own folder."""
    monkeypatch.setenv("NATS_URL", system.url)
    monkeypatch.setenv("MENDBUS_ROOT", system.subjects.root)
    monkeypatch.chdir(tmp_path)
    return system
