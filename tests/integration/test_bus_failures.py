"""What the bus does when the server, the connection or the client library fails."""

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from mendbus.bus import ConsumerSpec, Message, StoredMessage, StreamSpec, following, memory_jetstream
from mendbus.bus import nats as nats_bus
from mendbus.bus.jetstream import ask_api
from mendbus.bus.memory import MemoryListener, MemoryServer, Packet
from mendbus.bus.nats import NatsBus, connect
from mendbus.contracts.errors import BusClosed, BusError, BusTimeout, MendbusError, NoResponders
from mendbus.server import NatsServer, syncs_always
from mendbus.testing import eventually
from mendbus.testing import nats_server as running_server

STREAM = StreamSpec("S", ("s.>",))
WORKER = ConsumerSpec("S", "worker", ("s.>",), ack_wait=0.5)


@pytest.fixture
def server() -> Iterator[NatsServer]:
    """A server of the test's own, to be killed and stopped."""
    with running_server() as started:
        yield started
        if started.running:
            os.kill(started.pid, signal.SIGCONT)


@pytest.fixture
def deaths() -> list[str]:
    """What `on_dead` was told."""
    return []


@pytest.fixture
def quick_watchdog(monkeypatch: pytest.MonkeyPatch) -> None:
    """A watchdog that looks often and waits a second for its message; to be named before `bus`."""
    monkeypatch.setattr(nats_bus, "_WATCH_SECONDS", 0.02)
    monkeypatch.setattr(nats_bus, "_ECHO_SECONDS", 1)


@pytest.fixture
async def bus(server: NatsServer, deaths: list[str]) -> AsyncIterator[NatsBus]:
    """A bus on that server."""
    connected = await connect(server.url, name="test", on_dead=deaths.append)
    await connected.ensure([STREAM], [WORKER])
    yield connected
    await connected.close()


def client_of(bus: NatsBus) -> Any:
    """The client library's own client."""
    return cast("Any", bus)._link._client


async def store_until_kept(bus: NatsBus, body: bytes, name: str) -> None:
    """As an agent does: the same id until the server has said that it is kept."""
    while True:
        try:
            await bus.store("s.x", body, id=name, timeout=1.0)
            return
        except (BusTimeout, NoResponders):
            await asyncio.sleep(0.02)


# connecting


async def test_connecting_without_a_server_says_what_to_do() -> None:
    """Without a server `connect` gives up in time, names the address without its password, and says what to do."""
    begun = time.monotonic()
    with pytest.raises(BusError) as caught:
        await connect("nats://me:secret@127.0.0.1:1", name="test", connect_timeout=0.5)
    assert time.monotonic() - begun < 2
    assert "127.0.0.1:1 within 0.5 s" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "NATS_URL" in str(caught.value)


async def test_connecting_waits_for_a_server_that_starts(tmp_path: Path) -> None:
    """A server that comes up within the time-out is found."""
    first = NatsServer.start(tmp_path)
    first.stop()
    connecting = asyncio.create_task(connect(first.url, name="test"))
    await asyncio.sleep(0)
    await first.begin_async()
    bus = await connecting
    assert bus.connected
    await bus.close()
    await first.stop_async()


async def test_connecting_takes_the_server_that_is_there(server: NatsServer) -> None:
    """Of several addresses the one that answers is used."""
    bus = await connect(f"nats://127.0.0.1:1, {server.url}", name="test")
    await bus.barrier()
    await bus.close()


async def test_server_without_jetstream_is_named(tmp_path: Path) -> None:
    """An account that has no JetStream is an error that says so."""
    extra = "accounts { A { users: [{user: a, password: a}] } }\nno_auth_user: a"
    with running_server(tmp_path, extra=extra) as server:
        bus = await connect(server.url, name="test")
        with pytest.raises(BusError, match="no JetStream"):
            await bus.ensure([STREAM], [])
        await bus.close()


