"""A NATS in memory, for tests and simulation: the same client code on a server that is a few hundred lines of Python.

It speaks what the bus uses of the protocol, so that pulling, following, batches and objects are really exercised. Time
comes from the event loop, so that a virtual clock works; every message passes through `MemoryServer.deliver`.
"""

import asyncio
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from mendbus.bus.asking import Requests
from mendbus.bus.client import BusClient
from mendbus.bus.jetstream import API
from mendbus.bus.memory_jetstream import MemoryJetStream
from mendbus.bus.wire import Arrival, Watcher, check_sendable
from mendbus.contracts.errors import BusClosed

_log = logging.getLogger(__name__)

MAX_PAYLOAD: Final = 1 << 20
"""Largest body, in bytes, as a real server has it."""


@dataclass(frozen=True, slots=True)
class Packet:
    """A message on its way. Implements `Arrival`."""

    subject: str
    reply: str
    data: bytes
    headers: Mapping[str, str] | None


class MemoryServer:
    """Holds subscriptions and streams; buses of one event loop connect to it."""

    def __init__(self, time_unix_nano: Callable[[], int] = time.time_ns) -> None:
        self._interest = _Interest()
        self._streams = MemoryJetStream(self, time_unix_nano)
        self._inboxes = itertools.count(1)
        self._turns = itertools.count()

    def connect(self, name: str) -> "MemoryBus":
        """A bus of its own; `name` stands in its inboxes."""
        return MemoryBus(MemoryLink(self, f"_INBOX.{name.replace('.', '_')}.{next(self._inboxes)}"))

    def deliver(self, listener: "MemoryListener", packet: Packet) -> None:
        """The one way of every message to a client."""
        asyncio.get_running_loop().call_soon(listener.put, packet)

    def listening(self, subject: str) -> bool:
        """Whether anybody would hear a message."""
        return bool(self._interest.match(subject))

    def tell(
        self, to: str, subject: str, data: bytes = b"", headers: Mapping[str, str] | None = None, reply: str = ""
    ) -> None:
        """What the server itself sends: to who listens on `to`."""
        _ = self._send(to, Packet(subject, reply, data, headers))

    def _send(self, subject: str, packet: Packet) -> int:
        """Delivers to who listens on `subject`, to one member of each queue group. Returns to how many."""
        groups: dict[str, list[MemoryListener]] = {}
        chosen: list[MemoryListener] = []
        for listener in self._interest.match(subject):
            if listener.queue:
                groups.setdefault(listener.queue, []).append(listener)
            else:
                chosen.append(listener)
        chosen += [members[next(self._turns) % len(members)] for members in groups.values()]
        for listener in chosen:
            self.deliver(listener, packet)
        return len(chosen)

    def publish(self, packet: Packet) -> None:
        """What a client sent: to listeners, streams and the JetStream API; if to none of them, the sender hears so."""
        heard = self._send(packet.subject, packet)
        taken = self._streams.take(packet)
        if packet.reply and not heard and not taken:
            self.tell(packet.reply, packet.reply, headers={"Status": "503"})

    def subscribe(self, listener: "MemoryListener") -> None:
        """Begins delivery to a listener."""
        self._interest.add(listener)

    def unsubscribe(self, listener: "MemoryListener") -> None:
        """Ends delivery to a listener."""
        self._interest.remove(listener)


