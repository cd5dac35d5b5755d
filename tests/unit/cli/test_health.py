"""What `mendbus health` prints, from a health-monitor on a bus in memory; and its exports."""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import SECOND, Clock, memory_runtime, talk_to, tell

from mendbus import codec
from mendbus.bus import Bus
from mendbus.bus.memory import MemoryServer
from mendbus.cli import health_agent, health_list
from mendbus.cli.health_words import written
from mendbus.cli.sparkline import BARS, sparkline
from mendbus.contracts.errors import MendbusError
from mendbus.contracts.messages import AgentHello, Control, ControlResult, HealthSample
from mendbus.contracts.subjects import Subjects
from mendbus.export import csv_line, json_line
from mendbus.exports import EXPORTS, rows_of
from mendbus.settings import Settings
from mendbus.testing import eventually
from mendbus_health_monitor import build

SUBJECTS = Subjects()
SETTINGS = Settings(trace=False)
START = 28_000_000 * 60 * SECOND
Connected = Callable[[Settings], AbstractAsyncContextManager[Bus]]


@pytest.fixture
async def bus(monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Bus]:
    """A bus with a health-monitor, which commands of this test find too."""
    clock = Clock(START + 90 * SECOND)
    server = MemoryServer(clock)
    made = server.connect("command")

    talk_to(monkeypatch, made, health_list, health_agent)
    monkeypatch.setattr("time.time_ns", clock)
    monkeypatch.setenv("COLUMNS", "200")
    async with memory_runtime(build(), server, now=clock):
        yield made
    await made.close()


async def sample(bus: Bus, name: str, metrics: dict[str, float], sequence: int = 1) -> None:
    known = {"agent": {"kind": "runtime", "id": name}, "time_unix_nano": START + 90 * SECOND, "sequence": sequence}
    message = HealthSample.model_validate({**known, "interval_ms": 500, "metrics": metrics})
    await tell(bus, SUBJECTS.health("runtime", name), message)


async def minutes(bus: Bus) -> None:
    """Two stored minutes of an agent."""
    for number, value in ((0, 2.0), (1, 8.0)):
        row = {"agent": {"kind": "runtime", "id": "web-1"}, "time_unix_nano": START + (number - 10) * 60 * SECOND}
        metrics = {"cpu_percent": [value - 1, value, value + 1, 120]}
        await bus.store(SUBJECTS.history_minute("runtime", "web-1"), codec.pack({**row, "metrics": metrics}))


