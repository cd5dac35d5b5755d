"""The agent SDK's face: `from mendbus import Agent`."""

import asyncio
import atexit
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

from mendbus.bus import Bus
from mendbus.contracts.errors import SettingsError
from mendbus.contracts.ids import is_token, new_id
from mendbus.contracts.messages import AgentRef
from mendbus.contracts.vocabulary import CATEGORIES, SEVERITIES, Category, Severity
from mendbus.redaction import DEFAULT, Redaction
from mendbus.sdk import ahead
from mendbus.sdk.ahead import Ahead
from mendbus.sdk.core import Core, Identity
from mendbus.sdk.declare import Declarations
from mendbus.sdk.disk import DiskKeeper
from mendbus.sdk.life import Life
from mendbus.sdk.loop import LoopThread
from mendbus.sdk.outbox import Outbox
from mendbus.sdk.reports import Words, known
from mendbus.sdk.stacks import caller_frame
from mendbus.sdk.texts import MESSAGE, SHORT, cut
from mendbus.security.access import access
from mendbus.settings import from_environment
from mendbus.telemetry import open_tracer

log = logging.getLogger("mendbus.sdk")

R = TypeVar("R")

_STOP_SECONDS: Final = 5.0
_EXIT_SECONDS: Final = 2.0
_POLL_SECONDS: Final = 0.005
_SNAPSHOT_SECONDS: Final = 60.0
_LONGEST_INTERVAL_MS: Final = 3_600_000
_MOST: Final = 64


@dataclass(frozen=True, slots=True)
class Stats:
    """An agent's figures. Failures count every repeat; events are what they were coalesced into.

    `reported` failures = acknowledged ones that are settled, rejected, forgotten or still unsettled, + shed + waiting.
    """

    reported: int
    acknowledged: int
    settled: int
    rejected: int
    shed: int
    """Failures dropped from the full outbox."""
    forgotten: int
    """Acknowledged failures of which only the copy here was dropped."""
    waiting_events: int
    unsettled_events: int
    connected: bool
    ready: bool
    """Whether the health-monitor has stored the hello."""
    instance: str


