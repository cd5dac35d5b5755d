"""The history on a bus: rows are stored once, come back after a restart, and are answered in pages."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.support import SECOND, Clock, ask, memory_runtime

from mendbus import codec
from mendbus.bus import Bus
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.errors import BusTimeout, StoreRefused
from mendbus.contracts.messages import Control, ControlResult, HealthMinute, HealthSample
from mendbus.contracts.subjects import HEADER_ID, Subjects
from mendbus.runtime import Runtime, Service
from mendbus.testing import eventually
from mendbus_health_monitor import keeping as module
from mendbus_health_monitor.agents import Agents
from mendbus_health_monitor.history import MINUTE
from mendbus_health_monitor.keeping import Keeping

SUBJECTS = Subjects()
START = 28_000_000 * MINUTE * SECOND
AGENT = {"kind": "runtime", "id": "a1"}


class Kept:
    """A monitor's history whose time is moved on by hand."""

    def __init__(self, runtime: Runtime, clock: Clock) -> None:
        self.clock = clock
        self.bus = runtime.bus
        self.agents = Agents(clock)
        self.keeping = Keeping(runtime, self.agents)
        self._sequence = 0

    def hear(self, seconds: int, metrics: dict[str, float], name: str = "a1") -> None:
        """A sample in each of so many seconds."""
        for _ in range(seconds):
            self._sequence += 1
            sample = {
                "agent": {**AGENT, "id": name},
                "time_unix_nano": self.clock(),
                "sequence": self._sequence,
                "interval_ms": 1000,
                "metrics": metrics,
            }
            _ = self.agents.hear(HealthSample.model_validate(sample))
            self.clock.pass_seconds(1)

    async def turn(self) -> None:
        """What happens each second."""
        await self.keeping.turn()


@asynccontextmanager
async def kept(server: MemoryServer, clock: Clock) -> AsyncGenerator[Kept]:
    """A history on a server, drained at the end."""
    made: list[Kept] = []

    async def start(runtime: Runtime) -> Any:
        made.append(Kept(runtime, clock))
        await made[0].keeping.start()
        return made[0].keeping.drain

    service = Service(name="health-monitor", description="", start=start)
    async with memory_runtime(service, server, now=clock):
        yield made[0]


@pytest.fixture
def clock() -> Clock:
    return Clock(START)


@pytest.fixture
def server(clock: Clock) -> MemoryServer:
    return MemoryServer(clock)


async def history(bus: Bus, resolution: str = "1m", **more: Any) -> ControlResult:
    question = {"id": "c", "time_unix_nano": 0, "verb": "history", "by": "test", "agent": AGENT}
    arguments = {"resolution": resolution, **more}
    control = Control.model_validate({**question, "arguments": arguments})
    return await ask(bus, SUBJECTS.control("history"), control, ControlResult)


async def stored(bus: Bus) -> list[tuple[str, str]]:
    """Last tokens of the subject and id of all that is in HEALTH."""
    read = bus.read(SUBJECTS.stream("HEALTH"), SUBJECTS.everyone("history"))
    return [(message.subject.removeprefix("mendbus.v1.history."), message.headers[HEADER_ID]) async for message in read]


async def test_minutes_and_seconds_are_stored_and_answered(server: MemoryServer, clock: Clock) -> None:
    """A minute that is over is one row on the stream, ten seconds one bundle; both are answered, as far as wanted."""
    async with kept(server, clock) as monitor:
        monitor.hear(61, {"cpu_percent": 3.0, "queue_depth": 7.0})
        await monitor.turn()
        bundle = (await stored(monitor.bus))[-1][0]
        assert bundle.startswith("second.")
        assert ("minute.runtime.a1", "runtime.a1.28000000") in await stored(monitor.bus)
        answer = await history(monitor.bus)
        assert answer.ok
        [row] = answer.data["rows"]
        assert row["time_unix_nano"] == START
        assert row["metrics"] == {
            "cpu_percent": [3.0, 3.0, 3.0, 60.0],
            "queue_depth": [7.0, 7.0, 7.0, 60.0],
            "score": [100.0, 100.0, 100.0, 60.0],
        }
        answer = await history(monitor.bus, "1s", metrics=["queue_depth"], from_unix_nano=START + 55 * SECOND)
        assert [row["time_unix_nano"] // SECOND - START // SECOND for row in answer.data["rows"]] == [
            55,
            56,
            57,
            58,
            59,
            60,
        ]
        assert answer.data["rows"][0]["metrics"] == {"queue_depth": 7.0}
        assert "next" not in answer.data


