"""What a running service stands on: bus, clock, tracer, supervised tasks, and the two ways of listening."""

import asyncio
import logging
import re
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from pydantic import BaseModel

from mendbus import codec, instruments, micro
from mendbus.bus import Bus, Message, Subscription
from mendbus.bus.serving import guarded
from mendbus.contracts.canary import is_canary
from mendbus.contracts.errors import Refused
from mendbus.contracts.messages import AgentRef, ControlResult, ErrorReported
from mendbus.contracts.subjects import (
    CONTENT_TYPE,
    HEADER_CODE,
    HEADER_CONTENT_TYPE,
    HEADER_ID,
    HEADER_REASON,
    HEADER_SERVICE_ERROR,
    HEADER_SERVICE_ERROR_CODE,
    HEADER_SIZE,
    HEADER_SUBJECT,
    MAX_BODY,
    MAX_SERVICE_BODY,
    Subjects,
)
from mendbus.metrics import Meter
from mendbus.micro import EndpointStats
from mendbus.settings import Settings
from mendbus.telemetry import Span, Tracer, parent_of

log = logging.getLogger("mendbus")

Q = TypeVar("Q", bound=BaseModel)
A = TypeVar("A", bound=BaseModel)

Drain = Callable[[], Awaitable[None]]
"""Finishes what is under way; called once, before the connection closes."""

DEAD_LETTER_SECONDS: Final = 5.0
_HEADER_BYTES: Final = 16 * 1024
_DETAIL_BYTES: Final = 1000
_HEADER_NAME: Final = re.compile("[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")


@dataclass(frozen=True, slots=True)
class Service:
    """One of the five services: its name, and the function that starts it on a runtime."""

    name: str
    description: str
    start: Callable[["Runtime"], Awaitable[Drain]]


@dataclass(slots=True)
class Readiness:
    """Conditions under which a service is of use, each with a sentence; all must hold."""

    conditions: dict[str, tuple[bool, str]] = field(default_factory=dict[str, tuple[bool, str]])

    def set(self, name: str, holds: bool, detail: str = "") -> None:
        """Records a condition; a change is logged."""
        before = self.conditions.get(name)
        self.conditions[name] = (holds, detail)
        if before is not None and before[0] != holds:
            level = logging.INFO if holds else logging.ERROR
            log.log(level, "%s: %s", name, detail or ("ok" if holds else "not ready"))

    @property
    def ready(self) -> bool:
        """Whether all conditions hold."""
        return all(holds for holds, _ in self.conditions.values())

    def report(self) -> dict[str, Any]:
        """For `/readyz`."""
        return {
            "ready": self.ready,
            "conditions": {name: {"ok": ok, "detail": detail} for name, (ok, detail) in self.conditions.items()},
        }


