"""One run of a schedule: the replicas and agents as processes, what happens to them, and the verdict."""

import asyncio
import gc
import logging
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

from tests.simulation.agents import Agent, Books
from tests.simulation.audit import Audit
from tests.simulation.clock import PROCESS, SimulatedLoop
from tests.simulation.determinism import determined
from tests.simulation.network import Network
from tests.simulation.schedule import FAULT_SECONDS, REPLICAS, Crash, Schedule, draw

import mendbus_classifier
import mendbus_executor
import mendbus_health_monitor
import mendbus_predictor
import mendbus_strategy_selector
from mendbus import codec, streams
from mendbus.bus import Bus
from mendbus.bus.memory import Packet
from mendbus.contracts.errors import BusError
from mendbus.contracts.messages import SettledQuery, SettledReply
from mendbus.contracts.subjects import MAX_SERVICE_BODY
from mendbus.micro import Micro
from mendbus.runtime import Readiness, Runtime, Service
from mendbus.settings import Settings
from mendbus.telemetry import open_tracer
from mendbus_strategy_selector import tidying

REST_SECONDS = 90.0
"""How long, after the faults, all may take to come to rest."""
_LOOK_SECONDS = 0.5
_RESTART_SECONDS = 1.0
_DRAIN_SECONDS = 5.0
_SETTLED_SECONDS = 1.0
_ASKED_TIMES = 20
_MAIN = "main"
_BUILD: dict[str, Callable[[], Service]] = {
    "strategy-selector": mendbus_strategy_selector.build,
    "executor": mendbus_executor.build,
    "classifier": mendbus_classifier.build,
    "predictor": mendbus_predictor.build,
    "health-monitor": mendbus_health_monitor.build,
}
_SETTINGS = Settings(trace=False, canary_seconds=0, policy_file=Path(__file__).with_name("policy.toml"))


@dataclass
class Result:
    """What came of a run. `digest`: of all messages, equal for equal seeds."""

    seed: int
    wrong: list[str]
    digest: str
    messages: int
    seconds: float
    """Simulated."""
    story: list[str] = field(default_factory=list[str])
    """What happened to whom, and when."""


@dataclass
class _Replica:
    service: str
    number: int
    boots: int = 0
    process: str = ""
    """Empty while it is down."""
    stop: asyncio.Event = field(default_factory=asyncio.Event)


