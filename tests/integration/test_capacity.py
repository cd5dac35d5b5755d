"""`mendbus capacity`: on a real server what Mendbus itself can take, and in memory what is printed of agents."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.harness import installation
from tests.support import Clock, ask, memory_runtime, talk_to
from tests.unit.health_monitor.test_signals import Held, leak

from mendbus.bus.memory import MemoryServer
from mendbus.cli import capacity
from mendbus.contracts.errors import MendbusError
from mendbus.contracts.messages import Control, ControlResult
from mendbus.settings import Settings
from mendbus.testing import eventually

SETTINGS = Settings(trace=False)


async def test_a_running_monitor_tells_how_full_every_stream_is(tmp_path: Path) -> None:
    """On a real server the streams come with their bounds, and nothing waits where nothing was reported."""
    async with installation(tmp_path, "health-monitor") as system:
        bus = await system.connect("asker")
        told: dict[str, Any] = {}

        async def ready() -> bool:
            question = Control(id="c1", time_unix_nano=1, verb="capacity", by="kim")
            told.update((await ask(bus, system.subjects.control("capacity"), question, ControlResult)).data)
            return bool(told["mendbus"])

        await eventually(ready)
        sizes = {row["stream"]: row for row in told["mendbus"]["streams"]}
        assert {"ERRORS", "JOURNAL", "RECOVERIES", "ALERTS", "DEAD"} <= sizes.keys()
        assert sizes["ERRORS"]["max_bytes"] > 0
        assert told["mendbus"]["errors"] == {"waiting_at_most": 0}
        assert told["agents"] == []
        await bus.close()


async def test_what_runs_out_is_a_row_with_when_and_what_to_scale(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only what is tight is shown unless all is asked for; the kind and Mendbus itself follow; JSON has all of it."""
    held, clock, server = Held(), Clock(), MemoryServer()
    async with memory_runtime(held.service, server, now=clock):
        leak(held, clock, 130)
        bus = server.connect("asker")
        talk_to(monkeypatch, bus, capacity)
        await capacity.show(SETTINGS, None, None, every=False, as_json=False)
        shown = capsys.readouterr().out
        assert "runtime/a1  memory_bytes" in shown
        assert "raise the memory limit of runtime/a1" in shown
        assert "1 of 1 runtime agents" in shown
        assert "queue_depth" not in shown
        await capacity.show(SETTINGS, "runtime", "a1", every=True, as_json=False)
        assert "queue_depth" in capsys.readouterr().out
        await capacity.show(SETTINGS, None, None, every=False, as_json=True)
        told = json.loads(capsys.readouterr().out)
        assert {"agents", "kinds", "mendbus"} == told.keys()
        await bus.close()


async def test_that_nothing_runs_out_is_said_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before any agent has told a limit that is said; then, with room everywhere, that nothing runs out."""
    held, clock, server = Held(), Clock(), MemoryServer()
    async with memory_runtime(held.service, server, now=clock):
        bus = server.connect("asker")
        talk_to(monkeypatch, bus, capacity)
        await capacity.show(SETTINGS, None, None, every=False, as_json=False)
        assert capsys.readouterr().out.startswith("no agent has told a limit yet")
        leak(held, clock, 50)
        await capacity.show(SETTINGS, None, None, every=False, as_json=False)
        assert capsys.readouterr().out.startswith("nothing runs out")
        await bus.close()


async def test_without_a_monitor_the_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody answers: the error names the service that would."""
    bus = MemoryServer().connect("asker")
    talk_to(monkeypatch, bus, capacity)
    with pytest.raises(MendbusError, match="is a health-monitor running"):
        await capacity.show(SETTINGS, None, None, every=False, as_json=False)
    await bus.close()
