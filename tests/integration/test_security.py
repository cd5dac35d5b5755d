"""Users, rights and signatures on a real server: each can do its work, and nothing else."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import pytest
from tests.integration import secured
from tests.integration.secured import Secured
from tests.support import SECOND

from mendbus import Agent, codec
from mendbus.asking.orders import Order, control_of
from mendbus.bus import Message, StoredMessage
from mendbus.bus.nats import NatsBus, connect
from mendbus.contracts.errors import BusError, BusTimeout, CredentialsError, Forbidden, Refused, ServiceFailed
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import (
    AgentRef,
    CommandResult,
    Control,
    ControlResult,
    ErrorReported,
    ExceptionInfo,
    RecoveryCommand,
    Settlement,
)
from mendbus.contracts.subjects import Subjects
from mendbus.security.access import access
from mendbus.security.authority import make_authority
from mendbus.settings import Settings
from mendbus.testing import eventually


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Secured]:
    """A server with users."""
    found = await secured.start(tmp_path)
    yield found
    await found.stop()


def command(agent: str = "r2", *, seconds: float = 5.0, **changes: object) -> RecoveryCommand:
    """A command as the executor makes it."""
    values: dict[str, object] = {
        "command_id": new_id(),
        "incident_id": new_id(),
        "attempt": 1,
        "agent": AgentRef(kind="runtime", id=agent),
        "action": "apply",
        "strategy": "retry",
        "parameters": {},
        "timeout_ms": round(seconds * 1000),
        "deadline_unix_nano": time.time_ns() + round(seconds * SECOND),
        "fence": 1,
    }
    return RecoveryCommand.model_validate(values | changes)


def error_of(agent: str, size: int = 10) -> ErrorReported:
    """An error with a message of that size."""
    return ErrorReported(
        id=new_id(),
        time_unix_nano=1,
        agent=AgentRef(kind="runtime", id=agent),
        exception=ExceptionInfo(type="Flood", message="x" * size),
    )


async def heard(bus: NatsBus, subject: str) -> list[Message]:
    """What comes in on a subject from now on."""
    found: list[Message] = []

    async def hear(message: Message) -> None:
        found.append(message)

    _ = await bus.subscribe(subject, hear)
    await bus.barrier()
    return found


def forbidden_to(agent: str, other: str, subjects: Subjects) -> list[str]:
    """Subjects to which an agent must not be able to publish, one for each way to do harm."""
    errors, journal = subjects.stream("ERRORS"), subjects.stream("JOURNAL")
    return [
        subjects.error("error", "runtime", other),
        subjects.health("runtime", other),
        subjects.hello("runtime", other),
        subjects.goodbye("runtime", other),
        subjects.settled("runtime", other),
        subjects.command("runtime", other),
        subjects.probe("runtime", other),
        subjects.settlement("runtime", other),
        subjects.outcome("runtime", agent),
        subjects.outcome("runtime", other),
        subjects.notice("runtime", other),
        subjects.status("runtime", other),
        subjects.alert("raised", "critical"),
        subjects.journal(0),
        subjects.journal_control,
        subjects.control("resume"),
        subjects.classify,
        subjects.assess,
        subjects.execute,
        subjects.dead("executor"),
        subjects.history_minute("runtime", agent),
        subjects.key("leases", "owner"),
        subjects.key("agents", "runtime", other),
        "$SRV.PING.executor",
        "$JS.API.STREAM.NAMES",
        f"$JS.API.STREAM.DELETE.{errors}",
        f"$JS.API.STREAM.PURGE.{errors}",
        f"$JS.API.STREAM.INFO.{journal}",
        f"$JS.API.DIRECT.GET.{journal}",
        f"$JS.API.CONSUMER.CREATE.{journal}.mine",
        f"$JS.API.CONSUMER.MSG.NEXT.{errors}.{subjects.consumer(0, 'normal')}",
        f"$JS.ACK.{errors}.{subjects.consumer(0, 'normal')}.1.1.1.1.1",
        "_INBOX.agent.runtime." + other + ".x",
        "_INBOX.service.executor.x",
    ]


async def test_an_agent_publishes_its_own_subjects_only(site: Secured) -> None:
    """Everything else is refused by the server at once, in words, and its connection goes on."""
    bus = await site.connect("agent/runtime/r1")
    for subject in forbidden_to("r1", "r2", site.subjects):
        with pytest.raises(Forbidden, match="may not publish"):
            await bus.request(subject, codec.pack({}), timeout=5.0)
    own = site.subjects.error("error", "runtime", "r1")
    assert (await bus.store(own, codec.encode(error_of("r1")))).sequence == 1
    assert bus.connected


async def test_an_agent_hears_nothing_of_others(site: Secured) -> None:
    """Neither commands nor answers nor journal nor decisions of others come to an agent that listens for them."""
    thief, admin = await site.connect("agent/runtime/r1"), await site.connect("operator/admin")
    subjects = site.subjects
    wanted = [
        subjects.command("runtime", "r2"),
        subjects.settlement("runtime", "r2"),
        subjects.everyone("command"),
        subjects.everyone("error"),
        subjects.everyone("journal"),
        subjects.everyone("control"),
        f"{subjects.root}.>",
        "_INBOX.>",
        "_INBOX.operator.admin.>",
        "_INBOX.agent.runtime.r2.>",
        ">",
    ]
    found = [await heard(thief, subject) for subject in wanted]
    mine = await heard(thief, subjects.settlement("runtime", "r1"))
    for agent in ("r2", "r1"):
        await admin.publish(subjects.settlement("runtime", agent), b"words")
        await admin.publish(subjects.command("runtime", agent), codec.pack({"command_id": "c"}))
    _ = await admin.store(subjects.journal(0), b"secret")
    assert await admin.usage(subjects.stream("JOURNAL"))
    await admin.barrier()
    assert await eventually(lambda: len(mine) == 1)
    assert not any(found)


async def test_the_server_s_own_answers_cannot_be_turned_into_messages(site: Secured) -> None:
    """What an agent has the server read or acknowledge reaches neither the journal nor another's work."""
    thief, victim = await site.connect("agent/runtime/r1"), await site.connect("agent/runtime/r2")
    admin = await site.connect("operator/admin")
    subjects, bucket = site.subjects, site.subjects.bucket("checkpoints")
    settled = await heard(victim, subjects.settlement("runtime", "r2"))
    _ = await thief.store(f"$O.{bucket}.C.forged", b"forged")
    link = cast("Any", thief)._link
    for target in (
        subjects.settlement("runtime", "r2"),
        subjects.journal(0),
        subjects.outcome("runtime", "r2"),
        subjects.error("error", "runtime", "r2"),
        subjects.control("pause"),
    ):
        question = f"$JS.API.DIRECT.GET.OBJ_{bucket}.$O.{bucket}.C.forged"
        await link.send(question, b"", reply=target)
        await link.send(subjects.error("error", "runtime", "r1"), b"mine", reply=target)
    await thief.barrier()
    own = subjects.stored_errors(6, "error")
    assert await eventually(lambda: _count(admin, subjects.stream("ERRORS"), own)) == 5
    await victim.barrier()
    # A word of the server may still come to a peer; it is no message, and none of the agent's own making.
    for message in settled:
        with pytest.raises(Refused):
            _ = codec.decode(Settlement, message.body)
    for stream in ("JOURNAL", "RECOVERIES"):
        assert (await admin.usage(subjects.stream(stream))).last_sequence == 0
    assert set(await admin.subjects(subjects.stream("ERRORS"), f"{subjects.root}.errors.>")) == {
        f"{subjects.root}.errors.6.error.runtime.r1"
    }


