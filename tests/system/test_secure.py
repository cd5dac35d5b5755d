"""`mendbus up --secure`: the whole pipeline with users, TLS and signatures, each within its rights."""

import asyncio
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest

from mendbus import Agent, codec
from mendbus.bus import Bus
from mendbus.bus.nats import connect
from mendbus.contracts.subjects import Subjects
from mendbus.security.access import access
from mendbus.security.installation import Installation, settings_of
from mendbus.settings import Settings
from mendbus.testing import eventually

READY_SECONDS = 30.0


class Up:
    """A running `mendbus up --secure` and its folder."""

    def __init__(self, folder: Path, process: asyncio.subprocess.Process, dashboard: dict[str, str]) -> None:
        self.folder = folder
        self.address, self.token = dashboard["url"].rstrip("/"), Path(dashboard["token_file"]).read_text().strip()
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

    async def page(self, path: str, order: dict[str, str] | None = None) -> Any:
        """What the dashboard answers; `order`: posted with the token."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        body = None if order is None else json.dumps(order).encode()

        def ask() -> Any:
            request = urllib.request.Request(f"{self.address}{path}", body, headers)
            try:
                with urllib.request.urlopen(request, timeout=10) as answer:
                    return json.load(answer)
            except urllib.error.HTTPError as error:
                with error:
                    return {"status": error.code, **json.load(error)}

        return await asyncio.to_thread(ask)

    async def connect(self, user: str) -> Bus:
        """A connection of a user's."""
        settings = Settings(nats_url=self.state["url"]).model_copy(update=settings_of(self.folder / "secure"))
        return await connect(settings.nats_url, name=user, access=access(settings, user))


@pytest.fixture
async def up(tmp_path: Path) -> AsyncIterator[Up]:
    """Everything, ready, with an agent and a viewer."""
    users = Installation.create(tmp_path / "secure", Subjects())
    _ = users.add("agent/runtime/r1")
    _ = users.add("operator/looks", "viewer")
    users.render()
    options = {
        "nats_port": 0,
        "http_port": 0,
        "data_dir": str(tmp_path),
        "json": True,
        "secure": True,
        "dashboard_port": 0,
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mendbus.up", json.dumps(options)),
        env={**os.environ, "MENDBUS_TRACE": "false"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    dashboard: dict[str, str] = {}
    try:
        async with asyncio.timeout(READY_SECONDS):
            async for line in process.stdout:
                said = json.loads(line)
                if said["event"] == "dashboard":
                    dashboard = said
                if said["event"] == "ready":
                    break
        yield Up(tmp_path, process, dashboard)
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


async def test_the_dashboard_reads_and_orders_as_a_user_of_its_own(up: Up) -> None:
    """It shows a dead letter, which it may not send again; a pause is obeyed, and noted with who asked and by whom."""
    thief, subjects = await up.connect("agent/runtime/r1"), Subjects()
    try:
        _ = await thief.store(subjects.error("error", "runtime", "r1"), b"\xc1", {})
    finally:
        await thief.close()
    letters: Any = []
    async with asyncio.timeout(READY_SECONDS):
        while not isinstance(letters, list) or not letters:
            letters = await up.page("/api/dead")
    letter = cast("list[dict[str, Any]]", letters)[0]
    assert (await up.page(f"/api/dead/{letter['sequence']}"))["body_hex"] == "c1"
    again = await up.page("/api/actions/replay", {"sequence": str(letter["sequence"]), "by": "jane"})
    assert again["status"] == 403
    assert "may not publish" in again["error"]
    assert (await up.page("/api/snapshot"))["dead"] == 1

    paused = await up.page("/api/actions/pause", {"target": "runtime", "for": "1m", "by": "jane"})
    assert paused["verb"] == "pause", paused
    admin = await up.connect("operator/admin")
    try:
        stream, control = subjects.stream("JOURNAL"), subjects.everyone("journal")
        noted = [codec.unpack(stored.body) async for stored in admin.read(stream, control)]
    finally:
        await admin.close()
    assert "operator/dashboard (jane)" in str(noted)
    log = (up.folder / "nats" / "nats-server.log").read_text(encoding="utf-8")
    violations = [line for line in log.splitlines() if "Violation" in line]
    assert [line for line in violations if "error.error.runtime.r1" not in line] == []
