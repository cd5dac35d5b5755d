"""Alerts on a bus: webhooks told once, orders done and noted, silences kept, all of it the same after a restart."""

import os
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support import ask, memory_runtime, tell
from tests.unit.health_monitor.alert_samples import outcome, sample, status
from tests.unit.health_monitor.receiver import Receiver, receiving

from mendbus import codec
from mendbus.bus import Bus
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.errors import BusError
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import Alert, Control, ControlResult, HealthStatus
from mendbus.contracts.subjects import HEADER_CODE, HEADER_REASON, Subjects
from mendbus.runtime import Drain, Runtime, Service
from mendbus.settings import Settings
from mendbus.testing import eventually
from mendbus_health_monitor import alert_delivery, alerting, audit_notes
from mendbus_health_monitor.agents import Agents
from mendbus_health_monitor.alerting import Alerting
from mendbus_health_monitor.hearsay import Hearsay

SUBJECTS = Subjects()
NOW = 1_700_000_000_000_000_000
QUICK = "[alerts]\ngroup_seconds = 0.0\ngroup_interval_seconds = 0.0\nservice_seconds = 0.0\ndisabled = %s\n"
CALM = QUICK % '["service"]'


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks often, so that nobody waits."""
    monkeypatch.setattr(alerting, "_STEP_SECONDS", 0.01)
    monkeypatch.setattr(alerting, "_SERVICES_SECONDS", 0.02)
    monkeypatch.setattr(alert_delivery, "_LOOK_SECONDS", 0.01)
    monkeypatch.setenv("HOOK_SECRET", "s3cret")


def hook(receiver: Receiver, more: str = "") -> str:
    return (
        f'[[webhook]]\nname = "w"\nurl = "{receiver.url}"\nsecret_env = "HOOK_SECRET"\n'
        f"backoff_seconds = 0.01\ntries = 3\n{more}\n"
    )


@asynccontextmanager
async def alerted(policy: Path, server: MemoryServer | None = None) -> AsyncGenerator[tuple[Alerting, Bus]]:
    """Running alerts, and the bus of somebody else."""
    made: list[Alerting] = []

    async def unheard(_: HealthStatus | None) -> None:
        return

    async def start(runtime: Runtime) -> Drain:
        runtime.instance = new_id()[-12:]
        made.append(Alerting(runtime))
        await made[0].start()
        await Hearsay(runtime, Agents(runtime.now), unheard, stored=lambda _: None, told=made[0].outcome).start()
        return made[0].drain

    server = server or MemoryServer()
    bus = server.connect("test")
    service = Service("health-monitor", "alerts", start)
    try:
        async with memory_runtime(service, server, settings=Settings(trace=False, policy_file=policy)):
            yield made[0], bus
    finally:
        await bus.close()


def running(folder: Path, receiver: Receiver, policy: str = CALM) -> AbstractAsyncContextManager[tuple[Alerting, Bus]]:
    return alerted(policy_of(folder, policy + hook(receiver)))


def policy_of(folder: Path, text: str) -> Path:
    file = folder / "policy.toml"
    stamp = file.stat().st_mtime + 1 if file.exists() else 1.0
    file.write_text(text)
    os.utime(file, (stamp, stamp))
    return file


async def conclude(bus: Bus, word: str, sequence: int = 0, incident: str = "i1", **more: Any) -> None:
    told = outcome(word, sequence, incident, **more)
    await bus.store(SUBJECTS.outcome("runtime", "a1"), codec.encode(told))


async def order(bus: Bus, verb: str, **more: Any) -> ControlResult:
    known = {"id": "c1", "time_unix_nano": NOW, "verb": verb, "by": "kim", "reason": "on it"}
    return await ask(bus, SUBJECTS.control(verb), Control.model_validate(known | more), ControlResult)


async def stored(bus: Bus) -> list[Alert]:
    read = bus.read(SUBJECTS.stream("ALERTS"), SUBJECTS.everyone("alert"))
    return [codec.decode(Alert, message.body) async for message in read]


async def changes(bus: Bus) -> list[str | None]:
    return [alert.change for alert in await stored(bus)]


async def test_a_webhook_hears_of_an_escalation_and_of_its_end_and_a_restart_repeats_nothing(tmp_path: Path) -> None:
    """Signed, once each, with the trace; a replica that starts later tells neither again."""
    server = MemoryServer()
    async with receiving("s3cret") as receiver:
        policy = policy_of(tmp_path, CALM + hook(receiver))
        async with alerted(policy, server) as (_, bus):
            await conclude(bus, "escalated")
            await eventually(lambda: [body["why"] for body in receiver.bodies] == ["raised"])
            assert receiver.bodies[0]["alerts"][0]["trace_id"] == "t" * 32
        async with alerted(policy, server) as (_, bus):
            await conclude(bus, "recovered", 1)
            await eventually(lambda: [body["why"] for body in receiver.bodies] == ["raised", "resolved"])
        async with alerted(policy, server) as (_, bus):
            await conclude(bus, "escalated", 0, "i2")
            await eventually(lambda: len(receiver.bodies) == 3)
        assert [body["alerts"][0]["key"] for body in receiver.bodies] == ["incident:i1", "incident:i1", "incident:i2"]
        assert all("mendbus-signature" in headers for headers in receiver.headers)


async def test_what_heals_itself_notifies_nobody(tmp_path: Path) -> None:
    """A recovery is no alert; only what the last rung could not end is."""
    async with receiving("s3cret") as receiver, running(tmp_path, receiver) as (_, bus):
        await conclude(bus, "recovered")
        await conclude(bus, "recovered", 1, settled=True)
        await conclude(bus, "failed", 0, "i2")
        await eventually(lambda: receiver.bodies)
        assert receiver.bodies[0]["open"] == 1
        assert await changes(bus) == ["raised"]


async def test_two_replicas_tell_one_webhook_once(tmp_path: Path) -> None:
    """Whoever claims the group first tells it."""
    server = MemoryServer()
    async with receiving("s3cret") as receiver:
        policy = policy_of(tmp_path, CALM + hook(receiver))
        async with alerted(policy, server) as (_, bus), alerted(policy, server) as (_, other):
            for number in range(3):
                await conclude(bus, "escalated", 0, f"i{number}")
                await eventually(lambda: sum(body["why"] == "raised" for body in receiver.bodies) > number)  # noqa: B023
            rows = (await order(other, "alerts")).data["alerts"]
            assert len(rows) == 3
        ids = [headers["mendbus-delivery"] for headers in receiver.headers]
        assert len(set(ids)) == len(ids)


async def test_a_notification_is_tried_again_until_it_is_taken(tmp_path: Path) -> None:
    """Under the same id, so that the receiver may take two for one."""
    async with receiving("s3cret", [500, -1]) as receiver, running(tmp_path, receiver) as (_, bus):
        await conclude(bus, "escalated")
        await eventually(lambda: receiver.bodies)
        assert len({headers["mendbus-delivery"] for headers in receiver.headers}) == 1
        assert len(receiver.headers) == 3
        assert await bus.subjects(SUBJECTS.stream("DEAD"), SUBJECTS.everyone("dead")) == {}


@pytest.mark.parametrize("answers", [[404], [500, 503, 500]])
async def test_what_no_try_brings_there_is_a_dead_letter(tmp_path: Path, answers: list[int]) -> None:
    """With the reason and the body, without address or secret, and once."""
    tries = len(answers)
    async with receiving("s3cret", answers) as receiver, running(tmp_path, receiver) as (_, bus):
        await conclude(bus, "escalated")

        async def dead() -> Any:
            return await bus.last(SUBJECTS.stream("DEAD"), SUBJECTS.dead("health-monitor"))

        letter = await eventually(dead)
        assert letter.headers[HEADER_CODE] == "undelivered"
        assert f"in {tries} tries" in letter.headers[HEADER_REASON]
        assert b"incident:i1" in letter.body
        assert "a=b" not in str(letter.headers)
        assert "s3cret" not in str(letter.headers) + letter.body.decode()


async def test_who_acknowledges_is_known_and_noted(tmp_path: Path) -> None:
    """The alert is stored as taken on, the answer has it, and the audit trail is asked to note who, what and why."""
    noted: list[Control] = []
    async with alerted(policy_of(tmp_path, CALM)) as (_, bus):

        async def note(message: Any) -> None:
            noted.append(codec.decode(Control, message.body))
            result = ControlResult(ok=True, service="strategy-selector", instance="x")
            await bus.publish(message.reply, codec.encode(result))

        await conclude(bus, "escalated")
        await eventually(lambda: stored(bus))
        first = await order(bus, "ack", arguments={"key": "incident:i1"})
        assert (first.ok, "not in the audit trail yet" in (first.detail or "")) == (True, True)
        assert [one.state for one in await stored(bus)] == ["raised", "acknowledged"]
        assert (await stored(bus))[1].acknowledged_by == "kim"
        _ = await bus.subscribe(SUBJECTS.control("audit"), note)
        await eventually(lambda: noted)
        assert (noted[0].by, noted[0].reason, noted[0].arguments) == (
            *("kim", "on it", {"verb": "ack", "key": "incident:i1"}),
        )
        again = await order(bus, "ack", arguments={"key": "incident:i1"})
        assert (again.ok, again.detail) == (True, "acknowledged until it is resolved")
        for arguments in ({}, {"key": "other"}):
            assert not (await order(bus, "ack", arguments=arguments)).ok


async def test_what_nobody_noted_is_noted_after_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Orders that were done while no strategy-selector ran come into the audit trail from the next process, once."""
    monkeypatch.setattr(audit_notes, "_OTHERS_NANO", 0)
    server, noted = MemoryServer(), list[Control]()
    async with alerted(policy_of(tmp_path, CALM), server) as (_, bus):
        await conclude(bus, "escalated")
        await eventually(lambda: stored(bus))
        assert (await order(bus, "ack", arguments={"key": "incident:i1"})).ok
        assert not (await order(bus, "ack", arguments={"key": "other"})).ok
    async with alerted(policy_of(tmp_path, CALM), server) as (_, bus):

        async def note(message: Any) -> None:
            noted.append(codec.decode(Control, message.body))
            refused = len(noted) == 1
            result = ControlResult(ok=not refused, service="strategy-selector", instance="x", detail="not yet")
            await bus.publish(message.reply, codec.encode(result))

        async def left() -> list[bytes]:
            stream, every = SUBJECTS.bucket_stream("alerting"), SUBJECTS.key("alerting", "note", ">")
            return [one.body async for one in bus.read(stream, every)]

        assert any(await left())
        _ = await bus.subscribe(SUBJECTS.control("audit"), note)
        await eventually(lambda: len(noted) == 2)

        async def forgotten() -> bool:
            return not any(await left())

        await eventually(forgotten)
    assert [(one.by, one.arguments, one.id) for one in noted] == [
        ("kim", {"verb": "ack", "key": "incident:i1"}, noted[0].id)
    ] * 2
    # Where orders are signed, one with the time of the first would count no more.
    assert noted[0].time_unix_nano < noted[1].time_unix_nano