async def test_server_that_is_too_old_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server without atomic batches is an error that names both versions."""
    monkeypatch.setattr(memory_jetstream, "_API_LEVEL", 1)
    bus = MemoryServer().connect("test")
    with pytest.raises(BusError, match=r"too old \(JetStream API level 1\): 2.12"):
        await bus.ensure([STREAM], [])
    await bus.close()


# deafness


async def test_late_answer_to_a_ping_harms_nobody(server: NatsServer, bus: NatsBus, deaths: list[str]) -> None:
    """A barrier that is given up while the server hangs does not end the reader when the answer comes at last."""
    os.kill(server.pid, signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await bus.barrier()
    with pytest.raises(BusTimeout):
        await cast("Any", bus)._link.barrier(0.1)
    os.kill(server.pid, signal.SIGCONT)
    await bus.barrier()
    assert not client_of(bus)._reading_task.done()
    assert deaths == []


@pytest.mark.usefixtures("quick_watchdog")
async def test_dead_reader_is_noticed(bus: NatsBus, deaths: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """A client whose reader has ended still says that it is connected; the watchdog does not believe it."""
    consumption = await bus.consume(WORKER)
    client_of(bus)._reading_task.cancel()
    await eventually(lambda: deaths)
    assert client_of(bus).is_connected
    assert deaths == ["the reader of the NATS client has ended"]
    assert (bus.closed, bus.connected) == (True, False)
    with pytest.raises(BusClosed):
        await consumption.take(1)
    with pytest.raises(BusClosed):
        await bus.publish("s.x", b"")
    assert "the bus is dead" in caplog.text


@pytest.mark.usefixtures("quick_watchdog")
async def test_deaf_connection_is_noticed(server: NatsServer, bus: NatsBus, deaths: list[str]) -> None:
    """A server that takes everything and gives nothing back is as good as dead."""
    assert bus.connected
    os.kill(server.pid, signal.SIGSTOP)
    await eventually(lambda: deaths)
    assert "did not bring back" in deaths[0]


@pytest.mark.usefixtures("quick_watchdog")
async def test_healthy_connection_is_left_alone(server: NatsServer, bus: NatsBus, deaths: list[str]) -> None:
    """The watchdog finds nothing while messages come back, also after a restart of the server."""
    await eventually(lambda: cast("Any", bus)._link._echoes > 5)
    server.kill()
    await eventually(lambda: not bus.connected)
    await server.begin_async()
    await eventually(lambda: bus.connected)
    seen = cast("Any", bus)._link._echoes
    await eventually(lambda: cast("Any", bus)._link._echoes > seen + 5)
    assert deaths == []


async def test_connection_closed_for_good_is_told(bus: NatsBus, deaths: list[str]) -> None:
    """An error of the server that closes the client for ever reaches `on_dead`, once, with the server's words."""
    await client_of(bus)._send_command(b"SUB foo..bar 99\r\n")
    await client_of(bus)._flush_pending()
    await eventually(lambda: deaths)
    assert len(deaths) == 1
    assert "invalid subject" in deaths[0].lower()
    assert bus.closed


async def test_failing_death_notice_is_logged(server: NatsServer, caplog: pytest.LogCaptureFixture) -> None:
    """An `on_dead` that raises does not hide that the bus is dead."""

    def fail(_: str) -> None:
        raise ValueError

    bus = await connect(server.url, name="test", on_dead=fail)
    cast("Any", bus)._link._end("test")
    assert bus.closed
    assert "dead bus failed" in caplog.text
    await bus.close()


# a server that dies and comes back


async def test_lost_connection_ends_what_waits(server: NatsServer, bus: NatsBus) -> None:
    """A request under way when the server is killed times out at once, and the next one waits for the server."""

    async def silent(_: Message) -> None:
        return

    await bus.subscribe("ask", silent)
    await bus.barrier()
    asking = asyncio.create_task(bus.request("ask", b"", timeout=30))
    await bus.barrier()
    server.kill()
    with pytest.raises(BusTimeout):
        await asking
    storing = asyncio.create_task(bus.store("s.x", b"", timeout=10))
    with pytest.raises(BusTimeout):
        await bus.store("s.x", b"", timeout=0.05)
    await server.begin_async()
    await asyncio.wait((storing,))
    if isinstance(storing.exception(), NoResponders):  # JetStream may be a moment later than the connection.
        await store_until_kept(bus, b"", "again")
    assert await bus.last("S", "s.x") is not None


async def test_publishing_without_a_connection_is_bounded(server: NatsServer, bus: NatsBus) -> None:
    """While the server is away messages wait in a bounded buffer, and what does not fit is refused."""
    server.kill()
    await eventually(lambda: not bus.connected)
    with pytest.raises(BusError, match="buffer is full"):
        for _ in range(10):
            await bus.publish("x", bytes(1 << 19))


