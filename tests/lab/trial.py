"""One trial: a fault strikes an agent of a running toolchain, one strategy is tried by hand, and its users are watched.

`python -m tests.lab.trial FOLDER` keeps a toolchain and does trials in it: JSON lines, trials on standard
input, what came of each on standard output. No service decides anything there: the health-monitor runs because agents
are ready only when their hello is stored, and it commands nobody. It ends with its standard input, on SIGTERM, and when
the toolchain cannot be set right again (status 3): whoever started it starts another.
"""

import asyncio
import hashlib
import json
import os
import random
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.harness import installation
from tests.lab import judging
from tests.lab.commands import PARAMETERS, Answer, Hand
from tests.lab.faults import Case, Fault
from tests.lab.faults.catalogue import FAULTS
from tests.lab.kinds import KINDS, ORDER
from tests.lab.users import Use, User, requests
from tests.lab.utility import Harm
from tests.lab.work.versioning import HISTORY, INDEX
from tests.lab.world import ID, WORKERS, World, world

from mendbus.contracts.messages import ErrorReported

NOTHING = "none"
"""The strategy of doing nothing."""
TRIED = (NOTHING, *PARAMETERS)
"""What trials are made of; `escalate` is a person, whose worth is stated."""
STATES: dict[str, int] = {"calm": 0, "busy": 4}
"""States of the toolchain, with the users whom the agent has beside its usual one."""
ASKED_SECONDS = 0.125
OTHERS_ASKED_SECONDS = 0.5
"""How often users ask of whom a fault concerns, the orchestrator as always, and of the others, who may be harmed: less
often than elsewhere, so that more toolchains have room on a machine.
"""
CONTROL_SECONDS = 1.0
"""From when a control begins until a strategy is tried on it."""
WATCH_SECONDS = {kind: 4.0 if kind == "orchestrator" else 2.5 for kind in ORDER}
"""How long users are watched from when the command was answered; those of the orchestrator ask four times a second."""
HELD_SECONDS = 1.0
"""A recovery holds at least that long before the end of the watch."""
REPORTS = 5
"""Errors of the agent that a record tells of, the first ones."""
UNWELL = 3
"""Exit status of a process whose toolchain could not be set right."""
_REPORT_SECONDS = 0.3
_POLL_SECONDS = 0.02
_WELL_USES = 3
_WELL_SECONDS = 8.0
_STEP_SECONDS = 30.0
_UNSERVED = re.compile(r"^(\w*Error|AgentRefused|\w*Timeout): ")


class UnwellError(Exception):
    """The toolchain is not as it was, whatever was renewed."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A strategy on a case, for the n-th time."""

    fault: str
    parameters: Mapping[str, Any]
    kind: str
    state: str
    strategy: str
    repetition: int

    @property
    def case(self) -> str:
        """The case as text, the same for all strategies and repetitions."""
        return case_key(self.fault, self.parameters, self.kind, self.state)

    @property
    def key(self) -> str:
        """No other trial has it."""
        return f"{self.case} {self.strategy} {self.repetition}"

    @property
    def seed(self) -> int:
        """The chance of the fault: the same for all strategies, so that they are compared on the same."""
        return int.from_bytes(hashlib.sha256(f"{self.case} {self.repetition}".encode()).digest()[:4], "big")


def case_key(fault: str, parameters: Mapping[str, Any], kind: str, state: str) -> str:
    """`fault(parameter=value) kind state`."""
    given = ",".join(f"{name}={parameters[name]}" for name in sorted(parameters))
    return f"{fault}({given}) {kind} {state}"


