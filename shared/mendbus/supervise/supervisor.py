"""What is done about a supervised program: reported when it dies or hangs, restarted warm or cold, stopped, scaled."""

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import Final

from mendbus import Agent, Done, RecoveryCommand
from mendbus.contracts.vocabulary import IN_PLACE
from mendbus.sdk.commands import StrategyError
from mendbus.supervise.commands import warm_argv
from mendbus.supervise.process import Process
from mendbus.supervise.program import ProcessDied, ProcessHung, Program, run_probe

log = logging.getLogger("mendbus.supervise")

_MISSED: Final = 3
"""So many heartbeats late means hung."""
_STANDBY_PAUSE_SECONDS: Final = 0.2
_STANDBY_TRIES: Final = 5
_ANSWER_SECONDS: Final = 0.05


class Supervisor:
    """Runs one program as the child of an agent. Its coroutines run on the loop on which `run` was called."""

    def __init__(self, agent: Agent, program: Program) -> None:
        self._agent = agent
        self._program = program
        self._warm_argv = warm_argv(program.argv) if program.standby else None
        self._process: Process | None = None
        self._standby: Process | None = None
        self._isolated = False
        self._beats = False
        self._changed = asyncio.Event()
        self._standby_wanted = asyncio.Event()
        if program.standby and self._warm_argv is None:
            log.warning("%s can only be started cold: it is no Python module or script", program.argv[0])
        agent.handler("restart")(self._restart)
        agent.handler("isolate")(self._isolate)
        if self._warm_argv is not None:
            agent.handler("failover")(self._failover)
        if program.scale_down is not None and program.scale_up is not None:
            agent.handler("scale_down")(self._scale)
        _ = agent.probe()(self._probe)
        _ = agent.metrics(self._numbers)

    @property
    def process(self) -> Process | None:
        """The process that serves now."""
        return self._process

    @property
    def standby(self) -> Process | None:
        """The process that waits warm, if one does."""
        standby = self._standby
        ready = standby is not None and standby.status is None and standby.warm.done()
        return standby if ready else None

    async def run(self, stop: asyncio.Event) -> int:
        """Until it is told to stop, or the program ends by itself with status 0; the exit status.

        Raises `OSError` when there is no such program.
        """
        self._set(self._start(self._program.argv, standby=False))
        self._standby_wanted.set()
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._watch()), group.create_task(self._tend_standby())]
                stopping = group.create_task(stop.wait())
                _ = await asyncio.wait((tasks[0], stopping), return_when=asyncio.FIRST_COMPLETED)
                for task in (*tasks, stopping):
                    _ = task.cancel()
        finally:
            for process in (self._standby, self._process):
                if process is not None:
                    _ = await process.stop(0.0 if process is self._standby else self._program.grace_seconds)
        return 0

    def _start(self, argv: Sequence[str], *, standby: bool) -> Process:
        environment = dict(os.environ)
        if standby and self._program.preload:
            environment["MENDBUS_STANDBY_PRELOAD"] = ",".join(self._program.preload)
        return Process.start(argv, environment, self._program.heartbeat_ms, standby=standby)

    def _set(self, process: Process) -> None:
        self._process = process
        self._isolated = False
        self._changed.set()

    # -- noticing

    async def _watch(self) -> None:
        """Reports deaths and hangs; returns when the program has ended well."""
        while True:
            process = self._process
            self._changed.clear()
            if process is None:
                _ = await self._changed.wait()
                continue
            changed = asyncio.ensure_future(self._changed.wait())
            hang = asyncio.ensure_future(self._hang(process))
            try:
                _ = await asyncio.wait((process.ended, changed, hang), return_when=asyncio.FIRST_COMPLETED)
            finally:
                _ = changed.cancel(), hang.cancel()
            if process.ended.done() and process is self._process:
                self._process = None
                status = process.ended.result()
                if status == 0:
                    return
                death = ProcessDied(process.pid, status, await process.last_words())
                log.warning("process %d %s", process.pid, death.how)
                # Named here: its last words may speak of networks or memory, and the cure is a restart all the same.
                _ = self._agent.report(
                    death, severity="fatal", category="runtime", attributes={"pid": process.pid, "status": status}
                )

    async def _hang(self, process: Process) -> None:
        """Reports a process that stops beating, once for each time it does."""
        loop, patience = asyncio.get_running_loop(), _MISSED * self._program.heartbeat_ms / 1000
        told = -1
        while True:
            if not process.beats:
                # It is held to its heartbeat from the first one on.
                _ = await process.beat.wait()
            self._beats = True
            due = process.last_beat + patience
            if loop.time() >= due and told != process.beats and not self._isolated:
                told = process.beats
                log.warning("process %d has given no heartbeat for %.0f ms", process.pid, patience * 1000)
                hung = ProcessHung(f"no heartbeat for {patience * 1000:.0f} ms")
                _ = self._agent.report(hung, severity="critical", category="runtime", attributes={"pid": process.pid})
            await asyncio.sleep(max(patience / 4, due - loop.time()))

    def _hung(self, process: Process) -> bool:
        late = asyncio.get_running_loop().time() - process.last_beat
        return process.beats > 0 and late > _MISSED * self._program.heartbeat_ms / 1000

    # -- recovering

    async def _restart(self, command: RecoveryCommand) -> str:
        """A standby takes over, or a new process when there is none or a cold start is asked for."""
        grace = command.parameters.get("grace_ms")
        seconds = grace / 1000 if isinstance(grace, int) and not isinstance(grace, bool) else 0.0
        standby = self.standby if command.parameters.get("mode") != "cold" else None
        return await self._replace("restart", standby, seconds, command.timeout_ms / 1000)

    async def _failover(self, command: RecoveryCommand) -> Done:
        """A standby takes over from one that is killed first, stopped or not, so that it cannot wake up late."""
        if command.action != "apply":
            return Done("the successor stays: it is all that its predecessor was")
        standby, to = self.standby, command.parameters.get("to")
        if standby is None or to is not None:
            raise StrategyError("no_standby", "no standby waits warm" if to is None else f"{to} is no standby here")
        said = await self._replace("failover", standby, 0.0, command.timeout_ms / 1000)
        return Done(said, code=IN_PLACE)

    async def _replace(self, what: str, standby: Process | None, grace_seconds: float, timeout: float) -> str:
        begun = time.perf_counter()
        old, self._process = self._process, None
        if standby is not None:
            self._standby = None
        self._changed.set()
        if old is not None and old.status is None:
            # Who does not beat would let the grace pass, too.
            _ = await old.stop(0.0 if self._hung(old) or self._isolated else grace_seconds)
        stopped = time.perf_counter()
        process, way = self._successor(standby)
        try:
            await self._taken_over(process, timeout)
        finally:
            if process.status is None:
                self._set(process)
            self._standby_wanted.set()
        now = time.perf_counter()
        said = f"{way} {what} in {(now - begun) * 1000:.1f} ms ({(stopped - begun) * 1000:.1f} ms to end the former)"
        log.info("%s, process %d", said, process.pid)
        return f"{said}, process {process.pid}"

    def _successor(self, standby: Process | None) -> tuple[Process, str]:
        if standby is not None:
            with contextlib.suppress(OSError):
                standby.go()
                return standby, "warm"
        return self._start(self._program.argv, standby=False), "cold"

    async def _taken_over(self, process: Process, seconds: float) -> None:
        """Returns when it beats; at once where the program never did. Raises `ProcessDied`."""
        if self._beats:
            beat = asyncio.ensure_future(process.beat.wait())
            try:
                _ = await asyncio.wait((beat, process.ended), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            finally:
                _ = beat.cancel()
        if process.ended.done():
            raise ProcessDied(process.pid, process.ended.result(), await process.last_words())

    async def _isolate(self, command: RecoveryCommand) -> str:
        """SIGSTOP to the whole group, SIGCONT to lift it: it keeps its memory and connections, and does nothing."""
        process = self._alive()
        if command.action == "apply":
            self._isolated = True
            process.signal(signal.SIGSTOP)
            return f"process {process.pid} is stopped"
        process.signal(signal.SIGCONT)
        process.last_beat = asyncio.get_running_loop().time()
        self._isolated = False
        return f"process {process.pid} goes on"

    def _scale(self, command: RecoveryCommand) -> str:
        program = self._program
        number = program.scale_down if command.action == "apply" else program.scale_up
        process = self._alive()
        if number is not None:
            # The leader alone: it knows its workers.
            os.kill(process.pid, number)
        return f"process {process.pid} was sent {number.name if number else 'nothing'}"

    def _alive(self) -> Process:
        process = self._process
        if process is None or process.status is not None:
            raise LookupError("the process does not run")
        return process

    # -- telling

    async def _probe(self) -> bool:
        """Alive, beating if it ever did, and well by the probe command if there is one; or stopped, as ordered."""
        process = self._alive()
        if self._isolated:
            return process.stopped
        if self._hung(process):
            raise ProcessHung("it gives no heartbeat")
        if self._program.probe is None:
            # One that fails at once on what killed its predecessor must not pass for well.
            _ = await asyncio.wait((process.ended,), timeout=_ANSWER_SECONDS if not self._beats else 0)
            return process.status is None
        await run_probe(self._program.probe)
        return process.status is None

    def _numbers(self) -> dict[str, float | None]:
        process = self._process
        alive = process is not None and process.status is None
        return {"child_alive": float(alive), "standby_warm": float(self.standby is not None)}

    # -- standing by

    async def _tend_standby(self) -> None:
        """Has a process wait warm, when the serving one has had time to get going."""
        argv = self._warm_argv
        failures = 0
        while argv is not None:
            _ = await self._standby_wanted.wait()
            self._standby_wanted.clear()
            await asyncio.sleep(_STANDBY_PAUSE_SECONDS * 2**failures)
            standby = self._standby = self._standby or self._start(argv, standby=True)
            if not await standby.warm:
                failures += 1
                log.warning("a standby could not get warm: %s", "; ".join((await standby.last_words())[-1:]))
                self._standby = None
                if failures >= _STANDBY_TRIES:
                    log.error("no more standbys are tried: restarts are cold")
                    return
                self._standby_wanted.set()
                continue
            failures = 0
            standby.ended.add_done_callback(self._standby_died(standby))

    def _standby_died(self, standby: Process) -> "Callable[[asyncio.Future[int]], None]":
        def died(_: "asyncio.Future[int]") -> None:
            if self._standby is standby:
                self._standby = None
                self._standby_wanted.set()

        return died
