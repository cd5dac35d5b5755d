"""What an executor acts on in `crash_world`: agents behind the SDK's desk, a supervisor, programs, a cluster."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context, ContextVar, copy_context
from copy import deepcopy
from typing import Any, Protocol, cast
from unittest.mock import patch

from tests.simulation.clock import PROCESS
from tests.unit.executor.crash_world import ID, KIND, SUBJECTS, World
from tests.unit.executor.fake_kubernetes import TOKEN, Cluster

from mendbus.bus import Bus, Message
from mendbus.contracts.messages import AgentRef, Probe, ProbeResult, RecoveryCommand
from mendbus.contracts.vocabulary import Strategy
from mendbus.sdk.commands import CommandDesk, Done, Handler, Order, StrategyError
from mendbus.sdk.inbox import Inbox
from mendbus.sdk.probes import Probes
from mendbus.supervise.program import Program
from mendbus.supervise.supervisor import Supervisor
from mendbus.telemetry import open_tracer
from mendbus_executor import command_actuator
from mendbus_executor.kubernetes_api import Api, ApiRefused
from mendbus_executor.sandbox import Ran

BEFORE_SECONDS = 0.004
AFTER_SECONDS = 0.004
"""From the begin of an action to its effect, and from there to its end."""


class Target(Protocol):
    """Something that is recovered. `table`: the executors' file; `strategies`: what can be done to it."""

    table: str
    strategies: Sequence[Strategy]

    def enter(self, world: World) -> None:
        """Becomes part of a world."""
        ...

    def fall_ill(self) -> None:
        """It does not work any more."""
        ...

    def restart(self) -> None:
        """It is started anew by somebody else, and remembers nothing."""
        ...