async def test_two_monitors_make_one_row(server: MemoryServer, clock: Clock) -> None:
    """Replicas that hear the same store the same ids, and the stream keeps one of each."""
    async with kept(server, clock) as one, kept(server, clock) as other:
        one.hear(61, {"cpu_percent": 3.0})
        clock.pass_seconds(-61)
        other.hear(61, {"cpu_percent": 3.0})
        for monitor in (one, other, one, other):
            await monitor.turn()
        ids = [message_id for _, message_id in await stored(one.bus)]
        assert sorted(ids) == sorted(set(ids))
        assert [message_id for message_id in ids if not message_id.startswith("second.")] == ["runtime.a1.28000000"]


async def test_who_heard_half_a_minute_lets_the_other_go_first(server: MemoryServer, clock: Clock) -> None:
    """The row of a replica that came in between waits for two seconds, so that the whole one is kept."""
    clock.pass_seconds(30)
    async with kept(server, clock) as late:
        late.hear(30, {"cpu_percent": 3.0})
        await late.turn()
        assert not any(subject.startswith("minute") for subject, _ in await stored(late.bus))
        clock.pass_seconds(2)
        await late.turn()
        assert ("minute.runtime.a1", "runtime.a1.28000000") in await stored(late.bus)


async def test_a_restart_in_the_middle_of_everything_loses_nothing(server: MemoryServer, clock: Clock) -> None:
    """Ended within ten seconds and within a minute, the next monitor has all seconds and makes one whole row."""
    async with kept(server, clock) as before:
        before.hear(15, {"cpu_percent": 10.0})
        await before.turn()
    async with kept(server, clock) as after:
        await eventually(lambda: len(list(after.keeping.history.points("runtime/a1", 0, 1 << 40))) == 15)
        after.hear(46, {"cpu_percent": 40.0})
        await after.turn()
        clock.pass_seconds(2)
        await after.turn()
        [row] = (await history(after.bus)).data["rows"]
        assert row["metrics"]["cpu_percent"] == [10.0, 32.5, 40.0, 60.0]
        assert len((await history(after.bus, "1s")).data["rows"]) == 61


async def test_a_minute_that_nobody_was_left_to_store_is_made_of_its_seconds(
    server: MemoryServer, clock: Clock
) -> None:
    """A monitor that is away when a minute ends finds its seconds, and makes the row; again started, it does not."""
    async with kept(server, clock) as before:
        before.hear(30, {"cpu_percent": 10.0})
        await before.turn()
    clock.pass_seconds(200)
    for _ in range(2):
        async with kept(server, clock) as after:

            async def made(monitor: Kept = after) -> bool:
                clock.pass_seconds(3)
                await monitor.turn()
                return any(subject.startswith("minute") for subject, _ in await stored(monitor.bus))

            await eventually(made)
            assert [subject for subject, _ in await stored(after.bus) if subject.startswith("minute")] == [
                "minute.runtime.a1"
            ]
            [row] = (await history(after.bus)).data["rows"]
            assert row["metrics"]["cpu_percent"] == [10.0, 10.0, 10.0, 30.0]


