"""Joins agents to the bus: what is heard, what is told, what is kept, what is answered."""

import asyncio
import logging
from typing import Annotated, Final

from pydantic import Field

from mendbus import codec, instruments
from mendbus.bus import Message, StoredMessage
from mendbus.contracts.errors import BusError, Refused, WrongSequence
from mendbus.contracts.fields import MAX_NAMED
from mendbus.contracts.messages import (
    AgentGoodbye,
    AgentHello,
    Control,
    ControlResult,
    HealthSample,
    HealthStatus,
    HelloReply,
    RecoveryOutcome,
)
from mendbus.contracts.subjects import CONTENT_TYPE, HEADER_CONTENT_TYPE, HEADER_ID, MAX_BODY, MAX_SERVICE_BODY
from mendbus.runtime import Drain, Runtime
from mendbus.telemetry import Span
from mendbus_health_monitor.agents import Agents
from mendbus_health_monitor.alerting import Alerting
from mendbus_health_monitor.canary import Canary
from mendbus_health_monitor.hearsay import Hearsay
from mendbus_health_monitor.keeping import Keeping
from mendbus_health_monitor.predictions import Predictions
from mendbus_health_monitor.signals import Signals

log = logging.getLogger("mendbus")

PAGE: Final = 500
"""Agents in one answer; `next` in it is the `after` of the next question."""

_LOOK_SECONDS: Final = 0.05
_BLIND_SECONDS: Final = 0.5
_NANO: Final = 1_000_000_000
_DELETED: Final = {"KV-Operation": "DEL"}
"""Marks a deleted key in a key-value bucket."""


class TakenSample(HealthSample):
    """A sample as it came: numbers that are not finite are still among its metrics, to be counted."""

    metrics: Annotated[dict[str, Annotated[float, Field(allow_inf_nan=True)]], Field(max_length=MAX_NAMED)]


