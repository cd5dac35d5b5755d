"""A cluster with two replicas of every service and agents on several hosts; load, blows, and what came of both."""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.agents import letters
from tests.cluster.books import WELL, Held, Recovery
from tests.cluster.hosts import BreakingAgent, Host, Noted, fail
from tests.cluster.nodes import Cluster
from tests.cluster.plan import NODES, Blow
from tests.harness import Installation, Ledger
from tests.lab.links import Weather

from mendbus import codec
from mendbus.bus import Bus
from mendbus.bus.nats import connect
from mendbus.contracts.errors import BusError
from mendbus.contracts.messages import RecoveryOutcome
from mendbus.contracts.subjects import LANES, MAX_SERVICE_BODY, PARTITIONS, Subjects
from mendbus.contracts.vocabulary import AGENT_KINDS, SERVICES

REPLICAS = 2
_HOSTS = 4
_LOOK_SECONDS = 0.2
_REPEATED = 5
"""Every so many-th report stands for several errors, so that counting twice would show in more than ids."""
_NANO = 1_000_000_000
_SLOW_SECONDS = 0.03
_CLEAR, _CUT, _SILENT, _SLOW = Weather(), Weather(cut=True), Weather(silent=True), Weather(delay=_SLOW_SECONDS)
Say = Callable[[str], None]


@dataclass
class Rig:
    """Everything that runs. `started`: how often each service was started again, by whoever keeps them running."""

    cluster: Cluster
    system: Installation
    hosts: list[Host]
    started: Counter[str] = field(default_factory=Counter[str])
    notes: dict[str, Noted] = field(default_factory=dict[str, Noted])
    held: list[Held] = field(default_factory=list[Held])
    never_whole: list[str] = field(default_factory=list[str])

    @property
    def agents(self) -> list[BreakingAgent]:
        """All agents of all hosts."""
        return [agent for host in self.hosts for agent in host.agents]

    @property
    def subjects(self) -> Subjects:
        """Of this installation."""
        return self.system.subjects

    async def keep_services(self) -> None:
        """Starts again what has ended, for ever, as a supervisor does."""
        while True:
            for service in list(self.system.services):
                if service.process.returncode is not None:
                    self.system.services.remove(service)
                    self.started[service.name] += 1
                    try:
                        _ = await self.system.run(service.name)
                    except (AssertionError, TimeoutError):
                        # It stands in the list, and is looked at again: dead, or late.
                        continue
            await asyncio.sleep(_LOOK_SECONDS)

    async def load(self, recoveries: int, rate: float, seed: int) -> None:
        """So many failures, `rate` a second, each of a fingerprint of its own; ends when all are acknowledged."""
        chance, loop = random.Random(seed), asyncio.get_running_loop()
        agents, begun = self.agents, loop.time()
        async with asyncio.TaskGroup() as group:
            for number in range(recoveries):
                wait = begun + number / rate - loop.time()
                if wait > 0:
                    await asyncio.sleep(wait)
                count = 1 if number % _REPEATED else chance.randint(2, 5)
                what = f"Failure{letters(number).upper()}"
                group.create_task(fail(agents[number % len(agents)], what, count, self.notes))

    async def strike(self, blows: Iterator[Blow], over: Callable[[], bool], say: Say) -> None:
        """One blow after the other until the load is over; before each all nodes are whole, or it is noted."""
        while not over():
            blow = next(blows)
            begun = time.time()
            await self._hit(blow)
            try:
                await self.cluster.whole()
            except AssertionError as error:
                self.never_whole.append(f"{blow}: {error}")
            self.held.append(Held(blow.kind, str(blow), begun, time.time()))
            say(f"{blow}; all is whole {time.time() - begun:.1f} s after its beginning")
            await asyncio.sleep(blow.rest)

    async def _hit(self, blow: Blow) -> None:
        cluster, node = self.cluster, blow.node
        match blow.kind:
            case "kill":
                cluster.kill(node)
                await asyncio.sleep(blow.seconds)
                await cluster.begin(node)
            case "restart":
                await cluster.nodes[node].stop_async()
                await asyncio.sleep(blow.seconds)
                await cluster.begin(node)
            case "kill all":
                cluster.kill(*range(NODES))
                await asyncio.sleep(blow.seconds)
                await cluster.begin(*range(NODES))
            case "pause":
                cluster.signal(node, signal.SIGSTOP)
                await asyncio.sleep(blow.seconds)
                cluster.signal(node, signal.SIGCONT)
            case "cut off":
                await cluster.clients(node, _CUT)
                await self._between(node, _CUT, blow.seconds)
                await cluster.clients(node, _CLEAR)
            case "part":
                await self._between(node, _SILENT, blow.seconds)
            case "half-open":
                await cluster.clients(node, _SILENT)
                await asyncio.sleep(blow.seconds)
                await cluster.clients(node, _CLEAR)
            case "slow":
                await cluster.clients(node, _SLOW)
                await self._between(node, _SLOW, blow.seconds)
                await cluster.clients(node, _CLEAR)
            case "fill":
                await asyncio.to_thread(cluster.fill)
                await asyncio.sleep(blow.seconds)
                # What an operator does: room first, then the server, which after a failed write writes no more.
                cluster.empty()
                await cluster.nodes[node].stop_async()
                await cluster.begin(node)
            case "move leaders":
                await self._move_leaders()
            case "kill replica":
                for service in self.system.named(blow.service)[:1]:
                    await service.kill()
            case "pause replica":
                for service in self.system.named(blow.service)[:1]:
                    service.send(signal.SIGSTOP)
                    await asyncio.sleep(blow.seconds)
                    service.send(signal.SIGCONT)

    async def _between(self, node: int, weather: Weather, seconds: float) -> None:
        await self.cluster.routes(node, weather)
        await asyncio.sleep(seconds)
        await self.cluster.routes(node, _CLEAR)

    async def _move_leaders(self) -> None:
        """Has the leaders of ERRORS, of JOURNAL and of one of the owners' consumers step down."""
        errors, journal = self.subjects.stream("ERRORS"), self.subjects.stream("JOURNAL")
        consumer = self.subjects.consumer(len(self.held) % PARTITIONS, LANES[-1])
        async with self.bus("operator") as bus:
            for what in (f"STREAM.LEADER.STEPDOWN.{errors}", f"STREAM.LEADER.STEPDOWN.{journal}",
                         f"CONSUMER.LEADER.STEPDOWN.{errors}.{consumer}"):  # fmt: skip
                with suppress(BusError):
                    _ = await bus.request(f"$JS.API.{what}", b"", timeout=5.0)

    @asynccontextmanager
    async def bus(self, name: str) -> AsyncGenerator[Bus]:
        """A connection for the length of a block."""
        bus = await connect(self.cluster.url, name=name, connect_timeout=30.0)
        try:
            yield bus
        finally:
            await bus.close()