async def test_the_worst_agent_stands_first(bus: Bus, capsys: pytest.CaptureFixture[str]) -> None:
    """A line for each agent with its score, what costs it most and its numbers; JSON has the whole answer."""
    await sample(bus, "web-1", {"cpu_percent": 3.14159, "memory_bytes": 41e6})
    await sample(bus, "web-2", {"errors_per_s": 5.0, "availability_ratio": 0.75})
    await sample(bus, "web-2", {"errors_per_s": 5.0}, 1)

    async def shown() -> list[str]:
        await health_list.show(SETTINGS, as_json=False)
        lines = capsys.readouterr().out.splitlines()
        return lines if len(lines) == 5 else []

    heading, second, first, _, samples = await eventually(shown)
    assert heading.split() == ["agent", "status", "score", "heard", "reason", "metrics"]
    assert second.split()[:3] == ["runtime/web-2", "critical", "40.0"]
    assert "errors_per_s 5 (-35.0), availability_ratio 0.75 (-25.0)" in second
    assert second.endswith("errors 5/s · available 75 %")
    assert first.split()[:3] == ["runtime/web-1", "excellent", "100.0"]
    assert first.rstrip().endswith("cpu 3.142 % · memory 41 MB")
    assert samples == "samples: 1 doubled, 2 taken"
    await health_list.show(SETTINGS, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert [row["agent"]["id"] for row in told["agents"]] == ["web-2", "web-1"]
    assert told["samples"] == {"taken": 2, "doubled": 1}


async def test_nobody_is_said_to_be_nobody(bus: Bus, capsys: pytest.CaptureFixture[str]) -> None:
    """Without agents it says so; a name that was never heard is an error with a way on."""
    await health_list.show(SETTINGS, as_json=False)
    assert capsys.readouterr().out == "no agents\n"
    with pytest.raises(MendbusError, match="no agent runtime/web-9 was heard of"):
        await health_agent.show(SETTINGS, ("runtime", "web-9"), as_json=False)


async def test_one_agent_is_shown_with_its_history(bus: Bus, capsys: pytest.CaptureFixture[str]) -> None:
    """Its newest values, both sparklines, least, mean and most of the day, and what it does not tell."""
    hello = {"agent": {"kind": "runtime", "id": "web-1"}, "strategies": [], "interval_ms": 500}
    body = codec.encode(AgentHello.model_validate({**hello, "limits": {"memory_bytes": 1e9}}))
    await bus.request(SUBJECTS.hello("runtime", "web-1"), body, timeout=2.0)
    await sample(bus, "web-1", {"cpu_percent": 5.0})
    await minutes(bus)

    async def shown() -> str:
        await health_agent.show(SETTINGS, ("runtime", "web-1"), as_json=False)
        told = capsys.readouterr().out
        return told if "limits" in told and "excellent" in told else ""

    text = await eventually(shown)
    assert text.startswith("runtime/web-1: excellent, score 100.0 - nothing speaks against it\nheard 0 s ago\n")
    assert "limits: memory_bytes 1 GB" in text
    [line] = [line for line in text.splitlines() if line.startswith("cpu_percent")]
    day = "·" * 47 + BARS[0]
    assert line.split() == ["cpu_percent", "5", "%", "·" * 30, day, "1", "%", "5", "%", "9", "%"]
    assert "not told by it: memory_bytes, disk_percent" in text
    await health_agent.show(SETTINGS, ("runtime", "web-1"), as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert [row["metrics"]["cpu_percent"][1] for row in told["minutes"]] == [2.0, 8.0]


async def test_an_agent_of_before_a_restart_still_has_its_history(bus: Bus, capsys: pytest.CaptureFixture[str]) -> None:
    """Who was not heard since the health-monitor started is `unknown`, and its rows are shown."""
    await minutes(bus)
    await health_agent.show(SETTINGS, ("runtime", "web-1"), as_json=False)
    text = capsys.readouterr().out
    assert text.startswith("runtime/web-1: unknown - not heard since the health-monitor was started\n\nmetric")
    [line] = [line for line in text.splitlines() if line.startswith("cpu_percent")]
    assert line.split() == ["cpu_percent", "-", "·" * 30, "·" * 47 + BARS[0], "1", "%", "5", "%", "9", "%"]


@pytest.mark.parametrize(("columns", "bars"), [(200, 78), (110, 44), (80, 22)])
async def test_bars_fit_the_terminal(
    bus: Bus, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int, bars: int
) -> None:
    """On a narrow terminal the lines of bars are shorter, and nothing is cut off."""
    await minutes(bus)
    monkeypatch.setenv("COLUMNS", str(columns))
    await health_agent.show(SETTINGS, ("runtime", "web-1"), as_json=False)
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("cpu_percent")]
    assert len(line) <= columns
    assert sum(line.count(bar) for bar in f"{BARS}·") == bars
    assert "9 %" in line


async def test_what_others_found_out_is_shown_as_it_comes(bus: Bus, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows of `signals` and `capacity` are shown by their sentence, or else by their plain facts."""
    for verb, rows in (
        ("signals", [{"metric": "memory_bytes", "sentence": "memory_bytes rises by 1 MB a minute"}]),
        ("capacity", [{"metric": "disk_percent", "eta_s": 3600.0, "interval": [1, 2]}]),
    ):
        data = {"findings": rows}

        async def answer(message: Any, data: dict[str, Any] = data) -> None:
            asked = codec.decode(Control, message.body)
            assert asked.agent is not None
            result = ControlResult(ok=True, service="health-monitor", instance="test", data=data)
            await bus.publish(message.reply, codec.encode(result))

        await bus.subscribe(SUBJECTS.control(verb), answer)
    await sample(bus, "web-1", {"cpu_percent": 5.0})

    async def shown() -> str:
        try:
            await health_agent.show(SETTINGS, ("runtime", "web-1"), as_json=False)
        except MendbusError:
            return ""
        return capsys.readouterr().out

    text = await eventually(shown)
    assert "\nsignals\n  memory_bytes rises by 1 MB a minute\n" in text
    assert "\ncapacity\n  metric disk_percent, eta_s 3600\n" in text


async def test_health_is_exported_by_the_time_of_its_rows(bus: Bus) -> None:
    """One row a metric and minute, those that begin within the range; what is no row is left out."""
    await minutes(bus)
    await bus.store(SUBJECTS.history_minute("runtime", "web-1"), b"\xc1")
    rows = [row async for row in rows_of(bus, SUBJECTS, EXPORTS["health"])]
    assert [json.loads(json_line(row))["mean"] for row in rows] == [2.0, 8.0]
    assert csv_line(rows[0].values()).split(",")[2:] == ["runtime/web-1", "cpu_percent", "1.0", "2.0", "3.0", "120\r\n"]
    late = START - 9 * 60 * SECOND
    for since, until, means in ((late, None, [8.0]), (None, late - 1, [2.0]), (late - 1, late, [8.0])):
        found = [row["mean"] async for row in rows_of(bus, SUBJECTS, EXPORTS["health"], since and since - 1, until)]
        assert found == means


async def test_seconds_are_exported_with_their_gaps(bus: Bus) -> None:
    """One row a metric and second in which it was told."""
    agent = {"agent": {"kind": "k", "id": "a"}, "seconds": [0, 2], "missing": {"queue_depth": [0]}}
    bundle = {"time_unix_nano": START, "agents": [{**agent, "series": {"score": [99.0, 98.0], "queue_depth": [7.0]}}]}
    await bus.store(SUBJECTS.history_second(1), codec.pack(bundle))
    await bus.store(SUBJECTS.history_second(1), b"\xc1")
    rows = [row async for row in rows_of(bus, SUBJECTS, EXPORTS["health_seconds"])]
    assert [((row["time_unix_nano"] - START) // SECOND, row["metric"], row["mean"]) for row in rows] == [
        (0, "score", 99.0),
        (2, "score", 98.0),
        (2, "queue_depth", 7.0),
    ]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-10, 110), st.floats(-1e9, 1e9))), st.integers(1, 50))
def test_a_sparkline_is_as_wide_as_wanted(points: list[tuple[int, float]], width: int) -> None:
    """Whatever the points, there are so many bars or dots, and a bar exactly where something was told."""
    line = sparkline(points, 0, 100, width)
    assert len(line) == width
    there = {at * width // 100 for at, _ in points if 0 <= at < 100}
    assert {place for place, bar in enumerate(line) if bar != "·"} == there


def test_a_sparkline_goes_from_least_to_most() -> None:
    """The least value has the lowest bar, the largest the highest, and what does not change has the lowest."""
    assert sparkline(enumerate((0.0, 3.5, 7.0)), 0, 4, 4) == "▁▅█·"
    assert sparkline(enumerate((5.0, 5.0)), 0, 2, 2) == "▁▁"


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("cpu_percent", 3.0, "3 %"),
        ("memory_bytes", 123456789.0, "123 MB"),
        ("memory_bytes", 999.0, "999 B"),
        ("network_bytes_per_s", 1500.0, "1.5 kB/s"),
        ("availability_ratio", 0.9995, "100 %"),
        ("queue_depth", 12.0, "12"),
        ("descriptors", 20000.0, "20000"),
        ("response_time_ms", 2.34567, "2.346 ms"),
    ],
)
def test_numbers_are_written_with_their_units(metric: str, value: float, text: str) -> None:
    """Each metric has its unit, bytes in thousands."""
    assert written(metric, value) == text
