"""The demo as people run it: a process of its own, whose end leaves nothing behind."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import psutil

from mendbus.testing import eventually

SECONDS = 45.0
STAGES = ("reported", "classified", "assessed", "selected", "commanded", "acted", "verified")


async def start(folder: Path, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
    """Starts the demo with its temporary files below a folder."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mendbus.demo", *arguments),
        env={**os.environ, "TMPDIR": str(folder), **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def end_of(process: asyncio.subprocess.Process) -> tuple[str, str]:
    """What the demo had to say on standard output and standard error."""
    try:
        async with asyncio.timeout(SECONDS):
            said, complaint = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return said.decode(), complaint.decode()


async def assert_nothing_left(folder: Path) -> None:
    """No file below the folder, and no process that knows of it."""

    def left() -> list[str]:
        found: list[str] = []
        for process in psutil.process_iter():
            try:
                words = [*process.cmdline(), *process.environ().values()]
            except psutil.Error:
                continue
            if any(str(folder) in word for word in words):
                found.append(" ".join(process.cmdline()))
        return found

    await eventually(lambda: not left(), 2.0, every=0.1)
    assert list(folder.iterdir()) == []


def assert_recovered(recovery: dict[str, Any]) -> None:
    """The pipeline recovered it, it stayed so, and the code gives what the last good code gives."""
    assert recovery["outcome"] == "recovered"
    assert recovery["settled"] is True
    assert recovery["attempts"][-1]["verified"] is True
    assert not any(attempt["verified"] for attempt in recovery["attempts"][:-1])
    proof = recovery["proof"]
    assert proof["got"] == proof["expected"]
    assert proof["build"] == proof["expected_build"]
    reached = {step["stage"]: step["ms"] for step in recovery["stages"]}
    assert sorted(reached, key=reached.__getitem__) == list(STAGES)
    assert 0 < recovery["verified_ms"] <= reached["verified"]


async def test_every_fault_is_recovered_by_the_pipeline_and_proved_by_calling_the_code(tmp_path: Path) -> None:
    """All four faults are recovered, settled and proved, each in one trace through four services and the agent."""
    process = await start(tmp_path, "--json")
    said, complaint = await end_of(process)
    assert process.returncode == 0, complaint
    document = json.loads(said)
    recoveries = document["recoveries"]
    assert document["ok"] is True
    assert [one["fault"] for one in recoveries] == [
        "syntax error",
        "missing package",
        "raises at reload",
        "worker killed",
    ]
    for recovery in recoveries:
        assert_recovered(recovery)
        assert {"strategy-selector", "classifier", "predictor", "executor"} < set(recovery["trace"]["services"])
        assert f"agent.{recovery['agent'].split('/')[0]}" in recovery["trace"]["services"]
    # Each was broken for real: the code was reloaded, or another process answers.
    for recovery in recoveries[:3]:
        assert recovery["proof"]["reloaded"]
    assert recoveries[3]["proof"]["worker"] != recoveries[3]["proof"]["worker_before"]
    await assert_nothing_left(tmp_path)


async def test_ctrl_c_ends_it_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """Ended between two faults it says so by its status alone, and without a terminal it writes no colours."""
    process = await start(tmp_path)
    assert process.stdout is not None
    said = b""
    async with asyncio.timeout(SECONDS):
        while b"a module is saved with" not in said:
            line = await process.stdout.readline()
            assert line, (await end_of(process))[1]
            said += line
    process.send_signal(signal.SIGINT)
    rest, complaint = await end_of(process)
    assert (process.returncode, complaint) == (130, "")
    assert "\033" not in said.decode() + rest
    await assert_nothing_left(tmp_path)


async def test_a_fault_that_is_not_recovered_fails_the_demo(tmp_path: Path) -> None:
    """Nothing is taken for granted: where the policy forbids recoveries, the status is 1 and the reason is told."""
    files, policy = tmp_path / "files", tmp_path / "policy.toml"
    files.mkdir()
    policy.write_text("enable_automatic_recovery = false\n")
    process = await start(files, MENDBUS_POLICY_FILE=str(policy))
    said, complaint = await end_of(process)
    assert process.returncode == 1
    assert "0 of 4 faults recovered" in said
    assert "the outcome is suppressed: retry was chosen by first, but enable_automatic_recovery is off" in complaint
    await assert_nothing_left(files)


async def test_wrong_settings_are_named_before_anything_is_started(tmp_path: Path) -> None:
    """A setting that does not exist ends it with status 2 and its name."""
    process = await start(tmp_path, MENDBUS_NO_SUCH_THING="1")
    said, complaint = await end_of(process)
    assert (process.returncode, said) == (2, "")
    assert "MENDBUS_NO_SUCH_THING" in complaint