async def test_subscriptions_and_requests_survive_a_restart(server: NatsServer, bus: NatsBus) -> None:
    """After a restart of the server subscriptions stand again without anybody doing anything."""

    async def handler(message: Message) -> None:
        await bus.publish(message.reply, message.body)

    await bus.subscribe("ask", handler, queue="q")
    await bus.barrier()
    server.kill()
    await server.begin_async()
    await eventually(lambda: bus.connected)
    assert (await bus.request("ask", b"1", timeout=5)).body == b"1"


async def test_killed_server_loses_and_doubles_nothing(server: NatsServer, bus: NatsBus) -> None:
    """With the server killed twice while storing and consuming, everything acknowledged arrives and is acknowledged."""
    seen: dict[int, bytes] = {}
    consumption = await bus.consume(WORKER)

    async def consume() -> None:
        while True:
            for delivery in await consumption.take(10):
                assert seen.setdefault(delivery.message.sequence, delivery.message.body) == delivery.message.body
                await delivery.ack()

    async def produce() -> None:
        for number in range(600):
            await store_until_kept(bus, b"%d" % number, f"id{number}")

    consumer, producer = asyncio.create_task(consume()), asyncio.create_task(produce())
    for threshold in (100, 300):
        await eventually(lambda at=threshold: len(seen) > at, 20)
        server.kill()
        await server.begin_async()
    async with asyncio.timeout(20):
        await producer
    await eventually(lambda: len(seen) == 600, 20)
    assert sorted(seen.values()) == sorted(b"%d" % number for number in range(600))

    async def all_answered() -> bool:
        return await bus.ack_floor(WORKER) == 600

    await eventually(all_answered, 10)
    consumer.cancel()
    await consumption.stop()


async def test_reconnect_asks_for_messages_again(server: NatsServer, bus: NatsBus) -> None:
    """A taker that waited when the server died gets the first message after its return, long before a request expires."""
    consumption = await bus.consume(WORKER)
    taking = asyncio.create_task(consumption.take(1))
    await bus.barrier()
    server.kill()
    await server.begin_async()
    await eventually(lambda: bus.connected)
    begun = time.monotonic()
    await store_until_kept(bus, b"1", "one")
    async with asyncio.timeout(3):
        (delivery,) = await taking
    assert time.monotonic() - begun < 2
    await delivery.ack()
    await consumption.stop()


async def test_lost_request_for_messages_is_repeated(bus: NatsBus, caplog: pytest.LogCaptureFixture) -> None:
    """A request that the server has forgotten, with the connection alive, is noticed by its missing heartbeat."""
    consumption = await bus.consume(WORKER)
    caplog.set_level(logging.WARNING)
    await ask_api(cast("Any", bus)._link, "CONSUMER.DELETE.S.worker", timeout=2)
    await bus.ensure([], [WORKER])
    await bus.store("s.x", b"1")
    async with asyncio.timeout(4):
        (delivery,) = await consumption.take(1)
    assert delivery.message.body == b"1"
    assert "worker" in caplog.text
    await consumption.stop()


async def test_stalled_holder_gets_nothing_twice(bus: NatsBus) -> None:
    """What is redelivered because the process was stalled is still held: not handed out again, and can be acknowledged."""
    for number in range(5):
        await bus.store("s.x", b"%d" % number)
    consumption = await bus.consume(WORKER)
    held = []
    while len(held) < 5:
        held += await consumption.take(5)
    time.sleep(1.2)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await consumption.take(1)
    for delivery in held:
        await delivery.ack()

    async def all_answered() -> bool:
        return await bus.ack_floor(WORKER) == 5

    await eventually(all_answered)
    await consumption.stop()


async def test_closing_without_a_server_ends(server: NatsServer, bus: NatsBus) -> None:
    """A bus whose server is away is closed in time, with everything on it."""
    consumption = await bus.consume(WORKER)
    await bus.subscribe("x", _ignore_message)
    await bus.follow("S", "s.>", _ignore, last_per_subject=False)
    server.kill()
    await eventually(lambda: not bus.connected)
    begun = time.monotonic()
    await bus.close()
    assert time.monotonic() - begun < 3
    with pytest.raises(BusClosed):
        await consumption.take(1)


async def _ignore(_: StoredMessage) -> None:
    return


async def _ignore_message(_: Message) -> None:
    return


# following