class MemoryLink:
    """A connection to a server in memory. Implements `mendbus.bus.client.Connection`."""

    def __init__(self, server: MemoryServer, inbox: str) -> None:
        self.watchers: set[Watcher] = set()
        self.api = API
        self._server = server
        self._inbox = inbox
        self._inboxes = itertools.count(1)
        self._over = ""
        self._listeners: set[MemoryListener] = set()
        self._requests: Requests | None = None

    @property
    def connected(self) -> bool:
        """See `Wire`."""
        return not self._over

    @property
    def reconnects(self) -> int:
        """See `Wire`; a server in memory is never lost."""
        return 0

    @property
    def over(self) -> str:
        """See `Connection`."""
        return self._over

    def new_inbox(self) -> str:
        """See `Wire`."""
        return f"{self._inbox}.{next(self._inboxes)}"

    async def send(
        self, subject: str, body: bytes, *, reply: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        """See `Wire`."""
        if self._over:
            raise BusClosed(self._over)
        check_sendable(subject, body, headers, MAX_PAYLOAD)
        self._server.publish(Packet(subject, reply, body, dict(headers) if headers else None))

    async def ask(
        self, subject: str, body: bytes, headers: Mapping[str, str] | None = None, *, timeout: float
    ) -> Arrival:
        """See `Wire`."""
        if self._requests is None:
            inbox = self.new_inbox()
            self._requests = Requests(inbox, self.send)
            _ = await self.listen(f"{inbox}.*", self._requests.answered)
        return await self._requests.ask(subject, body, headers, asyncio.get_running_loop().time(), timeout)

    async def listen(
        self, subject: str, callback: Callable[[Arrival], Awaitable[None]], queue: str = ""
    ) -> "MemoryListener":
        """See `Wire`."""
        if self._over:
            raise BusClosed(self._over)
        listener = MemoryListener(self._server, subject, queue, callback)
        self._listeners.add(listener)
        listener.task.add_done_callback(lambda _: self._listeners.discard(listener))
        self._server.subscribe(listener)
        return listener

    async def barrier(self) -> None:
        """See `Connection`."""
        if self._over:
            raise BusClosed(self._over)
        # Everything sent before has been put in order with what the event loop does next.
        await asyncio.sleep(0)

    async def close(self) -> None:
        """See `Connection`."""
        if self._over:
            return
        self._over = "this connection was closed"
        if self._requests is not None:
            self._requests.over(self._over)
        for watcher in list(self.watchers):
            watcher.closed(self._over)
        tasks = [listener.task for listener in self._listeners if listener.task is not asyncio.current_task()]
        for listener in list(self._listeners):
            await listener.end()
        if tasks:
            _ = await asyncio.wait(tasks)


class MemoryListener:
    """A subscription; its messages are handled in order by a task of its own. Implements `Listening`."""

    def __init__(
        self, server: MemoryServer, subject: str, queue: str, callback: Callable[[Arrival], Awaitable[None]]
    ) -> None:
        self.subject = subject
        self.queue = queue
        self._server = server
        self._callback = callback
        self._packets: asyncio.Queue[Packet] = asyncio.Queue()
        self.task = asyncio.create_task(self._run(), name=f"listen {subject}")

    def put(self, packet: Packet) -> None:
        """A message has arrived."""
        self._packets.put_nowait(packet)

    async def end(self) -> None:
        """See `Listening`."""
        self._server.unsubscribe(self)
        if self.task is not asyncio.current_task():
            _ = self.task.cancel()

    async def finish(self) -> None:
        """See `Listening`."""
        self._server.unsubscribe(self)
        await asyncio.sleep(0)
        await self._packets.join()
        await self.end()

    async def _run(self) -> None:
        while True:
            packet = await self._packets.get()
            try:
                await self._callback(packet)
            except Exception:
                _log.exception("handling a message on %r failed", self.subject)
            finally:
                self._packets.task_done()


class MemoryBus(BusClient):
    """Implements `Bus` in memory; made by `MemoryServer.connect`."""


class _Interest:
    """Who listens where: a tree with a level for each token."""

    def __init__(self) -> None:
        self._below: dict[str, _Interest] = {}
        self._listeners: dict[MemoryListener, None] = {}

    def add(self, listener: MemoryListener) -> None:
        node = self
        for token in listener.subject.split("."):
            node = node._below.setdefault(token, _Interest())
        node._listeners[listener] = None

    def remove(self, listener: MemoryListener) -> None:
        path: list[_Interest] = [self]
        tokens = listener.subject.split(".")
        for token in tokens:
            node = path[-1]._below.get(token)
            if node is None:
                return
            path.append(node)
        _ = path[-1]._listeners.pop(listener, None)
        for parent, token, node in zip(path[-2::-1], tokens[::-1], path[:0:-1], strict=True):
            if node._below or node._listeners:
                return
            del parent._below[token]

    def match(self, subject: str) -> list[MemoryListener]:
        found: list[MemoryListener] = []
        self._collect(subject.split("."), 0, found)
        return found

    def _collect(self, tokens: list[str], depth: int, found: list[MemoryListener]) -> None:
        if depth == len(tokens):
            found += self._listeners
            return
        rest = self._below.get(">")
        if rest is not None:
            found += rest._listeners
        for token in (tokens[depth], "*"):
            node = self._below.get(token)
            if node is not None:
                node._collect(tokens, depth + 1, found)