class Stage:
    """A toolchain in which one trial is done after the other."""

    def __init__(self, made: World, hand: Hand) -> None:
        self.world = made
        self.hand = hand
        self.touched: set[str] = set()
        self._requests = requests(made.project)

    # -- before a trial

    async def prepare(self) -> None:
        """Renews what the last trial touched, and whatever else is not well. Raises `UnwellError`.

        Users rest meanwhile.
        """
        resting = asyncio.gather(*(user.rest() for user in self.world.users.values()))
        try:
            await self._set_right()
        finally:
            await resting

    async def _set_right(self) -> None:
        renew = self.touched
        for again in range(3):
            for kind in (kind for kind in ORDER if kind in renew):
                await self._renew(kind)
            renew = await self._unwell()
            if not renew:
                self.touched = set()
                return
            if again:
                # What ails them may be in what they live on.
                renew |= {needed for kind in renew for needed in KINDS[kind].needs}
        raise UnwellError(f"not well after they were renewed: {', '.join(sorted(renew))}")

    async def _renew(self, kind: str) -> None:
        process = self.world.members[kind].process
        if process is not None and process.returncode is None:
            # Nothing that it could still say or keep is wanted, and leaving in order takes its time.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        try:
            await self.world.renew(kind)
        except Exception as error:
            raise UnwellError(f"{kind} cannot be renewed: {error!r}") from error
        await self.hand.notice(kind, ID, "restored")

    async def _unwell(self) -> set[str]:
        """The kinds that do not serve, or that are not as they were set up."""
        served = await asyncio.gather(*(self._serves(kind) for kind in ORDER))
        waiting = {kind for kind, serves in zip(ORDER, served, strict=True) if not serves}
        return waiting | {kind for kind in ORDER if not _as_set_up(await self.status(kind))}

    async def _serves(self, kind: str) -> bool:
        """Whether it gives right answers in time, so many one after the other, within a while."""
        deadline, good, asked = time.monotonic() + _WELL_SECONDS, 0, 0
        # Nobody's report of it: the request is as a user's, and a user's failure is what is looked for.
        user = User(self.world.members[kind].port, *self._requests[kind])
        try:
            while good < _WELL_USES and time.monotonic() < deadline:
                good = 0 if judging.bad(await user.ask(asked), kind) else good + 1
                asked += 1
                if not good:
                    await asyncio.sleep(_POLL_SECONDS)
        finally:
            user.close()
        return good == _WELL_USES

    async def status(self, kind: str) -> dict[str, Any]:
        """What an agent says of itself; nothing if it does not answer."""
        try:
            found: dict[str, Any] = await self.world.members[kind].ask("status", 2.0)
        except Exception:
            return {}
        return found

    # -- users

    def uses(self, kind: str, since: float) -> list[Use]:
        """The requests of an agent's user since then, the one that has been waiting too long included."""
        user = self.world.users[kind]
        uses = user.since(since)
        last = user.uses[-1] if user.uses else None
        asked = max(since, last.at + max(last.seconds, user.interval) if last else since)
        waited = time.monotonic() - asked
        if waited > judging.PATIENCE_SECONDS[kind]:
            uses.append(Use(asked, waited, "no answer yet"))
        return uses

    @asynccontextmanager
    async def more_users(self, kind: str, number: int) -> AsyncIterator[None]:
        """So many users more for an agent."""
        request, interval = self._requests[kind]
        often = max(ASKED_SECONDS, interval)
        users = [User(self.world.members[kind].port, request, often) for _ in range(number)]
        tasks = [asyncio.create_task(user.run(), name=f"one more user of {kind}") for user in users]
        if tasks:
            # They are at work when it happens.
            await asyncio.sleep(0.3)
        try:
            yield
        finally:
            for task in tasks:
                _ = task.cancel()
            if tasks:
                _ = await asyncio.wait(tasks)
            for user in users:
                user.close()

    # -- a trial

    async def perform(self, trial: Trial) -> dict[str, Any]:
        """One trial and what came of it. Raises `UnwellError`, and what injecting raises."""
        begun = time.monotonic()
        await self.prepare()
        fault = FAULTS[trial.fault]
        case = Case(self.world, self.world.members[trial.kind], trial.parameters, random.Random(trial.seed))
        concerned = ORDER if fault.success == "undisturbed" else fault.felt_by(trial.kind)
        for kind, user in self.world.users.items():
            user.uses.clear()
            often = max(ASKED_SECONDS, self._requests[kind][1])
            user.interval = often if kind in concerned else OTHERS_ASKED_SECONDS
            user.go_on()
        # They are at work when it happens.
        await asyncio.sleep(ASKED_SECONDS)
        self.touched = {trial.kind}
        found: dict[str, Any] = {"prepared": round(time.monotonic() - begun, 2)}
        async with self.more_users(trial.kind, STATES[trial.state]):
            struck = time.monotonic()
            try:
                async with asyncio.timeout(_STEP_SECONDS):
                    await fault.inject(case)
                found |= await self._try(trial, fault, struck)
            finally:
                async with asyncio.timeout(_STEP_SECONDS):
                    await fault.end(case)
        found["took"] = round(time.monotonic() - begun, 2)
        return found

    async def _try(self, trial: Trial, fault: Fault, struck: float) -> dict[str, Any]:
        control = fault.success == "undisturbed"
        feels = fault.felt_by(trial.kind)
        noticed = await self._noticed(fault, feels, struck)
        if not control and not await self._reported(trial.kind, struck):
            # Users may be sooner than the agent; what it never reports, is not waited for.
            await asyncio.sleep(_POLL_SECONDS)
        errors = self.hand.heard(trial.kind, ID, struck)
        site = (await self.status(trial.kind)).get("site", "a") if trial.kind == "versioning" else "a"
        before = await asyncio.to_thread(held, self.world.members["versioning"].folder / site)
        acted = time.monotonic()
        answer = Answer("none", "", "", 0.0)
        if trial.strategy != NOTHING:
            answer = await self.hand.command(trial.kind, ID, trial.strategy, struck)
        await asyncio.sleep(max(WATCH_SECONDS[kind] for kind in feels))
        end = time.monotonic()
        told = {kind: self.uses(kind, struck) for kind in ORDER}
        lost = len(before - await self._held_now(trial, answer))
        others, disturbed = harmed(told, feels, struck, acted)
        if control:
            recovered, seconds = not disturbed, 0.0
        else:
            ended = over_for_all({kind: told[kind] for kind in feels}, fault.success)
            recovered = ended is not None and end - ended >= HELD_SECONDS
            seconds = max(0.0, ended - (acted if noticed is None else noticed)) if recovered and ended else 0.0
        status = await self.status(trial.kind)
        harm = Harm(
            others=round(others, 4),
            lost=lost,
            isolated=trial.strategy == "isolate" and answer.done,
            lowered=max(0.0, 1.0 - float(status.get("level", WORKERS)) / WORKERS),
            features=len(status.get("off", ())) / max(1, len(KINDS[trial.kind].features)),
            other_way=trial.strategy == "fallback" and answer.done,
        )
        return {
            "noticed": None if noticed is None else round(noticed - struck, 3),
            "acted": round(acted - struck, 3),
            "reported": sorted({error.exception.type for error in errors}),
            "errors": [told_of(error) for error in errors[:REPORTS]],
            "status": answer.status,
            "code": answer.code,
            "detail": answer.detail,
            "answered": round(answer.seconds, 3),
            "recovered": recovered,
            "seconds": round(seconds, 3),
            "felt": [asdict(judging.felt([use for use in told[kind] if use.at >= acted], kind)) for kind in feels],
            "disturbed": disturbed,
            **asdict(harm),
        }

    async def _noticed(self, fault: Fault, feels: Sequence[str], struck: float) -> float | None:
        """When users noticed, as soon as they have; for a control, None after a while."""
        if fault.success == "undisturbed":
            await asyncio.sleep(CONTROL_SECONDS)
            return None
        while time.monotonic() - struck < fault.notices_seconds:
            when = [at for kind in feels if (at := judging.noticed(self.world.users[kind].since(struck), kind))]
            if when:
                return min(when)
            await asyncio.sleep(_POLL_SECONDS)
        return None

    async def _reported(self, kind: str, struck: float) -> bool:
        deadline = time.monotonic() + _REPORT_SECONDS
        while not self.hand.heard(kind, ID, struck):
            if time.monotonic() > deadline:
                return False
            await asyncio.sleep(_POLL_SECONDS)
        return True

    async def _held_now(self, trial: Trial, answer: Answer) -> set[tuple[str, str]]:
        """The versions that versioning has, wherever it works now."""
        site = "a"
        if trial.kind == "versioning":
            expected = "b" if trial.strategy == "failover" and answer.done else "a"
            site = (await self.status("versioning")).get("site", expected)
        return await asyncio.to_thread(held, self.world.members["versioning"].folder / site)


