"""The demo itself: everything is started, broken four times, recovered by the pipeline, and proved to work again."""

import asyncio
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import mendbus.bus.nats as nats_bus
from mendbus.contracts.messages import RecoveryOutcome
from mendbus.demo.children import Child, DemoFailed
from mendbus.demo.faults import BUILD, ENTRY, FAULTS, GOOD_CHANGE, ORDER, SELFCHECK, Fault, make_project
from mendbus.demo.outcomes import Outcomes
from mendbus.security.access import access
from mendbus.security.credentials import ADMIN
from mendbus.settings import Settings
from mendbus.traces import TraceSummary, read_trace, summary
from mendbus.up import SECURE, Options

READY_SECONDS: Final = 30.0
STEP_SECONDS: Final = 15.0
"""Longest wait for an agent's word, and for the outcome of a recovery."""
_STILL_EARLY_NS: Final = 2_000_000_000
"""A recovery verified less than that ago settles after the next one, under the default policy."""
_RUN: Final = """\
import importlib, json, sys
sys.path.insert(0, sys.argv[1])
print(json.dumps(getattr(importlib.import_module(sys.argv[2]), sys.argv[3])(json.loads(sys.argv[4]))))
"""


@dataclass(frozen=True, slots=True)
class Proof:
    """A call of the reloaded code after a recovery, beside what the last good code gives.

    `build`: id of what is loaded; `reloaded`: the modules that were loaded anew for it; `worker`: the process that
    answered, and the one before the fault.
    """

    got: Any
    expected: Any
    build: str
    expected_build: str
    reloaded: Sequence[str]
    worker: int
    worker_before: int

    @property
    def holds(self) -> bool:
        """Whether it is the last good code, and gave the same."""
        return self.got == self.expected and self.build == self.expected_build


@dataclass(slots=True)
class Recovery:
    """One fault and what became of it. `broken_unix_nano`: when the fault was put in."""

    number: int
    fault: Fault
    broken_unix_nano: int
    outcome: RecoveryOutcome
    proof: Proof | None = None
    trace: TraceSummary | None = None
    """None where spans went to a collector."""

    @property
    def proved(self) -> bool:
        """Whether calling the code showed that it works again."""
        return self.proof is not None and self.proof.holds

    @property
    def complete(self) -> bool:
        """Recovered, proved, and settled."""
        return self.outcome.outcome == "recovered" and self.proved and bool(self.outcome.settled)


@dataclass(frozen=True, slots=True)
class Told:
    """Whom the story is told to while it goes on."""

    step: Callable[[str, str], None]
    """What was done, and a word on it."""
    recovered: Callable[[Recovery], None]
    """A recovery ended, for better or worse."""


async def play(folder: Path, settings: Settings, told: Told, *, secure: bool = False) -> list[Recovery]:
    """Plays the whole story in a folder; stops after the first fault of which the code did not recover.

    Raises `DemoFailed` when something could not even be tried.
    """
    data = folder / "data"
    recoveries: list[Recovery] = []
    async with _stage(folder, data, settings, told, secure=secure) as stage:
        await stage.begin()
        for number, fault in enumerate(FAULTS, start=1):
            recoveries.append(await stage.break_and_watch(number, fault))
            told.recovered(recoveries[-1])
            if not recoveries[-1].proved:
                break
        else:
            told.step("waiting until all four have settled", "")
        for recovery in recoveries:
            recovery.outcome = await stage.outcomes.settled(recovery.outcome.incident_id)
    # Everything has ended by now, so that every span is written.
    traces = settings.model_copy(update={"data_dir": data}).traces
    for recovery in recoveries:
        spans = read_trace(traces, recovery.outcome.trace_id) if recovery.outcome.trace_id else []
        recovery.trace = summary(spans) if spans else None
    return recoveries


@asynccontextmanager
async def _stage(folder: Path, data: Path, settings: Settings, told: Told, *, secure: bool) -> AsyncGenerator["Stage"]:
    """Everything that the story needs, and its end in order: agents, connection, server and services."""
    package, out, logs = make_project(folder / "project"), folder / "out", folder / "logs"
    logs.mkdir()
    begun = time.perf_counter()
    secured = _secured(data / SECURE, settings) if secure else {}
    settings = settings.model_copy(update=secured)
    users = {f"MENDBUS_{name.upper()}": str(file) for name, file in secured.items()}
    async with AsyncExitStack() as stack:

        async def start(name: str, *arguments: str, **environment: str) -> Child:
            log = logs / f"{name.replace(' ', '-')}.log"
            child = await Child.start(name, arguments, environment | users | {"MENDBUS_DATA_DIR": str(data)}, log)
            _ = stack.push_async_callback(child.stop)
            return child

        options = Options(nats_port=0, http_port=0, data_dir=str(data), json=True, secure=secure)
        up = await start("mendbus up", "-m", "mendbus.up", json.dumps(asdict(options)))
        _ = await up.event("ready", lambda _: True, READY_SECONDS)
        url = str((await up.event("nats", lambda _: True, READY_SECONDS))["url"])
        told.step("NATS server and five services", f"ready after {time.perf_counter() - begun:.1f} s, {url}")

        build = await start("build agent", "-m", "mendbus.demo.build_agent", str(package), str(out), NATS_URL=url)
        runtime = await start("runtime agent", "-m", "mendbus.demo.runtime_agent", str(out), SELFCHECK, NATS_URL=url)
        for agent in (build, runtime):
            _ = await agent.event("ready", lambda _: True, READY_SECONDS)
        told.step("build agent and runtime agent", f"known after {time.perf_counter() - begun:.1f} s")

        bus = await nats_bus.connect(url, name="demo", access=access(settings, ADMIN))
        _ = stack.push_async_callback(bus.close)
        outcomes = Outcomes()
        await outcomes.listen(bus, settings.subjects)
        yield Stage(package, folder / "good", build, runtime, outcomes, told)