async def test_follow_over_a_restart(server: NatsServer, bus: NatsBus) -> None:
    """A follower misses nothing of what is stored before, during and after a restart of the server, and keeps the order."""
    seen: list[bytes] = []

    async def handler(message: StoredMessage) -> None:
        if message.body not in seen:
            seen.append(message.body)

    await bus.follow("S", "s.>", handler, last_per_subject=False)
    for number in range(200):
        if number in (50, 120):
            server.kill()
            await server.begin_async()
        await store_until_kept(bus, b"%d" % number, f"id{number}")
    await eventually(lambda: len(seen) == 200, 10)
    assert seen == [b"%d" % number for number in range(200)]


@pytest.mark.parametrize("last_per_subject", [False, True])
async def test_follow_a_stream_in_memory_over_a_restart(
    server: NatsServer, bus: NatsBus, last_per_subject: bool
) -> None:
    """A stream in memory begins again with its server; its follower does too."""
    await bus.ensure([StreamSpec("M", ("m.>",), storage="memory")], [])
    seen: list[bytes] = []

    async def handler(message: StoredMessage) -> None:
        seen.append(message.body)

    await bus.follow("M", "m.>", handler, last_per_subject=last_per_subject)
    for number in range(20):
        await bus.store("m.x", b"old%d" % number)
    await eventually(lambda: len(seen) == 20)
    server.kill()
    await server.begin_async()
    await eventually(lambda: bus.connected)

    async def stored() -> int:
        try:
            return (await bus.store("m.x", b"new")).sequence
        except NoResponders:
            return 0

    assert await eventually(stored) == 1
    await eventually(lambda: seen[-1] == b"new")