def told_of(error: ErrorReported) -> dict[str, str | None]:
    """What a decision may look at of an error."""
    return {
        "type": error.exception.type,
        "message": error.exception.message[:200],
        "operation": error.operation,
        "severity": error.severity,
    }


def _as_set_up(status: Mapping[str, Any]) -> bool:
    """Whether an agent is ready, at its first site, on its full level, with all features."""
    expected = {"ready": True, "site": "a", "level": WORKERS, "off": []}
    return bool(status.get("pid")) and all(status.get(name) == value for name, value in expected.items())


def harmed(told: Mapping[str, Sequence[Use]], feels: Sequence[str], struck: float, acted: float) -> tuple[float, int]:
    """What users suffered from since the strategy: of all whom the fault itself is not meant for, the share of requests
    gone bad beyond the share that was bad before; of all whatsoever, how many were bad.
    """
    asked, beyond, disturbed = 0, 0.0, 0
    for kind, uses in told.items():
        before = [judging.bad(use, kind) for use in uses if struck <= use.at < acted]
        after = [judging.bad(use, kind) for use in uses if use.at >= acted]
        disturbed += sum(after)
        if kind not in feels:
            share = sum(before) / len(before) if before else 0.0
            asked += len(after)
            beyond += max(0.0, sum(after) - share * len(after))
    return beyond / asked if asked else 0.0, disturbed


