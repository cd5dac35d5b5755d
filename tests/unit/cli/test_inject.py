"""`mendbus inject`: what it lists, whom it means, what it makes of outcomes, and faults held from outside."""

import asyncio
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
import pytest
import typer
from tests.unit.cli.samples import AGENT, outcome
from typer.testing import CliRunner

from mendbus.cli import app, rehearsing
from mendbus.cli.following import Recovery
from mendbus.cli.rehearsing import Plan, Wish
from mendbus.contracts.errors import MendbusError
from mendbus.contracts.messages import AgentRef, HealthStatus
from mendbus.contracts.vocabulary import Health
from mendbus.faults import FaultError, OutsideFault
from mendbus.faults.catalogue import FAULTS, fault_named
from mendbus.faults.holder import hold, main
from mendbus.settings import Settings
from mendbus.testing import eventually

WHO = (AGENT.kind, AGENT.id)


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process to be harmed."""
    process = subprocess.Popen((sys.executable, "-S", "-c", "import time; time.sleep(60)"))
    yield process
    process.kill()
    process.wait()


def _wish(name: str, **changes: object) -> Wish:
    fault = fault_named(name)
    values = {
        "fault": fault,
        "agent": WHO,
        "operation": None,
        "seconds": 10.0,
        "calls": None,
        "values": fault.values({}),
        "pid": None,
        "by": None,
        "reason": None,
    }
    return Wish(**(values | changes))  # pyright: ignore[reportArgumentType]


# -- what there is


def test_the_list_names_every_fault_with_its_bounds() -> None:
    """As a table and as JSON, each fault with where it happens and what may be said of it."""
    shown = CliRunner().invoke(app.build(), ["inject", "--list"])
    assert shown.exit_code == 0
    assert all(any(line.startswith(name) for line in shown.output.splitlines()) for name in FAULTS)
    assert "probability=0.3 (0.01 to 1)" in shown.output
    listed = json.loads(CliRunner().invoke(app.build(), ["inject", "--list", "--json"]).output)
    assert {one["name"]: one["in"] for one in listed}["flaky"] == "operation"
    assert {one["in"] for one in listed} == {"operation", "process", "outside"}
    assert len(listed) == len(FAULTS)


def test_parameters_are_numbers_by_name() -> None:
    """KEY=NUMBER is read, anything else is named."""
    assert rehearsing.values_of(["a=1", " b = 0.5"]) == {"a": 1.0, "b": 0.5}
    for wrong in ("a", "a=", "a=much"):
        with pytest.raises(typer.BadParameter, match="KEY=NUMBER"):
            rehearsing.values_of([wrong])


# -- whom


def test_the_sentence_says_what_will_happen_to_whom() -> None:
    """Fault, parameters, operation, agent, length; of a process its command line."""
    flaky = Plan(_wish("flaky", operation="fetch", calls=5), "boot", 0)
    assert rehearsing.sentence(flaky) == "flaky probability=0.3 in operation fetch of runtime/r1 for 10 s or 5 calls"
    kill = rehearsing.sentence(Plan(_wish("kill"), None, os.getpid()))
    assert kill.startswith(f"kill of runtime/r1 (process {os.getpid()}: ")
    assert " for " not in kill.rpartition(")")[2]


async def test_only_processes_that_make_sense_are_meant(victim: subprocess.Popen[bytes]) -> None:
    """Neither this command nor what started it, nor a process that is not there."""
    settings = Settings()
    assert (await rehearsing.plan(settings, _wish("stop", pid=victim.pid))).pid == victim.pid
    gone = subprocess.Popen((sys.executable, "-c", ""))
    gone.wait()
    for pid in (os.getpid(), os.getppid(), gone.pid):
        with pytest.raises(MendbusError, match=str(pid)):
            await rehearsing.plan(settings, _wish("stop", pid=pid))


def test_it_asks_on_a_terminal_and_takes_no_for_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --yes nothing is done unless the person agrees."""
    done: list[Plan] = []

    async def plan(_: Settings, wish: Wish) -> Plan:
        return Plan(wish, "boot", 1)

    async def rehearse(_: Settings, plan: Plan, timeout: float, *, as_json: bool) -> bool:
        done.append(plan)
        return timeout == 3.0

    monkeypatch.setattr(rehearsing, "plan", plan)
    monkeypatch.setattr(rehearsing, "rehearse", rehearse)
    monkeypatch.setattr("mendbus.cli.inject.sys", _Terminal())
    words = ["inject", "refused", "--agent", "runtime/r1"]
    said_no = CliRunner().invoke(app.build(), words, input="n\n")
    assert (said_no.exit_code, done) == (1, [])
    assert "refused of runtime/r1 for 10 s. Go on?" in said_no.output
    assert CliRunner().invoke(app.build(), [*words, "--timeout", "3"], input="y\n").exit_code == 0
    assert CliRunner().invoke(app.build(), [*words, "--yes"]).exit_code == 1
    assert len(done) == 2


