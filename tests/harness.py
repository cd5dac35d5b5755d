"""A whole installation for tests: a real nats-server, real service processes, agents that speak the protocol, and the
ledger that says whether anything was lost, counted twice or done twice.
"""

import asyncio
import os
import random
import signal
import sys
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mendbus import codec
from mendbus.bus import Bus, Message, Subscription
from mendbus.bus.nats import connect
from mendbus.contracts.errors import BusError
from mendbus.contracts.foreseen import is_predicted
from mendbus.contracts.ids import new_id
from mendbus.contracts.journal import Counted, Decided, JournalRecord, Opened
from mendbus.contracts.messages import (
    OVERTAKEN,
    AgentHello,
    AgentRef,
    CommandResult,
    ErrorReported,
    ExceptionInfo,
    Probe,
    ProbeResult,
    RecoveryCommand,
    RecoveryOutcome,
    Settlement,
)
from mendbus.contracts.subjects import MAX_SERVICE_BODY, Subjects
from mendbus.contracts.vocabulary import SERVICES, Strategy
from mendbus.security.access import Access, access
from mendbus.security.installation import Installation as Users
from mendbus.security.installation import settings_of
from mendbus.server import NatsServer
from mendbus.settings import Settings
from mendbus.testing import eventually

READY_SECONDS = 20.0
_LOG_CHARACTERS = 2000
SETTLE_SECONDS = 0.5


def unmeasured() -> dict[str, str]:
    """This process's environment for children whose coverage is not taken: most are killed, which leaves none.

    Measuring costs them up to half of their speed; what ends in order is measured where `mendbus up` is tried.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


@dataclass
class ServiceProcess:
    """One service as a process of its own."""

    name: str
    process: asyncio.subprocess.Process
    log: Path
    http_port: int = 0

    def send(self, number: int) -> None:
        """Sends it a signal, if it is still there."""
        if self.process.returncode is None:
            self.process.send_signal(number)

    async def kill(self) -> None:
        """SIGKILL, and waits until it is gone."""
        self.send(signal.SIGCONT)
        self.send(signal.SIGKILL)
        await self.process.wait()

    async def terminate(self, timeout: float = 30.0) -> int:
        """SIGTERM; returns the exit status."""
        self.send(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), timeout)


@dataclass
class Installation:
    """A server and the services on it."""

    folder: Path
    server: NatsServer
    environment: dict[str, str]
    subjects: Subjects = field(default_factory=Subjects)
    services: list[ServiceProcess] = field(default_factory=list[ServiceProcess])
    files: dict[str, Path] = field(default_factory=dict[str, Path])
    """Settings that name credentials and keys, where there are users."""

    async def run(self, *names: str, program: str = "mendbus.service") -> list[ServiceProcess]:
        """Starts services and waits until they are ready; `program`: the module that runs one."""
        return list(await asyncio.gather(*(self._run(name, program) for name in names)))

    async def _run(self, name: str, program: str) -> ServiceProcess:
        reading, writing = os.pipe()
        log = self.folder / f"{name}-{new_id()[-6:]}.log"
        with log.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                program,
                name,
                env={**unmeasured(), **self.environment, "MENDBUS_READY_FD": str(writing)},
                pass_fds=(writing,),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
            )
        os.close(writing)
        service = ServiceProcess(name, process, log)
        self.services.append(service)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb")
        )
        try:
            line = await asyncio.wait_for(reader.readline(), READY_SECONDS)
        finally:
            transport.close()
        assert line.startswith(b"ready"), f"{name} did not become ready:\n{log.read_text()[-4000:]}"
        service.http_port = int(line.split()[1])
        return service

    def named(self, name: str) -> list[ServiceProcess]:
        """The running replicas of a service."""
        return [s for s in self.services if s.name == name and s.process.returncode is None]

    async def connect(self, name: str = "test") -> Bus:
        """A connection of the test's own; where there are users, `name` is one."""
        return await connect(self.server.url, name=name, access=self.access(name))

    def access(self, user: str) -> Access | None:
        """What a user shows; None where there are no users."""
        return access(Settings().model_copy(update=self.files), user)

    def described(self) -> str:
        """Of each service whether it runs, and the end of its log."""
        return "\n".join(
            f"== {service.name}, exit status {service.process.returncode}\n{service.log.read_text()[-_LOG_CHARACTERS:]}"
            for service in self.services
        )

    async def stop(self) -> None:
        """Ends everything."""
        for service in self.services:
            await service.kill()
        self.server.stop()


