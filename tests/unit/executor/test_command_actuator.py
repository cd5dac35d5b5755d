"""Recovery by programs of the user's own: chosen by kind, filled in safely, done once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import ask, memory_runtime

import mendbus_executor
from mendbus.bus import Bus
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.asks import AttemptResult, Execute
from mendbus.contracts.errors import SettingsError
from mendbus.contracts.messages import CommandResult, RecoveryCommand
from mendbus.contracts.subjects import Subjects
from mendbus.settings import Settings
from mendbus.testing import eventually
from mendbus_executor.command_memory import Busy, Claim, CommandMemory
from mendbus_executor.table import Table, fill, read_table

SUBJECTS = Subjects()
TABLE = """
[kinds.runtime]
actuator = "agent"
[kinds.batch]
actuator = "command"
probe = ["test", "-e", "{folder}/{{id}}"]
environment = {{ FOLDER = "{folder}" }}
wall_ms = 3000
[kinds.batch.commands]
restart = ["sh", "-c", 'echo "$@" >> "$FOLDER/log"; touch "$FOLDER/$1"', "sh", "{{id}}", "{{strategy}}", "{{attempt}}"]
scale_down = ["sh", "-c", 'echo "$@" >> "$FOLDER/log"', "sh", "{{action}}", "{{factor}}"]
rollback = ["false"]
retry = ["echo", "{{operation}}"]
[kinds.batch.limits]
processes = 8
[kinds.mute]
actuator = "command"
commands = {{ restart = ["true"] }}
"""


def table_file(folder: Path) -> Path:
    """A table with its programs working in this folder."""
    file = folder / "executor.toml"
    file.write_text(TABLE.format(folder=folder))
    return file


def recovery_command(kind: str = "batch", **changes: Any) -> RecoveryCommand:
    """A restart of agent `a1`."""
    values: dict[str, Any] = {
        "command_id": "c1",
        "incident_id": "i1",
        "attempt": 1,
        "agent": {"kind": kind, "id": "a1"},
        "action": "apply",
        "strategy": "restart",
        "parameters": {},
        "timeout_ms": 5000,
        "deadline_unix_nano": 2**62,
        "fence": 1,
    }
    return RecoveryCommand.model_validate(values | changes)


class Bench:
    """An executor with that table."""

    def __init__(self, bus: Bus, folder: Path) -> None:
        self.bus = bus
        self.folder = folder

    @property
    def log(self) -> list[str]:
        """What the programs did."""
        file = self.folder / "log"
        return file.read_text().splitlines() if file.exists() else []

    async def attempt(self, kind: str = "batch", **changes: Any) -> AttemptResult:
        """Has a command carried out."""
        command = recovery_command(kind, **changes)
        timeout = command.timeout_ms
        request = Execute(incident_id="i1", agent_kind=kind, agent_id="a1", command=command, timeout_ms=timeout)
        return await ask(self.bus, SUBJECTS.execute, request, AttemptResult)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """On the memory bus."""
    conditions = Settings(trace=False, data_dir=tmp_path / "data", executor_file=table_file(tmp_path))
    server = MemoryServer()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(memory_runtime(mendbus_executor.build(), server, settings=conditions))
        bus = server.connect("test")
        stack.push_async_callback(bus.close)
        yield Bench(bus, tmp_path)


async def test_a_program_recovers_and_another_verifies(bench: Bench) -> None:
    """The program of the strategy runs with its arguments filled in; the probe program has the last word."""
    result = await bench.attempt()
    assert (result.status, result.verified) == ("done", True)
    assert bench.log == ["a1 restart 1"]
    (bench.folder / "a1").unlink()
    lied = await bench.attempt(command_id="c2", strategy="scale_down", parameters={"factor": 0.5})
    assert (lied.status, lied.verified) == ("done", False)
    assert bench.log[-1] == "apply 0.5"


async def test_a_repeat_is_not_done_again(bench: Bench) -> None:
    """However often and however much at once a command is asked for, it has one effect and one answer."""
    results = await asyncio.gather(*[bench.attempt() for _ in range(4)])
    assert {result.status for result in results} == {"done"}
    assert (await bench.attempt()).verified
    assert bench.log == ["a1 restart 1"]


async def test_undo_and_restore_need_a_program_that_knows_of_them(bench: Bench) -> None:
    """A template with `{action}` is run for them; one without it is unsupported."""
    assert (await bench.attempt(command_id="c2", strategy="scale_down", action="restore")).status == "done"
    assert bench.log == ["restore "]
    assert (await bench.attempt(command_id="c3", strategy="rollback", action="undo")).status == "unsupported"
    assert (await bench.attempt(command_id="c4", strategy="isolate")).status == "unsupported"


async def test_failure_is_told_with_its_code(bench: Bench) -> None:
    """A program that fails has not recovered anything, whatever the probe says."""
    (bench.folder / "a1").touch()
    failed = await bench.attempt(strategy="rollback")
    assert (failed.status, failed.code, failed.verified) == ("failed", "exit_1", False)


async def test_what_would_be_an_option_is_refused(bench: Bench) -> None:
    """Words from the wire cannot become options of the program."""
    refused = await bench.attempt(strategy="retry", operation="--exec=evil")
    assert (refused.status, refused.code) == ("failed", "unsafe_argument")
    with pytest.raises(ValueError, match="NUL"):
        fill(["{operation}"], {"operation": "a\0b"})
    assert fill(["-n{id}", "x{to}y"], {"id": "-a", "to": "; rm"}) == ["-n-a", "x; rmy"]


async def test_without_a_probe_program_the_agent_is_asked(bench: Bench) -> None:
    """And if there is no agent either, nothing is verified; other kinds go to their agents."""
    done = await bench.attempt("mute")
    assert (done.status, done.verified) == ("done", False)
    assert (await bench.attempt("runtime")).code == "no_agent"


async def test_an_interrupted_command_is_not_done_again(bench: Bench, tmp_path: Path) -> None:
    """One that was begun and whose end nobody saw may have had its effect."""
    claim = CommandMemory(tmp_path / "data" / "executor" / "commands").begin(recovery_command())
    assert isinstance(claim, Claim)
    asked = asyncio.create_task(bench.attempt())
    claim.close()
    result = await asked
    assert (result.status, result.code, bench.log) == ("failed", "interrupted", [])


def test_a_command_is_claimed_once(tmp_path: Path) -> None:
    """While one does it the others wait; then they have its result, also in another process."""
    one, other = CommandMemory(tmp_path), CommandMemory(tmp_path)
    claim = one.begin(recovery_command())
    assert isinstance(claim, Claim)
    assert other.begin(recovery_command()) == Busy(same=True)
    result = CommandResult(command_id="c1", status="done", detail="x" * 900)
    claim.finish(result)
    claim.close()
    assert other.begin(recovery_command()) == result


def test_one_command_at_a_time_and_none_after_a_newer_one(tmp_path: Path) -> None:
    """Another command for the agent waits, not one for another agent; what is older than the last is `stale`."""
    one, other = CommandMemory(tmp_path), CommandMemory(tmp_path)
    claim = one.begin(recovery_command("batch", command_id="c5", fence=5))
    assert isinstance(claim, Claim)
    assert other.begin(recovery_command("batch", command_id="c6", fence=6)) == Busy(same=False)
    free = other.begin(recovery_command("other", command_id="d1", fence=1))
    assert isinstance(free, Claim)
    free.close()
    claim.close()
    stale = other.begin(recovery_command("batch", command_id="c4", fence=4))
    assert isinstance(stale, CommandResult)
    assert stale.status == "stale"
    again = other.begin(recovery_command("batch", command_id="c5", fence=5))
    assert isinstance(again, CommandResult)
    assert again.code == "interrupted"


async def test_a_command_that_cannot_begin_in_time_is_not_begun(bench: Bench, tmp_path: Path) -> None:
    """While another one for the agent is at work it waits, as long as it may; it is `busy`, and nothing was done."""
    claim = CommandMemory(tmp_path / "data" / "executor" / "commands").begin(recovery_command())
    assert isinstance(claim, Claim)
    (bench.folder / "a1").touch()
    waited = await bench.attempt(command_id="c2", fence=2, timeout_ms=150)
    assert (waited.status, waited.code, waited.verified, bench.log) == ("failed", "busy", False, [])
    same = await bench.attempt(timeout_ms=150)
    assert (same.status, bench.log) == ("accepted", [])
    claim.close()
    assert (await bench.attempt(command_id="c2", fence=2)).verified


@given(cut=st.integers(0, 200))
@settings(max_examples=20, deadline=None)
def test_a_torn_result_is_none(cut: int) -> None:
    """A result of which not all bytes are on disk is no result: the command counts as interrupted."""
    with TemporaryDirectory() as folder:
        memory = CommandMemory(Path(folder))
        claim = memory.begin(recovery_command())
        assert isinstance(claim, Claim)
        claim.finish(CommandResult(command_id="c1", status="done", detail="x" * 200))
        claim.close()
        file = Path(folder) / "c1"
        file.write_bytes(file.read_bytes()[: len(b"begun\n") + cut])
        found = memory.begin(recovery_command())
        assert isinstance(found, CommandResult)
        assert found.code == "interrupted"


async def test_a_result_that_cannot_be_kept_is_told_all_the_same(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk costs the memory of the result, not the result."""

    def full(*_: Any) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(Claim, "finish", full)
    assert (await bench.attempt()).verified
    again = await bench.attempt()
    assert (again.code, bench.log) == ("interrupted", ["a1 restart 1"])