class _Terminal:
    stdin = property(lambda self: self)

    def isatty(self) -> bool:
        return True


# -- what comes of it


def _recovery() -> tuple[Recovery, list[str]]:
    told: list[str] = []
    return Recovery(WHO, told.append), told


def test_a_recovery_is_one_that_has_settled() -> None:
    """Healthy is not enough before the settle window has ended; each outcome is told once."""
    recovery, told = _recovery()
    assert recovery.verdict == "unnoticed"
    recovery.take(outcome(sequence=0, settled=None))
    assert recovery.verdict == "under_way"
    recovery.take(outcome(sequence=1, settled=True))
    recovery.take(outcome(sequence=0, settled=None))
    assert recovery.verdict == "recovered"
    assert len(told) == 2
    assert told[0].startswith("recovered (settling)")
    assert recovery.summary()[0] == "recovered"
    assert recovery.facts()["trace_ids"] == [outcome().trace_id]


def test_one_incident_given_up_is_enough() -> None:
    """A person is needed as soon as one of the incidents needs one."""
    recovery, _ = _recovery()
    recovery.take(outcome(incident_id="a", settled=True))
    recovery.take(outcome(incident_id="b", outcome="no_action", settled=None))
    assert recovery.verdict == "recovered"
    recovery.take(outcome(incident_id="c", outcome="escalated", settled=None))
    assert recovery.verdict == "given_up"


async def test_it_is_followed_until_the_fault_is_over() -> None:
    """Recovered while it lasts may not be the end; given up is, and so is the time that was given."""
    loop = asyncio.get_running_loop()
    recovery, _ = _recovery()
    begun = loop.time()
    await recovery.follow(begun, begun + 0.05)
    assert recovery.verdict == "unnoticed"
    recovery.take(outcome(settled=True))
    begun = loop.time()
    await recovery.follow(begun + 0.3, begun + 10)
    assert 0.3 <= loop.time() - begun < 5
    recovery.take(outcome(incident_id="b", outcome="failed"))
    await recovery.follow(begun + 60, begun + 60)
    assert recovery.verdict == "given_up"


def test_only_changes_of_health_are_news() -> None:
    """A status that says the same again is not told; a bad end is part of the summary."""
    recovery, told = _recovery()
    words: tuple[Health, ...] = ("good", "good", "failed")
    for word in words:
        recovery.take_status(
            HealthStatus(
                id="s", time_unix_nano=1, agent=AgentRef(kind="runtime", id="r1"), status=word, score=1.0, reason="r"
            )
        )
    assert [line.split()[1] for line in told] == ["good", "failed"]
    assert recovery.summary() == ["no incident came of it; its health is failed"]


# -- from outside


def _bring(name: str, pid: int, given: Mapping[str, float] | None = None) -> Callable[[], None]:
    fault = fault_named(name)
    assert isinstance(fault, OutsideFault)
    return fault.bring(pid, fault.values(given or {}), 5.0)


