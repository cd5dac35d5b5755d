"""The dashboard of real services on a real server: its numbers are the command line's, and it is told what happens."""

import asyncio
import json
import socket
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.harness import Installation, ProtocolAgent, installation
from tests.system.commands import in_json, mendbus

from mendbus import codec
from mendbus.bus import Bus
from mendbus.contracts.errors import Refused
from mendbus.contracts.messages import HealthSample
from mendbus.runtime import store_dead_letter
from mendbus.testing import eventually

CHECKPOINT = "018bcfe5-6800-7000-8000-0000000000ff"
TOKEN = "sixteen-characters-long"
POLICY = 'settle_seconds = 0.2\nrequire_approval = ["restart"]\n'


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@asynccontextmanager
async def shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Installation, Bus, str]]:
    """All services, an agent that was recovered once and waits for an approval once; and where the dashboard is."""
    port = _free_port()
    environment = {
        "MENDBUS_DASHBOARD_PORT": str(port),
        "MENDBUS_DASHBOARD_TOKEN": TOKEN,
        "MENDBUS_TRACE": "true",
    }
    async with installation(folder, policy=POLICY, environment=environment) as system:
        monkeypatch.setenv("NATS_URL", system.server.url)
        monkeypatch.setenv("MENDBUS_DATA_DIR", str(folder))
        bus = await system.connect()
        try:
            yield system, bus, f"http://127.0.0.1:{port}"
        finally:
            await bus.close()


async def fill(system: Installation, bus: Bus) -> None:
    """Something for every page."""
    well = ProtocolAgent(bus, system.subjects, "runtime", "well")
    asking = ProtocolAgent(bus, system.subjects, "runtime", "asking", strategies=("restart",))
    for agent in (well, asking):
        await agent.start()
        await agent.say_hello()
        await agent.report("Broken")
        sample = HealthSample(
            agent=agent.ref, time_unix_nano=1, sequence=1, interval_ms=60_000, metrics={"memory_bytes": 8e8}
        )
        await bus.publish(system.subjects.health(agent.kind, agent.id), codec.encode(sample))
    await bus.put_object(system.subjects.bucket("checkpoints"), f"runtime/well/{CHECKPOINT}", b"x")
    refused = Refused("bad_json", "no JSON")
    await store_dead_letter(bus, system.subjects.dead("classifier"), "a.b", b"\xc1", {"k": "v"}, refused)


def get(url: str) -> Any:
    """What the dashboard answers."""
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return {"status": error.code, **json.load(error)}


def post(url: str, token: str, body: dict[str, Any]) -> int:
    """The status of an order."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


async def test_every_number_is_the_command_line_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each question of each page, for the same range, has word for word the answer of its command."""
    async with shown(tmp_path, monkeypatch) as (system, bus, url):
        await fill(system, bus)

        async def outcomes() -> Any:
            found = await asyncio.to_thread(in_json, "incidents")
            states = {one["outcome"] for one in found if one.get("settled") or one["outcome"] == "awaiting_approval"}
            return found if states == {"recovered", "awaiting_approval"} else None

        incidents = await eventually(outcomes, 15.0)
        begun, ended = "2026-01-01T00:00:00Z", "2100-01-01T00:00:00Z"
        pages: dict[str, tuple[str, ...]] = {
            "/api/agents": ("health",),
            "/api/agents/runtime/well": ("health", "runtime/well"),
            "/api/agents/runtime/well/checkpoints": ("checkpoints", "runtime/well"),
            "/api/incidents?since=2h": ("incidents", "--since", "2h"),
            "/api/incidents?open=1&limit=1": ("incidents", "--open", "--limit", "1"),
            "/api/incidents?agent=runtime/well": ("incidents", "--agent", "runtime/well"),
            f"/api/incidents/{incidents[0]['incident_id']}": ("explain", incidents[0]["incident_id"], "--audit"),
            f"/api/incidents/{incidents[0]['incident_id']}/trace": ("trace", "--incident", incidents[0]["incident_id"]),
            "/api/alerts": ("alerts",),
            "/api/alerts?all=1&since=1h": ("alerts", "--all", "--since", "1h"),
            "/api/silences": ("alerts", "silences"),
            "/api/pauses": ("pauses",),
            f"/api/analytics?from={begun}&to={ended}": ("analytics", "--from", begun, "--to", ended),
            "/api/capacity": ("capacity",),
            "/api/capacity?target=runtime/well": ("capacity", "runtime/well"),
            "/api/predictions": ("predictions",),
            "/api/dead": ("dead", "list"),
            "/api/dead/1": ("dead", "show", "1"),
        }
        assert post(f"{url}/api/actions/pause", TOKEN, {"by": "kim", "target": "batch"}) == 200
        assert post(f"{url}/api/actions/silence", TOKEN, {"by": "kim", "kind": "batch"}) == 200
        for path, words in pages.items():

            async def same(path: str = path, words: tuple[str, ...] = words) -> bool:
                # What goes on meanwhile (a reading of the streams, a sample) may fall between the two answers.
                asked = await asyncio.to_thread(get, url + path)
                assert asked
                assert "error" not in asked
                return asked == await asyncio.to_thread(in_json, *words)

            assert await eventually(same, 15.0), (path, get(url + path), in_json(*words))
        listed = await asyncio.to_thread(mendbus, "pauses")
        assert listed.stdout.splitlines()[1].split()[0] == "batch"
        assert (await asyncio.to_thread(mendbus, "checkpoints", "runtime/asking")).stdout == "no checkpoints\n"
        assert CHECKPOINT in (await asyncio.to_thread(mendbus, "checkpoints", "runtime/well")).stdout