async def _count(bus: NatsBus, stream: str, subject: str) -> int:
    counted = sum((await bus.subjects(stream, subject)).values())
    return counted if counted >= 5 else 0


async def test_agents_keep_their_checkpoints_and_those_that_stand_by_their_lease(site: Secured) -> None:
    """What agents ask JetStream is asked in the account of the services; of a lease each writes its own part only."""
    subjects, bucket = site.subjects, site.subjects.bucket("checkpoints")
    agent = await site.connect("agent/runtime/r1")
    for content in (b"first", b"second" * 50_000):
        _ = await agent.put_object(bucket, "runtime/r1/c", content)
    kept = await agent.get_object(bucket, "runtime/r1/c")
    assert kept is not None
    assert kept[1] == content
    # What was replaced is gone; whoever may look sees what is there.
    for user in (agent, *[await site.connect(f"operator/{name}") for name in secured.OPERATORS]):
        assert [found.size for found in await user.list_objects(bucket)] == [len(content)]
    admin = await site.connect("operator/admin")
    assert sum((await admin.subjects(f"OBJ_{bucket}", f"$O.{bucket}.C.>")).values()) == 3

    for name in ("primary", "second"):
        _ = site.users.add(f"agent/runtime/{name}", standby="runtime/primary")
    site.reload()
    primary, second = await site.connect("agent/runtime/primary"), await site.connect("agent/runtime/second")
    pair, stream = subjects.key("leases", "pair", "runtime", "primary"), subjects.bucket_stream("leases")
    heard: list[str] = []

    async def hear(message: StoredMessage) -> None:
        heard.append(message.subject)

    following = await second.follow(stream, f"{pair}.>", hear, last_per_subject=True)
    _ = await primary.store(f"{pair}.lease", b"held", expected_last=0, ttl=5.0)
    assert await eventually(lambda: heard == [f"{pair}.lease"])
    with pytest.raises(Forbidden):
        _ = await second.store(f"{pair}.member.runtime.primary", b"sick")
    with pytest.raises(Forbidden):
        _ = await agent.store(f"{pair}.lease", b"mine")
    await following.stop()