@pytest.mark.parametrize(
    ("name", "which"),
    [
        ("memory_limit", resource.RLIMIT_AS),
        ("descriptor_limit", resource.RLIMIT_NOFILE),
        ("file_size_limit", resource.RLIMIT_FSIZE),
    ],
)
def test_a_limit_is_set_on_the_running_process_and_taken_back(
    victim: subprocess.Popen[bytes], name: str, which: int
) -> None:
    """The soft limit is lowered, the hard one stays, and afterwards both are what they were."""
    before = resource.prlimit(victim.pid, which)
    take_back = _bring(name, victim.pid)
    soft, hard = resource.prlimit(victim.pid, which)
    assert hard == before[1]
    assert soft != before[0]
    take_back()
    assert resource.prlimit(victim.pid, which) == before


def test_a_limit_is_never_raised(victim: subprocess.Popen[bytes]) -> None:
    """A process that may open few files may not open more because of a fault."""
    resource.prlimit(victim.pid, resource.RLIMIT_NOFILE, (16, 32))
    _bring("descriptor_limit", victim.pid, {"headroom": 1000})
    assert resource.prlimit(victim.pid, resource.RLIMIT_NOFILE) == (16, 32)


async def test_competitors_run_on_the_same_cores_and_end(victim: subprocess.Popen[bytes]) -> None:
    """As many busy processes as it was told, bound to the cores of the process, and none is left."""
    core = psutil.Process(victim.pid).cpu_affinity()[:1]
    psutil.Process(victim.pid).cpu_affinity(core)
    before = {child.pid for child in psutil.Process().children()}
    take_back = _bring("cpu", victim.pid, {"processes": 2})
    busy = [child for child in psutil.Process().children() if child.pid not in before]
    assert [child.cpu_affinity() for child in busy] == [core, core]
    take_back()
    assert not any(child.is_running() for child in busy)


def test_what_cannot_be_done_from_outside_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fault of another place, or a process that is gone, ends the holder with a sentence and status 1."""
    with pytest.raises(FaultError, match="from outside"):
        hold("leak", os.getpid(), 1.0, {})
    gone = subprocess.Popen((sys.executable, "-c", ""))
    gone.wait()
    order = {"fault": "stop", "pid": gone.pid, "seconds": 1.0, "values": {}}
    monkeypatch.setattr(sys, "argv", ["holder", json.dumps(order)])
    assert main() == 1
    assert str(gone.pid) in capsys.readouterr().err


async def test_a_holder_takes_back_at_its_end(
    victim: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says that it has begun, keeps the process stopped for its time, and lets it go on."""
    reading, writing = os.pipe()
    with os.fdopen(reading) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        order = {"fault": "stop", "pid": victim.pid, "seconds": 0.2, "values": {}}
        monkeypatch.setattr(sys, "argv", ["holder", json.dumps(order)])
        held = asyncio.create_task(asyncio.to_thread(main))
        await eventually(lambda: psutil.Process(victim.pid).status() == psutil.STATUS_STOPPED, 5.0)
        assert await held == 0
    os.close(writing)
    assert psutil.Process(victim.pid).status() != psutil.STATUS_STOPPED
    assert capsys.readouterr().out == "begun\n"


def test_a_killed_process_is_dead(victim: subprocess.Popen[bytes]) -> None:
    """SIGKILL leaves nothing to take back."""
    take_back = _bring("kill", victim.pid)
    assert victim.wait() == -9
    take_back()


def test_faults_from_outside_need_a_process_here(tmp_path: Path) -> None:
    """A fault that the agent brings about itself takes no --pid."""
    with pytest.raises(typer.BadParameter, match="no --pid"):
        asyncio.run(rehearsing.plan(Settings(data_dir=tmp_path), _wish("leak", pid=1)))
