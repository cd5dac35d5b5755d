"""Every subject that services and agents listen to, with whatever may come: work goes on, and nobody falls over."""

import asyncio
import logging
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.contract.vectors import golden, invalid, tolerated
from tests.fuzz import mutating
from tests.fuzz.finding import Going, Tally
from tests.harness import ProtocolAgent, installation
from tests.support import memory_runtime

import mendbus_classifier
import mendbus_executor
import mendbus_health_monitor
import mendbus_predictor
import mendbus_strategy_selector
from mendbus import codec
from mendbus.bus import Bus, Message
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.catalogue import FAMILIES, Family
from mendbus.contracts.errors import BusError, BusTimeout, NoResponders, Refused, ServiceFailed, StoreRefused
from mendbus.contracts.messages import AgentRef, RecoveryOutcome
from mendbus.contracts.subjects import MAX_SERVICE_BODY, Subjects
from mendbus.contracts.vocabulary import SERVICES, SEVERITIES
from mendbus.sdk.core import Core, Identity
from mendbus.sdk.life import Life
from mendbus.sdk.outbox import Outbox
from mendbus.settings import Settings
from mendbus.telemetry import open_tracer
from mendbus.testing import eventually

_PACKAGES: Final = (
    mendbus_classifier,
    mendbus_predictor,
    mendbus_strategy_selector,
    mendbus_executor,
    mendbus_health_monitor,
)
POLICY: Final = (
    "settle_seconds = 0.05\nrecurrence_seconds = 0.001\nsick_at_least = 1000\n"
    "restarts_in_all = 100000\nrestarts_per_kind = 100000\n"
)
"""What is broken on purpose must not make the services stop healing, which would be right of them."""
FAMILIES_TRIED: Final = tuple(
    family for family in FAMILIES if family.body is not None and not family.name.startswith("journal")
)
"""All but the journal, whose only writers are the owners of its partitions: who can write there owns the partition."""
QUESTIONS: Final = (
    "status", "agents", "alerts", "silences", "history", "signals", "capacity", "predictions", "replay", "note",
    "relabel", "ack", "unsilence", "approve", "reject", "close", "profile",
)  # fmt: skip
"""Orders that ask, or are about an incident, an alert or a silence that there is not."""
_ARGUMENTS: Final = (
    "1m", "1s", ["cpu_percent"], "network", "fatal", "executor", 0.2, "settle_seconds = 1", "runtime/v1", "0",
    1_700_000_000_000_000_000, "incident:runtime/v1",
)  # fmt: skip
VICTIM: Final = ("runtime", "v1")
_EACH: Final = 20
_RECOVERED_SECONDS: Final = 90.0
"""Long, so that a machine with other work is not taken for a service that has stopped working."""


@dataclass
class Live:
    """Five services, an agent that works, and what is known of them."""

    bus: Bus
    agent: ProtocolAgent
    broken: Callable[[], list[str]]
    """What has gone wrong since the last look: services that ended, exceptions in logs."""
    recovered: set[str] = field(default_factory=set[str])

    async def hear(self, message: Message) -> None:
        """An outcome; what is none may come as well."""
        with suppress(Refused):
            outcome = codec.decode(RecoveryOutcome, message.body, MAX_SERVICE_BODY)
            if outcome.outcome == "recovered":
                self.recovered.update(outcome.event_ids)


async def in_memory(tally: Tally, going: Going) -> None:
    """The services in this process, on the in-memory bus."""
    async with memory_live() as live:
        await _all(tally, going, live)


async def for_real(tally: Tally, going: Going, folder: Path) -> None:
    """The services as processes of their own, on a real server."""
    async with real_live(folder) as live:
        await _all(tally, going, live)


