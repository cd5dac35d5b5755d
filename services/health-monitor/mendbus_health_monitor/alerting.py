"""Joins alerts to the bus: what is heard becomes verdicts, verdicts become alerts, which are stored and told."""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable
from itertools import islice, takewhile
from typing import Final, Protocol, TypeVar

from mendbus import codec, instruments
from mendbus.bus import Message, StoredMessage
from mendbus.contracts.errors import BusError, BusTimeout, NoResponders, Refused
from mendbus.contracts.journal import JournalRecord, Operated
from mendbus.contracts.messages import AgentHello, Alert, HealthSample, HealthStatus, RecoveryOutcome
from mendbus.contracts.subjects import MAX_SERVICE_BODY
from mendbus.contracts.vocabulary import ALERT_SEVERITIES, AlertSeverity
from mendbus.redaction import Redaction
from mendbus.runtime import Runtime
from mendbus_health_monitor.alert_conditions import LATCHED, Condition, Judge, Verdict, cut
from mendbus_health_monitor.alert_delivery import Deliveries
from mendbus_health_monitor.alert_findings import Finding
from mendbus_health_monitor.alert_inhibition import Dependencies, inhibited
from mendbus_health_monitor.alert_orders import Orders
from mendbus_health_monitor.alert_policies import AlertPolicies
from mendbus_health_monitor.alert_storing import Storing
from mendbus_health_monitor.alerts import Alerts
from mendbus_health_monitor.rules import SERVICES, Rules
from mendbus_health_monitor.silences import silenced

log = logging.getLogger("mendbus")

M = TypeVar("M", Alert, HealthStatus, JournalRecord)

_LOOK_SECONDS: Final = 0.1
_STEP_SECONDS: Final = 1.0
_SERVICES_SECONDS: Final = 5.0
_PING_SECONDS: Final = 1.0
_BUS_LOST_SECONDS: Final = 10.0
_LOST: Final = "the health-monitor cannot reach NATS: errors wait with the agents, nothing is recovered"
_FOUND: Final = "the health-monitor reaches NATS again"
_RECENT: Final = 200
"""Of the resolved alerts so many still mute those of dependents."""
_SAMPLED_AGENTS: Final = 10_000
_NANO: Final = 1_000_000_000
_RESULTS: Final = (("sent",), ("failed",))


class Findings(Protocol):
    """Whoever looks at metrics for longer than a sample."""

    def findings(self) -> Iterable[Finding]:
        """What stands now."""
        ...


