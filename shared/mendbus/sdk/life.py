"""What an agent does on its own loop: connecting, greeting, sampling, sending, answering, and taking its leave."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from mendbus import codec
from mendbus.bus import Bus, Message, Subscription
from mendbus.contracts.errors import BusClosed, BusError, Refused
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import AgentGoodbye, AgentHello, HelloReply
from mendbus.sdk.commands import CommandDesk
from mendbus.sdk.core import Core
from mendbus.sdk.entries import Keeper
from mendbus.sdk.heartbeat import Heartbeat
from mendbus.sdk.inbox import Inbox
from mendbus.sdk.pauses import BackOff, Complaints
from mendbus.sdk.sender import Sender
from mendbus.sdk.settlements import Settlements
from mendbus.telemetry import Tracer

log = logging.getLogger("mendbus.sdk")

Connect = Callable[[Callable[[str], None]], Awaitable[Bus]]
"""Connects to the bus; what it is given is called when the connection is gone for good. Raises `BusError`."""

SDK: Final = "mendbus-python/1"
_HELLO_SECONDS: Final = 1.0
_WATCH_SECONDS: Final = 0.25
_CLOSE_SECONDS: Final = 2.0
_CONCURRENT: Final = 16
_GOODBYE_SECONDS: Final = 0.5
_POLL_SECONDS: Final = 0.005
_FAULT_SECONDS: Final = 1.0
_LAST_WORDS: Final = "the agent was stopped"


class _LeftError(Exception):
    """Ends every task of an agent that has taken its leave."""


class Life:
    """Runs one agent on the loop that makes it. `keeper`: where its outbox is kept on disk, if it is."""

    def __init__(self, core: Core, connect: Connect, tracer: Tracer, keeper: Keeper | None) -> None:
        self._core = core
        self._ref = core.identity.ref
        self._subjects = core.identity.subjects
        self._connect = connect
        self._tracer = tracer
        self._keeper = keeper
        self._bus: Bus | None = None
        self._listening: list[Subscription] = []
        self._hello_needed = asyncio.Event()
        self._upload_needed = asyncio.Event()
        self._stop = asyncio.Event()
        self._stop_seconds = 0.0
        complaints = Complaints()
        self._desk: CommandDesk | None = None
        self.sender = Sender(
            core.outbox,
            keeper,
            self._ref,
            self._subjects,
            tracer,
            core.now,
            lambda: core.sampler.latest,
            lambda: core.checkpoints.last_good,
            lambda: 0 if self._desk is None else self._desk.done_ns,
            complaints,
            core.identity.redaction,
        )
        self.settlements = Settlements(
            core.outbox, self._ref, self._subjects, core.now, self.sender.end_spans, complaints
        )

    def wire(self, poke: Callable[[Callable[[], object]], None]) -> None:
        """`poke` runs a plain function on this loop, from any thread."""
        core = self._core
        core.outbox.wake = lambda: poke(self.sender.wake)
        core.checkpoints.wake = lambda: poke(self._upload_needed.set)
        core.on_change = lambda: poke(self._hello_needed.set)

    def stop(self, seconds: float) -> None:
        """Take leave: empty the outbox if that is possible within so many seconds, say goodbye, and end."""
        self._stop_seconds = seconds
        self._stop.set()

    async def run(self) -> None:
        """Lives until `stop`, through every loss of the connection."""
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                self._desk = CommandDesk(self._ref, self._core.strategies.find, self._core.now, self._spawn)
                self._inbox = Inbox(
                    self._ref, self._desk, self._core.probes, self._tracer, self._core.identity.redaction
                )
                samples = group.create_task(self._for_ever(self._sample), name="samples")
                _ = group.create_task(self._for_ever(self.sender.tend), name="outbox")
                heartbeat = group.create_task(Heartbeat().run(self._core.caller.user_loop_answers), name="heartbeat")
                _ = group.create_task(self._for_ever(self._stay_connected), name="connection")
                standby = self._core.standby
                if standby is not None:
                    _ = group.create_task(self._for_ever(standby.tend), name="standby")
                _ = await self._stop.wait()
                # A sample after the goodbye would raise the agent from the dead.
                _ = samples.cancel(), heartbeat.cancel()
                await self._leave()
                raise _LeftError
        except* _LeftError:
            pass
        finally:
            if self._core.rehearsal is not None:
                self._core.rehearsal.close()
            self.sender.close()
            await self._tracer.close(_CLOSE_SECONDS)

    async def _for_ever(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """A fault costs a second, never the agent."""
        while True:
            try:
                await work()
            except Exception:
                log.exception("agent %s goes on after a fault", self._ref.key)
            await asyncio.sleep(_FAULT_SECONDS)

    def _spawn(self, coroutine: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        """A task that never takes the others with it."""

        async def run() -> Any:
            try:
                return await coroutine
            except Exception:
                log.exception("the agent's task %r failed", name)

        return self._group.create_task(run(), name=name)

    # -- connection

    async def _stay_connected(self) -> None:
        back_off = BackOff(0.1, 2.0)
        told = ""
        while True:
            gone: asyncio.Future[str] = asyncio.get_running_loop().create_future()

            def on_dead(reason: str, gone: asyncio.Future[str] = gone) -> None:
                if not gone.done():
                    gone.set_result(reason)

            try:
                bus = await self._connect(on_dead)
            except BusError as error:
                if str(error) != told:
                    told = str(error)
                    log.warning("agent %s works without NATS for now: %s", self._ref.key, error)
                await asyncio.sleep(back_off.next())
                continue
            back_off.reset()
            try:
                await self._session(bus, gone)
            except* BusError as group:
                log.warning("agent %s connects anew: %s", self._ref.key, group.exceptions[0])
            except* Exception:
                log.exception("agent %s connects anew after a fault", self._ref.key)
            finally:
                self._carry(None)
                self._listening = []
                self._core.connected.clear()
                with contextlib.suppress(TimeoutError, BusError):
                    async with asyncio.timeout(_CLOSE_SECONDS):
                        await bus.close()
            await asyncio.sleep(back_off.next())

    async def _session(self, bus: Bus, gone: "asyncio.Future[str]") -> None:
        """What goes on over one connection; ends by an exception."""
        subjects, kind, agent = self._subjects, self._ref.kind, self._ref.id

        async def command(message: Message) -> None:
            await self._inbox.command(bus, message)

        async def probe(message: Message) -> None:
            await self._inbox.probe(bus, message)

        self._listening = [
            await bus.subscribe(subjects.command(kind, agent), command, concurrency=_CONCURRENT),
            await bus.subscribe(subjects.probe(kind, agent), probe, concurrency=_CONCURRENT),
        ]
        if self._core.rehearsal is not None:
            self._listening.append(await self._core.rehearsal.listen(bus))
        _ = await bus.subscribe(subjects.settlement(kind, agent), self.settlements.settlement)
        _ = await bus.subscribe(subjects.outcome(kind, agent), self.settlements.outcome)
        self._core.peers.forget()
        _ = await bus.subscribe(subjects.everyone("notice"), self._core.peers.notice)
        # Once the hello is out, commands may come: the server must know of the subscriptions by then.
        await bus.barrier()
        self._carry(bus)
        self._core.connected.set()
        self._hello_needed.set()
        async with asyncio.TaskGroup() as group:
            _ = group.create_task(self.sender.run(bus), name="sender")
            _ = group.create_task(self.settlements.watch(bus), name="settlements")
            _ = group.create_task(self._greet(bus), name="hello")
            _ = group.create_task(self._core.checkpoints.upload(bus, self._upload_needed), name="checkpoints")
            _ = group.create_task(self._watch(bus, gone), name="watch")

    def _carry(self, bus: Bus | None) -> None:
        self._bus = self._core.checkpoints.bus = bus
        if self._core.standby is not None:
            self._core.standby.bus = bus

    async def _watch(self, bus: Bus, gone: "asyncio.Future[str]") -> None:
        """Notices that the connection was lost, came back, or is gone for good."""
        while not bus.closed and not gone.done():
            if bus.connected != self._core.connected.is_set():
                if bus.connected:
                    self._core.peers.forget()
                    self._core.connected.set()
                    self._hello_needed.set()
                    self.sender.wake()
                else:
                    self._core.connected.clear()
            _ = await asyncio.wait((gone,), timeout=_WATCH_SECONDS)
        raise BusClosed(gone.result() if gone.done() else "the connection is closed")

    # -- hello and goodbye

    async def _greet(self, bus: Bus) -> None:
        """Says hello whenever there is need to, until it is stored."""
        while True:
            _ = await self._hello_needed.wait()
            self._hello_needed.clear()
            back_off = BackOff(0.1, 5.0)
            while not await self._hello(bus):  # noqa: ASYNC110 - a request repeated until it is answered
                await asyncio.sleep(back_off.next())
            self._core.greeted.set()

    async def _hello(self, bus: Bus) -> bool:
        core, identity = self._core, self._core.identity
        hello = AgentHello(
            id=new_id(core.now()),
            time_unix_nano=core.now(),
            agent=self._ref,
            strategies=core.strategies.supported(),
            operations=core.operations.described()[:256],
            features=core.strategies.features[:256],
            depends_on=list(identity.depends_on),
            standby_for=None if core.standby is None or core.standby.primary else core.standby.of,
            limits=dict(identity.limits),
            interval_ms=identity.interval_ms,
            sdk=SDK,
        )
        subject = self._subjects.hello(self._ref.kind, self._ref.id)
        try:
            reply = await bus.request(subject, codec.encode(hello), codec.headers(), timeout=_HELLO_SECONDS)
            return codec.decode(HelloReply, reply.body).stored
        except BusClosed:
            raise
        except (BusError, Refused) as error:
            log.debug("nobody stored the hello of %s: %s", self._ref.key, error)
            return False

    async def _leave(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._stop_seconds
        with contextlib.suppress(TimeoutError, BusError):
            # What is under way may take long, and must not cost the errors their way out.
            async with asyncio.timeout(self._stop_seconds / 4):
                if self._core.standby is not None:
                    await self._core.standby.stop()
                for subscription in self._listening:
                    await subscription.stop()
        try:
            async with asyncio.timeout_at(deadline):
                await self._empty(deadline - _GOODBYE_SECONDS)
                await self._goodbye()
        except (TimeoutError, BusError) as error:
            log.warning("agent %s left without a word: %r", self._ref.key, error)
        if self._keeper is None and self._core.outbox.waiting:
            log.error(
                "agent %s stops with %d failure(s) that NATS never took and that are lost: set outbox_dir to keep them",
                self._ref.key,
                self._core.outbox.waiting_failures(),
            )

    async def _empty(self, deadline: float) -> None:
        core, loop = self._core, asyncio.get_running_loop()
        self.sender.hurry = True
        self.sender.wake()
        while core.outbox.waiting or core.checkpoints.uploading:
            # What is on disk need not wait for a connection; what is in memory only has no other chance.
            safe = self._keeper is not None or not core.outbox.waiting
            if loop.time() >= deadline or (safe and self._bus is None):
                return
            await asyncio.sleep(_POLL_SECONDS)

    async def _goodbye(self) -> None:
        bus = self._bus
        if bus is None or not bus.connected:
            return
        goodbye = AgentGoodbye(
            id=new_id(self._core.now()), time_unix_nano=self._core.now(), agent=self._ref, reason=_LAST_WORDS
        )
        await bus.publish(self._subjects.goodbye(self._ref.kind, self._ref.id), codec.encode(goodbye), codec.headers())
        await bus.barrier()

    # -- health

    async def _sample(self) -> None:
        loop = asyncio.get_running_loop()
        subject = self._subjects.health(self._ref.kind, self._ref.id)
        interval = self._core.identity.interval_ms / 1000
        due, late = loop.time(), 0.0
        while True:
            sample = self._core.sampler.sample(late, self._spawn)
            bus = self._bus
            # What cannot be sent now is old news later.
            if bus is not None and bus.connected:
                try:
                    async with asyncio.timeout(interval):
                        await bus.publish(subject, codec.encode(sample), codec.headers())
                except (BusError, TimeoutError) as error:
                    log.debug("a health sample was not sent: %s", error)
            due = max(due + interval, loop.time())
            await asyncio.sleep(due - loop.time())
            late = max(0.0, loop.time() - due)