@dataclass(slots=True)
class Runtime:
    """Everything a service gets from outside; nothing else is global."""

    service: str
    instance: str
    settings: Settings
    subjects: Subjects
    bus: Bus
    tracer: Tracer
    tasks: asyncio.TaskGroup
    readiness: Readiness
    micro: micro.Micro
    now: Callable[[], int] = time.time_ns
    meter: Meter = field(default_factory=Meter)
    subscriptions: list[Subscription] = field(default_factory=list[Subscription])
    spawned: set[asyncio.Task[None]] = field(default_factory=set[asyncio.Task[None]])

    def spawn(self, coroutine: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Runs a task whose failure ends the process, and which is cancelled when the service has drained."""
        task = self.tasks.create_task(coroutine, name=f"{self.service}: {name}")
        self.spawned.add(task)
        task.add_done_callback(self.spawned.discard)
        return task

    async def listen(
        self,
        subject: str,
        model: type[Q],
        handler: Callable[[Q, Message], Awaitable[None]],
        *,
        dead: bool = True,
        newest: int = 0,
    ) -> None:
        """Calls the handler with each valid message; the agent in it must be the subject's.

        `dead`: this service is the one that writes the dead letter for what does not fit. `newest`: while more than
        so many wait for the handler, one that another of its subject has overtaken is left out; 0: all are handled.
        """

        async def receive(message: Message) -> None:
            try:
                codec.check_content_type(message.headers)
                value = codec.decode(model, message.body)
                agent = vars(value).get("agent")
                # Where it is about an agent the subject must name one, whether the body does or not.
                named = self.subjects.agent_of(message.subject) if subject.endswith(">") else None
                if isinstance(agent, AgentRef):
                    codec.check_agent(agent, *(named or self.subjects.agent_of(message.subject)))
            except Refused as refused:
                if dead:
                    await self.reply_error(message, 400, str(refused))
                    await self.dead_letter(message, refused)
                return
            await handler(value, message)

        if newest:
            backlog = Backlog(newest, receive)
            self.spawn(backlog.work(), f"read {subject}")
            self.meter.observe(instruments.SAMPLES_LEFT_OUT, lambda: backlog.left_out)
            receive = backlog.put
        self.subscriptions.append(await self.bus.subscribe(subject, receive))

    async def serve(
        self,
        name: str,
        subject: str,
        model: type[Q],
        handler: Callable[[Q, Span], Awaitable[A]],
        *,
        queue: str | None = None,
        concurrency: int = 1,
        limit: int = MAX_SERVICE_BODY,
    ) -> None:
        """Answers requests, shared with the other replicas of the service (`queue` "" answers them all).

        What does not fit is answered with error 400 and goes to the dead letters; on a subject that ends in the agent's
        tokens (a filter that ends in `>`), so does a request that speaks for another agent.
        """
        group = self.service if queue is None else queue
        of_agents = subject.endswith(">")
        stats = EndpointStats(name, subject, group)
        self.micro.endpoints.append(stats)

        async def answer(message: Message) -> None:
            started = time.perf_counter_ns()
            try:
                codec.check_content_type(message.headers)
                request = codec.decode(model, message.body, limit)
                agent = vars(request).get("agent") if of_agents else None
                if isinstance(agent, AgentRef):
                    codec.check_agent(agent, *self.subjects.agent_of(message.subject))
            except Refused as refused:
                self._answered(stats, started, None, "400", refused.reason)
                await self.reply_error(message, 400, str(refused))
                await self.dead_letter(message, refused)
                return
            work = self.tracer.start(f"{self.service}.{name}", "server", parent_of(message.headers))
            try:
                result = await handler(request, work)
            except Exception as error:
                log.exception("%s failed on a request", subject, extra=work.logged)
                self._answered(stats, started, request, "500", repr(error))
                work.end(error=repr(error))
                await self.reply_error(message, 500, repr(error))
                return
            await self.reply(message, result)
            work.end()
            self._answered(stats, started, request)

        self.subscriptions.append(await self.bus.subscribe(subject, answer, queue=group, concurrency=concurrency))

    def _answered(
        self, stats: EndpointStats, started_ns: int, request: BaseModel | None, code: str = "", error: str = ""
    ) -> None:
        if request is not None and _about_canary(request):
            return
        stats.done(started_ns, error)
        seconds = (time.perf_counter_ns() - started_ns) / 1e9
        self.meter.record(instruments.REQUESTS, seconds, stats.subject, code)

    def result(self, *, ok: bool = True, detail: str = "", data: Mapping[str, Any] | None = None) -> ControlResult:
        """What this service did about an order; of a long `detail` the beginning."""
        return ControlResult(
            ok=ok,
            service=self.service,
            instance=self.instance,
            detail=detail.encode()[:_DETAIL_BYTES].decode("utf-8", "ignore") or None,
            data=dict(data or {}),
        )

    async def reply(self, message: Message, answer: BaseModel) -> None:
        """Answers a request, if an answer is wanted."""
        if message.reply:
            await self.bus.publish(message.reply, codec.encode(answer), {HEADER_CONTENT_TYPE: CONTENT_TYPE})

    async def reply_error(self, message: Message, code: int, reason: str) -> None:
        """Answers a request with an error of the services API."""
        if message.reply:
            headers = {HEADER_SERVICE_ERROR: " ".join(reason.split())[:400], HEADER_SERVICE_ERROR_CODE: str(code)}
            await self.bus.publish(message.reply, b"", headers)

    async def dead_letter(self, message: Message, refused: Refused) -> None:
        """Stores what was refused, with the reason; returns when the server has it."""
        target = self.subjects.dead(self.service)
        await store_dead_letter(self.bus, target, message.subject, message.body, message.headers, refused, self.meter)


def _about_canary(request: BaseModel) -> bool:
    """Whether a request to a service is about the canary: an error of its, or an attempt on it."""
    # Not by getattr: a model takes long to find out that it has no such field.
    facts = vars(request)
    error = facts.get("error")
    agent = error.agent if isinstance(error, ErrorReported) else facts.get("agent")
    if isinstance(agent, AgentRef):
        return is_canary(agent)
    return is_canary(f"{facts.get('agent_kind', '')}/{facts.get('agent_id', '')}")


class Backlog:
    """Between what comes and a handler that may be slower than it: what is overtaken is left out, so nothing is late.

    Each message gives way to all else that is to be done: a question need not wait for everything that waits here.
    """

    def __init__(self, most: int, handler: Callable[[Message], Awaitable[None]]) -> None:
        """`most`: while no more wait than this, all are handled."""
        self.left_out = 0
        self._most = most
        self._handler = handler
        self._waiting: deque[Message] = deque()
        self._of: Counter[str] = Counter()
        self._come = asyncio.Event()

    async def put(self, message: Message) -> None:
        """Takes what has come."""
        self._waiting.append(message)
        self._of[message.subject] += 1
        self._come.set()

    async def work(self) -> None:
        """Handles one after the other, for ever."""
        while True:
            await self._come.wait()
            self._come.clear()
            while self._waiting:
                message = self._waiting.popleft()
                self._of[message.subject] -= 1
                if not self._of[message.subject]:
                    del self._of[message.subject]
                elif len(self._waiting) >= self._most:
                    self.left_out += 1
                    continue
                await guarded(self._handler, message, message.subject)
                await asyncio.sleep(0)


async def store_dead_letter(
    bus: Bus,
    target: str,
    subject: str,
    body: bytes,
    headers: Mapping[str, str],
    refused: Refused,
    meter: Meter | None = None,
) -> None:
    """Stores refused bytes (cut at 64 KiB) with their original headers. Raises `BusError` if the server does not."""
    log.warning("refused a message on %s: %s", subject, refused)
    if meter is not None:
        meter.add(instruments.DEAD_LETTERS, 1, refused.code)
    kept = _fitting(headers) | {
        HEADER_REASON: " ".join(refused.reason.split())[:1024],
        HEADER_CODE: refused.code,
        HEADER_SUBJECT: subject,
        HEADER_SIZE: str(len(body)),
    }
    if HEADER_ID in headers:
        kept["Mendbus-Original-Id"] = headers[HEADER_ID][:256]
    await bus.store(target, body[:MAX_BODY], kept, timeout=DEAD_LETTER_SECONDS)


def _fitting(headers: Mapping[str, str]) -> dict[str, str]:
    """A sender's headers as far as they can be sent on: the server's own left out, the rest bounded."""
    kept: dict[str, str] = {}
    room = _HEADER_BYTES
    for name, value in headers.items():
        if name.startswith("Nats-") or not _HEADER_NAME.fullmatch(name):
            continue
        room -= len(name) + len(value.encode("utf-8", "replace")) + 4
        if room < 0:
            break
        kept[name] = value
    return kept