class AgentTarget:
    """An agent: inbox and desk of the SDK, with one handler that takes its time. `fails`: the handler raises."""

    table = ""
    survives = False
    strategies: Sequence[Strategy] = ("restart", "scale_down", "isolate", "fallback")

    def enter(self, world: World) -> None:
        """See `Target`."""
        self.world = world
        self.fails = False
        self._process = ""
        self.restart()

    def fall_ill(self) -> None:
        """See `Target`."""
        self.world.truth.well = False

    def restart(self) -> None:
        """See `Target`."""
        if self._process in self.world.running:
            self.world.kill(self._process)
        self._process = self.world.boot = self.world.start("agent", self._run)

    async def _run(self, process: str, bus: Bus) -> None:
        world = self.world
        ref = AgentRef(kind=KIND, id=ID, instance=process)
        tasks: set[asyncio.Task[None]] = set()

        def spawn(coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
            task = world.loop.create_task(coroutine, name=name)
            tasks.add(task)
            return task

        desk = CommandDesk(ref, self.handlers(), world.loop.time_unix_nano, spawn)
        inbox = Inbox(ref, desk, cast("Probes", self), open_tracer("agent", world.settings))

        async def command(message: Message) -> None:
            await inbox.command(bus, message)

        async def probe(message: Message) -> None:
            await inbox.probe(bus, message)

        await bus.subscribe(SUBJECTS.command(KIND, ID), command, concurrency=16)
        await bus.subscribe(SUBJECTS.probe(KIND, ID), probe, concurrency=16)
        _ = await asyncio.Event().wait()

    def handlers(self) -> Callable[[Strategy], Handler | None]:
        """What finds the handler of a strategy."""

        async def handle(order: Order) -> Done:
            await asyncio.sleep(BEFORE_SECONDS)
            self.world.truth.effect(order.command.command_id)
            await asyncio.sleep(AFTER_SECONDS)
            if self.fails:
                raise StrategyError("broken", "it did not work")
            return Done()

        return lambda strategy: handle if strategy in self.strategies else None

    async def answer(self, probe: Probe) -> ProbeResult:
        """A probe of the thing that failed."""
        well = await self.is_well()
        if well:
            self.world.truth.found_well.append(self.world.loop.time())
        return ProbeResult(healthy=well, checked_unix_nano=self.world.loop.time_unix_nano())

    async def is_well(self) -> bool:
        """Whether it works now."""
        return self.world.truth.well


_COMMAND: ContextVar[str] = ContextVar("command")


class _Child:
    """A process of the supervised program, which dies soon unless it is well."""

    def __init__(self, world: World) -> None:
        loop = asyncio.get_running_loop()
        self.pid, self.beats, self.last_beat = 1, 0, loop.time()
        self.beat = asyncio.Event()
        self.ended: asyncio.Future[int] = loop.create_future()
        self.warm: asyncio.Future[bool] = loop.create_future()
        self.stopped = False
        self._world = world

    @property
    def status(self) -> int | None:
        if not self.ended.done() and not self._world.truth.well:
            self.ended.set_result(1)
        return self.ended.result() if self.ended.done() else None

    def signal(self, number: signal.Signals) -> None:
        self.stopped = number == signal.SIGSTOP
        self._world.truth.effect(_COMMAND.get())

    async def stop(self, _: float) -> int:
        await asyncio.sleep(BEFORE_SECONDS)
        if not self.ended.done():
            self.ended.set_result(-9)
        return -9

    async def last_words(self) -> list[str]:
        return []


class SupervisorTarget(AgentTarget):
    """An agent of the supervising kind: the real supervisor, over processes that are played."""

    strategies: Sequence[Strategy] = ("restart", "isolate")

    def handlers(self) -> Callable[[Strategy], Handler | None]:
        """See `AgentTarget`."""
        found: dict[str, Callable[[RecoveryCommand], Coroutine[Any, Any, str]]] = {}
        world = self.world

        class Played:
            """As much of an agent as a supervisor registers itself with."""

            def handler(self, strategy: str) -> Callable[[Any], None]:
                return lambda function: found.update({strategy: function})

            def probe(self) -> Callable[[Any], Any]:
                return lambda function: function

            def metrics(self, function: Any) -> Any:
                return function

        def started(*_: Any, **__: Any) -> _Child:
            world.truth.effect(_COMMAND.get())
            return _Child(world)

        self.supervisor = Supervisor(cast("Any", Played()), Program(argv=("app",)))
        self.supervisor._set(cast("Any", _Child(world)))
        cast("Any", self.supervisor)._start = started

        def find(strategy: Strategy) -> Handler | None:
            own = found.get(strategy)

            async def handle(order: Order) -> Done:
                _COMMAND.set(order.command.command_id)
                return Done(await own(order.command)) if own else Done()

            return handle if own else None

        return find

    async def is_well(self) -> bool:
        """See `AgentTarget`."""
        try:
            return bool(await self.supervisor._probe())
        except LookupError:
            return False


class ProgramTarget(AgentTarget):
    """Programs of the user's own, in a sandbox that is played: it kills what runs when its executor dies, in a while.

    `survives`: the effect comes all the same.
    """

    table = """
[kinds.runtime]
actuator = "command"
probe = ["probe"]
[kinds.runtime.commands]
restart = ["act", "{command_id}", "{action}"]
scale_down = ["act", "{command_id}", "{action}"]
isolate = ["act", "{command_id}", "{action}"]
fallback = ["act", "{command_id}", "{action}"]
"""

    def enter(self, world: World) -> None:
        """See `Target`."""
        self.world = world
        self.fails = False
        self._outside: Context = copy_context()
        world.during(patch.object(command_actuator, "run", self._ran))

    def restart(self) -> None:
        """A program remembers nothing anyway."""

    async def _ran(self, argv: Sequence[str], *conditions: Any) -> Ran:
        loop, truth = self.world.loop, self.world.truth
        if argv[0] == "probe":
            await asyncio.sleep(BEFORE_SECONDS)
            if truth.well:
                truth.found_well.append(loop.time())
            return Ran(status=0 if truth.well else 1)
        lock: int = conditions[-1]
        ended: asyncio.Future[Ran] = loop.create_future()
        executor, inherited = PROCESS.get(), os.dup(lock)

        def effect() -> None:
            if executor in self.world.running or self.survives:
                truth.effect(argv[1])

        def end() -> None:
            os.close(inherited)
            if not ended.done():
                ended.set_result(Ran(status=1 if self.fails else 0))

        self._outside.run(loop.call_later, BEFORE_SECONDS, effect)
        self._outside.run(loop.call_later, BEFORE_SECONDS + AFTER_SECONDS, end)
        return await ended


class _Counting(Cluster):
    """Knows which command each change was made for."""

    def watch(self, world: World) -> None:
        self._world = world
        self._evictions_of: dict[str, str] = {}

    def _patch(self, known: dict[str, Any], body: dict[str, Any], dry: bool) -> tuple[int, dict[str, Any]]:
        metadata = known["metadata"]
        before = str(known["spec"]), str(metadata["labels"])
        answer = super()._patch(known, body, dry)
        noted = body["metadata"].get("annotations", {})
        if "mendbus.dev/evicted-uid" in noted:
            self._evictions_of[noted["mendbus.dev/evicted-uid"]] = noted["mendbus.dev/command"]
        if (str(known["spec"]), str(metadata["labels"])) != before:
            self._world.truth.effect(noted.get("mendbus.dev/command", "a change that names no command"))
            # The rollout takes its time; what it waits for is the generation.
            context = copy_context()
            context.run(PROCESS.set, "")
            context.run(self._world.loop.call_later, BEFORE_SECONDS, self._rolled_out, known)
        return answer

    @staticmethod
    def _rolled_out(known: dict[str, Any]) -> None:
        replicas = known["spec"].get("replicas", 0)
        known["status"] = {
            "observedGeneration": known["metadata"]["generation"],
            "replicas": replicas,
            "updatedReplicas": replicas,
            "availableReplicas": replicas,
        }

    def _evict(self, pod: dict[str, Any], name: str, body: dict[str, Any], dry: bool) -> tuple[int, dict[str, Any]]:
        evicted = self.evictions
        answer = super()._evict(pod, name, body, dry)
        if self.evictions > evicted:
            self._world.truth.effect(self._evictions_of[body["deleteOptions"]["preconditions"]["uid"]])
        return answer


class WorkloadTarget(AgentTarget):
    """A deployment and its pod on an API server that is played; the agent in it answers probes only."""

    strategies: Sequence[Strategy] = ("restart", "scale_down", "isolate", "failover")

    table = """
[kinds.runtime]
actuator = "kubernetes"
namespace = "shop"
workload = "deployment/{id}"
pod = "{id}"
"""

    def enter(self, world: World) -> None:
        """See `Target`."""
        self.cluster = _Counting()
        self.cluster.add("deployments", ID, replicas=8, template={})
        self.cluster.add("pods", ID)
        self.cluster.watch(world)
        world.during(patch.object(Api, "_send", self._send))
        super().enter(world)

    def _send(
        self, method: str, path: str, body: dict[str, Any] | None, content_type: str, seconds: float
    ) -> dict[str, Any]:
        """In place of HTTP, whose threads know nothing of simulated time."""
        status, said = self.cluster.answer(method, path, f"Bearer {TOKEN}", deepcopy(body or {}))
        if status >= 300:
            raise ApiRefused(status, said["message"])
        return deepcopy(said)