@asynccontextmanager
async def installation(
    folder: Path,
    *names: str,
    policy: str = "",
    environment: dict[str, str] | None = None,
    program: str = "mendbus.service",
    agents: Sequence[str] = (),
) -> AsyncIterator[Installation]:
    """A server with the named services (all five when none is named); `program`: the module that runs one.

    With `agents` (`kind/id`) the server has users: these, the services and `operator/admin`.
    """
    files = _make_users(folder / "secure", agents) if agents else {}
    server = NatsServer.start(folder / "nats", extra='include "../secure/nats-secure.conf"' if agents else "")
    policy_file = folder / "policy.toml"
    policy_file.write_text(policy or f"settle_seconds = {SETTLE_SECONDS}\n")
    found = Installation(
        folder,
        server,
        {
            "NATS_URL": server.url,
            "MENDBUS_MONITOR_URL": server.monitor_url,
            "MENDBUS_DATA_DIR": str(folder),
            "MENDBUS_POLICY_FILE": str(policy_file),
            "MENDBUS_TRACE": "false",
            "MENDBUS_CANARY_SECONDS": "0",
            **{f"MENDBUS_{name.upper()}": str(file) for name, file in files.items()},
            **(environment or {}),
        },
        files=files,
    )
    try:
        await found.run(*(names or SERVICES), program=program)
        yield found
    except BaseException:
        print(found.described())
        raise
    finally:
        await found.stop()


def _make_users(folder: Path, agents: Sequence[str]) -> dict[str, Path]:
    users = Users.create(folder, Subjects())
    for agent in agents:
        _ = users.add(f"agent/{agent}")
    users.render()
    return settings_of(folder)


@dataclass
class ProtocolAgent:
    """An agent that speaks the wire contract and keeps account of all it did."""

    bus: Bus
    subjects: Subjects
    kind: str
    id: str
    strategies: Sequence[Strategy] = ("retry", "restart", "rollback")
    works: bool = True
    """Whether its probe is healthy."""
    answers: bool = True
    """Whether it answers commands and probes at all."""
    effects: Counter[tuple[str, int, str]] = field(default_factory=Counter[tuple[str, int, str]])
    """How often each (incident, attempt, action) took effect."""
    reported: dict[str, int] = field(default_factory=dict[str, int])
    """Event ids that were acknowledged, each with its `count`."""
    settled: Counter[str] = field(default_factory=Counter[str])
    instance: str = field(default_factory=new_id)
    _results: dict[str, CommandResult] = field(default_factory=dict[str, CommandResult])

    @property
    def ref(self) -> AgentRef:
        """Who it is."""
        return AgentRef(kind=self.kind, id=self.id, instance=self.instance)

    async def start(self) -> list[Subscription]:
        """Listens for commands, probes and settlements."""
        return [
            await self.bus.subscribe(self.subjects.command(self.kind, self.id), self._command),
            await self.bus.subscribe(self.subjects.probe(self.kind, self.id), self._probe),
            await self.bus.subscribe(self.subjects.settlement(self.kind, self.id), self._settlement),
        ]

    async def say_hello(self) -> None:
        """Introduces itself until the health-monitor has heard."""
        hello = AgentHello(
            id=new_id(), time_unix_nano=1, agent=self.ref, strategies=list(self.strategies), interval_ms=500
        )

        async def said() -> bool:
            try:
                await self.bus.request(self.subjects.hello(self.kind, self.id), codec.encode(hello), timeout=1.0)
            except BusError:
                return False
            return True

        await eventually(said, 10.0)

    async def report(
        self, what: str, *, severity: str | None = "error", count: int = 1, overtaken: bool = False
    ) -> str:
        """Publishes an error until it is acknowledged, under one id; returns the id."""
        event_id = new_id()
        error = ErrorReported(
            id=event_id,
            time_unix_nano=int(event_id.replace("-", "")[:12], 16) * 1_000_000,
            agent=self.ref,
            exception=ExceptionInfo(type=what, message=f"{what} happened"),
            severity=severity,  # pyright: ignore[reportArgumentType]
            operation=what,
            count=count,
            attributes={OVERTAKEN: True} if overtaken else {},
        )
        body, subject = codec.encode(error), self.subjects.error(severity, self.kind, self.id)
        while True:
            try:
                await self.bus.store(subject, body, id=event_id, timeout=2.0)
            except BusError:
                await asyncio.sleep(random.uniform(0.02, 0.1))
            else:
                self.reported[event_id] = count
                return event_id

    async def _command(self, message: Message) -> None:
        if not self.answers:
            return
        command = codec.decode(RecoveryCommand, message.body)
        result = self._results.get(command.command_id)
        if result is None:
            self.effects[command.incident_id, command.attempt, command.action] += 1
            result = self._results[command.command_id] = CommandResult(command_id=command.command_id, status="done")
        await self.bus.publish(message.reply, codec.encode(result))

    async def _probe(self, message: Message) -> None:
        if not self.answers:
            return
        probe = codec.decode(Probe, message.body)
        await self.bus.publish(
            message.reply, codec.encode(ProbeResult(healthy=self.works, checked_unix_nano=probe.deadline_unix_nano))
        )

    async def _settlement(self, message: Message) -> None:
        self.settled.update(codec.decode(Settlement, message.body).event_ids)