async def test_long_answers_come_in_pages(server: MemoryServer, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """`next` of a page is the `after` of the next question, and nothing is left out or told twice."""
    monkeypatch.setattr(module, "PAGE", 7)
    async with kept(server, clock) as monitor:
        for minute in range(20):
            clock.pass_seconds(MINUTE)
            row = {
                "agent": AGENT,
                "time_unix_nano": START + minute * MINUTE * SECOND,
                "metrics": {"score": [minute] * 4},
            }
            await monitor.bus.store(SUBJECTS.history_minute("runtime", "a1"), codec.pack(row))
        found, more = list[int](), dict[str, Any]()
        for _ in range(3):
            answer = await history(monitor.bus, **more)
            found += [row["metrics"]["score"][0] for row in answer.data["rows"]]
            more = {"after": answer.data.get("next")}
        assert found == list(range(20))
        assert more == {"after": None}


@pytest.mark.parametrize(
    "arguments",
    [
        {"resolution": "1h"},
        {"from_unix_nano": "yesterday"},
        {"to_unix_nano": True},
        {"metrics": "all"},
        {"metrics": [1]},
    ],
)
async def test_a_question_that_makes_no_sense_is_answered_so(
    server: MemoryServer, clock: Clock, arguments: dict[str, Any]
) -> None:
    """The answer is not ok and says what is wrong."""
    async with kept(server, clock) as monitor:
        answer = await history(monitor.bus, **arguments)
        assert not answer.ok
        assert answer.detail


async def test_rows_wait_while_they_cannot_be_stored(
    server: MemoryServer, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the server does not answer rows wait, the oldest go beyond the bound; one that is refused is lost."""
    async with kept(server, clock) as monitor:
        store = monitor.bus.store

        async def silent(*_: Any, **__: Any) -> Any:
            raise BusTimeout("x", 5.0)

        async def refusing(*_: Any, **__: Any) -> Any:
            raise StoreRefused("x", 10077, "maximum bytes exceeded")

        with monkeypatch.context() as broken:
            broken.setattr(monitor.bus, "store", silent)
            monitor.hear(181, {"cpu_percent": 3.0})
            await monitor.turn()
            assert await stored(monitor.bus) == []
        with monkeypatch.context() as bounded:
            bounded.setattr(module, "MAX_WAITING", 3)
            await monitor.turn()
        assert len(await stored(monitor.bus)) == 3
        assert monitor.keeping.lost == 18
        with monkeypatch.context() as broken:
            broken.setattr(monitor.bus, "store", refusing)
            monitor.hear(60, {"cpu_percent": 3.0})
            await monitor.turn()
        assert monitor.bus.store == store
        assert monitor.keeping.lost == 25


async def test_stored_bytes_that_are_of_no_use_are_passed_over(server: MemoryServer, clock: Clock) -> None:
    """Bytes in HEALTH that are no rows stop neither the start nor an answer."""
    bus = server.connect("before")
    async with kept(server, clock):
        pass
    for subject in (SUBJECTS.history_second(1), SUBJECTS.history_minute("runtime", "a1")):
        await bus.store(subject, b"\xc1")
    async with kept(server, clock) as monitor:
        assert (await history(monitor.bus)).data["rows"] == []
    await bus.close()


async def test_a_running_monitor_keeps_by_itself(server: MemoryServer, clock: Clock) -> None:
    """Without a hand on it the history is stored within moments of its time."""
    clock.pass_seconds(59.99)
    async with kept(server, clock) as monitor:
        monitor.hear(1, {"cpu_percent": 3.0})

        async def there() -> bool:
            clock.pass_seconds(1)
            await asyncio.sleep(0)
            return any(subject.startswith("minute") for subject, _ in await stored(monitor.bus))

        await eventually(there, timeout=10.0)
        body = await monitor.bus.last(SUBJECTS.stream("HEALTH"), SUBJECTS.history_minute("runtime", "a1"))
        assert body is not None
        assert codec.decode(HealthMinute, body.body).metrics["cpu_percent"] == [3.0, 3.0, 3.0, 1.0]