async def recoveries(bus: Bus, rig: Rig, ledger: Ledger) -> list[Recovery]:
    """What became of every failure that was acknowledged."""
    first: dict[str, float] = {}
    stream = rig.subjects.stream("RECOVERIES")
    async for message in bus.read(stream, rig.subjects.everyone("outcome")):
        outcome = codec.decode(RecoveryOutcome, message.body, MAX_SERVICE_BODY)
        if outcome.outcome in WELL:
            _ = first.setdefault(outcome.incident_id, message.time_unix_nano / _NANO)
    found: list[Recovery] = []
    for event_id, noted in rig.notes.items():
        (incident,) = ledger.incidents_of.get(event_id, {""})
        told = ledger.told.get(incident)
        stands = told is not None and told.outcome == "recovered" and told.settled and not told.undone
        outcome = "none" if told is None else told.outcome if stands or told.outcome != "recovered" else "undone"
        reason = "" if told is None else told.reason or ""
        found.append(Recovery(event_id, noted.reported, noted.acknowledged, first.get(incident, 0.0), outcome, reason))
    return found


@asynccontextmanager
async def rig(folder: Path, agents: int) -> AsyncGenerator[Rig]:
    """Everything started and ready, under the default policy; ended afterwards."""
    cluster = Cluster(folder)
    policy = folder / "policy.toml"
    policy.write_text("# nothing here: every setting has its default\n")
    async with AsyncExitStack() as stack:
        stack.push_async_callback(cluster.stop)
        await cluster.start()
        environment = {
            "NATS_URL": cluster.url,
            "MENDBUS_DATA_DIR": str(folder),
            "MENDBUS_POLICY_FILE": str(policy),
            "MENDBUS_STREAM_REPLICAS": str(NODES),
            "MENDBUS_TRACE": "false",
            "MENDBUS_CANARY_SECONDS": "0",
        }
        system = Installation(folder, cluster.nodes[0], environment)
        stack.push_async_callback(_end_services, system)
        async with asyncio.timeout(300.0):
            # The first one makes the streams; all at once would only get into each other's way.
            await _first(system)
            for _ in range(REPLICAS):
                missing = [name for name in SERVICES if len(system.named(name)) < REPLICAS]
                _ = await system.run(*missing)
        made = Rig(cluster, system, [])
        names = [(AGENT_KINDS[number % len(AGENT_KINDS)], f"a{number}") for number in range(agents)]
        async with asyncio.TaskGroup() as group:
            keeping: list[asyncio.Task[None]] = []
            for number in range(_HOSTS):
                host = Host(cluster.url, f"host-{number}", system.subjects)
                made.hosts.append(host)
                await host.start(names[number::_HOSTS])
                stack.push_async_callback(host.close)
                keeping.append(group.create_task(host.keep(), name=host.name))
            keeping.append(group.create_task(made.keep_services(), name="keep services"))
            try:
                yield made
            finally:
                for task in keeping:
                    task.cancel()


async def _first(system: Installation) -> None:
    while True:
        try:
            _ = await system.run("strategy-selector")
        except (AssertionError, TimeoutError):
            system.services.clear()
            continue
        return


async def _end_services(system: Installation) -> None:
    for service in system.services:
        await service.kill()
