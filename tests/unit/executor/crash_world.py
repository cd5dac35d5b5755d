"""Owners, executors and a target as processes in simulated time, each of which may die or stand still at any step.

Journal, questions to the executor, executor and actuators are the real ones; only what they act on is played.
"""

import asyncio
import gc
import warnings
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, ExitStack
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

from tests.simulation.clock import PROCESS, SimulatedLoop
from tests.simulation.network import Network
from tests.simulation.schedule import Noise

import mendbus_executor
from mendbus import streams
from mendbus.bus import Bus
from mendbus.bus.memory import Packet
from mendbus.contracts.asks import Execute
from mendbus.contracts.journal import Attempted, Claimed, Commanded, Opened
from mendbus.contracts.messages import AgentRef, ErrorReported, ExceptionInfo, RecoveryCommand
from mendbus.contracts.subjects import Subjects, partition_of
from mendbus.contracts.vocabulary import Action, Strategy
from mendbus.micro import Micro
from mendbus.runtime import Readiness, Runtime
from mendbus.settings import Settings
from mendbus.telemetry import Span, open_tracer
from mendbus_executor import command_memory
from mendbus_strategy_selector.asks import Asks
from mendbus_strategy_selector.journal import Fenced, Journal, read_record
from mendbus_strategy_selector.policies import Policies
from mendbus_strategy_selector.snapshot import restore

SUBJECTS = Subjects()
KIND, ID, INCIDENT = "runtime", "a1", "i1"
PARTITION = partition_of(KIND, ID)
ATTEMPT_MS = 200
REST_SECONDS = 30.0
_LOOK_SECONDS = 0.01
_QUIET = Noise(lose=0.0, double=0.0, delay=0.0, delay_seconds=0.0)


class CrashLoop(SimulatedLoop):
    """Kills a process before a chosen one of its next steps; what a thread does is a step too, and its end another."""

    def __init__(self) -> None:
        super().__init__()
        self.fuses: dict[str, int] = {}
        self.on_death: Callable[[str], None] = lambda _: None

    def call_soon(self, callback: Callable[..., object], *args: Any, context: Context | None = None) -> asyncio.Handle:
        return super().call_soon(self._step, callback, args, context=context)

    def _step(self, callback: Callable[..., object], args: tuple[Any, ...]) -> None:
        process = PROCESS.get()
        if process in self.fuses:
            self.fuses[process] -= 1
            if self.fuses[process] <= 0:
                del self.fuses[process]
                self.on_death(process)
                # Kept with the rest of the dead, so that its task can end when the world does.
                _ = super().call_soon(callback, *args)
                return
        callback(*args)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self.create_future()

        def end(call: Callable[[Any], None], value: Any) -> None:
            if not future.done():
                call(value)

        def work() -> None:
            try:
                value = func(*args)
            except Exception as error:
                self.call_soon(end, future.set_exception, error)
            else:
                self.call_soon(end, future.set_result, value)

        self.call_soon(work)
        return future


@dataclass
class Truth:
    """What really happened to the target, whatever anybody says of it. Times in seconds of the loop."""

    fences: dict[str, int] = field(default_factory=dict[str, int])
    """The fence of each command that was thought of, by its id."""
    effects: Counter[str] = field(default_factory=Counter[str])
    """How often each command took effect, by its id."""
    order: list[int] = field(default_factory=list[int])
    """Fences in the order of the effects."""
    well: bool = False
    cures: bool = True
    """Whether what is done to the target makes it well."""
    found_well: list[float] = field(default_factory=list[float])
    """When a probe really found it well."""

    def effect(self, command_id: str) -> None:
        """A command has taken effect."""
        self.effects[command_id] += 1
        self.order.append(self.fences.get(command_id, -1))
        if self.cures:
            self.well = True


class _Claim(command_memory.Claim):
    """Knows whose it is, and is closed once only: the numbers of closed descriptors are given away again."""

    all: ClassVar[list["_Claim"]] = []

    def __init__(self, lock: int, descriptor: int) -> None:
        super().__init__(lock, descriptor)
        self.owner = PROCESS.get()
        self._closed = False
        self.all.append(self)

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            super().close()