async def test_services_have_the_least_they_need(site: Secured) -> None:
    """A classifier can neither command nor decide nor write the journal, and an executor makes no decision."""
    subjects = site.subjects
    for user, denied in (
        ("service/classifier", (subjects.command("runtime", "r1"), subjects.journal(0), subjects.execute)),
        ("service/predictor", (subjects.outcome("runtime", "r1"), subjects.alert("raised", "info"))),
        ("service/executor", (subjects.journal(0), subjects.settlement("runtime", "r1"), subjects.control("resume"))),
        ("service/health-monitor", (subjects.command("runtime", "r1"), subjects.journal(0))),
        ("service/strategy-selector", (subjects.command("runtime", "r1"), subjects.control("resume"))),
        ("operator/looks", (subjects.control("pause"), subjects.rehearse("runtime", "r1"))),
        ("operator/orders", (subjects.control("rehearse"), subjects.error("error", "runtime", "r1"))),
    ):
        bus = await site.connect(user)
        for subject in denied:
            with pytest.raises(Forbidden):
                await bus.request(subject, codec.pack({}), timeout=5.0)


async def test_who_has_no_credentials_stays_outside(site: Secured, tmp_path: Path) -> None:
    """No key, a key of somewhere else, and no TLS: each is told apart in the error."""
    with pytest.raises(BusError, match="no connection"):
        _ = await connect(site.server.url, name="nobody", connect_timeout=1.0)
    site.users.remove("agent/runtime/r2")
    stranger = site.users.add("agent/runtime/r2")
    settings = site.settings.model_copy(update={"nats_credentials": stranger})
    with pytest.raises(BusError, match="does not accept this user"):
        _ = await connect(site.server.url, name="r2", connect_timeout=1.0, access=access(settings, "agent/runtime/r2"))
    other = tmp_path / "other"
    other.mkdir()
    make_authority(other)
    settings = site.settings.model_copy(update={"nats_ca": other / "ca.pem"})
    with pytest.raises(BusError, match="TLS failed"):
        _ = await connect(site.server.url, name="r1", connect_timeout=1.0, access=access(settings, "agent/runtime/r1"))


