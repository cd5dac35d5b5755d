"""The agents of `proto/examples/`: run as processes, driven through their duties, broken and recovered."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from tests.harness import Installation, installation

from mendbus import codec
from mendbus.bus import Bus
from mendbus.conformance import conform
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import AgentRef, CommandResult, RecoveryCommand, RecoveryOutcome
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
        env={
            **os.environ,
            **{f"MENDBUS_{name.upper()}": str(file) for name, file in place.files.items()},
            "NATS_URL": place.server.url,
            "AGENT": f"{KIND}/{agent_id}",
            "FILE": str(settings),
        },
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


async def _obeys_the_executor_alone(place: Installation, admin: Bus, agent_id: str) -> None:
    """A command is refused that nobody has signed, and one that an operator has; the reason is said."""
    subject = place.subjects.command(KIND, agent_id)
    signer = cast("Any", admin)._signer
    for who, code in ((signer, "not_allowed"), (None, "unsigned")):
        cast("Any", admin)._signer = who
        command = RecoveryCommand(
            command_id=new_id(),
            incident_id=new_id(),
            attempt=1,
            agent=AgentRef(kind=KIND, id=agent_id),
            action="apply",
            strategy="retry",
            operation="load",
            parameters={},
            timeout_ms=2000,
            deadline_unix_nano=time.time_ns() + 5_000_000_000,
            fence=1,
        )
        reply = await admin.request(subject, codec.encode(command), codec.headers(), timeout=5.0)
        result = codec.decode(CommandResult, reply.body)
        assert (result.status, result.code) == ("unauthorized", code)


async def conforms_and_is_recovered(
    tmp_path: Path, command: Sequence[str], folder: Path, agent_id: str, *, secure: bool = False
) -> None:
    """It passes every check, is healed of an error within its own trace by the real services, and hears of it.

    `secure`: on a server with users, where it does what the executor has signed, and nothing else.
    """
    traced = {"MENDBUS_TRACE": "true"}
    async with (
        installation(tmp_path, environment=traced, agents=[f"{KIND}/{agent_id}"] if secure else ()) as place,
        example_agent(place, command, folder, agent_id) as agent,
    ):
        bus = await place.connect("operator/admin")
        if secure:
            await _obeys_the_executor_alone(place, bus, agent_id)
            # Conformance is seen by commands, which only the executor may sign.
            executor = place.access("service/executor")
            assert executor is not None
            cast("Any", bus)._signer = executor.signer
        checks = await conform(bus, place.subjects, KIND, agent_id)
        wrong = [check for check in checks if check.verdict != "pass" and check.name != "error"]
        assert wrong == [], wrong

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