async def _all(tally: Tally, going: Going, live: Live) -> None:
    number = 0
    while going(number):
        numbers = range(number, number + _EACH)
        await asyncio.gather(*(_case(tally, live.bus, one) for one in numbers))
        number += _EACH
        try:
            event_id = await live.agent.report("Valid" + "".join(chr(97 + byte % 26) for byte in os.urandom(8)))
            await eventually(lambda event_id=event_id: event_id in live.recovered, _RECOVERED_SECONDS)
            tally.tried["recovered"] += 1
        except AssertionError:
            tally.find(number - _EACH, f"after cases {numbers} an error is not recovered any more", "")
        for what in live.broken():
            tally.find(number - _EACH, f"in cases {numbers}: {what}", "")
        if len(tally.found) > 20:
            return


async def _case(tally: Tally, bus: Bus, number: int) -> None:
    choose = tally.chooser(number)
    family = choose.choice(FAMILIES_TRIED)
    body = mutating.body(choose, _vectors(), _name(family), VICTIM)
    subject, headers = _subject(choose, family), _headers(choose)
    if family.name == "control":
        verb = choose.choice(QUESTIONS)
        if choose.random() < 0.7:
            subject, body = Subjects().control(verb), _order(choose, verb)
        elif mutating.is_valid(family, body):
            # A valid order is carried out, such as one to pause everything.
            tally.tried["left out"] += 1
            return
    try:
        tally.tried[await _send(bus, family, subject, body, headers)] += 1
    except (NoResponders, BusTimeout, ServiceFailed, StoreRefused) as error:
        tally.tried[type(error).__name__] += 1
    except BusError as error:
        tally.tried["unsendable"] += 1
        if not subject.isascii() or " " in subject:
            return
        logging.getLogger("mendbus.fuzz").debug("%s: %s", subject, error)


async def _send(bus: Bus, family: Family, subject: str, body: bytes, headers: dict[str, str]) -> str:
    if family.stream is not None:
        await bus.store(subject, body, headers, timeout=2.0)
        return "stored"
    if family.reply is not None:
        await bus.request(subject, body, headers, timeout=0.3)
        return "answered"
    await bus.publish(subject, body, headers)
    return "published"


def _vectors() -> list[mutating.Vector]:
    return [*golden(), *tolerated(), *invalid()]


def _name(family: Family) -> str:
    assert family.body is not None
    return family.body.__name__


def _subject(choose: random.Random, family: Family) -> str:
    tokens = {
        "severity": choose.choice((*SEVERITIES, "unknown", "dire")),
        "kind": VICTIM[0] if choose.random() < 0.9 else choose.choice(("x" * 200, "é", "mendbus", "-")),
        "agent": VICTIM[1] if choose.random() < 0.9 else choose.choice(("x" * 200, "canary", "_")),
        "verb": choose.choice(("status", "agents", "pause", "no_such", "audit", "signals")),
        "state": choose.choice(("raised", "resolved", "odd")),
        "bundle": choose.choice(("0", "31", "x")),
    }
    subject = f"{Subjects().root}.{family.address.format(**tokens)}"
    return subject if choose.random() < 0.97 else f"{subject}.more"


def _order(choose: random.Random, verb: str) -> bytes:
    """An order that is valid but for its arguments, mostly."""
    names = (
        "after", "resolution", "from_unix_nano", "to_unix_nano", "metrics", "key", "id", "incident", "category", "new",
        "severity", "service", "instance", "seconds", "policy", "since_unix_nano", "all", "verb",
    )  # fmt: skip
    value = {
        "id": "o1",
        "time_unix_nano": 1,
        "verb": verb,
        "by": "fuzz",
        "arguments": {
            choose.choice(names): choose.choice((*mutating.NASTY, *_ARGUMENTS)) for _ in range(choose.randrange(5))
        },
        "incident_id": choose.choice((None, "i1", "no-such")),
        "agent": choose.choice((None, {"kind": VICTIM[0], "id": VICTIM[1]}, {"kind": "x", "id": "y"})),
        "kind": choose.choice((None, None, "runtime")),
        "reason": choose.choice((None, "why", "é" * 500)),
    }
    return mutating.packed(value)


