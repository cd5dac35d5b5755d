"""Joins agents and alerts to the bus: what is heard, what is told, what is kept, what is answered."""

import asyncio
import logging
from collections import deque
from typing import Final, TypeVar

from mendbus import codec
from mendbus.bus import Message, StoredMessage
from mendbus.contracts.errors import BusError, Refused, WrongSequence
from mendbus.contracts.journal import JournalRecord, Operated
from mendbus.contracts.messages import (
    AgentGoodbye,
    AgentHello,
    Alert,
    Control,
    ControlResult,
    HealthSample,
    HealthStatus,
    HelloReply,
    RecoveryOutcome,
)
from mendbus.contracts.subjects import CONTENT_TYPE, HEADER_CONTENT_TYPE, HEADER_ID, MAX_BODY, MAX_SERVICE_BODY
from mendbus.runtime import Drain, Runtime, store_dead_letter
from mendbus.telemetry import Span
from mendbus_health_monitor.agents import Agents
from mendbus_health_monitor.alerts import Alerts
from mendbus_health_monitor.signals import Signals

log = logging.getLogger("mendbus")

M = TypeVar("M", AgentHello, Alert, JournalRecord, RecoveryOutcome)

PAGE: Final = 500
"""Agents or alerts in one answer; `next` in it is the `after` of the next question."""

_LOOK_SECONDS: Final = 0.1
_BLIND_SECONDS: Final = 0.5
_RETRY_SECONDS: Final = 1.0
_WAITING_ALERTS: Final = 1000
_NANO: Final = 1_000_000_000
_UNSYNCED_NANO: Final = 10 * _NANO
"""How old an alert is at least that a killed server has on disk: ALERTS is acknowledged before it is written."""
_UNSYNCED_ALERTS: Final = 1000
_DELETED: Final = {"KV-Operation": "DEL"}
"""Marks a deleted key in a key-value bucket."""


