"""How processes are kept running, without processes."""

import asyncio
import json
import logging
import os
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mendbus.contracts.errors import MendbusError
from mendbus.server import NatsServer
from mendbus.supervisor import Backoff, Board, Part, ended, first, keep_server
from mendbus.testing import eventually
from mendbus.up import Voice


def test_the_first_restart_is_at_once_and_the_others_wait() -> None:
    """A process that keeps dying is started at once, then after 0.5 s, doubled, never more than 10 s."""
    backoff = Backoff()
    assert [backoff.after(0.1) for _ in range(8)] == [0, 0.5, 1, 2, 4, 8, 10, 10]


@given(st.lists(st.floats(0, 59), max_size=20))
def test_a_good_run_makes_up_for_what_was_before(runs: list[float]) -> None:
    """After a minute of running the next restart is at once again."""
    backoff = Backoff()
    for seconds in runs:
        assert 0 <= backoff.after(seconds) <= 10
    assert backoff.after(60) == 0


@pytest.mark.parametrize(
    ("status", "words"), [(0, "ended with status 0"), (3, "ended with status 3"), (-9, "ended on SIGKILL")]
)
def test_an_end_is_told_in_words(status: int, words: str) -> None:
    """A status is a number, a signal has its name."""
    assert ended(status) == words
    assert ended(-200) == "ended on signal 200"


def test_only_changes_are_told() -> None:
    """The same state twice is told once; the count of restarts goes along."""
    told: list[str] = []
    board = Board(["a", "b"], lambda part: told.append(f"{part.name} {part.state} {part.detail}"))
    board.set("a", "ready", pid=1)
    board.set("a", "ready", pid=1)
    assert not board.ready
    board.restarting("b", "ended on SIGKILL", 0)
    board.restarting("b", "ended on SIGKILL", 0.5)
    board.set("b", "ready", pid=2)
    assert board.ready
    assert told == [
        "a ready ",
        "b restarting ended on SIGKILL; starting it again now",
        "b restarting ended on SIGKILL; starting it again in 0.5 s",
        "b ready ",
    ]
    assert board.parts["b"].report()["restarts"] == 2


async def test_the_first_wait_that_is_over_ends_all() -> None:
    """Whoever waits for several things waits for the first, and leaves nothing behind."""
    event = asyncio.Event()
    event.set()
    await first(asyncio.Event().wait(), event.wait())
    await first(asyncio.Event().wait(), timeout=0.01)


class _Server:
    """A server that dies and refuses when it is told to."""

    def __init__(self, refusals: int) -> None:
        self.pid = 7
        self.refusals = refusals
        self.running = True
        self.stopped = False
        self.died = asyncio.Event()

    async def wait(self) -> int:
        await self.died.wait()
        return -9

    def fatal_line(self) -> str:
        return ""

    async def begin_async(self) -> None:
        if self.refusals:
            self.refusals -= 1
            raise MendbusError("the port is taken")
        self.pid += 1
        self.running = True
        self.died.clear()

    async def stop_async(self) -> None:
        self.stopped = True

    def die(self) -> None:
        self.running = False
        self.died.set()


