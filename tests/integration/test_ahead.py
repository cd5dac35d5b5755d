"""What a standby has ready for its agent: a connection that is open and silent, and becomes the agent's own."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from tests.integration.sdk_system import ID, KIND, in_thread

from mendbus import Agent
from mendbus.bus.nats import connect_early
from mendbus.sdk import ahead
from mendbus.server import NatsServer
from mendbus.testing import eventually


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, root: str) -> Iterator[None]:
    monkeypatch.setenv("MENDBUS_TRACE_DIR", str(tmp_path / "traces"))
    monkeypatch.setenv("MENDBUS_ROOT", root)
    yield
    assert ahead.take("") is None


def connections(server: NatsServer, name: str) -> list[dict[str, Any]]:
    """The connections of that name, as the server sees them."""
    with urlopen(f"{server.monitor_url}/connz", timeout=5.0) as answer:
        return [found for found in json.load(answer)["connections"] if found.get("name") == name]


async def test_an_early_connection_is_silent_until_it_is_taken(nats_server: NatsServer) -> None:
    """It has neither sent nor subscribed to anything; taken, it is a bus like any other."""
    early = await connect_early(nats_server.url, name="early")
    [seen] = connections(nats_server, "early")
    assert (seen["in_msgs"], seen["subscriptions"]) == (0, 0)
    assert early.connected
    bus = await early.take(prefix_inbox="_INBOX_early")
    await bus.barrier()
    [seen] = connections(nats_server, "early")
    assert seen["subscriptions"] > 0
    await bus.close()
    await early.close()
    assert not early.connected


async def test_an_agent_takes_what_was_prepared(nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread and its connection are those of the standby, and a second agent makes its own."""
    monkeypatch.setenv("NATS_URL", nats_server.url)
    await in_thread(ahead.prepare)
    [seen] = connections(nats_server, f"standby {os.getpid()}")
    assert (seen["in_msgs"], seen["subscriptions"]) == (0, 0)
    with Agent(KIND, ID) as agent, Agent(KIND, "b2") as other:
        await eventually(lambda: agent.stats().connected and other.stats().connected)
        names = {name: connections(nats_server, name) for name in (seen["name"], f"{KIND}/b2/{other.instance}")}
        assert [found["cid"] for found in names[seen["name"]]] == [seen["cid"]]
        assert names[f"{KIND}/b2/{other.instance}"]
        assert not connections(nats_server, f"{KIND}/{ID}/{agent.instance}")


async def test_what_was_prepared_for_another_server_is_closed(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that is told another address connects there by itself."""
    monkeypatch.setenv("NATS_URL", nats_server.url)
    await in_thread(ahead.prepare)
    assert ahead.take("nats://127.0.0.1:1") is None
    name = f"standby {os.getpid()}"
    await eventually(lambda: not connections(nats_server, name))


async def test_without_a_server_a_standby_gets_warm_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives up waiting, and the agent connects for itself when there is a server."""
    monkeypatch.setenv("NATS_URL", "nats://127.0.0.1:1")
    monkeypatch.setattr(ahead, "_WAIT_SECONDS", 0.05)
    await in_thread(ahead.prepare)
    found = ahead.take("nats://127.0.0.1:1")
    assert found is not None
    assert found.connection() is None
    found.thread.start("test", found.close)
    assert await in_thread(found.thread.join, 5.0)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:1", "nonsense"])
async def test_a_standby_exports_no_spans(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, endpoint: str
) -> None:
    """What tracing needs is loaded ahead, silently; a wrong endpoint is the agent's to complain of."""
    monkeypatch.setenv("NATS_URL", nats_server.url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
    await in_thread(ahead.prepare)
    found = ahead.take(nats_server.url)
    assert found is not None
    found.thread.start("test", found.close)
    assert await in_thread(found.thread.join, 5.0)
    assert not caplog.records


async def test_wrong_settings_prepare_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program itself is to fail on them, in its own words."""
    monkeypatch.setenv("MENDBUS_NO_SUCH_THING", "1")
    ahead.prepare()