class Monitor:
    """The running service."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._subjects = runtime.subjects
        self._alerting = Alerting(runtime)
        self._agents = Agents(runtime.now, self._alerting.redaction)
        self._keeping = Keeping(runtime, self._agents)
        self._signals = Signals(runtime)
        self._predictions = Predictions(runtime, self._agents)
        self._hearsay = Hearsay(runtime, self._agents, self._tell, stored=self._signals.count, told=self._outcome)
        self._agents.taken.append(lambda _, sample: self._signals.hear(sample))
        self._alerting.watch(self._signals)

    async def start(self) -> None:
        """Reads what was kept, then listens. Raises `BusError` when the kept state cannot be read."""
        runtime, subjects, bus = self._runtime, self._subjects, self._runtime.bus
        # First, so that it hears what is told of each agent first.
        await self._alerting.start()
        runtime.subscriptions.append(
            await bus.follow(
                subjects.bucket_stream("agents"), subjects.key("agents", ">"), self._stored_hello, last_per_subject=True
            )
        )
        await runtime.listen(subjects.everyone("health"), TakenSample, self._sample)
        await runtime.listen(subjects.everyone("agent.goodbye"), AgentGoodbye, self._goodbye)
        await runtime.serve("hello", subjects.everyone("agent.hello"), AgentHello, self._hello, limit=MAX_BODY)
        await runtime.serve("agents", subjects.control("agents"), Control, self._list_agents, limit=MAX_BODY)
        await self._signals.start()
        await self._predictions.start()
        runtime.spawn(self._look(), "look for silent agents")
        runtime.meter.observe(instruments.AGENTS, self._agents.by_status)
        runtime.meter.observe(instruments.SAMPLES, lambda: self._agents.counts["taken"])
        runtime.meter.observe(instruments.SAMPLES_FLAWED, self._agents.flaws)
        await self._hearsay.start()
        await self._keeping.start()
        await Canary(runtime, self._alerting.notify).start()
        if runtime.settings.dashboard_port >= 0:
            # Who serves none shall not hold it in memory.
            from mendbus_health_monitor.dashboard.server import offer

            offer(runtime, self._agents, self._signals, self._alerting.redaction)

    async def drain(self) -> None:
        """Returns when every alert is stored, and of the history what can be."""
        await self._keeping.drain()
        await self._alerting.drain()

    async def _sample(self, sample: TakenSample, _: Message) -> None:
        await self._tell(self._agents.hear(sample))

    async def _hello(self, hello: AgentHello, _: Span) -> HelloReply:
        key = self._subjects.key("agents", hello.agent.kind, hello.agent.id)
        await self._runtime.bus.store(key, codec.encode(hello), {HEADER_CONTENT_TYPE: CONTENT_TYPE})
        return HelloReply(stored=True, time_unix_nano=self._runtime.now())

    async def _stored_hello(self, stored: StoredMessage) -> None:
        if not stored.body:
            kind, name = self._subjects.agent_of(stored.subject)
            self._alerting.forget(f"{kind}/{name}")
            return
        try:
            hello = codec.decode(AgentHello, stored.body, MAX_SERVICE_BODY)
        except Refused as refused:
            log.warning("what is stored on %s is of no use: %s", stored.subject, refused)
            return
        self._agents.greet(hello, stored.sequence)
        self._alerting.greet(hello)
        self._signals.greet(hello)

    async def _goodbye(self, goodbye: AgentGoodbye, _: Message) -> None:
        self._signals.leave(goodbye)
        status = self._agents.leave(goodbye)
        if status is None:
            return
        await self._tell(status)
        watched = self._agents.get(goodbye.agent.key)
        if watched is not None and watched.stored_sequence:
            key = self._subjects.key("agents", goodbye.agent.kind, goodbye.agent.id)
            try:
                await self._runtime.bus.store(key, b"", _DELETED, expected_last=watched.stored_sequence)
            except WrongSequence:
                log.debug("%s has said hello again", goodbye.agent.key)
            except BusError as error:
                log.warning("the hello of %s, which has left, could not be deleted: %s", goodbye.agent.key, error)

    async def _look(self) -> None:
        looked = self._runtime.now()
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            now = self._runtime.now()
            passed, looked = now - looked, now
            blind = not 0 <= passed <= _BLIND_SECONDS * _NANO or not self._runtime.bus.connected
            if blind:
                # Stopped, starved, cut off, or the clock was set: the silence was here.
                self._agents.forgive(passed)
            self._predictions.look(blind=blind)
            for status in self._agents.overdue():
                await self._tell(status)

    async def _tell(self, status: HealthStatus | None) -> None:
        if status is None:
            return
        self._predictions.tell(status)
        headers = {HEADER_CONTENT_TYPE: CONTENT_TYPE, HEADER_ID: status.id}
        subject = self._subjects.status(status.agent.kind, status.agent.id)
        await self._runtime.bus.publish(subject, codec.encode(status), headers)

    async def _outcome(self, outcome: RecoveryOutcome) -> None:
        self._predictions.outcome(outcome)
        await self._alerting.outcome(outcome)

    async def _list_agents(self, control: Control, _: Span) -> ControlResult:
        kind = control.agent.kind if control.agent else control.kind
        agent_id = control.agent.id if control.agent else None
        rows = self._agents.listing(kind, agent_id, _after(control), PAGE)
        more = {"next": f"{rows[-1]['agent']['kind']}/{rows[-1]['agent']['id']}"} if len(rows) == PAGE else {}
        return self._runtime.result(data={"agents": rows, "samples": dict(self._agents.counts), **more})


def _after(control: Control) -> str:
    after = control.arguments.get("after", "")
    return after if isinstance(after, str) else ""


async def start(runtime: Runtime) -> Drain:
    """Starts the service. Raises `BusError` when what was kept cannot be read."""
    monitor = Monitor(runtime)
    await monitor.start()
    return monitor.drain