def over_for_all(told: Mapping[str, Sequence[Use]], success: str) -> float | None:
    """When it was over for the users of all those kinds (monotonic); None if it is not."""
    ended: list[float] = []
    for kind, uses in told.items():
        if success == "contained":
            # No answer at all is no wrong one, and how long it took is of no account.
            uses = [Use(use.at, 0.0, "" if unserved(use) else use.wrong) for use in uses]
        when = judging.over(uses, kind)
        if when is None:
            return None
        ended.append(when)
    return max(ended)


def unserved(use: Use) -> bool:
    """Whether a request got no answer, as against a wrong one."""
    return use.wrong == "no answer yet" or _UNSERVED.match(use.wrong) is not None


def held(folder: Path) -> set[tuple[str, str]]:
    """The versions, name and digest, that a site of versioning lists and of which it has the text, whole."""
    listed: set[tuple[str, str]] = set()
    with suppress(OSError, ValueError, AttributeError, KeyError):
        listed |= set(json.loads((folder / "state" / INDEX).read_text())["names"].items())
    lines: list[str] = []
    with suppress(OSError, ValueError):
        lines = (folder / "state" / HISTORY).read_text().splitlines()
    for line in lines:
        with suppress(ValueError, AttributeError, KeyError, TypeError):
            listed |= set(json.loads(line)["names"].items())
    whole = {digest: _whole(folder / "state" / "objects" / str(digest), str(digest)) for _, digest in listed}
    return {(name, digest) for name, digest in listed if whole[digest]}


def _whole(file: Path, digest: str) -> bool:
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest() == digest
    except OSError:
        return False


@asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Stage]:
    """A toolchain in a folder, with nobody but the lab's hand to decide anything."""
    async with AsyncExitStack() as stack:
        (folder / "system").mkdir(parents=True)
        system = await stack.enter_async_context(installation(folder / "system", "health-monitor"))
        environment = {name: value for name, value in system.environment.items() if name != "NATS_URL"}
        made = await stack.enter_async_context(world(folder / "world", system.server.url, environment=environment))
        bus = await system.connect("lab")
        stack.push_async_callback(bus.close)
        hand = Hand(bus, system.subjects)
        await hand.start()
        yield Stage(made, hand)


async def serve(folder: Path, answers: Any) -> int:
    """Does the trials on standard input; the exit status."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    reader = asyncio.StreamReader()
    _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)

    def answer(found: Mapping[str, Any]) -> None:
        answers.write(json.dumps(found) + "\n")
        answers.flush()

    async with stage(folder) as made:
        answer({"ready": True})
        while line := await reader.readline():
            trial = Trial(**json.loads(line))
            try:
                answer(await made.perform(trial))
            except UnwellError as error:
                answer({"error": str(error), "unwell": True})
                return UNWELL
            except Exception as error:
                answer({"error": f"{type(error).__name__}: {error}"[:500]})
    return 0


def main() -> None:
    """See the module."""
    # What anything else prints must not get among the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        status = asyncio.run(serve(Path(sys.argv[1]), answers))
    except asyncio.CancelledError:
        status = 0
    sys.exit(status)


if __name__ == "__main__":
    main()