class Agent(Declarations):
    """A process, or a part of one, that reports its errors, tells its health and can be recovered.

    All of it runs on a thread of its own with its own event loop: nothing here blocks the caller, and everything may
    be used from any thread, from synchronous code and from asyncio. Callables given to it may be either: synchronous
    ones run in worker threads, asynchronous ones on the loop on which the agent was started, if it was.

    It works while NATS is away. Up to 10,000 events wait in its outbox (and as many again for their settlement), in
    memory or, with `outbox_dir`, in a file there that survives the process. When that is full it sheds: a repeat
    is counted into an event that waits anyway; else the oldest `warning` goes first, then `error`, then `critical`,
    then `fatal`. `stats().shed` counts what was shed, and the log says so once a minute.

    `kind` and `id`: 1 to 64 of `A-Z a-z 0-9 _ -`. `depends_on`: kinds, or `kind/id`. `interval_ms`: between health
    samples. `limits`: `memory_bytes`, `queue_depth`, `descriptors`. What is not given comes from the environment
    (`NATS_URL`, `MENDBUS_ROOT`, `MENDBUS_NATS_CREDENTIALS`, `OTEL_EXPORTER_OTLP_ENDPOINT` and so on). Raises
    `SettingsError`.

    `rehearsal` (or `MENDBUS_REHEARSAL=1`): let `mendbus inject` bring real faults into this process. Without it the
    agent does not listen for them at all: whoever may publish on its `rehearse` subject could otherwise end it.

    `redaction`: what is taken out of messages, stacks and attributes before they leave the process; unless told
    otherwise passwords, keys, tokens, e-mail addresses and card numbers.

    It does not survive a fork: make it in the child process.
    """

    def __init__(
        self,
        kind: str,
        id: str,  # noqa: A002 - the wire's own word
        *,
        nats_url: str | None = None,
        root: str | None = None,
        version: str | None = None,
        depends_on: Sequence[str] = (),
        interval_ms: int = 500,
        outbox_dir: str | Path | None = None,
        limits: Mapping[str, float] | None = None,
        rehearsal: bool | None = None,
        redaction: Redaction = DEFAULT,
    ) -> None:
        self._settings = from_environment(nats_url=nats_url, root=root, rehearsal=rehearsal)
        _check(kind, id, depends_on, interval_ms, limits or {})
        ref = AgentRef(kind=kind, id=id, version=None if version is None else cut(version, SHORT), instance=new_id())
        identity = Identity(
            ref,
            self._settings.subjects,
            interval_ms,
            tuple(depends_on),
            {name: float(value) for name, value in (limits or {}).items()},
            redaction,
        )
        self._outbox_dir = None if outbox_dir is None else Path(outbox_dir)
        super().__init__(Core(identity, Outbox(keeping=outbox_dir is not None), time.time_ns))
        if self._settings.rehearsal:
            # Agents that have not opted in do not even load the faults.
            from mendbus.sdk.rehearsal import Rehearsal

            self._core.rehearsal = Rehearsal(ref, self._settings.subjects, self._core.operations, self._core.caller)
        self._thread = LoopThread()
        self._ahead: Ahead | None = None
        self._life: Life | None = None
        self._stopped = False

    # -- life

    @property
    def instance(self) -> str:
        """The boot id: new for each `Agent`, so that commands meant for an earlier one are not carried out."""
        return str(self._core.identity.ref.instance)

    def start(self) -> Self:
        """Starts the agent's thread and returns at once; connecting goes on there, for as long as it takes.

        Called from asyncio code, the running loop becomes the one for the user's asynchronous callables. Raises
        `OutboxError` when `outbox_dir` cannot be used, `SettingsError` for a wrong OTLP endpoint, and `RuntimeError`
        when it was started before.
        """
        if self._life is not None or self._stopped:
            msg = "this agent was started before; make a new one"
            raise RuntimeError(msg)
        self._core.caller.user_loop = _running_loop()
        ref = self._core.identity.ref
        tracer = open_tracer(f"agent.{ref.kind}", self._settings, instance=self.instance)
        keeper = None if self._outbox_dir is None else DiskKeeper(self._outbox_dir, ref.kind, ref.id)
        if keeper is not None:
            self._core.outbox.restore(keeper.load())
        life = self._life = Life(self._core, self._connect, tracer, keeper)

        async def main() -> None:
            life.wire(self._thread.call)
            try:
                await life.run()
            finally:
                if keeper is not None:
                    keeper.close()

        self._ahead = ahead.take(self._settings.nats_url)
        if self._ahead is not None:
            self._thread = self._ahead.thread
        self._thread.start(f"mendbus {ref.key}", main)
        _ = atexit.register(self.stop, _EXIT_SECONDS)
        return self

    async def _connect(self, on_dead: Callable[[str], None]) -> Bus:
        import mendbus.bus.nats as nats_bus

        ref = self._core.identity.ref
        prefix = f"_INBOX_{ref.kind}_{ref.id}"
        early = None if self._ahead is None else self._ahead.connection()
        if early is not None:
            return await early.take(prefix_inbox=prefix, on_dead=on_dead)
        return await nats_bus.connect(
            self._settings.nats_url,
            name=f"{ref.key}/{self.instance}",
            prefix_inbox=prefix,
            on_dead=on_dead,
            access=access(self._settings, f"agent/{ref.key}"),
        )

    def stop(self, timeout: float = _STOP_SECONDS) -> None:
        """Sends what waits if that is possible within `timeout` seconds, says goodbye and ends the thread.

        Without NATS it takes the whole time if failures would be lost, and none if `outbox_dir` keeps them.
        Blocks until then; in asyncio code use `async with`, or `await asyncio.to_thread(agent.stop)`. Idempotent.
        """
        atexit.unregister(self.stop)
        self._stopped = True
        life = self._life
        if life is None:
            return
        self._thread.call(lambda: life.stop(timeout))
        if not self._thread.join(timeout + 3 * _EXIT_SECONDS):
            log.error("the thread of agent %s did not end in time", self._core.identity.ref.key)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        return self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.stop)

    def wait_ready(self, timeout: float = 5.0) -> bool:
        """Waits until it is connected and its hello is stored; whether that came about in so many seconds. Blocks."""
        return self._core.greeted.wait(timeout)

    def flush(self, timeout: float = 5.0) -> bool:
        """Waits until the server has everything reported and every checkpoint; whether that came about. Blocks."""
        deadline = time.monotonic() + timeout
        while self._core.outbox.waiting or self._core.checkpoints.uploading:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True

    def stats(self) -> Stats:
        """How things stand."""
        outbox, counts = self._core.outbox, self._core.outbox.counts
        return Stats(
            reported=counts.reported,
            acknowledged=counts.acknowledged,
            settled=counts.settled,
            rejected=counts.rejected,
            shed=counts.shed,
            forgotten=counts.forgotten,
            waiting_events=outbox.waiting,
            unsettled_events=outbox.unsettled,
            connected=self._core.connected.is_set(),
            ready=self._core.connected.is_set() and self._core.greeted.is_set(),
            instance=self.instance,
        )

    # -- reporting

    def report(
        self,
        error: BaseException | None = None,
        *,
        severity: Severity | None = None,
        category: Category | None = None,
        operation: str | None = None,
        message: str | None = None,
        type: str | None = None,  # noqa: A002 - the wire's own word
        attributes: Mapping[str, object] | None = None,
        checkpoint_id: str | None = None,
        correlation_id: str | None = None,
    ) -> str:
        """Reports a failure and returns its event id at once; never blocks, never raises.

        Without an exception, `type` and `message` say what happened. A failure that equals one still waiting to be
        sent (type, message, operation, severity and line of code) is counted into that one and gets its id; its own
        attributes are not sent then. `operation` names what failed; retry and fallback address it. `checkpoint_id`
        defaults to the last good checkpoint.
        """
        try:
            words = Words(
                known(severity, SEVERITIES),
                known(category, CATEGORIES),
                _text(operation),
                attributes,
                _text(checkpoint_id),
                _text(correlation_id),
            )
            kind = None if type is None else cut(str(type), SHORT)
            said = None if message is None else cut(str(message), MESSAGE)
            return self._core.report(error, words, caller_frame(1), type_=kind, message=said)
        except Exception:
            log.exception("an error could not be reported")
            return ""

    # -- checkpoints

    def checkpoint(self, version: str | None = None, *, good: bool = True) -> str:
        """Takes a checkpoint of the declared state now and returns its id; storing it goes on in the background.

        A `good` one is what `rollback` restores. The last ten are kept. With an asynchronous `snapshot`, do not call
        this on its own loop: use `await asyncio.to_thread(agent.checkpoint)`. Raises `RuntimeError` when there is no
        state, and whatever the snapshot raises.
        """
        return self._core.checkpoints.take(
            None if version is None else cut(version, SHORT), good=good, wait=self._wait_for_user
        )

    def _wait_for_user(self, coroutine: Coroutine[Any, Any, R]) -> R:
        running = _running_loop()
        if running is not None and running is self._core.caller.user_loop:
            coroutine.close()
            msg = "an asynchronous snapshot cannot be waited for on its own loop: await asyncio.to_thread(...)"
            raise RuntimeError(msg)
        return self._thread.wait(coroutine, _SNAPSHOT_SECONDS)


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _check(kind: str, agent: str, depends_on: Sequence[str], interval_ms: int, limits: Mapping[str, float]) -> None:
    problems = [
        f"{what} {text!r} is not 1 to 64 of A-Z a-z 0-9 _ -"
        for what, text in (("kind", kind), ("id", agent))
        if not is_token(text)
    ]
    problems += [
        f"depends_on {peer!r} is neither a kind nor kind/id"
        for peer in depends_on
        if not all(map(is_token, peer.split("/"))) or peer.count("/") > 1
    ]
    if not 1 <= interval_ms <= _LONGEST_INTERVAL_MS:
        problems.append(f"interval_ms {interval_ms!r} is not between 1 and {_LONGEST_INTERVAL_MS}")
    problems += [
        f"there are {len(given)} {what}, at most {_MOST} fit into a hello"
        for what, given in (("depends_on", depends_on), ("limits", limits))
        if len(given) > _MOST
    ]
    if problems:
        raise SettingsError(problems)
