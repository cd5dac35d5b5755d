"""Alerts with a real server and real processes: told by a webhook, and the same after the monitor was killed."""

from pathlib import Path

from tests.harness import installation
from tests.support import ask
from tests.unit.health_monitor.alert_samples import outcome
from tests.unit.health_monitor.receiver import receiving

from mendbus import codec
from mendbus.bus import Bus
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import Control, ControlResult
from mendbus.contracts.subjects import Subjects
from mendbus.testing import eventually

SUBJECTS = Subjects()


async def conclude(bus: Bus, word: str, incident: str, sequence: int = 0) -> None:
    """An outcome as a selector stores it."""
    told = codec.encode(outcome(word, sequence, incident))
    await bus.store(SUBJECTS.outcome("runtime", "a1"), told, id=f"{incident}-{sequence}")


async def order(bus: Bus, verb: str, **arguments: str) -> ControlResult:
    """An operator's order."""
    control = Control(id=new_id(), time_unix_nano=1, verb=verb, by="kim", arguments=arguments)
    return await ask(bus, SUBJECTS.control(verb), control, ControlResult)


async def unnoted(bus: Bus) -> list[Control]:
    """Orders that wait for the audit trail, on the server."""
    stream, every = SUBJECTS.bucket_stream("alerting"), SUBJECTS.key("alerting", "note", ">")
    return [codec.decode(Control, one.body) async for one in bus.read(stream, every) if one.body]


async def test_a_killed_monitor_tells_nothing_twice_and_forgets_nothing(tmp_path: Path) -> None:
    """After SIGKILL the open alert is still somebody's, what happened meanwhile is told, and what was told is not."""
    async with receiving("s3cret", [503]) as receiver:
        policy = (
            '[alerts]\ngroup_seconds = 0.0\ngroup_interval_seconds = 0.0\ndisabled = ["service"]\n'
            f'[[webhook]]\nname = "w"\nurl = "{receiver.url}"\nsecret_env = "HOOK_SECRET"\nbackoff_seconds = 0.05\n'
        )
        environment = {"HOOK_SECRET": "s3cret"}
        async with installation(tmp_path, "health-monitor", policy=policy, environment=environment) as found:
            bus = await found.connect()
            await conclude(bus, "escalated", "i1")
            await eventually(lambda: [body["why"] for body in receiver.bodies] == ["raised"], 15.0)
            acknowledged = await order(bus, "ack", key="incident:i1")
            assert acknowledged.ok
            assert "not in the audit trail yet" in (acknowledged.detail or "")
            await found.named("health-monitor")[0].kill()
            assert [note.arguments for note in await unnoted(bus)] == [{"verb": "ack", "key": "incident:i1"}]
            await conclude(bus, "failed", "i2")
            await found.run("health-monitor")
            await eventually(lambda: len(receiver.bodies) > 1, 15.0)
            rows = (await order(bus, "alerts")).data["alerts"]
            assert [(row["key"], row["state"]) for row in rows] == [
                ("incident:i1", "acknowledged"),
                ("incident:i2", "raised"),
            ]
            await conclude(bus, "recovered", "i1", 1)
            await conclude(bus, "recovered", "i2", 1)
            await eventually(lambda: receiver.bodies[-1]["open"] == 0, 15.0)
            assert sum(body["why"] == "raised" for body in receiver.bodies) == 2
            logs = "".join(service.log.read_text() for service in found.services)
            assert "s3cret" not in logs
            assert "a=b" not in logs
            await bus.close()