class Alerting:
    """The alerts of the running service."""

    def __init__(self, runtime: Runtime) -> None:
        """Raises `SettingsError` when the policy file is wrong where it is about alerts."""
        self._runtime = runtime
        self._subjects = runtime.subjects
        self._policies = AlertPolicies(runtime.settings.policy_file)
        self._alerts = Alerts(self._policies.current.alerts)
        self._judge = Judge(self.redaction)
        self._rules = Rules(self._policies.current, runtime.now())
        self._dependencies = Dependencies()
        self._storing = Storing(runtime)
        self._orders = Orders(runtime, self._alerts, self._storing.keep)
        self._deliveries = Deliveries(runtime, self._alerts, self._policies, self._rules.hear_webhook)
        self._findings: list[Findings] = []
        self._journal_read = 0
        self._sampled: dict[str, int] = {}
        self._sampling = False
        self._direct: dict[str, Alert] = {}

    @property
    def open(self) -> dict[AlertSeverity, int]:
        """How many alerts of each severity are open."""
        counted = Counter(alert.severity for alert in self._alerts.open.values())
        return {severity: counted[severity] for severity in ALERT_SEVERITIES}

    @property
    def delivered(self) -> tuple[int, int]:
        """Since the start: notifications that webhooks took, and requests that they did not take."""
        return self._deliveries.sent, self._deliveries.failed

    def redaction(self) -> Redaction:
        """What the policy in force takes out of texts."""
        return self._policies.current.redaction

    def watch(self, findings: Findings) -> None:
        """Makes alerts of what somebody finds; call it before `start` or at any time after."""
        self._findings.append(findings)

    async def notify(self, text: str, *, key: str, severity: AlertSeverity, resolved: bool) -> None:
        """Tells every webhook and the log, without the bus: that something is wrong, once, and once that it is over."""
        known, now = self._direct.get(key), self._runtime.now()
        if resolved == (known is None):
            return
        alert = Alert(
            id=f"{key}-{now}",
            key=key,
            time_unix_nano=now,
            severity=severity,
            state="resolved" if resolved else "raised",
            summary=cut(text),
            rule="direct",
            since_unix_nano=known.since_unix_nano if known else now,
        )
        if resolved:
            del self._direct[key]
        else:
            self._direct[key] = alert
        log.log(logging.WARNING if resolved else logging.CRITICAL, "%s", text)
        self._deliveries.directly(alert)

    async def start(self) -> None:
        """Reads what was kept, then listens. Raises `BusError` when what was kept cannot be read.

        Call it before any status is told: an agent's first one is heard here too; and before `outcome`, so that what
        was judged by an earlier process is known.
        """
        runtime, subjects, bus = self._runtime, self._subjects, self._runtime.bus
        alerts, every = subjects.stream("ALERTS"), subjects.everyone("alert")
        # Followed before it is read, so that nothing falls between; a change that comes twice changes nothing.
        runtime.subscriptions.append(await bus.follow(alerts, every, self._stored_alert, last_per_subject=False))
        async for stored in bus.read(alerts, every):
            await self._stored_alert(stored)
        runtime.subscriptions.append(await bus.subscribe(subjects.everyone("status"), self._status))
        await self._sample_if_asked()
        runtime.meter.observe(instruments.ALERTS, lambda: {(severity,): n for severity, n in self.open.items()})
        runtime.meter.observe(instruments.WEBHOOKS, lambda: dict(zip(_RESULTS, self.delivered, strict=True)))
        await self._orders.start()
        await self._deliveries.start()
        runtime.spawn(self._look(), "look for a lost connection")
        runtime.spawn(self._storing.run(), "store alerts")
        runtime.spawn(self._step_on(), "look at alerts")
        runtime.spawn(self._look_at_services(), "look for missing services")
        runtime.subscriptions.append(
            await bus.follow(
                subjects.stream("JOURNAL"), subjects.journal_control, self._operated, last_per_subject=True
            )
        )

    async def drain(self) -> None:
        """Returns when every alert is stored."""
        await self._storing.done()

    # What is heard

    async def _stored_alert(self, stored: StoredMessage) -> None:
        alert = _read(Alert, stored)
        if alert is None:
            return
        self._alerts.take(alert)
        if alert.sequence is None:
            return
        if alert.incident_id:
            self._judge.remember(alert.incident_id, alert.sequence)
        elif alert.key == LATCHED:
            self._judge.operated = max(self._judge.operated, alert.sequence)

    def greet(self, hello: AgentHello) -> None:
        """An agent's hello that is kept."""
        self._dependencies.hear(hello.agent.key, hello.depends_on)

    def forget(self, key: str) -> None:
        """The hello of an agent (`kind/id`) is kept no longer."""
        self._dependencies.forget(key)

    async def outcome(self, outcome: RecoveryOutcome) -> None:
        """How an incident stands; one that comes twice changes nothing."""
        self._rules.hear_outcome(outcome)
        await self._take(self._judge.outcome(outcome))

    async def _status(self, message: Message) -> None:
        status = _read(HealthStatus, message)
        if status is not None:
            self._rules.hear_status(status, self._runtime.now())

    async def _sample(self, message: Message) -> None:
        # Rules look once a second, so one sample a second and agent is read.
        now = self._runtime.now()
        if 0 <= now - self._sampled.get(message.subject, 0) < _NANO * 9 // 10:
            return
        if len(self._sampled) > _SAMPLED_AGENTS:
            self._sampled.clear()
        self._sampled[message.subject] = now
        try:
            sample = codec.decode(HealthSample, message.body)
        except Refused as refused:
            log.debug(
                "no rule looks at a sample on %s: %s", message.subject, refused
            )  # its dead letter is written elsewhere
            return
        self._rules.hear_sample(sample, now)

    async def _sample_if_asked(self) -> None:
        if not self._sampling and any(rule.status is None for rule in self._policies.current.rules):
            self._sampling = True
            subject = self._subjects.everyone("health")
            self._runtime.subscriptions.append(await self._runtime.bus.subscribe(subject, self._sample))

    async def _operated(self, _: StoredMessage) -> None:
        # From where it stopped, not only the record that was heard: one before it may have come while nobody listened.
        subjects, start = self._subjects, self._journal_read + 1
        async for stored in self._runtime.bus.read(subjects.stream("JOURNAL"), subjects.journal_control, start=start):
            self._journal_read = max(self._journal_read, stored.sequence)
            record = _read(JournalRecord, stored)
            for entry in record.entries if record is not None else ():
                if isinstance(entry, Operated):
                    await self._take(self._judge.operate(entry, stored.sequence))

    # What is made of it

    async def _take(self, verdict: Verdict | None) -> None:
        if verdict is None or _disabled(verdict.condition, self._policies.current.alerts.disabled):
            return
        now = self._runtime.now()
        alert = self._alerts.judge(verdict, now)
        if alert is None:
            return
        # In the same breath, or it might be told before it is muted.
        only = (alert.key,)
        for change in (alert, *self._alerts.step(now, self._mutes(now, only), only)):
            await self._storing.put(change)

    async def _step_on(self) -> None:
        while True:
            await asyncio.sleep(_STEP_SECONDS)
            if self._policies.look():
                await self._take_policy()
            await self._step()

    async def _step(self) -> None:
        now = self._runtime.now()
        self._rules.hear_findings(finding for each in self._findings for finding in each.findings())
        for verdict in self._rules.judge(now, self._alerts.open.__contains__, list(self._alerts.open)):
            await self._take(verdict)
        keys = list(self._alerts.open)
        for alert in self._alerts.step(now, self._mutes(now, keys), keys):
            await self._storing.put(alert)

    def _mutes(self, now: int, keys: Iterable[str]) -> dict[str, str]:
        alerts, hold = self._alerts, self._policies.current.alerts.inhibit_hold_seconds
        asked = [alerts.open[key] for key in keys if key in alerts.open]
        latest = islice(alerts.resolved.newest(), _RECENT)
        recent = takewhile(lambda one: now - one.time_unix_nano < hold * _NANO, latest)
        mutes = inhibited(asked, (*alerts.open.values(), *recent), self._dependencies)
        silences = list(self._orders.silences.values())
        if silences:
            said = ((alert.key, silenced(alert, silences, now)) for alert in asked)
            mutes |= {key: mute for key, mute in said if mute}
        return mutes

    async def _take_policy(self) -> None:
        policy = self._policies.current
        self._alerts.times, self._rules.policy = policy.alerts, policy
        await self._sample_if_asked()
        self._deliveries.staff()

    async def _look_at_services(self) -> None:
        while True:
            await asyncio.sleep(_SERVICES_SECONDS)
            answers = [await self._answers(name) for name in SERVICES]
            present = {name: answer for name, answer in zip(SERVICES, answers, strict=True) if answer is not None}
            self._rules.hear_services(present)
            await self._orders.tidy()

    async def _answers(self, name: str) -> bool | None:
        try:
            _ = await self._runtime.bus.request(f"$SRV.PING.{name}", b"", timeout=_PING_SECONDS)
        except (NoResponders, BusTimeout):
            # Without the server nobody answers, which says nothing of the services.
            return False if self._runtime.bus.connected else None
        except BusError:
            return None
        return True

    # The way there

    async def _look(self) -> None:
        bus, now = self._runtime.bus, self._runtime.now
        looked, reconnects = now(), bus.reconnects
        connected = looked
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            if bus.reconnects != reconnects:
                reconnects = bus.reconnects
                await self._storing.again(looked)
            looked = now()
            if bus.connected:
                connected = looked
                await self.notify(_FOUND, key="bus", severity="critical", resolved=True)
            elif looked - connected > _BUS_LOST_SECONDS * _NANO:
                await self.notify(_LOST, key="bus", severity="critical", resolved=False)


def _disabled(condition: Condition | None, disabled: Iterable[str]) -> bool:
    return condition is not None and condition.rule in disabled


def _read(model: type[M], stored: StoredMessage | Message) -> M | None:
    try:
        return codec.decode(model, stored.body, MAX_SERVICE_BODY)
    except Refused as refused:
        log.warning("what is stored on %s is of no use: %s", stored.subject, refused)
        return None