class World:
    """The simulated installation."""

    def __init__(self, schedule: Schedule, loop: SimulatedLoop, folder: Path) -> None:
        self.schedule = schedule
        self.loop = loop
        self.network = Network(loop, schedule.noise, schedule.seed)
        self.network.on_send = self._on_send
        self.network.on_death = self._on_death
        self.audit = Audit(self.network)
        self.books = [Books(plan) for plan in schedule.agents]
        self.story: list[str] = []
        self.wrong: list[str] = []
        self._settings = _SETTINGS.model_copy(update={"data_dir": folder})
        self.live: dict[str, Runtime] = {}
        """What each replica that runs is made of, by process."""
        self._replicas = {(service, n): _Replica(service, n) for service, most in REPLICAS.items() for n in range(most)}
        self._agents: dict[str, tuple[str, Agent]] = {}
        self._exact: dict[str, tuple[int, Crash]] = {}
        self._down: dict[str, Callable[[], None]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    def say(self, what: str) -> None:
        """Adds a line to the story."""
        self.story.append(f"{self.loop.seconds():9.4f} {what}")

    async def run(self) -> None:
        """The whole run, from the first process to the verdict."""
        bus = self.network.connect("outside")
        subjects = _SETTINGS.subjects
        await streams.ensure(bus, subjects, _SETTINGS.stream_max_bytes)
        for replica in self._replicas.values():
            self._start_replica(replica)
        for books in self.books:
            self._boot_agent(books)
        self._plan()
        self.network.noisy = True
        await asyncio.sleep(self.schedule.seconds)
        self.network.noisy = False
        self._exact.clear()
        self.say("no more faults")
        await self._rest()
        self.audit.look()
        self.wrong += self.audit.verdict(self.books)
        await self._ask_settled(bus)

    async def _rest(self) -> None:
        end = self.loop.seconds() + REST_SECONDS
        unrest = ["nothing was looked at"]
        while unrest:
            if self.loop.seconds() > end:
                self.wrong += [f"no rest: {what}" for what in unrest[:20]]
                return
            await asyncio.sleep(_LOOK_SECONDS)
            self.audit.look()
            if self.audit.broken:
                return
            unrest = self.audit.unrest(self.books)

    async def _ask_settled(self, bus: Bus) -> None:
        """Every acknowledged error is settled, if one asks before incidents are forgotten."""
        if self.wrong or self.schedule.seconds > FAULT_SECONDS:
            return
        for books in self.books:
            query = SettledQuery(event_ids=list(books.acknowledged))
            subject = _SETTINGS.subjects.settled(books.plan.kind, books.plan.id)
            reply, wrong = SettledReply(), "gets no answer on its events"
            for _ in range(_ASKED_TIMES):
                try:
                    answer = await bus.request(subject, codec.encode(query), timeout=_SETTLED_SECONDS)
                except BusError:
                    continue
                reply = codec.decode(SettledReply, answer.body, MAX_SERVICE_BODY)
                wrong = f"of its events {reply.open} are open and {reply.unknown} unknown"
                # An owner of before that has not noticed yet says `open`: one asks again.
                if not reply.open:
                    break
                await asyncio.sleep(_LOOK_SECONDS)
            if set(reply.settled) != set(books.acknowledged):
                self.wrong.append(f"{books.name}: {wrong}")

    # What happens when

    def _plan(self) -> None:
        at = self.loop.call_later
        for crash in self.schedule.crashes:
            at(crash.at, self._crash, crash)
        for stop in self.schedule.stops:
            at(stop.at, self._stop, self._replicas[stop.service, stop.replica], stop.seconds)
        for books in self.books:
            for time in books.plan.restarts:
                at(time, self._restart_agent, books)
            for report in books.plan.reports:
                at(report.at, self._report, books, report)

    def _crash(self, crash: Crash) -> None:
        replica = self._replicas[crash.service, crash.replica]
        if not replica.process:
            return
        if crash.message is not None:
            self._exact[replica.process] = crash.message, crash
        elif crash.how == "terminate":
            self.say(f"{replica.process} is asked to end")
            self._down_for(replica, crash.down)
            replica.stop.set()
        else:
            self._kill(replica, crash.down)

    def _down_for(self, replica: _Replica, seconds: float) -> None:
        process = replica.process

        def again() -> None:
            if replica.process == process:
                self.say(f"{process} has not ended by itself")
                self._kill(replica, 0.0)
            else:
                self._start_replica(replica)

        self.loop.call_later(seconds, again)

    def _kill(self, replica: _Replica, down: float) -> None:
        self.say(f"{replica.process} is killed")
        process, replica.process = replica.process, ""
        _ = self.live.pop(process, None)
        self.loop.kill(process)
        self.network.cut(process)
        self.loop.call_later(down, self._start_replica, replica)

    def _on_send(self, process: str, _: Packet) -> bool | None:
        found = self._exact.get(process)
        if found is None:
            return None
        left, crash = found
        if left > 1:
            self._exact[process] = left - 1, crash
            return None
        return not crash.sent

    def _on_death(self, process: str) -> None:
        _, crash = self._exact.pop(process)
        replica = self._replicas[crash.service, crash.replica]
        if replica.process == process:
            self._kill(replica, crash.down)

    def _stop(self, replica: _Replica, seconds: float) -> None:
        process = replica.process
        if process:
            self.say(f"{process} is stopped for {seconds} s")
            self.loop.stop_process(process)
            self.loop.call_later(seconds, self._continue, process)

    def _continue(self, process: str) -> None:
        self.say(f"{process} goes on")
        self.loop.continue_process(process)

    # Processes

    def _spawn(
        self, process: str, coroutine: Coroutine[Any, Any, None], ended: Callable[[BaseException | None], None]
    ) -> None:
        context = copy_context()
        context.run(PROCESS.set, process)
        task = self.loop.create_task(coroutine, name=process, context=context)
        self._tasks.add(task)

        def done(task: asyncio.Task[Any]) -> None:
            self._tasks.discard(task)
            ended(None if task.cancelled() else task.exception())

        task.add_done_callback(done)

    def _start_replica(self, replica: _Replica) -> None:
        if replica.process:
            return
        replica.boots += 1
        process = replica.process = f"{replica.service}-{replica.number}-{replica.boots}"
        stop = replica.stop = asyncio.Event()
        self.say(f"{process} starts")

        def ended(error: BaseException | None) -> None:
            self.say(f"{process} ends: {error!r}")
            self.wrong += [f"{process} died of {leaf!r}" for leaf in _leaves(error) if not isinstance(leaf, BusError)]
            self.network.cut(process)
            if replica.process == process:
                replica.process = ""
                if error is not None:
                    self.loop.call_later(_RESTART_SECONDS, self._start_replica, replica)

        bus = self.network.connect(process)
        self._spawn(process, self._serve(_BUILD[replica.service](), process, bus, stop), ended)

    async def _serve(self, service: Service, process: str, bus: Bus, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as tasks:
            runtime = Runtime(
                service=service.name,
                instance=process,
                settings=self._settings,
                subjects=_SETTINGS.subjects,
                bus=bus,
                tracer=open_tracer(service.name, _SETTINGS),
                tasks=tasks,
                readiness=Readiness(),
                micro=Micro(service.name, process, "0", service.description, {}),
                now=self.loop.time_unix_nano,
            )
            self.live[process] = runtime
            drain = await service.start(runtime)
            await bus.barrier()
            await stop.wait()
            del self.live[process]
            for subscription in runtime.subscriptions:
                await subscription.stop()
            try:
                async with asyncio.timeout(_DRAIN_SECONDS):
                    await drain()
            except TimeoutError:
                self.say(f"{process} did not finish in time")
            for task in runtime.spawned:
                task.cancel()
        await bus.close()

    def _boot_agent(self, books: Books) -> None:
        process = f"{books.plan.kind}_{books.plan.id}-{books.boots + 1}"
        agent = Agent(books, self.network.connect(process), _SETTINGS.subjects, self.loop.time_unix_nano)
        self._agents[books.name] = process, agent
        self._spawn(process, agent.run(), self._agent_ended)

    def _agent_ended(self, error: BaseException | None) -> None:
        if error is not None:
            self.wrong.append(f"an agent died of {error!r}")

    def _restart_agent(self, books: Books) -> None:
        process = self._agents[books.name][0]
        self.say(f"{process} is killed")
        self.loop.kill(process)
        self.network.cut(process)
        self._boot_agent(books)

    def _report(self, books: Books, report: Any) -> None:
        process, agent = self._agents[books.name]
        self._spawn(process, agent.report(report), self._agent_ended)


def _leaves(error: BaseException | None) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for inner in error.exceptions for leaf in _leaves(inner)]
    return [] if error is None else [error]


class _Failures(logging.Handler):
    """What was logged with a traceback: an error that nobody foresaw."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.ERROR)
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and PROCESS.get() and not all(isinstance(leaf, BusError) for leaf in _leaves(error)):
            self._world.wrong.append(f"{PROCESS.get()} logged: {record.getMessage()}: {error!r}")


@contextmanager
def _listening(world: World) -> Generator[None]:
    log = logging.getLogger("mendbus")
    handler, level, propagate = _Failures(world), log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.ERROR)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = propagate


@contextmanager
def _bounds(small: bool) -> Generator[None]:
    if not small:
        yield
        return
    bounds = {"SNAPSHOT_RECORDS": 12, "_FLOOR_SEQUENCES": 3, "_CLOSED_KEPT_SECONDS": 4.0}
    with patch.multiple(tidying, **bounds):
        yield


def simulate(seed: int, watch: Callable[[World], None] = lambda _: None) -> Result:
    """Runs the schedule of a seed."""
    return play(draw(seed), watch)


def play(schedule: Schedule, watch: Callable[[World], None] = lambda _: None) -> Result:
    """Runs a schedule."""
    seed = schedule.seed
    loop = SimulatedLoop()
    # Nearly everything lives as long as the run: looking for garbage before its end is a waste of time.
    gc.disable()
    try:
        with TemporaryDirectory() as folder, determined(seed, loop.time_unix_nano), _bounds(schedule.small_bounds):
            asyncio.set_event_loop(loop)
            world = World(schedule, loop, Path(folder))
            watch(world)
            with _listening(world):
                loop.run_until_complete(loop.create_task(world.run()))
                result = Result(
                    seed,
                    list(world.wrong),
                    world.network.digest,
                    world.network.messages,
                    loop.seconds(),
                    list(world.story),
                )
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", RuntimeWarning)
                    _end(world, loop)
    finally:
        asyncio.set_event_loop(None)
        loop.close()
        gc.enable()
    return result


def _end(world: World, loop: SimulatedLoop) -> None:
    """Lets every task end, with all connections cut, so that nothing is left to the garbage collector."""
    for process in list(world.network._links):
        world.network.cut(process)
    loop.bury()
    for _ in range(20):
        left = [task for task in asyncio.all_tasks(loop) if not task.done()]
        if not left:
            break
        for task in left:
            task.cancel()
        ending: Awaitable[Any] = asyncio.wait(left, timeout=1.0)
        loop.run_until_complete(ending)
    loop.run_until_complete(loop.shutdown_asyncgens())