class World:
    """The processes. `table`: the executors' file; `folder`: what the replicas share on disk."""

    def __init__(self, folder: Path, table: str) -> None:
        self.loop = CrashLoop()
        self.loop.on_death = self.kill
        self.truth = Truth()
        self.folder = folder
        file = folder / "executor.toml"
        file.write_text(table)
        self.settings = Settings(trace=False, data_dir=folder, executor_file=file)
        self.span: Span = open_tracer("test", self.settings).start("test")
        self.network = Network(self.loop, _QUIET, 1)
        self.network.on_send = self._on_send
        self.running: set[str] = set()
        self.sent: list[Packet] = []
        """Every request for an attempt, and every command, for those who send them again."""
        self.orders: deque[tuple[Action, Strategy]] = deque()
        self.boot = ""
        self.said: list[str] = []
        self._started = Counter[str]()
        self._claims: list[_Claim] = []
        self._stack = ExitStack()
        self.during(patch.multiple(command_memory, Claim=_Claim))
        self.during(patch.object(_Claim, "all", self._claims))
        gc.disable()
        asyncio.set_event_loop(self.loop)
        bus = self.network.connect("outside")
        self.outside: Bus = bus
        self._do(streams.ensure(bus, SUBJECTS, 1 << 30))

    def _do(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(self.loop.create_task(coroutine))

    def pass_seconds(self, seconds: float) -> None:
        """Lets simulated time pass."""
        self._do(asyncio.sleep(seconds))

    def during(self, block: AbstractContextManager[object]) -> None:
        """Enters a block that lasts as long as this world."""
        self._stack.enter_context(block)

    # Processes

    def start(self, kind: str, main: Callable[[str, Bus], Coroutine[Any, Any, None]]) -> str:
        """Starts a process; its name."""
        self._started[kind] += 1
        process = f"{kind}-{self._started[kind]}"
        context = copy_context()
        context.run(PROCESS.set, process)
        self.running.add(process)
        bus = self.network.connect(process)
        task = self.loop.create_task(main(process, bus), name=process, context=context)

        def ended(task: asyncio.Task[None]) -> None:
            error = None if task.cancelled() else task.exception()
            leaves = error.exceptions if isinstance(error, BaseExceptionGroup) else [error] if error else []
            self.said += [f"{process} died of {leaf!r}" for leaf in leaves if not isinstance(leaf, Fenced)]
            self.running.discard(process)
            self.network.cut(process)

        task.add_done_callback(ended)
        return process

    def alive(self, kind: str) -> list[str]:
        """The running processes of a kind, the oldest first."""
        return sorted((p for p in self.running if p.startswith(f"{kind}-")), key=lambda p: int(p.rpartition("-")[2]))

    def kill(self, process: str) -> None:
        """SIGKILL: the kernel closes what it had open."""
        self.running.discard(process)
        self.loop.kill(process)
        self.network.cut(process)
        for claim in self._claims:
            if claim.owner == process:
                claim.close()

    def _on_send(self, process: str, packet: Packet) -> bool | None:
        if packet.subject == SUBJECTS.execute or packet.subject == SUBJECTS.command(KIND, ID):
            self.sent.append(packet)
        return None

    def send_again(self, number: int) -> None:
        """A message that was sent before comes once more; nobody waits for its answer."""
        packet = self.sent[number % len(self.sent)]
        self.network.publish(Packet(packet.subject, "_INBOX.nobody", packet.data, packet.headers))

    # Executors and owners

    def start_executor(self) -> str:
        """A replica of the executor."""
        return self.start("executor", self._execute)

    async def _execute(self, process: str, bus: Bus) -> None:
        service = mendbus_executor.build()
        async with asyncio.TaskGroup() as tasks:
            runtime = Runtime(
                service=service.name,
                instance=process,
                settings=self.settings,
                subjects=SUBJECTS,
                bus=bus,
                tracer=open_tracer(service.name, self.settings),
                tasks=tasks,
                readiness=Readiness(),
                micro=Micro(service.name, process, "0", service.description, {}),
                now=self.loop.time_unix_nano,
            )
            _ = await service.start(runtime)
            _ = await asyncio.Event().wait()

    def start_owner(self) -> str:
        """A new owner of the partition; one that still believes to own it is fenced off."""
        return self.start("owner", self._own)

    async def _own(self, process: str, bus: Bus) -> None:
        state, position = await restore(bus, SUBJECTS, PARTITION)
        now = self.loop.time_unix_nano
        journal = Journal(bus, SUBJECTS, PARTITION, process, position, now)
        asks = Asks(bus, SUBJECTS, Policies(None), Readiness(), now)
        async with asyncio.TaskGroup() as group:
            group.create_task(journal.run())
            await journal.append(Claimed(owner=process))
            if INCIDENT not in state.incidents:
                opened = Opened(incident_id=INCIDENT, agent=_AGENT, fingerprint="f", error=_ERROR)
                state.apply(opened, now())
                await journal.append(opened)
            incident = state.incidents[INCIDENT]
            while True:
                command = incident.pending
                if command is None:
                    while not self.orders:
                        await asyncio.sleep(_LOOK_SECONDS)
                    action, strategy = self.orders.popleft()
                    command = self._command(len(incident.attempts) + 1, action, strategy, journal.position.sequence)
                    intent = Commanded(incident_id=INCIDENT, command=command)
                    state.apply(intent, now())
                    await journal.append(intent)
                result = await asks.execute(
                    Execute(incident_id=INCIDENT, agent_kind=KIND, agent_id=ID, command=command, timeout_ms=ATTEMPT_MS),
                    self.span,
                )
                attempted = Attempted(
                    incident_id=INCIDENT, command_id=command.command_id, result=result, ended_unix_nano=now()
                )
                state.apply(attempted, now())
                await journal.append(attempted)

    def _command(self, attempt: int, action: Action, strategy: Strategy, fence: int) -> RecoveryCommand:
        fences = self.truth.fences
        command_id = f"c{len(fences) + 1}"
        fences[command_id] = fence
        return RecoveryCommand(
            command_id=command_id,
            incident_id=INCIDENT,
            attempt=attempt,
            agent=AgentRef(kind=KIND, id=ID),
            action=action,
            strategy=strategy,
            parameters={},
            timeout_ms=ATTEMPT_MS,
            deadline_unix_nano=self.loop.time_unix_nano() + ATTEMPT_MS * 1_000_000,
            fence=fence,
            instance=self.boot or None,
        )

    # What is on disk

    def journal(self) -> "tuple[dict[str, tuple[float, RecoveryCommand]], dict[str, tuple[float, Attempted]]]":
        """Intents and results by command id, each with when it was written, in seconds of the loop."""
        intents: dict[str, tuple[float, RecoveryCommand]] = {}
        results: dict[str, tuple[float, Attempted]] = {}

        async def read() -> None:
            began = self.loop.time() - self.loop.time_unix_nano() / 1e9
            async for message in self.outside.read(SUBJECTS.stream("JOURNAL"), SUBJECTS.journal(PARTITION)):
                record = read_record(message)
                at = record.time_unix_nano / 1e9 + began
                for entry in record.entries:
                    if isinstance(entry, Commanded):
                        intents[entry.command.command_id] = at, entry.command
                    elif isinstance(entry, Attempted):
                        assert entry.command_id not in results, "a command has two results on disk"
                        results[entry.command_id] = at, entry

        self._do(read())
        return intents, results

    def close(self) -> None:
        """Ends every process, the dead too."""
        self.loop.fuses.clear()
        for process in list(self.network._links):
            self.network.cut(process)
        self.loop.bury()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            for _ in range(20):
                left = [task for task in asyncio.all_tasks(self.loop) if not task.done()]
                if not left:
                    break
                for task in left:
                    task.cancel()
                self.loop.run_until_complete(asyncio.wait(left, timeout=1.0))
        for claim in self._claims:
            claim.close()
        self._stack.close()
        asyncio.set_event_loop(None)
        self.loop.close()
        gc.enable()


_AGENT = AgentRef(kind=KIND, id=ID)
_ERROR = ErrorReported(
    id="e1", time_unix_nano=1, agent=_AGENT, exception=ExceptionInfo(type="Lost", message="went wrong")
)
