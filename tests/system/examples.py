"""The agents of `proto/examples/`: run as processes, driven through their duties, broken and recovered."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.harness import Installation, installation

from mendbus import codec
from mendbus.conformance import conform
from mendbus.contracts.messages import RecoveryOutcome
from mendbus.contracts.subjects import MAX_SERVICE_BODY
from mendbus.testing import eventually

EXAMPLES = Path(__file__).parents[2] / "proto" / "examples"
KIND = "developer_tools"


class ExampleAgent:
    """A running example and what it has said."""

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

    def spoil(self) -> None:
        """Breaks the file that it works on."""
        self.settings.write_text('{"port": ')


@asynccontextmanager
async def example_agent(
    place: Installation, command: Sequence[str], folder: Path, agent_id: str
) -> AsyncIterator[ExampleAgent]:
    """An example as a process, greeted by the health-monitor."""
    settings = place.folder / f"{agent_id}.json"
    settings.write_text('{"port": 8080}')
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={**os.environ, "NATS_URL": place.server.url, "AGENT": f"{KIND}/{agent_id}", "FILE": str(settings)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    agent = ExampleAgent(process, settings)
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


async def conforms_and_is_recovered(tmp_path: Path, command: Sequence[str], folder: Path, agent_id: str) -> None:
    """It passes every check, is healed of an error within its own trace by the real services, and hears of it."""
    traced = {"MENDBUS_TRACE": "true"}
    async with (
        installation(tmp_path, environment=traced) as place,
        example_agent(place, command, folder, agent_id) as agent,
    ):
        bus = await place.connect()
        checks = await conform(bus, place.subjects, KIND, agent_id)
        assert [check for check in checks if check.verdict != "pass" and check.name != "error"] == []

        agent.spoil()
        await eventually(lambda: agent.heard("outcome", outcome="recovered"), 20.0)
        assert json.loads(agent.settings.read_text()) == {"port": 8080}
        assert agent.heard("command", strategy="rollback", action="apply", status="done")
        (reported,) = agent.heard("reported")
        await eventually(lambda: agent.heard("settled", id=reported["id"], outcome="recovered"), 20.0)
        await eventually(lambda: agent.heard("outcome", outcome="recovered", settled=True), 20.0)
        stored = await bus.last(place.subjects.stream("RECOVERIES"), place.subjects.outcome(KIND, agent_id))
        assert stored is not None
        outcome = codec.decode(RecoveryOutcome, stored.body, MAX_SERVICE_BODY)
        assert outcome.trace_id == reported["trace"]
        await bus.close()
