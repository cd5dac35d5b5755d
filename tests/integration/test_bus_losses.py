"""What followers, readers and consumers do when streams, consumers or messages get lost."""

import asyncio
import logging
from pathlib import Path
from typing import Any, cast

import pytest
from tests.integration.streams import STREAM, WORKER, store_until_kept

from mendbus.bus import StoredMessage, StreamSpec, following, pull
from mendbus.bus.jetstream import ask_api
from mendbus.bus.memory import MemoryListener, MemoryServer, Packet
from mendbus.bus.nats import NatsBus, connect
from mendbus.contracts.errors import BusError, NoResponders
from mendbus.server import NatsServer
from mendbus.testing import eventually
from mendbus.testing import nats_server as running_server

# following


async def test_follow_over_a_restart(doomed_server: NatsServer, doomed_bus: NatsBus) -> None:
    """A follower misses nothing of what is stored around restarts of the server, and keeps the order."""
    seen: list[bytes] = []

    async def handler(message: StoredMessage) -> None:
        if message.body not in seen:
            seen.append(message.body)

    await doomed_bus.follow("S", "s.>", handler, last_per_subject=False)
    for number in range(200):
        if number in (50, 120):
            doomed_server.kill()
            await doomed_server.begin_async()
        await store_until_kept(doomed_bus, b"%d" % number, f"id{number}")
    await eventually(lambda: len(seen) == 200, 10)
    assert seen == [b"%d" % number for number in range(200)]


@pytest.mark.parametrize("last_per_subject", [False, True])
async def test_follow_a_stream_in_memory_over_a_restart(
    doomed_server: NatsServer, doomed_bus: NatsBus, last_per_subject: bool
) -> None:
    """A stream in memory begins again with its server; its follower does too."""
    await doomed_bus.ensure([StreamSpec("M", ("m.>",), storage="memory")], [])
    seen: list[bytes] = []

    async def handler(message: StoredMessage) -> None:
        seen.append(message.body)

    await doomed_bus.follow("M", "m.>", handler, last_per_subject=last_per_subject)
    for number in range(20):
        await doomed_bus.store("m.x", b"old%d" % number)
    await eventually(lambda: len(seen) == 20)
    doomed_server.kill()
    await doomed_server.begin_async()
    await eventually(lambda: doomed_bus.connected)

    async def stored() -> int:
        try:
            return (await doomed_bus.store("m.x", b"new")).sequence
        except NoResponders:
            return 0

    assert await eventually(stored) == 1
    await eventually(lambda: seen[-1] == b"new")


async def test_follow_notices_a_lost_consumer(doomed_bus: NatsBus, monkeypatch: pytest.MonkeyPatch) -> None:
    """A consumer that was deleted under a follower falls silent, and is made anew from the next sequence."""
    monkeypatch.setattr(following, "_HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(following, "_SILENCE_SECONDS", 0.5)
    seen: list[int] = []

    async def handler(message: StoredMessage) -> None:
        seen.append(message.sequence)

    await doomed_bus.follow("S", "s.>", handler, last_per_subject=True)
    await doomed_bus.store("s.x", b"1")
    await eventually(lambda: seen == [1])
    link = cast("Any", doomed_bus)._link
    for name in (await ask_api(link, "CONSUMER.NAMES.S", timeout=2))["consumers"]:
        if name != "worker":
            await ask_api(link, f"CONSUMER.DELETE.S.{name}", timeout=2)
    await doomed_bus.store("s.x", b"2")
    await eventually(lambda: seen == [1, 2])


async def test_follow_waits_for_its_stream_to_come_back(
    doomed_bus: NatsBus, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A follower whose stream is away goes on asking, and begins again when it is there."""
    monkeypatch.setattr(following, "_HEARTBEAT_SECONDS", 0.1)
    monkeypatch.setattr(following, "_SILENCE_SECONDS", 0.5)
    seen: list[bytes] = []

    async def handler(message: StoredMessage) -> None:
        seen.append(message.body)

    await doomed_bus.follow("S", "s.>", handler, last_per_subject=False)
    for number in range(3):
        await doomed_bus.store("s.x", b"%d" % number)
    await eventually(lambda: len(seen) == 3)
    await ask_api(cast("Any", doomed_bus)._link, "STREAM.DELETE.S", timeout=2)
    await eventually(lambda: "cannot follow S" in caplog.text, 10)
    await doomed_bus.ensure([STREAM], [])
    await doomed_bus.store("s.x", b"new")
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


class Mute(MemoryServer):
    """Delivers nothing on the inboxes of followers and consumers while it is mute."""

    mute = False

    def deliver(self, listener: MemoryListener, packet: Packet) -> None:
        if not self.mute or (packet.headers is None and not packet.reply):
            super().deliver(listener, packet)


async def test_silence_is_noticed(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """When not even heartbeats arrive, a follower begins again where it was, and a consumption asks again."""
    for module in (following, pull):
        monkeypatch.setattr(module, "_SILENCE_SECONDS", 0.2)
    monkeypatch.setattr(following, "_HEARTBEAT_SECONDS", 0.05)
    caplog.set_level(logging.INFO)
    server = Mute()
    bus = server.connect("test")
    await bus.ensure([STREAM], [WORKER])
    followed: list[bytes] = []

    async def handler(message: StoredMessage) -> None:
        followed.append(message.body)

    await bus.follow("S", "s.>", handler, last_per_subject=False)
    consumption = await bus.consume(WORKER)
    server.mute = True
    for number in range(3):
        await bus.store("s.x", b"%d" % number)
    await eventually(lambda: "following S again" in caplog.text and "asking again" in caplog.text)
    server.mute = False
    await eventually(lambda: followed == [b"0", b"1", b"2"])
    consumed: set[bytes] = set()
    async with asyncio.timeout(5):
        while len(consumed) < 3:
            consumed |= {delivery.message.body for delivery in await consumption.take(3)}
    await bus.close()


async def test_nonsense_on_an_inbox_harms_nobody(doomed_bus: NatsBus, caplog: pytest.LogCaptureFixture) -> None:
    """What somebody else sends to an inbox of ours, by mistake or not, is dropped, and messages go on coming."""
    followed: list[bytes] = []

    async def handler(message: StoredMessage) -> None:
        followed.append(message.body)

    follower = cast("Any", await doomed_bus.follow("S", "s.>", handler, last_per_subject=False))
    consumption = await doomed_bus.consume(WORKER)
    link = cast("Any", doomed_bus)._link
    await link.send(f"{cast('Any', consumption)._inbox}.1", b"", reply="a.b.c")
    await link.send(follower._listener._subscription.subject, b"", reply="a.b.c.d.e.f.g.h.i.j.k")
    await eventually(lambda: caplog.text.count("something on our own inbox") == 2)
    await doomed_bus.store("s.x", b"1")
    await eventually(lambda: followed == [b"1"])
    (delivery,) = await consumption.take(1)
    assert delivery.message.body == b"1"
    await delivery.ack()


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
