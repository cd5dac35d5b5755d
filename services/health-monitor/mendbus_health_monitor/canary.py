"""The canary: every few seconds an error of the monitor's own goes through the whole pipeline, as an agent's would.
When none comes back recovered, recovery does not work, and that is told by a path that does not use the bus.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Protocol

from mendbus import codec, instruments
from mendbus.bus import Message
from mendbus.contracts import canary
from mendbus.contracts.errors import BusError, Refused
from mendbus.contracts.messages import (
    AgentRef,
    CommandResult,
    ErrorReported,
    ExceptionInfo,
    Probe,
    ProbeResult,
    RecoveryCommand,
    RecoveryOutcome,
)
from mendbus.contracts.subjects import HEADER_ID, MAX_SERVICE_BODY
from mendbus.contracts.vocabulary import AlertSeverity
from mendbus.runtime import Runtime

log = logging.getLogger("mendbus")

ALERT: Final = "canary"
"""The condition in `/readyz`, and the key of what is told directly."""
HINT: Final = "agents keep their errors meanwhile: `mendbus doctor` and the services' logs say who is missing or stuck"
PATIENCE_PERIODS: Final = 3
PATIENCE_SECONDS: Final = 15.0
"""Recovery counts as broken when no canary has come back for three periods, or this long if that is longer: a new owner
of a partition or a new NATS leader takes a few seconds, and that is no reason to wake anybody."""

_LOOK_SECONDS: Final = 0.5
_BLIND_SECONDS: Final = 2.0
_STORE_SECONDS: Final = 2.0
_TELL_SECONDS: Final = 5.0
_OUT_AT_ONCE: Final = 3
_OUT_SECONDS: Final = 60.0
_MENDED_KEPT: Final = 100
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_NANO: Final = 1_000_000_000


class Notify(Protocol):
    """Tells people, and the log, directly: without the bus, which may be the trouble. May raise."""

    def __call__(self, text: str, *, key: str, severity: AlertSeverity, resolved: bool) -> Awaitable[None]:
        """`text`: one sentence; `key`: the same for the beginning of a trouble and for its end."""
        ...


@dataclass(slots=True)
class Out:
    """A canary that has not come back; seconds of a clock that only runs forward."""

    sent: float
    stored: bool = False
    commanded: bool = False


class Watch:
    """What has become of the canaries, and whether recovery works. Knows no bus; times in seconds of one clock."""

    def __init__(self, period: float, began: float, patience: float | None = None) -> None:
        self.patience = max(PATIENCE_PERIODS * period, PATIENCE_SECONDS) if patience is None else patience
        """Seconds without a canary that came back after which recovery counts as broken."""
        self.sent = self.recovered = 0
        """Canaries sent by this process; outcomes `recovered`, of any replica's."""
        self.out: OrderedDict[str, Out] = OrderedDict()
        """By event id, the oldest first."""
        self._good = began
        self._trouble = "none has been sent yet"

    def may_send(self, now: float) -> bool:
        """Whether another may be sent: not while three are out, so that few wait where nobody takes them."""
        while self.out and now - next(iter(self.out.values())).sent > _OUT_SECONDS:
            self.out.popitem(last=False)
        return len(self.out) < _OUT_AT_ONCE

    def send(self, event_id: str, now: float) -> Out:
        """Notes one that is sent."""
        self.sent += 1
        found = self.out[event_id] = Out(now)
        return found

    def withdraw(self, event_id: str, trouble: str = "") -> None:
        """Notes that one is not out after all; `trouble`: why it could not be stored, if that is the reason."""
        self.out.pop(event_id, None)
        self._trouble = trouble or self._trouble

    def end(self, outcome: RecoveryOutcome, now: float) -> float | None:
        """Takes in an outcome; returns how many seconds it took, for one of this process that recovered."""
        mine = [found for event_id in outcome.event_ids if (found := self.out.pop(event_id, None)) is not None]
        if outcome.outcome != "recovered":
            self._trouble = f"its recovery ended {outcome.outcome}: {outcome.reason or 'for no reason told'}"
            return None
        self.recovered += 1
        self._good = now
        return now - mine[0].sent if mine else None

    def forgive(self, seconds: float) -> None:
        """Time in which this process could not look is nobody's fault."""
        self._good += seconds
        for found in self.out.values():
            found.sent += seconds

    def broken(self, now: float) -> str:
        """Why recovery counts as broken, as a sentence; empty: it works."""
        silence = now - self._good
        if silence <= self.patience:
            return ""
        return f"no canary has come back for {silence:.0f} s: {self._reason()}; errors may not be recovered"

    def _reason(self) -> str:
        if not self.out:
            return self._trouble
        oldest = next(iter(self.out.values()))
        if oldest.commanded:
            return "its recovery was commanded, and no outcome was told"
        if oldest.stored:
            return "its error was stored, and nobody commanded a recovery (strategy-selector, executor)"
        return "NATS has not confirmed its error"


