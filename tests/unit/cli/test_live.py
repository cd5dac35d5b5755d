"""The live view on the in-memory bus: what it reads, what it hears, and what it says when it cannot."""

import asyncio
from collections.abc import AsyncIterator
from io import StringIO
from typing import Any

import pytest
from rich.console import Console
from tests.support import talk_to
from tests.unit.cli.samples import INCIDENT, opened, outcome
from tests.unit.cli.test_board import alert, status

from mendbus import codec, streams
from mendbus.asking.view import View
from mendbus.bus import Bus, Message
from mendbus.bus.memory import MemoryServer
from mendbus.cli import live
from mendbus.contracts.errors import BusError
from mendbus.contracts.ids import new_id
from mendbus.contracts.journal import JournalRecord
from mendbus.contracts.messages import Control, ControlResult
from mendbus.contracts.subjects import Subjects
from mendbus.settings import Settings
from mendbus.testing import eventually

SUBJECTS = Subjects()
NOW = 1_700_000_000 * 10**9


@pytest.fixture
async def bus() -> AsyncIterator[Bus]:
    found = MemoryServer(lambda: NOW).connect("test")
    await streams.ensure(found, SUBJECTS, 1 << 30)
    yield found
    await found.close()


async def journal(bus: Bus, number: int, incident: str) -> None:
    record = JournalRecord(
        id=new_id(),
        time_unix_nano=NOW,
        partition=0,
        number=number,
        owner="s/x",
        previous="",
        entries=[opened(incident)],
    )
    await bus.store(SUBJECTS.journal(0), codec.encode(record))


async def answer(bus: Bus, no: str = "") -> None:
    """Answers as a health-monitor with two pages of agents and an open alert, or says no."""

    async def told(message: Message) -> None:
        control = codec.decode(Control, message.body)
        name = control.arguments["after"] or "a"
        row = {"agent": {"kind": "runtime", "id": name}, "status": "good", "score": 90.0, "reason": "fine"}
        data: dict[str, Any] = {"agents": [row | {"last_seen_unix_nano": 1}]} | ({"next": "b"} if name == "a" else {})
        if control.verb == "alerts":
            data = {"alerts": [alert("raised").model_dump(exclude_none=True)]}
        result = ControlResult(ok=not no, service="health-monitor", instance="t", detail=no or None, data=data)
        await bus.publish(message.reply, codec.encode(result))

    for verb in ("agents", "alerts"):
        await bus.subscribe(SUBJECTS.control(verb), told)


async def test_it_reads_what_there_is_and_hears_what_comes(bus: Bus) -> None:
    """Agents page by page, alerts, incidents under way and waiting; each record of the journal counts once."""
    await answer(bus)
    await journal(bus, 1, INCIDENT)
    await bus.store(
        SUBJECTS.outcome("runtime", "r1"), codec.encode(outcome(incident_id="w", outcome="escalated", settled=None))
    )
    await bus.store(SUBJECTS.outcome("runtime", "r1"), b"\xc1")
    await bus.store(SUBJECTS.journal(0), b"\xc1")
    view = View(bus, SUBJECTS, lambda: NOW)
    await view.listen()
    await journal(bus, 2, "second")
    await view.load()
    board = view.board
    assert (sorted(board.agents), list(board.alerts)) == (["runtime/a", "runtime/b"], ["k"])
    await eventually(lambda: {one.id for one in board.live()} == {INCIDENT, "second", "w"})
    assert (board.problem, board.rate("incidents")) == ("", 2)
    await bus.publish(SUBJECTS.status("runtime", "r1"), codec.encode(status("failed")))
    await bus.publish(SUBJECTS.alert("resolved", "major"), codec.encode(alert("resolved")))
    await journal(bus, 3, "third")
    await eventually(lambda: "runtime/r1" in board.agents and not board.alerts and "third" in board.incidents)
    await view.load()
    assert board.rate("incidents") == 3


async def test_what_does_not_answer_is_named(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a health-monitor that tells, or streams that can be read, the view says so and shows the rest."""
    view = View(bus, SUBJECTS, lambda: NOW)
    await view.load()
    assert view.board.problem.startswith("the health-monitor does not answer")
    await answer(bus, "not now")
    await view.load()
    assert view.board.problem.endswith("agents was refused: not now")

    def broken(*_: object, **__: object) -> object:
        raise BusError("no stream")

    monkeypatch.setattr(bus, "read", broken)
    await view.load()
    assert view.board.problem == "not everything could be read: no stream"


async def test_a_connection_that_is_gone_ends_it(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """It draws until then, gives the terminal back, and says what happened."""
    talk_to(monkeypatch, bus, live)
    out = StringIO()
    console = Console(file=out, force_terminal=True, width=80, height=20)
    showing = asyncio.create_task(live.show(Settings(trace=False), console))
    await eventually(lambda: "incidents (0)" in out.getvalue())
    await bus.close()
    with pytest.raises(BusError, match="gone for good"):
        await showing
    assert out.getvalue().rstrip().endswith("\x1b[?25h") or "\x1b[?1049l" in out.getvalue()
