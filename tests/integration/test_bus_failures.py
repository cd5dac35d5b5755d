"""What the bus does when the server, the connection or the client library fails."""

import asyncio
import logging
import os
import signal
import time
from pathlib import Path
from typing import Any, cast

import pytest
from nats.aio.client import Client
from nats.aio.transport import TcpTransport
from tests.integration.streams import STREAM, WORKER, client_of, hang, ignore, store_until_kept

from mendbus.bus import Message, memory_jetstream
from mendbus.bus.jetstream import ask_api
from mendbus.bus.memory import MemoryServer
from mendbus.bus.nats import NatsBus, connect
from mendbus.contracts.errors import BusClosed, BusError, BusTimeout, NoResponders
from mendbus.server import NatsServer
from mendbus.testing import eventually
from mendbus.testing import nats_server as running_server

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


async def test_connecting_takes_the_server_that_is_there(doomed_server: NatsServer) -> None:
    """Of several addresses the one that answers is used."""
    bus = await connect(f"nats://127.0.0.1:1, {doomed_server.url}", name="test")
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


async def test_late_answer_to_a_ping_harms_nobody(
    doomed_server: NatsServer, doomed_bus: NatsBus, deaths: list[str]
) -> None:
    """A barrier that is given up while the server hangs does not end the reader when the answer comes at last."""
    hang(doomed_server.pid)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await doomed_bus.barrier()
    with pytest.raises(BusTimeout):
        await cast("Any", doomed_bus)._link.barrier(0.1)
    os.kill(doomed_server.pid, signal.SIGCONT)
    await doomed_bus.barrier()
    assert not client_of(doomed_bus)._reading_task.done()
    assert deaths == []


@pytest.mark.usefixtures("quick_watchdog")
async def test_dead_reader_is_noticed(doomed_bus: NatsBus, deaths: list[str], caplog: pytest.LogCaptureFixture) -> None:
    """A client whose reader has ended still says that it is connected; the watchdog does not believe it."""
    consumption = await doomed_bus.consume(WORKER)
    client_of(doomed_bus)._reading_task.cancel()
    await eventually(lambda: deaths)
    assert client_of(doomed_bus).is_connected
    assert deaths == ["the reader of the NATS client has ended"]
    assert (doomed_bus.closed, doomed_bus.connected) == (True, False)
    with pytest.raises(BusClosed):
        await consumption.take(1)
    with pytest.raises(BusClosed):
        await doomed_bus.publish("s.x", b"")
    assert "the bus is dead" in caplog.text


@pytest.mark.usefixtures("quick_watchdog")
async def test_client_that_closed_silently_is_noticed(doomed_bus: NatsBus, deaths: list[str]) -> None:
    """A client that has closed and told nobody never comes back: the bus is dead, and says so."""
    # Not while the watchdog waits for its message: that would be missed, too.
    await eventually(cast("Any", doomed_bus)._link._echoed.is_set)
    await client_of(doomed_bus)._close(Client.CLOSED, do_cbs=False)
    await eventually(lambda: deaths)
    assert len(deaths) == 1
    assert "closed the connection" in deaths[0]
    assert doomed_bus.closed


@pytest.mark.usefixtures("quick_watchdog")
async def test_deaf_connection_is_noticed(doomed_server: NatsServer, doomed_bus: NatsBus, deaths: list[str]) -> None:
    """A server that takes everything and gives nothing back is as good as dead."""
    assert doomed_bus.connected
    hang(doomed_server.pid)
    await eventually(lambda: deaths)
    assert "did not bring back" in deaths[0]