async def test_what_cannot_be_noted_is_refused_before_it_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While too many orders wait for the audit trail a further one says so and changes nothing."""
    monkeypatch.setattr(audit_notes, "MOST_WAITING", 1)
    async with alerted(policy_of(tmp_path, CALM)) as (_, bus):
        await conclude(bus, "escalated")
        await eventually(lambda: stored(bus))
        assert (await order(bus, "ack", arguments={"key": "incident:i1"})).ok
        again = await order(bus, "ack", arguments={"key": "incident:i1"})
        assert (again.ok, "1 orders wait for the audit trail" in (again.detail or "")) == (False, True)
        assert await changes(bus) == ["raised", "acknowledged"]


async def test_a_silence_keeps_the_record_and_tells_nobody_until_it_ends(tmp_path: Path) -> None:
    """It survives a restart; when it is lifted, what is still open is told."""
    server, until = MemoryServer(), {"until_unix_nano": 1 << 62}
    async with receiving("s3cret") as receiver:
        policy = policy_of(tmp_path, CALM + hook(receiver))
        async with alerted(policy, server) as (found, bus):
            end = {"until_unix_nano": found._runtime.now() + 3_600_000_000_000}
            made = await order(bus, "silence", kind="runtime", arguments=end)
            assert made.ok, made.detail
            for arguments in (until, {"until_unix_nano": 5}, {}):
                assert not (await order(bus, "silence", kind="runtime", arguments=arguments)).ok
            assert "mutes nothing" in ((await order(bus, "silence", arguments=end)).detail or "")
        async with alerted(policy, server) as (_, bus):
            await conclude(bus, "escalated")

            async def muted() -> bool:
                return await changes(bus) == ["raised", "muted"]

            await eventually(muted)
            [row] = (await order(bus, "silences")).data["silences"]
            assert row["kind"] == "runtime"
            assert (await stored(bus))[1].muted_by == f"silence:{row['id']}"
            assert receiver.headers == []
            assert (await order(bus, "unsilence", arguments={"id": row["id"]})).ok
            assert not (await order(bus, "unsilence", arguments={"id": row["id"]})).ok
            await eventually(lambda: receiver.bodies)
            assert (await order(bus, "silences")).data["silences"] == []


async def test_what_is_told_directly_needs_no_bus(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Every webhook hears it, whatever it wants; once, and once that it is over; the log has it too."""
    async with receiving("s3cret", [500]) as receiver:
        more = 'rules = ["none"]\nmin_severity = "critical"'
        async with alerted(policy_of(tmp_path, CALM + hook(receiver, more))) as (found, _):
            for resolved in (True, False, False, True, True):
                await found.notify("the canary is away", key="canary", severity="critical", resolved=resolved)
                await eventually(lambda: resolved or receiver.bodies)  # noqa: B023
            await eventually(lambda: len(receiver.bodies) == 2)
            assert receiver.bodies[0]["title"] == "critical: the canary is away"
            assert receiver.bodies[1]["why"] == "resolved"
            assert "the canary is away" in caplog.text
            assert (found.open["critical"], found.delivered[1]) == (0, 1)


