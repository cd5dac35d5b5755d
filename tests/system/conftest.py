"""An installation for the tests of commands."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.system.commands import MAX_BYTES, streams_of

from mendbus.bus.nats import connect
from mendbus.server import NatsServer
from mendbus.settings import Settings


@pytest.fixture
def settings(nats_server: NatsServer, tmp_path: Path, root: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """An installation of its own on the shared server."""
    for name, value in {
        "NATS_URL": nats_server.url,
        "MENDBUS_MONITOR_URL": nats_server.monitor_url,
        "MENDBUS_ROOT": root,
        "MENDBUS_DATA_DIR": str(tmp_path),
        "MENDBUS_STREAM_MAX_BYTES": str(MAX_BYTES),
    }.items():
        monkeypatch.setenv(name, value)
    made = Settings(
        nats_url=nats_server.url,
        monitor_url=nats_server.monitor_url,
        root=root,
        data_dir=tmp_path,
        stream_max_bytes=MAX_BYTES,
    )
    yield made
    asyncio.run(_clear(made))


async def _clear(settings: Settings) -> None:
    """Streams reserve their room on the server, which has not enough for one set each test."""
    bus = await connect(settings.nats_url, name="test")
    for name in await streams_of(bus, settings):
        await bus.request(f"$JS.API.STREAM.DELETE.{name}", b"", timeout=5.0)
    await bus.close()
