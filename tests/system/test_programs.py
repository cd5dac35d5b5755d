"""Recovery by programs of the user's own, on a real server with real processes: once, and told as it was."""

import time
from pathlib import Path

import psutil
import pytest
from tests.harness import ProtocolAgent, assert_exact, installation, settled_ledger
from tests.system.test_up import up

import mendbus
from mendbus.testing import eventually

pytestmark = pytest.mark.timeout(60)

KILLED = """
[kinds.batch]
actuator = "command"
probe = ["test", "-e", "{folder}/healthy"]
environment = {{ FOLDER = "{folder}" }}
wall_ms = 20000
[kinds.batch.commands]
restart = ["sh", "-c", 'echo restart >> "$FOLDER/log"; sleep 60', "{{command_id}}"]
rollback = ["sh", "-c", 'echo rollback >> "$FOLDER/log"; touch "$FOLDER/healthy"', "{{command_id}}"]
"""
UP = """
[kinds.batch]
actuator = "command"
environment = {{ FOLDER = "{folder}" }}
[kinds.batch.commands]
restart = ["sh", "-c", 'echo "$1 $2" >> "$FOLDER/log"; touch "$FOLDER/healthy"', "sh", "{{id}}", "{{operation}}"]
"""


def busy(executors: list[psutil.Process]) -> psutil.Process | None:
    """The executor that runs a program now."""
    return next((e for e in executors if any(c.name() == "sleep" for c in e.children(recursive=True))), None)


async def test_an_executor_killed_in_the_middle_of_a_program_costs_the_attempt_and_nothing_else(tmp_path: Path) -> None:
    """SIGKILL between the claim and the result: the other replica does not run it again, says so, and goes on.

    What the program did is not known, so it is `failed`; nothing of it is left before the next one begins.
    """
    table = tmp_path / "executor.toml"
    table.write_text(KILLED.format(folder=tmp_path))
    services = ("strategy-selector", "health-monitor", "executor", "executor")
    policy = "settle_seconds = 0.3\nrecovery_timeout_ms = 4500\n"
    environment = {"MENDBUS_EXECUTOR_FILE": str(table)}
    async with installation(tmp_path, *services, policy=policy, environment=environment) as system:
        bus = await system.connect()
        agent = ProtocolAgent(bus, system.subjects, "batch", "b1")
        await agent.start()
        await agent.say_hello()
        await agent.report("Stuck")
        executors = [psutil.Process(service.process.pid) for service in system.named("executor")]
        victim = await eventually(lambda: busy(executors), 10.0)
        programs = victim.children(recursive=True)
        victim.kill()
        ledger = await settled_ledger(bus, system.subjects, [agent], 20.0)
        (outcome,) = ledger.told.values()
        assert outcome.outcome == "recovered"
        assert [(a.strategy, a.status, a.verified) for a in outcome.attempts] == [
            ("restart", "failed", False),
            ("rollback", "done", True),
        ]
        assert (tmp_path / "log").read_text().split() == ["restart", "rollback"]
        assert not any(program.is_running() and program.status() != "zombie" for program in programs)
        assert_exact(ledger, [agent])
        await bus.close()


def test_a_real_error_under_up_is_recovered_by_a_program(tmp_path: Path) -> None:
    """An agent of the SDK fails, the program of its kind is run in the sandbox, and the agent finds itself healthy."""
    table = tmp_path / "executor.toml"
    table.write_text(UP.format(folder=tmp_path))
    healthy = tmp_path / "healthy"
    policy = tmp_path / "own.toml"
    policy.write_text("settle_seconds = 0.3\n")
    with up(tmp_path, MENDBUS_EXECUTOR_FILE=str(table), MENDBUS_POLICY_FILE=str(policy)) as running:
        agent = mendbus.Agent("batch", "b1", nats_url=running.state()["url"])

        @agent.operation("convert", probe=healthy.exists, severity="error", category="runtime")
        def convert() -> None:
            if not healthy.exists():
                raise RuntimeError("the index is broken")

        with agent:
            assert agent.wait_ready(10.0)
            began = time.monotonic()
            with pytest.raises(RuntimeError):
                convert()
            while not healthy.exists():
                assert time.monotonic() < began + 10.0
                time.sleep(0.01)
            convert()
            shown = ""
            while "recovered" not in shown:
                assert time.monotonic() < began + 15.0, shown
                shown = running.mendbus("incidents").stdout
            incident = next(word for line in shown.splitlines() if "batch/b1" in line for word in line.split()[:1])
            explained = running.mendbus("explain", incident).stdout
        assert (tmp_path / "log").read_text() == "b1 convert\n"
        assert "restart" in explained
        assert "verified" in explained