async def test_a_lost_server_is_told_directly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody can hear on the bus goes to the webhooks."""
    monkeypatch.setattr(alerting, "_BUS_LOST_SECONDS", 0.05)
    async with receiving("s3cret") as receiver, running(tmp_path, receiver) as (found, _):
        with monkeypatch.context() as broken:
            broken.setattr(type(found._runtime.bus), "connected", False)
            await eventually(lambda: receiver.bodies)
        await eventually(lambda: len(receiver.bodies) == 2)
        assert "cannot reach NATS" in receiver.bodies[0]["title"]


async def test_a_service_that_does_not_answer_is_an_alert(tmp_path: Path) -> None:
    """No executor is critical, and the webhook hears of it."""
    async with receiving("s3cret") as receiver, running(tmp_path, receiver, QUICK % "[]") as (_, bus):
        await eventually(lambda: receiver.bodies)

        async def keys() -> bool:
            found = {row["key"]: row["severity"] for row in (await order(bus, "alerts")).data["alerts"]}
            return found.get("service:executor") == "critical" and len(found) == 4

        await eventually(keys)


async def test_a_rule_of_the_policy_file_is_taken_over_while_it_runs(tmp_path: Path) -> None:
    """Metrics are heard from then on; the alert is raised, and ends with its rule."""
    policy = policy_of(tmp_path, CALM)
    async with alerted(policy) as (_, bus):
        rule = '[[alert_rule]]\nname = "queue"\nmetric = "queue_depth"\nabove = 10\nfor_seconds = 0\n'
        policy_of(tmp_path, CALM + rule)

        async def raised() -> list[Alert]:
            await tell(bus, SUBJECTS.health("runtime", "a1"), sample(queue_depth=11.0))
            return await stored(bus)

        [found] = await eventually(raised)
        assert (found.key, found.rule, found.severity) == ("rule:queue:runtime/a1", "queue", "warning")
        await bus.publish(SUBJECTS.health("runtime", "a2"), b"\xc1")
        policy_of(tmp_path, CALM)

        async def resolved() -> bool:
            return await changes(bus) == ["raised", "resolved"]

        await eventually(resolved)


class Finder:
    """Finds that something runs out."""

    def findings(self) -> list[Any]:
        class Found:
            agent, metric, finding, harmful = "runtime/a1", "memory_bytes", "exhaustion", True
            sentence, eta_seconds = "memory_bytes reaches its limit", 60.0

        return [Found()]


async def test_findings_and_statuses_become_alerts(tmp_path: Path) -> None:
    """What somebody else finds, and what agents' statuses say."""
    text = "[alerts]\nfailed_seconds = 0.0\ndisabled = ['service']\n"
    async with alerted(policy_of(tmp_path, text)) as (found, bus):
        found.watch(Finder())
        await tell(bus, SUBJECTS.status("runtime", "a1"), status("failed"))
        await bus.publish(SUBJECTS.status("runtime", "a2"), b"\xc1")

        async def keys() -> bool:
            return {one.key for one in await stored(bus)} == {
                "agent_failed:runtime/a1",
                "exhaustion:runtime/a1:memory_bytes",
            }

        await eventually(keys)


