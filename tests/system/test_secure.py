"""`mendbus up --secure`: the whole pipeline with users, TLS and signatures, each within its rights."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from mendbus import Agent
from mendbus.contracts.subjects import Subjects
from mendbus.security.installation import Installation, settings_of
from mendbus.testing import eventually

READY_SECONDS = 30.0


class Up:
    """A running `mendbus up --secure` and its folder."""

    def __init__(self, folder: Path, process: asyncio.subprocess.Process) -> None:
        self.folder = folder
        self.process = process

    @property
    def state(self) -> dict[str, Any]:
        """What it says about itself."""
        found: dict[str, Any] = json.loads((self.folder / "up.json").read_bytes())
        return found

    async def command(self, *arguments: str, user: str = "") -> tuple[int, str]:
        """Exit status and words of a command; `user`: an operator whose credentials it shows."""
        environment = {**os.environ, "MENDBUS_DATA_DIR": str(self.folder)}
        if user:
            files = settings_of(self.folder / "secure")
            files["nats_credentials"] = files["nats_credentials"] / "operator" / f"{user}.nk"
            environment |= {f"MENDBUS_{name.upper()}": str(file) for name, file in files.items()}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from mendbus.cli import main; main()", *arguments),
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await asyncio.wait_for(process.communicate(), READY_SECONDS)
        return process.returncode or 0, said.decode()


@pytest.fixture
async def up(tmp_path: Path) -> AsyncIterator[Up]:
    """Everything, ready, with an agent and a viewer."""
    users = Installation.create(tmp_path / "secure", Subjects())
    _ = users.add("agent/runtime/r1")
    _ = users.add("operator/looks", "viewer")
    users.render()
    options = {"nats_port": 0, "http_port": 0, "data_dir": str(tmp_path), "json": True, "secure": True}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mendbus.up", json.dumps(options)),
        env={**os.environ, "MENDBUS_TRACE": "false"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(READY_SECONDS):
            async for line in process.stdout:
                if json.loads(line)["event"] == "ready":
                    break
        yield Up(tmp_path, process)
    finally:
        process.terminate()
        _ = await process.communicate()


async def test_the_pipeline_recovers_an_agent_and_each_keeps_to_its_rights(
    up: Up, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error is recovered, orders are obeyed by level, a new agent joins, and the server had nothing to refuse."""
    for name, file in settings_of(up.folder / "secure").items():
        monkeypatch.setenv(f"MENDBUS_{name.upper()}", str(file))
    monkeypatch.setenv("NATS_URL", up.state["url"])
    monkeypatch.setenv("MENDBUS_TRACE", "false")
    assert up.state["url"].startswith("tls://")
    agent = Agent("runtime", "r1", interval_ms=100)
    done: list[str] = []

    @agent.operation("fetch")
    def fetch() -> str:
        done.append("fetched")
        if len(done) == 1:
            msg = "the connection was refused"
            raise ConnectionRefusedError(msg)
        return "content"

    await asyncio.to_thread(agent.start)
    try:
        assert await eventually(lambda: agent.stats().ready, 10.0)
        with pytest.raises(ConnectionRefusedError):
            _ = await asyncio.to_thread(fetch)
        assert await eventually(lambda: len(done) > 1, 10.0)
        assert await eventually(lambda: agent.stats().settled == 1, 20.0)
    finally:
        await asyncio.to_thread(agent.stop)

    status, said = await up.command("pause", "runtime", "--for", "1m", "--json")
    assert status == 0, said
    refused = (await up.command("pause", "runtime", "--for", "1m", user="looks"))[1]
    assert "may not publish" in refused
    assert (await up.command("incidents", user="looks"))[0] == 0
    log = (up.folder / "nats" / "nats-server.log").read_text(encoding="utf-8")
    violations = [line for line in log.splitlines() if "Violation" in line]
    assert len(violations) == 1
    assert "control.pause" in violations[0]

    status, said = await up.command("nats-config", "add", "agent/runtime/r2")
    assert status == 0, said
    assert "the server has read it" in said
    newcomer = Agent("runtime", "r2").start()
    try:
        assert await eventually(lambda: newcomer.stats().ready, 10.0)
    finally:
        await asyncio.to_thread(newcomer.stop)
