"""A server that comes back with nothing: that is said, and over when the streams are there again."""

import asyncio
import json
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from tests.harness import ServiceProcess, assert_exact, installation, make_agents, settled_ledger

from mendbus.testing import eventually


def _readyz(port: int) -> tuple[int, dict[str, Any]]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2.0) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


async def test_services_say_that_the_streams_are_gone_and_heal(tmp_path: Path) -> None:
    """After an emptied volume `/readyz` is 503 with the reason and the remedy; after that, errors are recovered."""
    names = ("strategy-selector", "executor")
    async with installation(tmp_path, *names, environment={"MENDBUS_HTTP_PORT": "0"}) as system:

        async def conditions(service: ServiceProcess, status: int) -> dict[str, Any]:
            answered, told = await asyncio.to_thread(_readyz, service.http_port)
            return told["services"][service.name]["conditions"] if answered == status else {}

        selector, executor = (system.named(name)[0] for name in names)
        assert await conditions(selector, 200)
        system.server.kill()
        shutil.rmtree(system.server.data_dir / "jetstream")
        await system.server.begin_async()
        for service in (selector, executor):
            told = await eventually(lambda s=service: _with_streams(conditions(s, 503)), 10.0, every=0.1)
            assert "restart a service" in told["streams"]["detail"]
        await executor.terminate()
        await system.run("executor")
        assert (await eventually(lambda: conditions(selector, 200), 10.0, every=0.1))["streams"]["ok"]
        bus = await system.connect()
        agents = await make_agents(bus, system.subjects, 2, hello=False)
        for agent in agents:
            await agent.report("Lost")
        ledger = await settled_ledger(bus, system.subjects, agents)
        assert_exact(ledger, agents)
        assert {outcome.outcome for outcome in ledger.told.values()} == {"recovered"}
        await bus.close()


async def _with_streams(asked: Any) -> dict[str, Any]:
    told = await asked
    return told if not told.get("streams", {"ok": True})["ok"] else {}
