"""Faults through the whole pipeline: one toolchain, and for each fault an installation of its own.

An installation remembers: an error that comes back within a minute starts at the next rung, restarts are counted, a
failover cools down, what limits an agent is lifted a minute later, a person's incident stays open. So that nothing of
one case shows in the next, server and services are new for each; the agents find them as after the loss of a server's
disk. Agents that were hit, acted upon or that reported anything are set up anew while users rest.
"""

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.harness import Installation, Ledger, installation, read_ledger
from tests.lab.faults import Case, Fault
from tests.lab.judging import noticed, over
from tests.lab.kinds import KINDS, ORDER
from tests.lab.stories import CALLS_A_PERSON, Observed, final, served
from tests.lab.world import World, until_ready, world

from mendbus import codec
from mendbus.bus import Bus, Message
from mendbus.contracts.messages import AgentHello
from mendbus.contracts.subjects import MAX_SERVICE_BODY
from mendbus.traces import line_of, read_trace

WARM_SECONDS = 11.0
"""Until the predictor has 20 samples of an agent, at one in half a second."""
QUIET_SECONDS = 1.5
ENOUGH_SECONDS = 3.0
"""After a person was called, or where nothing happens, so much longer is looked."""
LONGEST_SECONDS = 40.0
_LOOK_SECONDS = 0.5
_FLUSH_SECONDS = 0.6
_READY_SECONDS = 20.0
_SETTING_UP = 3
_STEP_SECONDS = 30.0


class NotReadyError(Exception):
    """The toolchain did not come to work properly before a fault."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One case: its number, the fault, whom it meets, with which parameters, and the seed of its chance."""

    number: int
    fault: Fault
    kind: str
    parameters: Mapping[str, Any]
    seed: str
    again: bool = False
    """Whether it could not be played once already."""