@pytest.mark.usefixtures("quick_watchdog")
async def test_connection_that_is_behind_is_left_alone(
    doomed_bus: NatsBus, deaths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While others are heard, our own message may be on its way behind them; once nobody is, it is lost."""
    heard = 0

    async def hear(_: Message) -> None:
        nonlocal heard
        heard += 1

    await doomed_bus.subscribe("c.x", hear)
    monkeypatch.setattr(cast("Any", doomed_bus)._link._echoed, "set", lambda: None)
    for number in range(30):
        await doomed_bus.publish("c.x", b"")
        await asyncio.sleep(0.1)
        assert heard >= number
    assert deaths == []
    await eventually(lambda: deaths)
    assert "did not bring back" in deaths[0]


@pytest.mark.usefixtures("quick_watchdog")
async def test_healthy_connection_is_left_alone(
    doomed_server: NatsServer, doomed_bus: NatsBus, deaths: list[str]
) -> None:
    """The watchdog finds nothing while messages come back, also after a restart of the server."""
    await eventually(lambda: cast("Any", doomed_bus)._link._echoes > 5)
    doomed_server.kill()
    await eventually(lambda: not doomed_bus.connected)
    await doomed_server.begin_async()
    await eventually(lambda: doomed_bus.connected)
    seen = cast("Any", doomed_bus)._link._echoes
    await eventually(lambda: cast("Any", doomed_bus)._link._echoes > seen + 5)
    assert deaths == []


async def test_connection_closed_for_good_is_told(doomed_bus: NatsBus, deaths: list[str]) -> None:
    """An error of the server that closes the client for ever reaches `on_dead`, once, with the server's words."""
    await client_of(doomed_bus)._send_command(b"SUB foo..bar 99\r\n")
    await client_of(doomed_bus)._flush_pending()
    await eventually(lambda: deaths)
    assert len(deaths) == 1
    assert "invalid subject" in deaths[0].lower()
    assert doomed_bus.closed


async def test_failing_death_notice_is_logged(doomed_server: NatsServer, caplog: pytest.LogCaptureFixture) -> None:
    """An `on_dead` that raises does not hide that the bus is dead."""

    def fail(_: str) -> None:
        raise ValueError

    bus = await connect(doomed_server.url, name="test", on_dead=fail)
    cast("Any", bus)._link._end("test")
    assert bus.closed
    assert "dead bus failed" in caplog.text
    await bus.close()


# bytes that are no message


async def test_bytes_of_others_cannot_end_the_reader(
    doomed_server: NatsServer, doomed_bus: NatsBus, deaths: list[str]
) -> None:
    """A subject or a header block that is no text reaches its subscriber, or a stream's reader, and harms nobody."""
    seen: list[str] = []

    async def handler(message: Message) -> None:
        seen.append(message.subject)

    await doomed_bus.subscribe("x.>", handler)
    consumption = await doomed_bus.consume(WORKER)
    await doomed_bus.barrier()
    host, port = doomed_server.url.removeprefix("nats://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b'CONNECT {"verbose":false,"headers":true}\r\n')
    for subject in (b"%s.\xff\xfe", b"%s.a\x0bb", b"%s.a\x0c1", b"%s.\x00"):
        for first in (b"x", b"s"):
            writer.write(b"PUB %s 1\r\n1\r\n" % (subject % first))
    for head in (
        b"NATS/1.0 \xff\xff\xff\r\n\r\n",
        b"NATS/1.0\r\n\xff: \xff\r\n\r\n",
        b"NATS/1.0",
        b"NATS/1.0 404\r\n\r\n",
    ):
        for subject in (b"x.y", b"s.y"):
            writer.write(b"HPUB %s %d %d\r\n%s\r\n" % (subject, len(head), len(head), head))
    writer.write(b"PUB x.end 0\r\n\r\nPUB s.end 0\r\n\r\n")
    await eventually(lambda: "x.end" in seen)
    stored: list[str] = []
    while "s.end" not in stored:
        for delivery in await consumption.take(10):
            stored.append(delivery.message.subject)
            await delivery.ack()
    writer.close()
    await writer.wait_closed()
    assert seen[0].startswith("x.")
    assert stored[0].startswith("s.")
    assert len(seen) >= 3
    read = [message async for message in doomed_bus.read("S", "s.>")]
    assert len(read) == len(stored)
    assert (await doomed_bus.last("S", "s.y")) is not None
    assert deaths == []
    assert not client_of(doomed_bus)._reading_task.done()
    assert reader.at_eof() is False


# a server that dies and comes back


async def test_lost_connection_ends_what_waits(doomed_server: NatsServer, doomed_bus: NatsBus) -> None:
    """A request under way when the server is killed times out at once, and the next one waits for the server."""

    async def silent(_: Message) -> None:
        return

    await doomed_bus.subscribe("ask", silent)
    await doomed_bus.barrier()
    asking = asyncio.create_task(doomed_bus.request("ask", b"", timeout=30))
    await doomed_bus.barrier()
    doomed_server.kill()
    with pytest.raises(BusTimeout):
        await asking
    storing = asyncio.create_task(doomed_bus.store("s.x", b"", timeout=10))
    with pytest.raises(BusTimeout):
        await doomed_bus.store("s.x", b"", timeout=0.05)
    await doomed_server.begin_async()
    await asyncio.wait((storing,))
    if isinstance(storing.exception(), NoResponders):  # JetStream may be a moment later than the connection.
        await store_until_kept(doomed_bus, b"", "again")
    assert await doomed_bus.last("S", "s.x") is not None


async def test_publishing_without_a_connection_is_bounded(doomed_server: NatsServer, doomed_bus: NatsBus) -> None:
    """While the server is away messages wait in a bounded buffer, and what does not fit is refused."""
    doomed_server.kill()
    await eventually(lambda: not doomed_bus.connected)
    for _ in range(3):
        await doomed_bus.publish("x", bytes(1 << 19))
    with pytest.raises(BusError, match="buffer is full"):
        await doomed_bus.publish("x", bytes(1 << 20))


@pytest.mark.parametrize("flusher", ["at work", "ended"])
async def test_sending_while_the_connection_ends_raises_nothing(
    doomed_server: NatsServer, doomed_bus: NatsBus, monkeypatch: pytest.MonkeyPatch, flusher: str
) -> None:
    """uvloop's socket has gone before the client knows: what is sent then waits for the next connection."""
    other = await connect(doomed_server.url, name="other")
    heard: list[bytes] = []

    async def hear(message: Message) -> None:
        heard.append(message.body)

    await other.subscribe("x", hear)
    await other.barrier()

    def gone(*_: object) -> None:
        raise RuntimeError("unable to perform operation on <TCPTransport>; the handler is closed")

    client = client_of(doomed_bus)
    with monkeypatch.context() as patched:
        patched.setattr(TcpTransport, "writelines", gone)
        if flusher == "ended":
            client._flusher_task.cancel()
            await asyncio.wait((client._flusher_task,))
        await doomed_bus.publish("x", b"1")
        await eventually(lambda: not doomed_bus.connected)
    await eventually(lambda: heard == [b"1"])
    await other.close()


async def test_barrier_while_the_connection_ends_is_a_timeout(
    doomed_bus: NatsBus, deaths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ping that uvloop's socket no longer takes says so as any lost one does, at once, and the connection is back."""

    def gone(*_: object) -> None:
        raise RuntimeError("unable to perform operation on <TCPTransport>; the handler is closed")

    with monkeypatch.context() as patched:
        patched.setattr(TcpTransport, "write", gone)
        begun = time.monotonic()
        with pytest.raises(BusTimeout):
            await doomed_bus.barrier()
        assert time.monotonic() - begun < 2
    await eventually(lambda: doomed_bus.connected)
    await doomed_bus.barrier()
    assert deaths == []


async def test_subscriptions_and_requests_survive_a_restart(doomed_server: NatsServer, doomed_bus: NatsBus) -> None:
    """After a restart of the server subscriptions stand again without anybody doing anything."""

    async def handler(message: Message) -> None:
        await doomed_bus.publish(message.reply, message.body)

    await doomed_bus.subscribe("ask", handler, queue="q")
    await doomed_bus.barrier()
    doomed_server.kill()
    await doomed_server.begin_async()
    await eventually(lambda: doomed_bus.connected)
    assert (await doomed_bus.request("ask", b"1", timeout=5)).body == b"1"


async def test_killed_server_loses_and_doubles_nothing(doomed_server: NatsServer, doomed_bus: NatsBus) -> None:
    """With the server killed twice while storing and consuming, everything acknowledged arrives and is acknowledged."""
    seen: dict[int, bytes] = {}
    consumption = await doomed_bus.consume(WORKER)

    async def consume() -> None:
        while True:
            for delivery in await consumption.take(10):
                assert seen.setdefault(delivery.message.sequence, delivery.message.body) == delivery.message.body
                await delivery.ack()

    async def produce() -> None:
        for number in range(600):
            await store_until_kept(doomed_bus, b"%d" % number, f"id{number}")

    consumer, producer = asyncio.create_task(consume()), asyncio.create_task(produce())
    for threshold in (100, 300):
        await eventually(lambda at=threshold: len(seen) > at, 20)
        doomed_server.kill()
        await doomed_server.begin_async()
    async with asyncio.timeout(20):
        await producer
    await eventually(lambda: len(seen) == 600, 20)
    assert sorted(seen.values()) == sorted(b"%d" % number for number in range(600))

    async def all_answered() -> bool:
        return await doomed_bus.ack_floor(WORKER) == 600

    await eventually(all_answered, 10)
    consumer.cancel()
    await consumption.stop()


async def test_reconnect_asks_for_messages_again(doomed_server: NatsServer, doomed_bus: NatsBus) -> None:
    """A taker that waited when the server died gets the first message soon after its return."""
    consumption = await doomed_bus.consume(WORKER)
    taking = asyncio.create_task(consumption.take(1))
    await doomed_bus.barrier()
    doomed_server.kill()
    await doomed_server.begin_async()
    await eventually(lambda: doomed_bus.connected)
    begun = time.monotonic()
    await store_until_kept(doomed_bus, b"1", "one")
    async with asyncio.timeout(3):
        (delivery,) = await taking
    assert time.monotonic() - begun < 2
    await delivery.ack()
    await consumption.stop()


async def test_lost_request_for_messages_is_repeated(doomed_bus: NatsBus, caplog: pytest.LogCaptureFixture) -> None:
    """A request that the server has forgotten, with the connection alive, is noticed by its missing heartbeat."""
    consumption = await doomed_bus.consume(WORKER)
    caplog.set_level(logging.WARNING)
    await ask_api(cast("Any", doomed_bus)._link, "CONSUMER.DELETE.S.worker", timeout=2)
    await doomed_bus.ensure([], [WORKER])
    await doomed_bus.store("s.x", b"1")
    async with asyncio.timeout(4):
        (delivery,) = await consumption.take(1)
    assert delivery.message.body == b"1"
    assert "worker" in caplog.text
    await consumption.stop()


async def test_stalled_holder_gets_nothing_twice(doomed_bus: NatsBus) -> None:
    """What comes again because the process was stalled is still held: handed out once, and acknowledged once."""
    for number in range(5):
        await doomed_bus.store("s.x", b"%d" % number)
    consumption = await doomed_bus.consume(WORKER)
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
        return await doomed_bus.ack_floor(WORKER) == 5

    await eventually(all_answered)
    await consumption.stop()


async def test_closing_without_a_server_ends(doomed_server: NatsServer, doomed_bus: NatsBus) -> None:
    """A bus whose server is away is closed in time, with everything on it."""
    consumption = await doomed_bus.consume(WORKER)
    await doomed_bus.subscribe("x", ignore)
    await doomed_bus.follow("S", "s.>", ignore, last_per_subject=False)
    doomed_server.kill()
    await eventually(lambda: not doomed_bus.connected)
    begun = time.monotonic()
    await doomed_bus.close()
    assert time.monotonic() - begun < 3
    with pytest.raises(BusClosed):
        await consumption.take(1)