def _secured(folder: Path, settings: Settings) -> dict[str, Path]:
    """Users and keys for the services and both agents. Raises `CredentialsError`."""
    from mendbus.security import installation  # only where it is asked for

    made = installation.Installation.create(folder, settings.subjects)
    for fault in FAULTS:
        if (user := f"agent/{fault.agent}") not in made.users:
            _ = made.add(user)
    made.render()
    return installation.settings_of(folder)


class Stage:
    """The sample project, the two agents that work on it, and what is heard of their recoveries."""

    def __init__(self, package: Path, good: Path, build: Child, runtime: Child, outcomes: Outcomes, told: Told) -> None:
        """`good`: where a copy of the last good sources is kept, out of everybody's reach."""
        self.outcomes = outcomes
        self._package = package
        self._good = good
        self._build = build
        self._runtime = runtime
        self._told = told
        self._expected: Any = None
        self._expected_build = ""
        self._last: dict[str, Recovery] = {}

    async def begin(self) -> None:
        """The first build is loaded, and then a good change, which is what every recovery must come back to.

        Raises `DemoFailed` when that alone does not work.
        """
        await self._loaded(1)
        before = (await self._call())["value"]
        begun = time.perf_counter()
        GOOD_CHANGE.save(self._package)
        await self._loaded(2)
        seconds = time.perf_counter() - begun
        loaded = await self._runtime.ask("status")
        self._expected_build = str(loaded["build"])
        _ = shutil.copytree(self._package, self._good / self._package.name)
        self._expected = await _run(self._good)
        after = (await self._call())["value"]
        if after != self._expected or after == before:
            msg = f"a good change was reloaded, but the code gives {after}, not {self._expected} (before: {before})"
            raise DemoFailed(msg)
        change = f"{before['total_text']} is {after['total_text']} now"
        self._told.step(
            f"a good change of {GOOD_CHANGE.file}",
            f"built, {len(loaded['reloaded'])} modules reloaded in {seconds * 1000:.0f} ms: {change}",
        )

    async def break_and_watch(self, number: int, fault: Fault) -> Recovery:
        """Breaks something, waits for the outcome, and calls the code. Raises `DemoFailed` when nothing comes of it."""
        await self._let_settle(fault)
        known = self.outcomes.incidents()
        before: dict[str, Any] = await self._runtime.ask("status")
        broken = time.time_ns()
        if fault.edit is None:
            os.kill(before["worker"], signal.SIGKILL)
        else:
            fault.edit.save(self._package)
        outcome = await self.outcomes.new(fault.agent, known, STEP_SECONDS)
        if outcome is None:
            words = "\n".join(f"{child.name}:\n{child.last_words()}" for child in (self._build, self._runtime))
            msg = f"{fault.title}: nobody heard of an outcome for {fault.agent} within {STEP_SECONDS:g} s\n{words}"
            raise DemoFailed(msg)
        self._last[fault.agent] = recovery = Recovery(number, fault, broken, outcome)
        if outcome.outcome == "recovered":
            recovery.proof = await self._prove(fault, before["worker"])
        return recovery

    async def _let_settle(self, fault: Fault) -> None:
        """Waits for an earlier recovery of the agent that is about to be judged: a new fault must not spoil that."""
        earlier = self._last.get(fault.agent)
        if earlier is not None and time.time_ns() - (earlier.outcome.times.verified or 0) > _STILL_EARLY_NS:
            _ = await self.outcomes.settled(earlier.outcome.incident_id)

    async def _prove(self, fault: Fault, worker_before: int) -> Proof:
        """Calls the code in the runtime agent; what the build agent recovered must have been reloaded before."""
        if fault.agent == BUILD:
            await self._loaded((await self._build.ask("status"))["number"])
        answer = await self._call()
        loaded: dict[str, Any] = await self._runtime.ask("status")
        return Proof(
            got=answer["value"],
            expected=self._expected,
            build=loaded["build"],
            expected_build=self._expected_build,
            reloaded=loaded["reloaded"],
            worker=answer["worker"],
            worker_before=worker_before,
        )

    async def _loaded(self, number: int) -> None:
        _ = await self._runtime.event("loaded", lambda told: told["number"] >= number, STEP_SECONDS)

    async def _call(self) -> dict[str, Any]:
        return await self._runtime.ask("call", function=ENTRY, arguments=[ORDER])


async def _run(folder: Path) -> Any:
    """What a project's sources give in a fresh interpreter, which knows of nothing else. Raises `DemoFailed`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-B", "-c", _RUN, str(folder), *ENTRY.split(":"), json.dumps(ORDER)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(STEP_SECONDS):
            told, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            _ = await process.wait()
    if process.returncode != 0:
        msg = f"the last good code does not run by itself: it ended with status {process.returncode}"
        raise DemoFailed(msg)
    return json.loads(told)