@dataclass(slots=True)
class Round:
    """One toolchain, and the installation that looks after it now."""

    folder: Path
    policy: str
    seed: int
    traces: Path
    """The file that keeps the spans of what was recovered."""
    lab: World | None = None
    system: Installation | None = None
    bus: Bus | None = None
    touched: set[str] = field(default_factory=set[str])
    _around: AsyncExitStack = field(default_factory=AsyncExitStack)
    _alerts: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    _earlier: set[str] = field(default_factory=set[str])
    _fresh: int = 0
    _used: bool = False

    async def close(self) -> None:
        """Ends the installation."""
        await self._around.aclose()

    async def prepare(self) -> None:
        """Brings everything to work: a new installation, agents as new, users at work, and nothing wrong.

        Where a busy machine does not allow for the last, incidents that are over are put up with; they are not told of.
        Raises `NotReadyError` and what setting up raises.
        """
        lab = self._toolchain()
        for _ in range(_SETTING_UP):
            if self._used:
                await self.install()
            self._used = True
            for user in lab.users.values():
                user.go_on()
            since = time.monotonic()
            await asyncio.sleep(WARM_SECONDS)
            wrong = self._unserved(lab, since)
            ledger = await self._ledger()
            self._earlier = set(ledger.told)
            if not wrong and not ledger.opened - ledger.foretold:
                return
            wrong += [
                f"{told.agent.key}: {told.outcome}: {told.error and told.error.exception.message}"
                for told in ledger.told.values()
            ]
            print(f"set up again: {'; '.join(wrong)}"[:500], file=sys.stderr, flush=True)
            self.touched.update(ORDER)
        if self._unserved(lab, since) or ledger.unfinished:
            raise NotReadyError("; ".join(wrong)[:1000])

    def _toolchain(self) -> World:
        if self.lab is None:
            raise NotReadyError("there is no toolchain yet")
        return self.lab

    @staticmethod
    def _unserved(lab: World, since: float) -> list[str]:
        return [
            f"users of {kind} noticed something"
            for kind, user in lab.users.items()
            if noticed(user.since(since + 1.0), kind) is not None or over(user.since(since + 1.0), kind) is None
        ]

    async def play(self, plan: Plan) -> Observed:
        """One fault, from its injection until it is over or was looked at for long. Raises what injecting raises."""
        lab = self._toolchain()
        self._alerts.clear()
        case = Case(lab, lab.members[plan.kind], plan.parameters, random.Random(plan.seed))
        self.touched.add(plan.kind)
        began, at = time.time_ns(), time.monotonic()
        try:
            async with asyncio.timeout(_STEP_SECONDS):
                await plan.fault.inject(case)
            await self._watch(lab, plan, began, at)
        finally:
            # Requests under way are part of what users felt.
            await asyncio.gather(*(user.rest() for user in lab.users.values()))
            async with asyncio.timeout(_STEP_SECONDS):
                await plan.fault.end(case)
        seen = await self._look(lab, plan, began, at)
        self.touched.update(outcome["agent"]["kind"] for outcome in seen.outcomes)
        await asyncio.sleep(_FLUSH_SECONDS)
        self._keep_traces(seen)
        return seen

    async def _watch(self, lab: World, plan: Plan, began: int, at: float) -> None:
        news, known = at, ""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            now = time.monotonic()
            seen = await self._look(lab, plan, began, at)
            state = str([(o["incident_id"], o["sequence"]) for o in seen.outcomes]) + str(seen.unfinished)
            if state != known:
                news, known = now, state
            if now - at > LONGEST_SECONDS or self._done(seen, plan.fault, news, now):
                return

    def _done(self, seen: Observed, fault: Fault, news: float, now: float) -> bool:
        """Whether there is nothing more to be seen."""
        past, quiet = now - seen.injected_at, now - news
        if seen.unfinished or not final(seen.outcomes):
            return False
        if not seen.outcomes or seen.success == "undisturbed":
            # Nobody has reported anything, or nobody should: users may still notice, and somebody may still report it.
            return past > fault.notices_seconds + (ENOUGH_SECONDS if served(seen) else 4 * ENOUGH_SECONDS)
        if (
            not any(noticed(uses, kind) is not None for kind, uses in seen.uses.items())
            and past < fault.notices_seconds
        ):
            return False
        if served(seen):
            return quiet > QUIET_SECONDS
        called = any(outcome["outcome"] in CALLS_A_PERSON for outcome in seen.outcomes)
        return quiet > (ENOUGH_SECONDS if called else 3 * ENOUGH_SECONDS)

    async def _look(self, lab: World, plan: Plan, began: int, at: float) -> Observed:
        ledger = await self._ledger()
        unfinished = ledger.unfinished - set(ledger.told)
        return Observed(
            fault=plan.fault.name,
            kind=plan.kind,
            category=plan.fault.category,
            success=plan.fault.success,
            parameters=plan.parameters,
            feels=plan.fault.felt_by(plan.kind),
            injected_unix_nano=began,
            injected_at=at,
            ended_at=time.monotonic(),
            outcomes=[
                told.model_dump(mode="json", exclude_none=True)
                for told in ledger.told.values()
                if told.incident_id not in self._earlier | ledger.foretold
            ],
            unfinished=len(unfinished),
            alerts=list(self._alerts),
            uses={kind: user.since(at) for kind, user in lab.users.items()},
        )

    async def _ledger(self) -> Ledger:
        assert self.bus is not None
        assert self.system is not None
        return await read_ledger(self.bus, self.system.subjects)

    async def install(self) -> None:
        """A new server with new services; agents that had to do with the last case are as new."""
        if self.lab is not None:
            await asyncio.gather(*(user.rest() for user in self.lab.users.values()))
        await self.close()
        self._around = AsyncExitStack()
        self._fresh += 1
        folder = self.folder / f"installation-{self._fresh}"
        spans = {"MENDBUS_TRACE": "true", "MENDBUS_TRACE_DIR": str(self.spans("services"))}
        around = installation(folder, policy=self.policy, environment=spans)
        system = self.system = await self._around.enter_async_context(around)
        bus = self.bus = await system.connect("lab")
        self._around.push_async_callback(bus.close)
        _ = await bus.subscribe(system.subjects.everyone("alert"), self._alert)
        if self.lab is None:
            return
        for member in self.lab.members.values():
            member.nats.aim(_port(system))
        for wave in waves(self.touched):
            await asyncio.gather(*(self.lab.renew(kind) for kind in wave))
        self.touched.clear()
        for member in self.lab.members.values():
            await until_ready(member)
        await self._introduced(bus, system)

    async def _introduced(self, bus: Bus, system: Installation) -> None:
        """Waits until every agent has said hello to this installation. Raises `NotReadyError`."""
        deadline = time.monotonic() + _READY_SECONDS
        while True:
            subjects, known = system.subjects, set[str]()
            async for message in bus.read(subjects.bucket_stream("agents"), subjects.key("agents", ">")):
                if message.body:
                    known.add(codec.decode(AgentHello, message.body).agent.kind)
            if known >= set(ORDER):
                return
            if time.monotonic() > deadline:
                raise NotReadyError(f"no hello from {', '.join(sorted(set(ORDER) - known))}")
            await asyncio.sleep(0.1)

    async def _alert(self, message: Message) -> None:
        self._alerts.append(codec.unpack(message.body, MAX_SERVICE_BODY))

    def spans(self, whose: str) -> Path:
        """Where spans go at first; what is there is bounded."""
        return self.folder / "spans" / whose

    def _keep_traces(self, seen: Observed) -> None:
        """Copies the spans of a case to the file that outlives the run."""
        with self.traces.open("a") as file:
            for outcome in seen.outcomes:
                rows = [
                    row
                    for place in ("services", "agents")
                    for row in read_trace(self.spans(place), outcome["trace_id"])
                ]
                file.writelines(line_of(row) + "\n" for row in rows)