async def test_follow_notices_a_lost_consumer(bus: NatsBus, monkeypatch: pytest.MonkeyPatch) -> None:
    """A consumer that was deleted under a follower falls silent, and is made anew from the next sequence."""
    monkeypatch.setattr(following, "_HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(following, "_SILENCE_SECONDS", 0.5)
    seen: list[int] = []

    async def handler(message: StoredMessage) -> None:
        seen.append(message.sequence)

    await bus.follow("S", "s.>", handler, last_per_subject=True)
    await bus.store("s.x", b"1")
    await eventually(lambda: seen == [1])
    link = cast("Any", bus)._link
    for name in (await ask_api(link, "CONSUMER.NAMES.S", timeout=2))["consumers"]:
        if name != "worker":
            await ask_api(link, f"CONSUMER.DELETE.S.{name}", timeout=2)
    await bus.store("s.x", b"2")
    await eventually(lambda: seen == [1, 2])


async def test_follow_waits_for_its_stream_to_come_back(bus: NatsBus, caplog: pytest.LogCaptureFixture) -> None:
    """A follower whose stream is away goes on asking, and begins again when it is there."""
    seen: list[bytes] = []

    async def handler(message: StoredMessage) -> None:
        seen.append(message.body)

    await bus.follow("S", "s.>", handler, last_per_subject=False)
    for number in range(3):
        await bus.store("s.x", b"%d" % number)
    await eventually(lambda: len(seen) == 3)
    await ask_api(cast("Any", bus)._link, "STREAM.DELETE.S", timeout=2)
    await eventually(lambda: "cannot follow S" in caplog.text, 10)
    await bus.ensure([STREAM], [])
    await bus.store("s.x", b"new")
    await eventually(lambda: seen[-1] == b"new")


# a network that drops messages


class Lossy(MemoryServer):
    """Drops every seventh delivery of a stored message."""

    def __init__(self) -> None:
        super().__init__()
        self.deliveries = 0

    def deliver(self, listener: MemoryListener, packet: Packet) -> None:
        self.deliveries += packet.reply.startswith("$JS.ACK.")
        if packet.reply.startswith("$JS.ACK.") and self.deliveries % 7 == 3:
            return
        super().deliver(listener, packet)


async def test_gaps_are_noticed_and_closed() -> None:
    """Messages lost on the way come again: to a follower by its own count, to a consumption after the ack wait."""
    server = Lossy()
    bus = server.connect("test")
    await bus.ensure([STREAM], [WORKER])
    followed: list[bytes] = []
    consumed: set[bytes] = set()

    async def handler(message: StoredMessage) -> None:
        followed.append(message.body)

    await bus.follow("S", "s.>", handler, last_per_subject=False)
    consumption = await bus.consume(WORKER)
    sent = [b"%d" % number for number in range(30)]
    for body in sent:
        await bus.store("s.x", body)
    async with asyncio.timeout(5):
        while len(consumed) < 30:
            for delivery in await consumption.take(5):
                consumed.add(delivery.message.body)
                await delivery.ack()
    await eventually(lambda: len(set(followed)) == 30)
    assert list(dict.fromkeys(followed)) == sent
    assert server.deliveries > 70
    await bus.close()


async def test_reading_headers_notices_a_gap() -> None:
    """A message lost while headers are read is an error, not a shorter answer."""
    server = Lossy()
    bus = server.connect("test")
    await bus.ensure([STREAM], [])
    for _ in range(5):
        await bus.store("s.x", b"")
    with pytest.raises(BusError):
        _ = [message async for message in bus.read("S", "s.>", headers_only=True, timeout=0.2)]
    await bus.close()


# both forms of acknowledgement subjects


async def test_new_form_of_acknowledgement_subjects(tmp_path: Path) -> None:
    """Consuming, following and reading work with the longer acknowledgement subjects of later servers."""
    with running_server(tmp_path, extra="feature_flags { js_ack_fc_v2: true }") as server:
        bus = await connect(server.url, name="test")
        await bus.ensure([STREAM], [WORKER])
        followed: list[int] = []

        async def handler(message: StoredMessage) -> None:
            followed.append(message.sequence)

        await bus.follow("S", "s.>", handler, last_per_subject=False)
        for number in range(10):
            await bus.store("s.x", b"%d" % number)
        consumption = await bus.consume(WORKER)
        taken = []
        while len(taken) < 10:
            taken += await consumption.take(10)
        assert [delivery.message.sequence for delivery in taken] == list(range(1, 11))
        for delivery in taken:
            await delivery.ack()

        async def all_answered() -> bool:
            return await bus.ack_floor(WORKER) == 10

        await eventually(all_answered)
        await eventually(lambda: followed == list(range(1, 11)))
        assert len([m async for m in bus.read("S", "s.>", headers_only=True)]) == 10
        await bus.close()


# the server as a child process


async def test_server_syncs_and_says_so(server: NatsServer) -> None:
    """The embedded server syncs every write, and `syncs_always` sees it; where nothing can be seen it says None."""
    assert await syncs_always(server.monitor_url) is True
    assert await syncs_always("http://127.0.0.1:1") is None
    assert await syncs_always(server.url.replace("nats://", "http://"), timeout=0.3) is None
    assert await syncs_always(f"{server.monitor_url}/nowhere") is None


async def test_hung_server_is_not_waited_for(server: NatsServer) -> None:
    """The question whether a server syncs has a deadline."""
    os.kill(server.pid, signal.SIGSTOP)
    assert await syncs_always(server.monitor_url, timeout=0.1) is None


def test_server_keeps_its_ports_and_its_data(tmp_path: Path) -> None:
    """Restarted, the server is at the same addresses; started twice, it refuses."""
    server = NatsServer.start(tmp_path)
    url, monitor, pid = server.url, server.monitor_url, server.pid
    with pytest.raises(MendbusError, match="runs already"):
        server.begin()
    server.restart()
    assert (server.url, server.monitor_url) == (url, monitor)
    assert server.pid != pid
    server.stop()
    server.stop()
    assert not server.running


def test_port_in_use_is_told_in_the_servers_own_words(tmp_path: Path) -> None:
    """A server that cannot listen says why."""
    with running_server(tmp_path / "one") as first:
        port = int(first.url.rpartition(":")[2])
        with pytest.raises(MendbusError, match="address already in use"):
            NatsServer.start(tmp_path / "two", port)


def test_bad_configuration_is_told_in_the_servers_own_words(tmp_path: Path) -> None:
    """A configuration that the server does not understand is quoted in the error."""
    with pytest.raises(MendbusError, match="nats-server:"):
        NatsServer.start(tmp_path, extra="nonsense: {")


async def test_end_of_the_server_can_be_waited_for(tmp_path: Path) -> None:
    """`wait` returns the exit status once the server has ended, and a stopped one is stopped in time although it hangs."""
    server = await NatsServer.launch(tmp_path)
    waiting = asyncio.create_task(server.wait())
    os.kill(server.pid, signal.SIGSTOP)
    await server.stop_async(timeout=0.2)
    assert await waiting == -signal.SIGKILL


def test_server_does_not_outlive_its_parent(tmp_path: Path) -> None:
    """A parent that is killed takes its server along."""
    code = (
        "import sys, time, pathlib; from mendbus.server import NatsServer\n"
        f"print(NatsServer.start(pathlib.Path({str(tmp_path)!r})).pid, flush=True); time.sleep(60)"
    )
    import subprocess

    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 5
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(pid)


def _alive(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