class Canary:
    """Sends canaries and plays the agent that they are about.

    Every replica of the monitor does so, under the same event id for the same slot of time: the server keeps one error
    of them. Whose it was recovers it; all of them hear the outcome, and each of them judges.
    """

    def __init__(self, runtime: Runtime, notify: Notify, patience: float | None = None) -> None:
        self._runtime = runtime
        self._subjects = runtime.subjects
        self._notify = notify
        self._period = runtime.settings.canary_seconds
        self._patience = patience
        self._mended: OrderedDict[str, None] = OrderedDict()
        self._slot = 0
        self._unclassified = False
        self._told = ""

    async def start(self) -> None:
        """Begins, unless the canary is switched off."""
        if not self._period:
            return
        self._watch = Watch(self._period, asyncio.get_running_loop().time(), self._patience)
        runtime, subjects, agent = self._runtime, self._subjects, (canary.KIND, canary.ID)
        for subject, handler in (
            (subjects.command(*agent), self._command),
            (subjects.probe(*agent), self._probe),
            (subjects.outcome(*agent), self._outcome),
        ):
            runtime.subscriptions.append(await runtime.bus.subscribe(subject, _careful(handler)))
        runtime.meter.observe(instruments.CANARIES, lambda: self._watch.sent)
        runtime.meter.observe(instruments.CANARY_OK, lambda: int(not self._told))
        runtime.spawn(self._send_for_ever(), "canary")
        runtime.spawn(self._look_for_ever(), "canary watchdog")

    # The agent

    async def _send_for_ever(self) -> None:
        while True:
            period = int(self._period * _NANO)
            await asyncio.sleep((period - self._runtime.now() % period) / _NANO)
            # Never one that was before, even where the clock was set back.
            self._slot = max(round(self._runtime.now() / period), self._slot + 1)
            if self._watch.may_send(asyncio.get_running_loop().time()):
                await self._send(f"canary-{self._slot}")

    async def _send(self, event_id: str) -> None:
        error = ErrorReported(
            id=event_id,
            time_unix_nano=self._runtime.now(),
            agent=AgentRef(kind=canary.KIND, id=canary.ID, instance=self._runtime.instance),
            exception=ExceptionInfo(
                # Each has a fingerprint of its own, among a bounded number: none is a repeat or a recurrence.
                type="CanaryFailure",
                message=f"connection refused, on purpose, for canary {_word(self._slot)}",
            ),
            severity="error",
            operation=self._operation(event_id),
        )
        found = self._watch.send(event_id, asyncio.get_running_loop().time())
        subject = self._subjects.error(error.severity, canary.KIND, canary.ID)
        headers = codec.headers(canary.TRACEPARENT) | {HEADER_ID: event_id}
        try:
            stored = await self._runtime.bus.store(
                subject, codec.encode(error), headers, id=event_id, timeout=_STORE_SECONDS
            )
        except BusError as refused:
            self._watch.withdraw(event_id, f"its error could not be stored: {refused}")
            return
        found.stored = True
        if stored.duplicate:
            self._watch.withdraw(event_id, "the canary of another replica was not recovered")

    def _operation(self, event_id: str) -> str:
        return f"{self._runtime.instance}/{event_id}"

    def _mine(self, operation: str | None) -> bool:
        return operation is not None and operation.startswith(f"{self._runtime.instance}/")

    async def _command(self, message: Message) -> None:
        command = codec.decode(RecoveryCommand, message.body)
        operation = command.operation
        # What another replica sent is for that one to answer.
        if operation is None or not self._mine(operation):
            return
        found = self._watch.out.get(operation.partition("/")[2])
        if found is not None:
            found.commanded = True
        self._mended[operation] = None
        if len(self._mended) > _MENDED_KEPT:
            self._mended.popitem(last=False)
        await self._runtime.reply(message, CommandResult(command_id=command.command_id, status="done"))

    async def _probe(self, message: Message) -> None:
        probe = codec.decode(Probe, message.body)
        if self._mine(probe.operation):
            healthy = probe.operation in self._mended
            await self._runtime.reply(message, ProbeResult(healthy=healthy, checked_unix_nano=self._runtime.now()))

    # The watchdog

    async def _outcome(self, message: Message) -> None:
        outcome = codec.decode(RecoveryOutcome, message.body, MAX_SERVICE_BODY)
        taken = self._watch.end(outcome, asyncio.get_running_loop().time())
        if taken is not None:
            self._runtime.meter.record(instruments.CANARY_TIME, taken)
        unclassified = outcome.classification is None or not outcome.classification.confidence
        if unclassified and not self._unclassified:
            log.warning("the canary is recovered without being classified: is there a classifier?")
        self._unclassified = unclassified
        await self._judge()

    async def _look_for_ever(self) -> None:
        clock = asyncio.get_running_loop().time
        looked = clock()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            passed, looked = clock() - looked, clock()
            if passed > _BLIND_SECONDS:
                self._watch.forgive(passed)
            await self._judge()

    async def _judge(self) -> None:
        broken = self._watch.broken(asyncio.get_running_loop().time())
        if broken or self._watch.recovered:
            self._runtime.readiness.set(ALERT, not broken, broken)
        if bool(broken) == bool(self._told):
            return
        before, self._told = self._told, broken
        text = f"{broken} ({HINT})" if broken else f"a canary has come back: recovery works again (before: {before})"
        try:
            async with asyncio.timeout(_TELL_SECONDS):
                await self._notify(text, key=ALERT, severity="critical", resolved=not broken)
        except Exception:
            log.exception("nobody could be told directly: %s", text)


def _word(slot: int) -> str:
    return _LETTERS[slot // len(_LETTERS) % len(_LETTERS)] + _LETTERS[slot % len(_LETTERS)]


def _careful(handler: Callable[[Message], Awaitable[None]]) -> Callable[[Message], Awaitable[None]]:
    async def receive(message: Message) -> None:
        try:
            await handler(message)
        except Refused as refused:
            log.warning("what the canary hears on %s is of no use: %s", message.subject, refused)

    return receive