def _port(system: Installation) -> int:
    return int(system.server.url.rsplit(":", 1)[1])


def waves(kinds: set[str]) -> list[list[str]]:
    """Kinds in the order in which they can be set up: those of a wave at a time, after those that they need."""
    left, found = [kind for kind in ORDER if kind in kinds], list[list[str]]()
    while left:
        wave = [kind for kind in left if not set(KINDS[kind].needs) & set(left)]
        found.append(wave)
        left = [kind for kind in left if kind not in wave]
    return found


@asynccontextmanager
async def round_of(folder: Path, policy: str, seed: int, traces: Path) -> AsyncIterator[Round]:
    """A toolchain with its first installation. Raises what setting up raises."""
    folder.mkdir(parents=True)
    made = Round(folder, policy, seed, traces)
    try:
        await made.install()
        assert made.system is not None
        environment = {"MENDBUS_TRACE": "true", "MENDBUS_TRACE_DIR": str(made.spans("agents"))}
        async with world(folder / "world", made.system.server.url, seed=seed, environment=environment) as lab:
            made.lab = lab
            yield made
    finally:
        await made.close()


Tell = Callable[[Plan, Observed | None, str], None]
"""Called with what was seen of a case, or with why it could not be played."""


async def play_all(
    plans: "asyncio.Queue[Plan]", folder: Path, policy: str, seed: int, traces: Path, tell: Tell
) -> None:
    """Plays cases until the queue is empty. A case that cannot be played is tried once more; then it costs itself and
    its toolchain, no more. Where toolchains do not come to work again and again, what is left in the queue stays there.
    """
    broken = 0
    while not plans.empty() and broken < _SETTING_UP:
        try:
            async with round_of(folder / f"toolchain-{time.monotonic_ns()}", policy, seed, traces) as here:
                while not plans.empty() and await _play_one(here, plans, tell):
                    broken = 0
        except Exception as error:
            broken += 1
            print(f"a toolchain broke off: {type(error).__name__}: {error}"[:1000], file=sys.stderr, flush=True)


async def _play_one(here: Round, plans: "asyncio.Queue[Plan]", tell: Tell) -> bool:
    """Whether the toolchain is still of use after that."""
    plan = plans.get_nowait()
    try:
        await here.prepare()
        tell(plan, await here.play(plan), "")
    except Exception as error:
        before = "the toolchain was not well before: " if isinstance(error, NotReadyError) else ""
        why = f"{before}{type(error).__name__}: {error}"
        if plan.again:
            tell(plan, None, why)
        else:
            print(f"{plan.fault.name} on {plan.kind} is tried again: {why}"[:500], file=sys.stderr, flush=True)
            plans.put_nowait(replace(plan, again=True))
        return False
    return True