async def test_a_dead_server_is_started_again_and_stopped_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the server dies of, it is started until it runs; it is stopped when it is told to, and not before."""
    monkeypatch.setattr("mendbus.supervisor._FIRST_PAUSE_SECONDS", 0.01)
    told: list[str] = []
    board = Board(["nats"], lambda part: told.append(f"{part.state} {part.pid} {part.detail}".strip()))
    server, stop = _Server(refusals=1), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(keep_server(cast("NatsServer", server), "nats", board, stop))
        await eventually(lambda: board.ready)
        server.die()
        await eventually(lambda: server.pid == 8 and board.ready)
        assert not server.stopped
        stop.set()
    assert server.stopped
    assert told == [
        "ready 7",
        "restarting 0 ended on SIGKILL; starting it again now",
        "restarting 0 the port is taken; starting it again in 0.01 s",
        "ready 8",
        "stopped 0",
    ]


def _voice(folder: Path, *, as_json: bool) -> Voice:
    voice = Voice(folder, as_json=as_json)
    server = NatsServer(folder)
    server.url, server.monitor_url = "nats://127.0.0.1:1", "http://127.0.0.1:2"
    voice.reached(server, "::1", 3)
    return voice


def test_nothing_is_said_before_everything_is_ready(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """The first line is the address of NATS; what went wrong before is in the log."""
    voice = _voice(tmp_path, as_json=False)
    with caplog.at_level(logging.WARNING):
        voice.changed(Part("executor", "restarting", "ended on SIGKILL"))
    assert "executor: ended on SIGKILL" in caplog.text
    assert capsys.readouterr().out == ""
    voice.ready([Part("nats-server", "ready", pid=4), Part("executor", "ready", pid=5)])
    voice.ready([Part("executor", "ready", pid=5)])
    voice.changed(Part("executor", "not ready", "bus: gone", pid=5))
    voice.stopping()
    voice.changed(Part("executor", "stopped"))
    assert capsys.readouterr().out.splitlines() == [
        "NATS  nats://127.0.0.1:1",
        "HTTP  http://[::1]:3",
        "nats-server        ready       pid 4",
        "executor           ready       pid 5",
        "executor           not ready   bus: gone",
        "stopping",
    ]


def test_programs_get_json_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each line is an object whose event says what it is."""
    voice = _voice(tmp_path, as_json=True)
    voice.ready([Part("executor", "ready", pid=5)])
    voice.stopping()
    told = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["event"] for one in told] == ["nats", "http", "part", "ready", "stopping"]
    assert told[2] == {"event": "part", "name": "executor", "state": "ready", "detail": "", "pid": 5}


@pytest.mark.parametrize("file", [Path("/d/dashboard.token"), None])
def test_programs_are_told_where_the_token_is_and_people_the_token(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], file: Path | None
) -> None:
    """What a supervisor keeps as a log lets nobody act; whoever has set the token is not told of a file."""
    for as_json in (True, False):
        voice = _voice(tmp_path, as_json=as_json)
        voice.dashboard, voice.token, voice.token_file = "http://127.0.0.1:4/", "a/secret", file
        voice.ready([])
    *told, _, _, line = capsys.readouterr().out.splitlines()
    named = {"token_file": "/d/dashboard.token"} if file else {}
    assert json.loads(told[2]) == {"event": "dashboard", "url": "http://127.0.0.1:4/"} | named
    assert not [one for one in told if "secret" in one]
    assert line.split() == ["dashboard", "http://127.0.0.1:4/#token=a%2Fsecret"]


def test_the_state_file_is_current_until_the_end(tmp_path: Path) -> None:
    """Who looks for the installation finds its addresses and processes, and nothing once it is gone."""
    voice = _voice(tmp_path, as_json=False)
    voice.changed(Part("executor", "ready", pid=5))
    voice.changed(Part("classifier", "ready", pid=6))
    voice.changed(Part("executor", "restarting"))
    state = json.loads((tmp_path / "up.json").read_text())
    assert state == {
        "url": "nats://127.0.0.1:1",
        "monitor_url": "http://127.0.0.1:2",
        "http_url": "http://[::1]:3",
        "http_port": 3,
        "pid": os.getpid(),
        "pids": {"classifier": 6},
    }
    voice.gone()
    voice.changed(Part("classifier", "stopped"))
    assert not (tmp_path / "up.json").exists()


def test_a_full_disk_does_not_end_the_supervisor(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A state file that cannot be written is a line in the log."""
    voice = _voice(tmp_path, as_json=False)
    (tmp_path / "up.new").unlink(missing_ok=True)
    (tmp_path / "up.new").mkdir()
    voice.changed(Part("executor", "ready", pid=5))
    assert "up.json is not current" in caplog.text


def test_a_reader_that_left_does_not_end_the_supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed pipe on standard output stops nothing, then or later."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as broken:
        monkeypatch.setattr("sys.stdout", broken)
        voice = _voice(tmp_path, as_json=False)
        voice.ready([Part("executor", "ready", pid=5)])
        voice.stopping()
        monkeypatch.undo()