async def test_an_incident_may_be_switched_off(tmp_path: Path) -> None:
    """A built-in rule that is disabled raises nothing."""
    async with alerted(policy_of(tmp_path, "[alerts]\ndisabled = ['service', 'incident']\n")) as (_, bus):
        await conclude(bus, "escalated")
        await bus.store(SUBJECTS.journal_control, b"\xc1")
        await conclude(bus, "failed", 0, "i2", agent={"kind": "runtime", "id": "a1"})
        await bus.barrier()
        assert await stored(bus) == []


async def test_a_webhook_is_told_although_the_bucket_takes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that refuses to remember does not keep a person from hearing of it."""
    async with receiving("s3cret") as receiver, running(tmp_path, receiver) as (found, bus):
        store = found._runtime.bus.store

        async def refuse(subject: str, *arguments: Any, **more: Any) -> Any:
            if "alerting" in subject:
                raise BusError("the disk is full")
            return await store(subject, *arguments, **more)

        with monkeypatch.context() as broken:
            broken.setattr(found._runtime.bus, "store", refuse)
            await conclude(bus, "escalated")
            await eventually(lambda: receiver.bodies)
        kept = SUBJECTS.key("alerting", "notice", ">")
        await eventually(lambda: bus.subjects(SUBJECTS.bucket_stream("alerting"), kept))
        assert len(receiver.bodies) == 1
