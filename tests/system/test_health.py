"""The health-monitor as a process: its history goes through a restart, and a death is told of at once."""

import asyncio
import signal
import sys
import time
from pathlib import Path
from typing import Any

from tests.harness import Installation, installation, unmeasured
from tests.support import ask
from tests.system.commands import in_json, mendbus

from mendbus import codec
from mendbus.bus import Bus, Message
from mendbus.contracts.messages import AgentRef, Control, ControlResult, HealthSample, HealthStatus
from mendbus.testing import eventually

AGENT = AgentRef(kind="runtime", id="web-1")


async def seconds(bus: Bus, system: Installation) -> dict[int, dict[str, float]]:
    """The one-second history of the agent."""
    control = Control(
        id="c", time_unix_nano=time.time_ns(), verb="history", by="test", agent=AGENT, arguments={"resolution": "1s"}
    )
    answer = await ask(bus, system.subjects.control("history"), control, ControlResult)
    assert answer.ok, answer.detail
    rows: list[dict[str, Any]] = answer.data["rows"]
    return {row["time_unix_nano"]: row["metrics"] for row in rows}


async def speak(bus: Bus, system: Installation) -> None:
    """Samples of the agent, five a second, for ever."""
    sequence = 0
    while True:
        sample = HealthSample(
            agent=AGENT,
            time_unix_nano=time.time_ns(),
            sequence=sequence,
            interval_ms=200,
            metrics={"queue_depth": float(sequence)},
        )
        await bus.publish(system.subjects.health(AGENT.kind, AGENT.id), codec.encode(sample))
        sequence += 1
        await asyncio.sleep(0.2)


async def test_the_history_goes_through_a_restart(tmp_path: Path) -> None:
    """What a monitor has heard, second by second, is what the next one answers, to commands and in exports."""
    async with installation(tmp_path, "health-monitor") as system:
        bus = await system.connect()
        speaking = asyncio.create_task(speak(bus, system))

        async def enough() -> dict[int, dict[str, float]] | None:
            found = await seconds(bus, system)
            return found if len(found) >= 2 else None

        before = await eventually(enough, timeout=10.0)
        speaking.cancel()
        assert await system.services[0].terminate() == 0
        await system.run("health-monitor")

        async def there() -> bool:
            return before.items() <= (await seconds(bus, system)).items()

        await eventually(there, timeout=10.0)
        told = await asyncio.to_thread(in_json, "health", "runtime/web-1", "--nats-url", system.server.url)
        assert {row["time_unix_nano"] for row in told["seconds"]} >= before.keys()
        words = ("export", "health", "--resolution", "1s", "--nats-url", system.server.url, "--format", "csv")
        exported = await asyncio.to_thread(mendbus, *words)
        assert exported.stdout.startswith("time,time_unix_nano,agent,metric,min,mean,max,count")
        assert ",runtime/web-1,queue_depth," in exported.stdout
        await bus.close()


async def test_a_death_is_told_before_the_agent_falls_silent(tmp_path: Path) -> None:
    """The supervisor of a killed program goes on speaking; its word makes the agent `failed` all the same."""
    async with installation(tmp_path, "health-monitor") as system:
        bus, told = await system.connect(), list[HealthStatus]()

        async def hear(message: Message) -> None:
            told.append(codec.decode(HealthStatus, message.body))

        subscription = await bus.subscribe(system.subjects.everyone("status"), hear)
        await bus.barrier()
        # Ends by itself, as if it had crashed, once its agent is known.
        program = "import sys; sys.stdin.readline(); sys.exit(3)"
        supervisor = await asyncio.create_subprocess_exec(
            str(Path(sys.executable).parent / "mendbus"),
            *("supervise", "--agent", "runtime/web-1", "--", sys.executable, "-c", program),
            env={**unmeasured(), **system.environment},
            stdin=asyncio.subprocess.PIPE,
        )
        assert supervisor.stdin is not None
        await eventually(lambda: [status.status for status in told] == ["excellent"], timeout=15.0)
        supervisor.stdin.write(b"\n")
        failed = await eventually(lambda: told[-1] if told[-1].status == "failed" else None, timeout=10.0)
        assert failed.reason.startswith("it died: ")
        assert "ended with status 3" in failed.reason
        supervisor.send_signal(signal.SIGTERM)
        assert await supervisor.wait() == 0
        await eventually(lambda: told[-1].status == "retired")
        await subscription.stop()
        await bus.close()