async def test_a_revoked_agent_says_so_and_is_back_when_its_key_is_renewed(
    site: Secured, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The agent is not restarted: what it reported meanwhile is acknowledged with the new key."""
    for name, value in site.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MENDBUS_TRACE", "false")
    user, agent = "agent/runtime/r1", Agent("runtime", "r1").start()
    try:
        assert await eventually(lambda: agent.stats().connected)
        kept = site.users.users.pop(user)
        site.reload()
        assert await eventually(lambda: not agent.stats().connected)
        assert await eventually(lambda: "does not accept this user" in caplog.text)
        _ = agent.report(ValueError("while it was locked out"))
        site.users.users[user] = kept
        site.users.rotate(user)
        site.users.switch(user)
        site.users.retire(user)
        site.reload()
        assert await eventually(lambda: agent.stats().acknowledged == 1)
    finally:
        await asyncio.to_thread(agent.stop, 0.1)


async def test_a_key_is_rotated_without_a_moment_of_downtime(site: Secured) -> None:
    """Between the steps both keys connect and both signatures count; after the last only the new one does."""
    victim = await site.connect("agent/runtime/r2")
    asked = await heard_commands(victim, site.subjects)
    executor = await site.connect("service/executor")
    user = "service/executor"
    site.users.rotate(user)
    site.reload()
    assert await obeyed(executor, site.subjects)
    site.users.switch(user)
    site.reload()
    assert await obeyed(executor, site.subjects)
    old = await connect(site.server.url, name="old", access=site.access(user))
    await old.close()
    site.users.retire(user)
    site.reload()
    assert await eventually(lambda: executor.reconnects == 1)
    assert await obeyed(executor, site.subjects)
    assert len(set(asked)) == 3
    assert victim.reconnects == 0


async def heard_commands(bus: NatsBus, subjects: Subjects) -> list[str]:
    """An agent that does whatever gets past the guard of its connection."""
    done: list[str] = []

    async def obey(message: Message) -> None:
        asked = codec.decode(RecoveryCommand, message.body)
        done.append(asked.command_id)
        await bus.publish(message.reply, codec.encode(CommandResult(command_id=asked.command_id, status="done")))

    _ = await bus.subscribe(subjects.command("runtime", "r2"), obey)
    await bus.barrier()
    return done


async def obeyed(bus: NatsBus, subjects: Subjects) -> bool:
    """Whether a command is done; it is sent again where the answer was lost while the server read its users anew."""
    wanted = command()

    async def answered() -> bool:
        with contextlib.suppress(BusTimeout):
            return await ordered(bus, subjects, wanted, timeout=1.0) == "done"
        return False

    return await eventually(answered)


async def ordered(
    bus: NatsBus, subjects: Subjects, wanted: RecoveryCommand | None = None, *, timeout: float = 5.0
) -> str:
    """The status with which a command is answered."""
    body = codec.encode(wanted or command())
    reply = await bus.request(subjects.command("runtime", "r2"), body, codec.headers(), timeout=timeout)
    return codec.decode(CommandResult, reply.body).status


async def test_commands_count_only_with_the_executor_s_signature(site: Secured) -> None:
    """An admin may publish anywhere and is still no executor; unsigned and late ones are refused as well."""
    victim = await site.connect("agent/runtime/r2")
    done = await heard_commands(victim, site.subjects)
    executor, admin = await site.connect("service/executor"), await site.connect("operator/admin")
    assert await ordered(executor, site.subjects) == "done"
    assert await ordered(admin, site.subjects) == "unauthorized"
    late = command(deadline_unix_nano=time.time_ns() - 61 * SECOND)
    assert await ordered(executor, site.subjects, late) == "unauthorized"
    cast("Any", executor)._signer = None
    assert await ordered(executor, site.subjects) == "unauthorized"
    assert len(done) == 1


async def test_orders_name_who_signed_them_and_come_once(site: Secured) -> None:
    """A service hears an order with its signer as author; a replayed one, and one above the signer's level, never."""
    service, operator = await site.connect("service/health-monitor"), await site.connect("operator/orders")
    orders: list[Control] = []

    async def obey(message: Message) -> None:
        orders.append(codec.decode(Control, message.body))
        answer = ControlResult(ok=True, service="health-monitor", instance="i")
        await service.publish(message.reply, codec.encode(answer))

    for verb in ("ack", "profile"):
        _ = await service.subscribe(site.subjects.control(verb), obey)
    await service.barrier()
    order = control_of(Order("ack", ("runtime", "r1"), by="somebody"))
    subject, body = site.subjects.control("ack"), codec.encode(order)
    _ = await operator.request(subject, body, codec.headers(), timeout=5.0)
    assert [one.by for one in orders] == ["operator/orders (somebody)"]
    with pytest.raises(ServiceFailed, match="replayed"):
        _ = await operator.request(subject, body, codec.headers(), timeout=5.0)
    admin = await site.connect("operator/admin")
    cast("Any", admin)._signer = cast("Any", operator)._signer
    profile = codec.encode(control_of(Order("profile", ("runtime", "r1"))))
    with pytest.raises(ServiceFailed, match="may not order profile"):
        _ = await admin.request(site.subjects.control("profile"), profile, codec.headers(), timeout=5.0)
    assert len(orders) == 1


async def test_a_message_over_the_limit_ends_nobody_else_s_connection(site: Secured) -> None:
    """A stolen credential that sends what is too large loses its own connection only."""
    thief, other = await site.connect("agent/runtime/r1"), await site.connect("agent/runtime/r2")
    subject = site.subjects.error("error", "runtime", "r1")
    with pytest.raises(BusError, match="too much"):
        await thief.publish(subject, b"x" * (2 << 20))
    client = cast("Any", thief)._link._client
    await client.publish(subject, b"x" * (client.max_payload - 10))
    client._max_payload = 1 << 30
    await client.publish(subject, b"x" * (2 << 20))
    assert await eventually(lambda: not thief.connected or thief.reconnects > 0 or thief.closed)
    assert (await other.store(site.subjects.error("error", "runtime", "r2"), codec.encode(error_of("r2")))).sequence
    assert other.reconnects == 0


async def test_a_flood_delays_others_and_stops_nobody_and_can_be_cut_off(site: Secured) -> None:
    """Another agent's errors are acknowledged meanwhile; without its user the flooder is outside at once."""
    thief, other = await site.connect("agent/runtime/r1"), await site.connect("agent/runtime/r2")
    own, others = (site.subjects.error("error", "runtime", agent) for agent in ("r1", "r2"))
    large = codec.encode(error_of("r1", 8000))
    sent = 0
    stop = asyncio.Event()

    async def flood() -> None:
        nonlocal sent
        while not stop.is_set():
            with contextlib.suppress(BusError):
                _ = await thief.store(own, large, timeout=2.0)
                sent += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(64):
            _ = group.create_task(flood())
        assert await eventually(lambda: sent > 64)
        for _ in range(20):
            assert (await other.store(others, codec.encode(error_of("r2")), timeout=5.0)).sequence
        site.users.remove("agent/runtime/r1")
        site.reload()
        assert await eventually(lambda: not thief.connected)
        stop.set()
    assert other.reconnects == 0
    count = sent
    assert (await other.store(others, codec.encode(error_of("r2")))).sequence
    assert sent == count


async def test_access_is_what_the_settings_say() -> None:
    """Where nothing is configured nothing is shown, and a server must be open; half of it is refused, not ignored."""
    from mendbus.security.access import access

    assert access(Settings(), "agent/runtime/r1") is None
    for alone in (Settings(nats_ca=Path("ca.pem")), Settings(trusted_keys=Path("keys.json"))):
        with pytest.raises(CredentialsError, match="only with MENDBUS_NATS_CREDENTIALS"):
            _ = access(alone, "agent/runtime/r1")
