"""The health-monitor's alerts on a bus: made of outcomes once, stored, listed, resolved, whatever comes in between."""

from typing import Any

import pytest
from tests.unit.health_monitor.monitored import NOW, SUBJECTS, conclude, control, monitored, outcome, stored_alerts

from mendbus import codec
from mendbus.bus import Bus
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.errors import BusError
from mendbus.contracts.journal import Operated
from mendbus.contracts.messages import Alert
from mendbus.contracts.subjects import HEADER_CODE
from mendbus.testing import eventually
from mendbus_health_monitor import alert_storing


async def test_an_outcome_that_is_not_valid_is_one_dead_letter_and_the_next_one_counts() -> None:
    """Bytes that are no message and a message that lacks a field are kept, each once; what follows is judged."""
    async with monitored() as (_, bus, _told):
        subject = SUBJECTS.outcome("runtime", "a1")
        lacking = outcome("escalated").model_dump(exclude_none=True)
        del lacking["trace_id"]
        await bus.store(subject, b"\xc1")
        await bus.store(subject, codec.pack(lacking))
        await conclude(bus, "escalated", 1)
        await eventually(lambda: _has_alerts(bus, 1))
        read = bus.read(SUBJECTS.stream("DEAD"), SUBJECTS.dead("health-monitor"))
        assert [dead.headers[HEADER_CODE] async for dead in read] == ["not_msgpack", "invalid"]


async def test_an_escalation_raises_an_alert_and_a_recovery_resolves_it() -> None:
    """The alert is stored, listed while it is open, and resolved when the incident recovers."""
    async with monitored() as (runtime, bus, _told):
        await conclude(bus, "escalated")

        async def states() -> list[str]:
            return [alert.state for alert in await stored_alerts(bus)]

        async def raised() -> bool:
            return await states() == ["raised"]

        await eventually(raised)
        [row] = (await control(bus, "alerts"))["alerts"]
        assert (row["severity"], row["incident_id"], row["agent"]["id"]) == ("major", "i1", "a1")
        assert runtime.readiness.conditions["alerts"][0]
        await conclude(bus, "recovered", 1)

        async def resolved() -> bool:
            return await states() == ["raised", "resolved"]

        await eventually(resolved)
        assert (await control(bus, "alerts"))["alerts"] == []


async def test_outcomes_told_while_no_monitor_ran_are_judged_once() -> None:
    """An escalation during a restart raises its alert at the start; another restart raises it no second time."""
    server = MemoryServer()
    async with monitored(server):
        pass
    bus = server.connect("late")
    await conclude(bus, "escalated")
    for _ in range(2):
        async with monitored(server):
            await eventually(lambda: _has_alerts(bus, 1))
    async with monitored(server) as (_, other, _told):
        assert len((await control(other, "alerts"))["alerts"]) == 1
        await conclude(other, "recovered", 1)
        await eventually(lambda: _has_alerts(other, 2))
    await bus.close()


async def _has_alerts(bus: Bus, count: int) -> bool:
    return len(await stored_alerts(bus)) == count


async def test_two_monitors_make_one_alert() -> None:
    """Replicas judge alike, and the stream keeps one."""
    server = MemoryServer()
    async with monitored(server) as (_, bus, _told), monitored(server) as (_, other, _told2):
        await conclude(bus, "escalated")

        async def both() -> bool:
            return all([len((await control(one, "alerts"))["alerts"]) == 1 for one in (bus, other, bus, other)])

        await eventually(both)
    bus = server.connect("after")
    assert await _has_alerts(bus, 1)
    await bus.close()


async def test_an_alert_that_cannot_be_stored_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """While the stream refuses, the service is not ready and says why; then the alert is stored."""
    monkeypatch.setattr(alert_storing, "_RETRY_SECONDS", 0.01)
    async with monitored() as (runtime, bus, _told):
        store = runtime.bus.store

        async def refuse(subject: str, *arguments: Any, **more: Any) -> Any:
            if subject.startswith(SUBJECTS.everyone("alert")[:-1]):
                raise BusError("the disk is full")
            return await store(subject, *arguments, **more)

        with monkeypatch.context() as broken:
            broken.setattr(runtime.bus, "store", refuse)
            await conclude(bus, "escalated")
            await eventually(lambda: not runtime.readiness.conditions.get("alerts", (True, ""))[0])
            assert "the disk is full" in runtime.readiness.conditions["alerts"][1]
        await eventually(lambda: _has_alerts(bus, 1))
        assert runtime.readiness.conditions["alerts"] == (True, "")


async def test_stored_bytes_that_are_of_no_use_are_passed_over() -> None:
    """Bytes in the streams that are no message do not stop the service, neither at the start nor later."""
    server = MemoryServer()
    async with monitored(server) as (_, bus, _told):
        for subject in (
            SUBJECTS.alert("raised", "major"),
            SUBJECTS.outcome("runtime", "a1"),
            SUBJECTS.key("agents", "runtime", "a1"),
        ):
            await bus.store(subject, b"\xc1")
    async with monitored(server) as (_, bus, _told):
        assert (await control(bus, "agents"))["agents"] == []
        await conclude(bus, "escalated")
        await eventually(lambda: _open(bus, 1))


async def _open(bus: Bus, count: int) -> bool:
    return len((await control(bus, "alerts"))["alerts"]) == count


async def latch(bus: Bus, number: int, verb: str, **more: Any) -> None:
    entry = Operated.model_validate({"verb": verb, "by": "strategy-selector", "reason": "budget spent", **more})
    head = {"id": f"r{number}", "time_unix_nano": NOW, "partition": 0, "number": number, "owner": "o", "previous": ""}
    await bus.store(SUBJECTS.journal_control, codec.pack_with_list(head, "entries", [codec.encode(entry)]))


async def test_recovery_that_is_latched_off_is_an_alert_of_its_own() -> None:
    """It is raised once, resolved when a person resumes everything, and a pause of one agent is none of it."""
    server = MemoryServer()
    async with monitored(server) as (_, bus, _told):
        await latch(bus, 1, "latch")
        await latch(bus, 2, "pause", kind="runtime")
        await latch(bus, 3, "resume", kind="runtime")
        await eventually(lambda: stored_alerts(bus))
        [row] = (await control(bus, "alerts"))["alerts"]
        assert (row["key"], row["severity"]) == ("latched", "critical")
        assert "budget spent" in row["summary"]
    bus = server.connect("meanwhile")
    await latch(bus, 4, "resume")
    await latch(bus, 5, "pause", kind="runtime")
    await bus.close()
    async with monitored(server) as (_, bus, _told):

        async def both() -> list[Alert] | None:
            found = await stored_alerts(bus)
            return found if len(found) == 2 else None

        assert [alert.state for alert in await eventually(both)] == ["raised", "resolved"]
        assert (await control(bus, "alerts"))["alerts"] == []