def _headers(choose: random.Random) -> dict[str, str]:
    headers: dict[str, str] = {}
    if choose.random() < 0.5:
        headers["Content-Type"] = choose.choice(("application/vnd.msgpack", "text/plain", "", "a" * 1000))
    if choose.random() < 0.5:
        headers[choose.choice(("traceparent", "Traceparent", "tracestate"))] = choose.choice(
            (f"00-{'1' * 32}-{'2' * 16}-01", f"ff-{'0' * 32}-{'0' * 16}-zz", "00-1-1-1", "", "x" * 5000)
        )
    if choose.random() < 0.2:
        headers[choose.choice(("Mendbus-Signature", "Mendbus-Key", "Mendbus-Code", "X"))] = "x" * choose.choice(
            (0, 9, 900)
        )
    return headers


class _Exceptions(logging.Handler):
    """Keeps what is logged with an exception that nobody expected."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self.seen.append(f"{record.getMessage()}: {record.exc_info[1]!r}")

    def taken(self) -> list[str]:
        """What came since the last time."""
        seen, self.seen = self.seen, []
        return seen


@asynccontextmanager
async def memory_live() -> AsyncIterator[Live]:
    """Services in this process."""
    from tempfile import TemporaryDirectory

    server, kept = MemoryServer(), _Exceptions()
    logging.getLogger().addHandler(kept)
    try:
        async with AsyncExitStack() as stack:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="mendbus-fuzz-")))
            policy = folder / "policy.toml"
            policy.write_text(POLICY)
            settings = Settings(trace=False, canary_seconds=0, policy_file=policy, data_dir=folder)
            for package in _PACKAGES:
                await stack.enter_async_context(memory_runtime(package.build(), server, settings=settings))

            async def connect(name: str) -> Bus:
                return server.connect(name)

            yield await stack.enter_async_context(_live(connect, kept.taken))
    finally:
        logging.getLogger().removeHandler(kept)


@asynccontextmanager
async def real_live(folder: Path) -> AsyncIterator[Live]:
    """Services as processes."""
    async with installation(folder, policy=POLICY) as system:
        read: dict[Path, int] = {}

        def broken() -> list[str]:
            found = [
                f"{one.name} ended with status {one.process.returncode}"
                for one in system.services
                if one.process.returncode is not None
            ]
            if not system.server.running:
                found.append(f"nats-server ended: {system.server.fatal_line()}")
            for one in system.services:
                text = one.log.read_text(errors="replace")
                news = text[read.get(one.log, 0) :]
                read[one.log] = len(text)
                if "Traceback" in news:
                    found.append(f"{one.name} logged: {news[news.index('Traceback') :][-1500:]}")
            return found

        assert len(system.services) == len(SERVICES)
        async with _live(system.connect, broken) as live:
            yield live


@asynccontextmanager
async def _live(connect: Callable[[str], Awaitable[Bus]], broken: Callable[[], list[str]]) -> AsyncIterator[Live]:
    """An agent to hold everything to its promise by, and a real SDK agent to be hit with the rest."""
    bus = await connect("fuzz")
    agent = ProtocolAgent(bus, Subjects(), VICTIM[0], "a1")
    ref = AgentRef(kind=VICTIM[0], id=VICTIM[1], instance="boot-1")
    core = Core(Identity(ref, Subjects(), 200, (), {}), Outbox(), time.time_ns)

    async def connect_agent(on_dead: Callable[[str], None]) -> Bus:
        return await connect("victim")

    life = Life(core, connect_agent, open_tracer("agent", Settings(trace=False)), None)
    life.wire(asyncio.get_running_loop().call_soon_threadsafe)
    living = asyncio.create_task(life.run(), name="victim")

    def ended() -> list[str]:
        return [*broken(), *([f"the SDK agent ended: {living}"] if living.done() else [])]

    live = Live(bus, agent, ended)
    await agent.start()
    await bus.subscribe(Subjects().outcome(VICTIM[0], "a1"), live.hear)
    try:
        await eventually(core.greeted.is_set, 20.0)
        yield live
    finally:
        life.stop(1.0)
        with suppress(TimeoutError):
            await asyncio.wait_for(living, 10.0)
        await bus.close()