async def test_old_results_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a day the files go."""
    claim = CommandMemory(tmp_path).begin(recovery_command(command_id="old"))
    assert isinstance(claim, Claim)
    claim.close()
    monkeypatch.setattr("mendbus_executor.command_memory._KEPT_SECONDS", -1.0)
    fresh = CommandMemory(tmp_path).begin(recovery_command("other", command_id="new"))
    assert isinstance(fresh, Claim)
    fresh.close()
    assert await eventually(lambda: sorted(file.name for file in tmp_path.iterdir())) == ["new", "other.a1"]


def test_a_wrong_table_is_refused_whole(tmp_path: Path) -> None:
    """Every problem is named, with where it is."""
    file = tmp_path / "table.toml"
    file.write_text(
        '[kinds.a]\nactuator = "command"\ncommands = { restart = ["x", "{nothing}"] }\n'
        '[kinds.b]\nactuator = "magic"\n[kinds."c.d"]\nactuator = "agent"\nextra = 1\n'
        '[kinds.e]\nactuator = "command"\ncommands = { escalate = ["x"] }\n'
    )
    with pytest.raises(SettingsError) as refused:
        read_table(file)
    assert len(refused.value.problems) == 5
    assert all(str(file) in problem for problem in refused.value.problems)
    file.write_text("[kinds")
    with pytest.raises(SettingsError):
        read_table(file)
    with pytest.raises(SettingsError):
        read_table(tmp_path / "missing.toml")
    assert read_table(None) == Table()
