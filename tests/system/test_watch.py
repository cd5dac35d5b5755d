"""The live view in a real terminal: tmux draws what the command writes, and shows it to the test."""

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.system.commands import MAX_BYTES
from tests.unit.cli.samples import opened, outcome

from mendbus import codec, streams
from mendbus.bus import Bus, Message
from mendbus.bus.nats import connect
from mendbus.contracts.ids import new_id
from mendbus.contracts.journal import Concluded, Entry, JournalRecord
from mendbus.contracts.messages import AgentRef, Alert, ControlResult, HealthStatus
from mendbus.settings import Settings
from mendbus.testing import eventually

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed: apt-get install tmux")
SECONDS = 20.0
WATCH = [sys.executable, "-c", "from mendbus.cli import main; main()", "watch"]


class Terminal:
    """A terminal of its own tmux server."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def do(self, *words: str) -> str:
        """A tmux command, and what it prints."""
        done = subprocess.run(
            ["tmux", "-u", "-S", str(self._socket), "-f", "/dev/null", *words],
            env=os.environ | {"LC_ALL": "C.UTF-8"},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def screen(self) -> str:
        """What is on the screen now."""
        return self.do("capture-pane", "-p")

    async def shows(self, *wanted: str) -> str:
        """The screen once it shows all of this."""

        def looked() -> str:
            screen = self.screen()
            assert not [words for words in wanted if words not in screen], screen
            return screen

        return await eventually(looked, SECONDS, every=0.1)

    def state(self) -> str:
        """Whether a full-screen program has the terminal, and whether the cursor shows."""
        return self.do("display-message", "-p", "#{alternate_on} #{cursor_flag}").strip()


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    made = Terminal(tmp_path / "tmux")
    made.do("new-session", "-d", "-x", "100", "-y", "30", "env PS1='ready> ' sh")
    yield made
    made.do("kill-server")


@pytest.fixture
async def bus(settings: Settings) -> AsyncIterator[Bus]:
    """A connection, the streams made, and somebody who answers as the health-monitor does."""
    made = await connect(settings.nats_url, name="test")
    await streams.ensure(made, settings.subjects, MAX_BYTES)

    async def answer(message: Message) -> None:
        row = {"agent": {"kind": "runtime", "id": "calm"}, "status": "good", "score": 90.0, "reason": "all is well"}
        rows: dict[str, Any] = {"agents": [row | {"last_seen_unix_nano": 1}], "alerts": []}
        told = ControlResult(ok=True, service="health-monitor", instance="test", data=rows)
        await made.publish(message.reply, codec.encode(told))

    for verb in ("agents", "alerts"):
        await made.subscribe(settings.subjects.control(verb), answer)
    await made.barrier()
    yield made
    await made.close()


async def write(bus: Bus, settings: Settings, number: int, *entries: Entry) -> None:
    record = JournalRecord(
        id=f"r{number}",
        time_unix_nano=time.time_ns(),
        partition=0,
        number=number,
        owner="s/x",
        previous="",
        entries=list(entries),
    )
    await bus.store(settings.subjects.journal(0), codec.encode(record))


async def test_the_live_view_draws_resizes_and_leaves_a_clean_terminal(
    settings: Settings, bus: Bus, terminal: Terminal
) -> None:
    """Agents, stages, alerts and rates appear as they come; a new size is used; Ctrl-C gives the terminal back."""
    incident = new_id()
    terminal.do("send-keys", f"{shlex.join(WATCH)}; echo ended with $?", "Enter")
    await terminal.shows("live", "1 good", "runtime/calm", "all is well", "incidents (0)", "Ctrl-C ends")
    assert terminal.state() == "1 0"
    await write(bus, settings, 1, opened(incident))
    await terminal.shows("incidents (1)", "●○○○○", "classifying", "ValueError: boom", "1 incidents/min")
    told = outcome(incident_id=incident, sequence=0, settled=None)
    await write(bus, settings, 2, Concluded(outcome=told))
    await terminal.shows("●●●●●", "settling after retry")
    escalated = told.model_copy(update={"sequence": 1, "outcome": "escalated"})
    await write(bus, settings, 3, Concluded(outcome=escalated))
    agent = AgentRef(kind="runtime", id="r1")
    status = HealthStatus(id="s", time_unix_nano=1, agent=agent, status="failed", score=0.0, reason="silent")
    await bus.publish(settings.subjects.status("runtime", "r1"), codec.encode(status))
    alert = Alert(id="a", key="k", time_unix_nano=1, severity="major", state="raised", summary="a person is needed")
    await bus.store(settings.subjects.alert("raised", "major"), codec.encode(alert))
    await terminal.shows("!!!!!", "escalated", "1 failed", "silent", "alerts (1)", "a person is needed")
    terminal.do("resize-window", "-x", "60", "-y", "14")
    small = await eventually(lambda: _fits(terminal.screen(), 14), SECONDS, every=0.1)
    assert "escalated" in small
    terminal.do("send-keys", "C-c")
    ended = await terminal.shows("ended with 0", "ready>")
    assert "incidents (" not in ended
    assert terminal.state() == "0 1"


def _fits(screen: str, height: int) -> str | None:
    lines = screen.rstrip("\n").split("\n")
    whole = len(lines) == height and lines[0].startswith("mendbus") and lines[-1].startswith("Ctrl-C ends")
    return screen if whole else None


async def test_without_a_terminal_it_writes_lines(settings: Settings, bus: Bus) -> None:
    """Into a pipe, one line for each thing that happens, and status 0 when it is ended."""
    program = subprocess.Popen(WATCH, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert program.stderr is not None
        assert program.stdout is not None
        assert "watching" in program.stderr.readline()
        await bus.store(settings.subjects.outcome("runtime", "r1"), codec.encode(outcome()))
        line = program.stdout.readline()
        assert "runtime/r1 recovered by retry" in line
        assert "\x1b" not in line
        program.terminate()
        assert program.wait(SECONDS) == 0
    finally:
        program.kill()
        program.communicate()