class Monitor:
    """The running service."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._subjects = runtime.subjects
        self._agents = Agents(runtime.now)
        self._alerts = Alerts()
        self._signals = Signals(runtime)
        self._waiting: asyncio.Queue[Alert] = asyncio.Queue(_WAITING_ALERTS)
        self._stored: deque[Alert] = deque(maxlen=_UNSYNCED_ALERTS)

    async def start(self) -> None:
        """Reads what was kept, then listens. Raises `BusError` when the kept state cannot be read."""
        runtime, subjects, bus = self._runtime, self._subjects, self._runtime.bus
        async for stored in bus.read(subjects.stream("ALERTS"), subjects.everyone("alert")):
            alert = _read(Alert, stored)
            if alert is not None:
                self._alerts.restore(alert)
        runtime.subscriptions.append(
            await bus.follow(
                subjects.bucket_stream("agents"), subjects.key("agents", ">"), self._stored_hello, last_per_subject=True
            )
        )
        await runtime.listen(subjects.everyone("health"), HealthSample, self._sample)
        await runtime.listen(subjects.everyone("agent.goodbye"), AgentGoodbye, self._goodbye)
        await runtime.serve("hello", subjects.everyone("agent.hello"), AgentHello, self._hello, limit=MAX_BODY)
        await runtime.serve("agents", subjects.control("agents"), Control, self._list_agents, limit=MAX_BODY)
        await runtime.serve("alerts", subjects.control("alerts"), Control, self._list_alerts, limit=MAX_BODY)
        await self._signals.start()
        runtime.spawn(self._look(), "look for silent agents")
        runtime.spawn(self._store_alerts(), "store alerts")
        # From the stream, not as it flies by: what was told while no monitor ran is judged too.
        runtime.subscriptions.append(
            await bus.follow(
                subjects.stream("RECOVERIES"), subjects.everyone("outcome"), self._outcome, last_per_subject=True
            )
        )

        runtime.subscriptions.append(
            await bus.follow(
                subjects.stream("JOURNAL"), subjects.journal_control, self._operated, last_per_subject=True
            )
        )

    async def drain(self) -> None:
        """Returns when every alert is stored."""
        await self._waiting.join()

    async def _sample(self, sample: HealthSample, _: Message) -> None:
        await self._tell(self._agents.hear(sample))

    async def _hello(self, hello: AgentHello, _: Span) -> HelloReply:
        key = self._subjects.key("agents", hello.agent.kind, hello.agent.id)
        await self._runtime.bus.store(key, codec.encode(hello), {HEADER_CONTENT_TYPE: CONTENT_TYPE})
        return HelloReply(stored=True, time_unix_nano=self._runtime.now())

    async def _stored_hello(self, stored: StoredMessage) -> None:
        hello = _read(AgentHello, stored)
        if hello is not None:
            self._agents.greet(hello, stored.sequence)

    async def _goodbye(self, goodbye: AgentGoodbye, _: Message) -> None:
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

    async def _outcome(self, stored: StoredMessage) -> None:
        try:
            outcome = codec.decode(RecoveryOutcome, stored.body, MAX_SERVICE_BODY)
        except Refused as refused:
            dead = self._subjects.dead(self._runtime.service)
            await store_dead_letter(self._runtime.bus, dead, stored.subject, stored.body, stored.headers, refused)
            return
        alert = self._alerts.judge(outcome, self._runtime.now())
        if alert is not None:
            await self._waiting.put(alert)

    async def _operated(self, _: StoredMessage) -> None:
        # From where it stopped, not only the record that was heard: one before it may have come while nobody listened.
        subjects, start = self._subjects, self._alerts.operated + 1
        async for stored in self._runtime.bus.read(subjects.stream("JOURNAL"), subjects.journal_control, start=start):
            record = _read(JournalRecord, stored)
            for entry in record.entries if record is not None else ():
                if isinstance(entry, Operated):
                    alert = self._alerts.operate(entry, stored.sequence, self._runtime.now())
                    if alert is not None:
                        await self._waiting.put(alert)

    async def _look(self) -> None:
        looked, reconnects = self._runtime.now(), self._runtime.bus.reconnects
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            now = self._runtime.now()
            if self._runtime.bus.reconnects != reconnects:
                reconnects = self._runtime.bus.reconnects
                await self._store_again(looked - _UNSYNCED_NANO)
            passed, looked = now - looked, now
            if not 0 <= passed <= _BLIND_SECONDS * _NANO or not self._runtime.bus.connected:
                # Stopped, starved, cut off, or the clock was set: the silence was here.
                self._agents.forgive(passed)
            for status in self._agents.overdue():
                await self._tell(status)

    async def _tell(self, status: HealthStatus | None) -> None:
        if status is None:
            return
        headers = {HEADER_CONTENT_TYPE: CONTENT_TYPE, HEADER_ID: status.id}
        subject = self._subjects.status(status.agent.kind, status.agent.id)
        await self._runtime.bus.publish(subject, codec.encode(status), headers)

    async def _store_alerts(self) -> None:
        while True:
            alert = await self._waiting.get()
            while True:
                if await self._store_alert(alert):
                    break
                await asyncio.sleep(_RETRY_SECONDS)
            self._stored.append(alert)
            self._waiting.task_done()

    async def _store_again(self, since_unix_nano: int) -> None:
        again = [alert for alert in self._stored if alert.time_unix_nano >= since_unix_nano]
        self._stored.clear()
        for alert in again:
            await self._waiting.put(alert)

    async def _store_alert(self, alert: Alert) -> bool:
        subject = self._subjects.alert(alert.state, alert.severity)
        try:
            await self._runtime.bus.store(
                subject, codec.encode(alert), {HEADER_CONTENT_TYPE: CONTENT_TYPE}, id=alert.id
            )
        except BusError as error:
            # The log is the path that does not use the bus.
            log.error("cannot store the %s alert %r: %s", alert.severity, alert.summary, error)
            self._runtime.readiness.set("alerts", False, f"alerts cannot be stored: {error}")
            return False
        self._runtime.readiness.set("alerts", True)
        return True

    async def _list_agents(self, control: Control, _: Span) -> ControlResult:
        kind = control.agent.kind if control.agent else control.kind
        agent_id = control.agent.id if control.agent else None
        rows = self._agents.listing(kind, agent_id, _after(control), PAGE)
        more = {"next": f"{rows[-1]['agent']['kind']}/{rows[-1]['agent']['id']}"} if len(rows) == PAGE else {}
        return self._result({"agents": rows, **more})

    async def _list_alerts(self, control: Control, _: Span) -> ControlResult:
        keys = sorted(key for key in self._alerts.open if key > _after(control))[:PAGE]
        more = {"next": keys[-1]} if len(keys) == PAGE else {}
        rows = [self._alerts.open[key].model_dump(exclude_none=True) for key in keys]
        return self._result({"alerts": rows, **more})

    def _result(self, data: dict[str, object]) -> ControlResult:
        return ControlResult(ok=True, service=self._runtime.service, instance=self._runtime.instance, data=data)


def _after(control: Control) -> str:
    after = control.arguments.get("after", "")
    return after if isinstance(after, str) else ""


def _read(model: type[M], stored: StoredMessage) -> M | None:
    if not stored.body:
        return None
    try:
        return codec.decode(model, stored.body, MAX_SERVICE_BODY)
    except Refused as refused:
        log.warning("what is stored on %s is of no use: %s", stored.subject, refused)
        return None


async def start(runtime: Runtime) -> Drain:
    """Starts the service. Raises `BusError` when what was kept cannot be read."""
    monitor = Monitor(runtime)
    await monitor.start()
    return monitor.drain