@dataclass
class Ledger:
    """What journal and outcomes say of everything that was reported."""

    counted: Counter[str]
    """How often each event id was counted."""
    errors: Counter[str]
    """Errors counted, by incident."""
    incidents_of: dict[str, set[str]]
    """Incidents in which each event id was counted."""
    told: dict[str, RecoveryOutcome]
    """The outcome of the highest sequence, by incident."""
    opened: set[str]
    rejected: set[str]
    decided: int
    chain_whole: bool

    @property
    def unfinished(self) -> set[str]:
        """Incidents that neither ended nor are parked."""
        ended = {i for i, o in self.told.items() if o.outcome != "recovered" or o.settled}
        return self.opened - ended

    @property
    def foretold(self) -> set[str]:
        """Incidents about failures that were predicted, and left alone: nobody has reported anything."""
        return {i for i, o in self.told.items() if o.error and is_predicted(o.error) and not o.attempts}


async def read_ledger(bus: Bus, subjects: Subjects) -> Ledger:
    """Reads JOURNAL and RECOVERIES from their beginnings."""
    ledger = Ledger(Counter(), Counter(), defaultdict(set), {}, set(), set(), 0, chain_whole=True)
    digests: dict[str, str] = {}
    from mendbus_strategy_selector.journal import digest_of

    async for message in bus.read(subjects.stream("JOURNAL"), subjects.everyone("journal")):
        record = codec.decode(JournalRecord, message.body, MAX_SERVICE_BODY)
        ledger.chain_whole &= record.previous == digests.get(message.subject, "")
        digests[message.subject] = digest_of(message.body)
        for entry in record.entries:
            if isinstance(entry, Opened):
                ledger.opened.add(entry.incident_id)
            elif isinstance(entry, Counted):
                ledger.counted.update(entry.event_ids)
                ledger.errors[entry.incident_id] += entry.error_count
                for event_id in entry.event_ids:
                    ledger.incidents_of[event_id].add(entry.incident_id)
            elif isinstance(entry, Decided):
                ledger.decided += 1
    async for message in bus.read(subjects.stream("RECOVERIES"), subjects.everyone("outcome")):
        outcome = codec.decode(RecoveryOutcome, message.body, MAX_SERVICE_BODY)
        if outcome.outcome == "rejected":
            ledger.rejected.add(outcome.incident_id)
            continue
        known = ledger.told.get(outcome.incident_id)
        if known is None or outcome.sequence > known.sequence:
            ledger.told[outcome.incident_id] = outcome
    return ledger


async def settled_ledger(
    bus: Bus, subjects: Subjects, agents: Sequence[ProtocolAgent], timeout: float = 60.0
) -> Ledger:
    """The ledger once everything reported has been counted and told and every incident has ended or is parked."""

    async def whole() -> Ledger | None:
        ledger = await read_ledger(bus, subjects)
        wanted = sum(count for agent in agents for count in agent.reported.values())
        told = sum(outcome.error_count for outcome in ledger.told.values())
        counted = sum(ledger.errors.values())
        unfinished = len(ledger.unfinished)
        missing = [e for agent in agents for e in agent.reported if not ledger.counted[e]][:5]
        behind = [i for i, o in ledger.told.items() if o.error_count != ledger.errors[i]][:5]
        assert (counted, told, unfinished) == (wanted, wanted, 0), (
            f"of {wanted} errors {counted} are counted and {told} told, {unfinished} incidents are unfinished: "
            f"uncounted {missing}, told too little {behind}, unfinished {sorted(ledger.unfinished)[:5]}"
        )
        return ledger

    return await eventually(whole, timeout, every=1.0)


def assert_exact(ledger: Ledger, agents: Sequence[ProtocolAgent]) -> None:
    """Every acknowledged error is in exactly one incident and counted once; no command took effect twice."""
    for agent in agents:
        for event_id in agent.reported:
            assert ledger.counted[event_id] == 1, f"{event_id} was counted {ledger.counted[event_id]} times"
            assert len(ledger.incidents_of[event_id]) == 1
        twice = {key: times for key, times in agent.effects.items() if times > 1}
        assert not twice, f"effective more than once: {twice}"
    assert ledger.chain_whole, "the journal's hash chain is broken"


async def make_agents(
    bus: Bus, subjects: Subjects, number: int, kind: str = "runtime", *, hello: bool = True
) -> list[ProtocolAgent]:
    """That many agents, listening and introduced."""
    agents = [ProtocolAgent(bus, subjects, kind, f"a{i}") for i in range(number)]
    await asyncio.gather(*(agent.start() for agent in agents))
    if hello:
        await asyncio.gather(*(agent.say_hello() for agent in agents))
    return agents


async def load(agents: Sequence[ProtocolAgent], rate: float, seconds: float, kinds: int = 50, seed: int = 1) -> None:
    """Errors of `kinds` fingerprints from all agents, `rate` a second together, until each is acknowledged."""
    choose = random.Random(seed)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            wait = begun + number / rate - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            agent, name = choose.choice(agents), f"Failure{_letters(choose.randrange(kinds))}"
            group.create_task(agent.report(name))


def _letters(number: int) -> str:
    """A number in letters: digits would be taken for noise by the fingerprint."""
    return chr(65 + number // 26) + chr(65 + number % 26)
