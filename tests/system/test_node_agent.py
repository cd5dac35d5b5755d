"""The agent in Node, written from `proto/` alone, keeps the contract and is recovered by the real services."""

import asyncio
import json
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.harness import Installation, installation

from mendbus import codec
from mendbus.conformance import conform
from mendbus.contracts.messages import RecoveryOutcome
from mendbus.contracts.subjects import MAX_SERVICE_BODY
from mendbus.testing import eventually

pytestmark = [pytest.mark.node, pytest.mark.timeout(180)]

EXAMPLE = Path(__file__).parents[2] / "proto" / "examples" / "node"
OLDEST = 20
KIND, ID = "developer_tools", "node-1"


@pytest.fixture(scope="module")
def agent_folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A folder of its own with the agent and its packages; skips where they cannot be had."""
    if "node" not in request.config.option.markexpr:
        pytest.skip("the Node agent needs packages from npm: run `make test-node`")
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("the Node agent needs node and npm on the PATH: install Node.js 20 or newer")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < OLDEST:
        pytest.skip(f"the Node agent needs Node.js {OLDEST} or newer, this is {version}")
    folder = tmp_path_factory.mktemp("node-agent")
    for name in ("agent.mjs", "package.json"):
        shutil.copy(EXAMPLE / name, folder)
    install = [npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        pytest.skip(f"the packages of the Node agent could not be installed: {done.stderr.strip()[-400:]}")
    return folder


class NodeAgent:
    """A running Node agent and what it has said."""

    def __init__(self, process: asyncio.subprocess.Process, settings: Path) -> None:
        self.process = process
        self.settings = settings
        self.said: list[dict[str, Any]] = []

    async def listen(self) -> None:
        """Reads what it says until it ends."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.said.append(json.loads(line) if line.startswith(b"{") else {"event": line.decode()})

    def heard(self, event: str, **facts: object) -> list[dict[str, Any]]:
        """What it said of that kind."""
        return [line for line in self.said if line["event"] == event and facts.items() <= line.items()]


@asynccontextmanager
async def node_agent(folder: Path, place: Installation) -> AsyncIterator[NodeAgent]:
    """The agent as a process, greeted by the health-monitor."""
    settings = place.folder / "settings.json"
    settings.write_text('{"port": 8080}')
    process = await asyncio.create_subprocess_exec(
        "node",
        "agent.mjs",
        cwd=folder,
        env={**os.environ, "NATS_URL": place.server.url, "AGENT": f"{KIND}/{ID}", "FILE": str(settings)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    agent = NodeAgent(process, settings)
    listening = asyncio.create_task(agent.listen())
    try:
        await eventually(lambda: agent.heard("greeted"), 15.0)
        yield agent
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 10.0) == 0, agent.said
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        await listening


async def test_node_agent_conforms_and_is_recovered(agent_folder: Path, tmp_path: Path) -> None:
    """An agent in another language passes every check, is healed of an error within its own trace, and hears of it."""
    traced = {"MENDBUS_TRACE": "true"}
    async with installation(tmp_path, environment=traced) as place, node_agent(agent_folder, place) as agent:
        bus = await place.connect()
        checks = await conform(bus, place.subjects, KIND, ID)
        assert [check for check in checks if check.verdict != "pass" and check.name != "error"] == []

        agent.settings.write_text('{"port": ')
        await eventually(lambda: agent.heard("outcome", outcome="recovered"), 20.0)
        assert json.loads(agent.settings.read_text()) == {"port": 8080}
        assert agent.heard("command", strategy="rollback", action="apply", status="done")
        (reported,) = agent.heard("reported")
        await eventually(lambda: agent.heard("settled", id=reported["id"], outcome="recovered"), 20.0)
        await eventually(lambda: agent.heard("outcome", outcome="recovered", settled=True), 20.0)
        stored = await bus.last(place.subjects.stream("RECOVERIES"), place.subjects.outcome(KIND, ID))
        assert stored is not None
        outcome = codec.decode(RecoveryOutcome, stored.body, MAX_SERVICE_BODY)
        assert outcome.trace_id == reported["trace"]
        await bus.close()
