"""The server and the network between: every message takes its time, and may be lost, doubled, delayed or overtaken.

What the server has stored stays stored, and what is not acknowledged comes again, as JetStream has it. Within one
answer of several messages (a batched read) the order holds, because one connection keeps it.
"""

import hashlib
import random
from collections.abc import Callable
from contextvars import copy_context

from tests.simulation.clock import PROCESS, SimulatedLoop
from tests.simulation.schedule import Noise

from mendbus.bus.memory import MemoryBus, MemoryLink, MemoryListener, MemoryServer, Packet
from mendbus.bus.memory_streams import MemoryStream
from mendbus.contracts.subjects import DEFAULT_ROOT

_QUICKEST = 0.00005
_SLOWEST = 0.0006


class Network(MemoryServer):
    """A server in memory behind a network that a seed makes faulty."""

    def __init__(self, loop: SimulatedLoop, noise: Noise, seed: int) -> None:
        super().__init__(loop.time_unix_nano)
        self._loop = loop
        self._noise = noise
        self._random = random.Random(f"network {seed}")
        self._outside = copy_context()
        self._links: dict[str, MemoryLink] = {}
        self._arrives: dict[MemoryListener, float] = {}
        self._digest = hashlib.sha256()
        self.noisy = False
        self.messages = 0
        self.on_send: Callable[[str, Packet], bool | None] = lambda _process, _packet: None
        """Called with each message that a process sends; True: it dies before, False: right after the message left."""
        self.on_death: Callable[[str], None] = lambda _process: None

    def connect(self, name: str) -> MemoryBus:
        """A connection of a process, under the name of the process."""
        link = self._links[name] = MemoryLink(self, f"_INBOX.{name}")
        return MemoryBus(link)

    def cut(self, process: str) -> None:
        """The process is gone: nothing goes to it or comes from it any more."""
        link = self._links.pop(process, None)
        if link is not None:
            link._over = "this process is dead"
            for listener in link._listeners:
                self.unsubscribe(listener)

    def stream(self, name: str) -> MemoryStream | None:
        """What is stored, for those who check."""
        return self._streams._streams.get(f"{DEFAULT_ROOT.replace('.', '_')}_{name}")

    @property
    def digest(self) -> str:
        """Of everything that was sent and delivered, when and by whom."""
        return self._digest.hexdigest()

    def publish(self, packet: Packet) -> None:
        """Sends a message of a process on its way to the server."""
        process = PROCESS.get()
        self.messages += 1
        self._digest.update(f"{self._loop.time():.9f} {process} {packet.subject} {packet.reply}\n".encode())
        self._digest.update(packet.data)
        dies = self.on_send(process, packet) if process else None
        if dies is not True:
            self._outside.run(self._carry, packet, process)
        if dies is not None:
            self._outside.run(self.on_death, process)

    def _carry(self, packet: Packet, process: str) -> None:
        if self.noisy and process:
            fate = self._random.random()
            if fate < self._noise.lose / 2:
                return
            if fate < self._noise.lose / 2 + self._noise.delay / 4:
                self._loop.call_later(self._delay(), self._take, packet)
                return
        self._take(packet)

    def _take(self, packet: Packet) -> None:
        super().publish(packet)

    def _delay(self) -> float:
        return self._random.uniform(0.001, self._noise.delay_seconds)

    def deliver(self, listener: MemoryListener, packet: Packet) -> None:
        """See `MemoryServer`: takes its time, and in order unless something happens."""
        loop = self._loop
        at = loop.time() + self._random.uniform(_QUICKEST, _SLOWEST)
        headers = packet.headers or {}
        whole = "Status" in headers or "Nats-Stream" in headers
        if self.noisy and not whole:
            noise, fate = self._noise, self._random.random()
            stored = packet.reply.startswith("$JS.ACK.")
            if fate < noise.lose:
                return
            fate -= noise.lose
            if fate < noise.delay:
                at += self._delay()
                if not stored:
                    self._arrive(listener, packet, at)
                    return
            elif fate < noise.delay + noise.double and not stored:
                self._arrive(listener, packet, at + self._delay())
        at = max(at, self._arrives.get(listener, 0.0))
        self._arrives[listener] = at
        self._arrive(listener, packet, at)

    def _arrive(self, listener: MemoryListener, packet: Packet, at: float) -> None:
        self._loop.call_at(at, self._put, listener, packet)

    def _put(self, listener: MemoryListener, packet: Packet) -> None:
        self._digest.update(f"{self._loop.time():.9f} -> {listener.subject} {packet.subject}\n".encode())
        listener.put(packet)
