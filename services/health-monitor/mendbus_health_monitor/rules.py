"""Rules: what is known of agents, recoveries and services -> the conditions that hold, and those that are over.

What is not known is neither: an alert stays as it is until something speaks for or against it. Knows no bus.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from mendbus.alert_policy import AlertPolicy, AlertRule
from mendbus.contracts.messages import AgentRef, HealthSample, HealthStatus, RecoveryOutcome
from mendbus.contracts.vocabulary import AlertSeverity, Health
from mendbus_health_monitor.alert_conditions import CANARY, CLOSING, Condition, Verdict, cut, key_of
from mendbus_health_monitor.alert_findings import Finding, condition_of

MAX_AGENTS: Final = 10_000
MAX_LATENCIES: Final = 1000
LATENCY_SECONDS: Final = 300.0
LATENCY_RECOVERIES: Final = 10
"""Fewer recoveries than these in `LATENCY_SECONDS` say nothing about how long recoveries take."""
UNKNOWN_SECONDS: Final = 3600.0
"""An alert of which nothing speaks for or against any more is resolved after so long."""
FRESH_SECONDS: Final = 10.0
"""A metric that is older than this, and than three of its intervals, is not known any more."""
WARM_UP_SECONDS: Final = 900.0
"""How long after a start the absence of a finding means nothing: it may not have been found yet."""
CLEAR_SECONDS: Final = 5.0
"""What a built-in rule found is over after it has been so for this long."""
RETIRED_SECONDS: Final = 60.0
"""How long an agent is remembered that has said goodbye."""
MAX_OUTCOMES: Final = 20_000
"""Incidents under way, or with a person, whose last outcome is remembered."""
MAX_OVER: Final = 1000
"""The same of incidents that are over: an outcome told twice comes soon after."""

_NANO: Final = 1_000_000_000
_WORSE: Final[dict[Health, int]] = {
    "excellent": 0, "good": 1, "fair": 2, "poor": 3, "critical": 4, "failed": 5, "retired": -1,
}  # fmt: skip
_SERVICES: Final[Mapping[str, tuple[AlertSeverity, str]]] = {
    "strategy-selector": ("critical", "errors stay in the queue: start a strategy-selector, nothing is lost"),
    "executor": ("critical", "nothing is executed, incidents wait in the journal: start an executor"),
    "classifier": ("major", "errors are taken for `unknown` and recovered by its ladder: start a classifier"),
    "predictor": ("minor", "strategies are chosen without prediction: start a predictor"),
}
SERVICES: Final[tuple[str, ...]] = tuple(_SERVICES)
"""The services whose absence is an alert."""


class _Steady:
    """Since when each key has been as it is now."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[bool, int]] = {}

    def judge(
        self, key: str, holds: bool, waits: tuple[float, float], now: int, make: Callable[[], Condition], said: str
    ) -> Verdict | None:
        """A verdict once it has been so for long enough; `waits`: seconds before it is raised, and is over."""
        known = self._since.get(key)
        if known is None or known[0] != holds:
            self._since[key] = known = holds, now
        if (now - known[1]) / _NANO < waits[not holds]:
            return None
        return Verdict(key, make() if holds else None, said)

    def forget(self, key: str) -> None:
        """Nothing is known of it."""
        _ = self._since.pop(key, None)


@dataclass(slots=True)
class _Agent:
    ref: AgentRef
    status: Health | None = None
    reason: str = ""
    sample: HealthSample | None = None
    sampled_unix_nano: int = 0
    retired_unix_nano: int = 0
    steady: _Steady = field(default_factory=_Steady)


class Rules:
    """Everything that rules look at. Times in nanoseconds since 1970; `now` is when it was made."""

    def __init__(self, policy: AlertPolicy, now: int) -> None:
        self.policy = policy
        """May be exchanged for another at any time."""
        self._begun = now
        self._agents: OrderedDict[str, _Agent] = OrderedDict()
        self._outcomes: OrderedDict[str, int] = OrderedDict()
        self._over: OrderedDict[str, int] = OrderedDict()
        self._parked: dict[str, set[str]] = {}
        self._latencies: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._services: dict[str, bool] = {}
        self._findings: dict[str, Condition] = {}
        self._undelivered: dict[str, int | None] = {}
        self._steady = _Steady()
        self._unknown: dict[str, int] = {}

    def hear_status(self, status: HealthStatus, now: int) -> None:
        """An agent's status."""
        if status.agent.key == CANARY:
            return
        agent = self._agent(status.agent)
        if status.status == "retired" and agent.status != "retired":
            agent.retired_unix_nano = now
        agent.status, agent.reason = status.status, status.reason

    def hear_sample(self, sample: HealthSample, now: int) -> None:
        """An agent's metrics."""
        if sample.agent.key != CANARY:
            agent = self._agent(sample.agent)
            agent.sample, agent.sampled_unix_nano = sample, now

    def hear_outcome(self, outcome: RecoveryOutcome) -> None:
        """How an incident stands: whether it is open, and how long its recovery took."""
        key, incident = outcome.agent.key, outcome.incident_id
        known = max(self._outcomes.get(incident, -1), self._over.get(incident, -1))
        if key == CANARY or outcome.sequence <= known:
            return
        parked = self._parked.setdefault(key, set())
        if outcome.settled is not None or outcome.outcome in ("no_action", "rejected"):
            parked.discard(incident)
            _ = self._outcomes.pop(incident, None)
            self._over[incident] = outcome.sequence
        else:
            parked.add(incident)
            self._outcomes[incident] = outcome.sequence
            self._outcomes.move_to_end(incident)
        if not parked:
            del self._parked[key]
        if len(self._over) > MAX_OVER:
            _ = self._over.popitem(last=False)
        if len(self._outcomes) > MAX_OUTCOMES:
            forgotten, _ = self._outcomes.popitem(last=False)
            for agent in [agent for agent, incidents in self._parked.items() if forgotten in incidents]:
                self._parked[agent].discard(forgotten)
        times = outcome.times
        if outcome.outcome in CLOSING and times.reported and times.verified:
            taken = (times.verified - times.reported) / 1e6
            _ = self._latencies.setdefault(incident, (times.verified, taken))
            if len(self._latencies) > MAX_LATENCIES:
                _ = self._latencies.popitem(last=False)

    def hear_services(self, present: Mapping[str, bool]) -> None:
        """Which services answer; those not named are not known."""
        self._services = dict(present)

    def hear_findings(self, findings: Iterable[Finding]) -> None:
        """All findings that stand now."""
        made = (condition_of(finding) for finding in findings if finding.harmful and finding.agent != CANARY)
        self._findings = {condition.key: condition for condition in made}

    def hear_webhook(self, name: str, waiting_since: int | None) -> None:
        """Since when a webhook has not taken a notification; None: it takes them."""
        self._undelivered[name] = waiting_since

    def judge(self, now: int, is_open: Callable[[str], bool], open_keys: Iterable[str]) -> list[Verdict]:
        """All verdicts of the moment; what is not known makes none, until it has not been known for very long."""
        disabled = frozenset(self.policy.alerts.disabled)
        for key in [key for key, agent in self._agents.items() if _left(agent, now)]:
            del self._agents[key]
        verdicts: list[Verdict | None] = []
        for agent in self._agents.values():
            if "agent_failed" not in disabled:
                verdicts.append(self._failed(agent, now, is_open))
            if "agent_critical" not in disabled:
                verdicts.append(self._critical(agent, now))
            verdicts += [self._of_rule(rule, agent, now) for rule in self.policy.rules]
        if "recovery_latency" not in disabled:
            verdicts.append(self._of_latency(now))
        if "service" not in disabled:
            verdicts += [self._of_service(name, present, now) for name, present in self._services.items()]
        if "webhook" not in disabled:
            verdicts += [self._of_webhook(name, since, now) for name, since in self._undelivered.items()]
        verdicts += [
            Verdict(key, condition) for key, condition in self._findings.items() if condition.rule not in disabled
        ]
        made = [verdict for verdict in verdicts if verdict is not None]
        return made + self._given_up({verdict.key for verdict in made}, open_keys, disabled, now)

    def _agent(self, ref: AgentRef) -> _Agent:
        agent = self._agents.get(ref.key)
        if agent is None:
            agent = self._agents[ref.key] = _Agent(ref)
            if len(self._agents) > MAX_AGENTS:
                _ = self._agents.popitem(last=False)
        agent.ref = ref
        return agent

    def _failed(self, agent: _Agent, now: int, is_open: Callable[[str], bool]) -> Verdict | None:
        if agent.status is None:
            return None
        name = agent.ref.key
        key = key_of("agent_failed", name)

        def make() -> Condition:
            summary = cut(f"{name} has failed and nothing recovers it: {agent.reason}")
            hint = "look whether its process runs and reaches NATS; start it again, or let it say goodbye"
            return Condition(key, "agent_failed", "major", summary, hint, agent.ref)

        # While an incident of it is open, that one is what a person hears of.
        holds = agent.status == "failed" and (is_open(key) or not self._parked.get(name))
        waits = self.policy.alerts.failed_seconds, CLEAR_SECONDS
        return agent.steady.judge(key, holds, waits, now, make, f"{name} is {agent.status}")

    def _critical(self, agent: _Agent, now: int) -> Verdict | None:
        if agent.status in (None, "failed"):
            return None
        name, wait = agent.ref.key, self.policy.alerts.critical_seconds
        key = key_of("agent_critical", name)

        def make() -> Condition:
            summary = cut(f"{name} has been critical for {wait:g} s: {agent.reason}")
            hint = "see which metric costs it most with `mendbus health`, and take load off it or give it more"
            return Condition(key, "agent_critical", "minor", summary, hint, agent.ref)

        said = f"{name} is {agent.status}"
        return agent.steady.judge(key, agent.status == "critical", (wait, CLEAR_SECONDS), now, make, said)

    def _of_rule(self, rule: AlertRule, agent: _Agent, now: int) -> Verdict | None:
        name = agent.ref.key
        if rule.kind not in (None, agent.ref.kind) or rule.agent not in (None, name):
            return None
        key = key_of("rule", rule.name, name)
        if agent.status == "retired":
            agent.steady.forget(key)
            return Verdict(key, None, f"{name} has said goodbye")
        found = self._found(rule, agent, now)
        if found is None:
            agent.steady.forget(key)
            return None
        holds, said = found

        def make() -> Condition:
            hint = rule.hint or f"the rule {rule.name} of the policy file found it: see `mendbus health {name}`"
            summary = cut(f"{name} {said}, for {rule.for_seconds:g} s (rule {rule.name})")
            return Condition(key, rule.name, rule.severity, summary, hint, agent.ref)

        waits = rule.for_seconds, rule.clear_seconds
        return agent.steady.judge(key, holds, waits, now, make, f"{name} {said}")

    def _found(self, rule: AlertRule, agent: _Agent, now: int) -> tuple[bool, str] | None:
        """Whether a rule holds of an agent, in words; None where that is not known."""
        if rule.status is not None:
            if agent.status is None:
                return None
            return _WORSE[agent.status] >= _WORSE[rule.status], f"is {agent.status}"
        value = self._value(rule, agent, now)
        if value is None:
            return None
        over = rule.above is not None and value > rule.above
        under = rule.below is not None and value < rule.below
        level = f"above {rule.above:g}" if rule.above is not None else f"below {rule.below:g}"
        what = f"has {rule.metric or rule.gauge} {value:.6g}"
        return over or under, f"{what}, {level}" if over or under else what

    def _value(self, rule: AlertRule, agent: _Agent, now: int) -> float | None:
        sample = agent.sample
        if sample is None or agent.status == "failed":
            return None
        if now - agent.sampled_unix_nano > max(FRESH_SECONDS * _NANO, 3 * sample.interval_ms * 1_000_000):
            return None
        return sample.metrics.get(rule.metric) if rule.metric else sample.gauges.get(rule.gauge or "")

    def _of_latency(self, now: int) -> Verdict | None:
        oldest, most = now - LATENCY_SECONDS * _NANO, self.policy.alerts.recovery_latency_ms
        taken = sorted(taken for at, taken in self._latencies.values() if at >= oldest)
        if len(taken) < LATENCY_RECOVERIES:
            return None
        slow, rule = taken[-max(1, len(taken) // 10)], "recovery_latency"
        summary = f"of the last five minutes' {len(taken)} recoveries one in ten took {slow:.0f} ms or more"
        hint = "see where the time goes with `mendbus profile INCIDENT`: in the agents, the disk of NATS, or a queue"
        condition = Condition(rule, rule, "warning", summary, hint) if slow > most else None
        return Verdict(rule, condition, f"nine recoveries of ten take less than {slow:.0f} ms")

    def _of_service(self, name: str, present: bool, now: int) -> Verdict | None:
        key = key_of("service", name)
        severity, hint = _SERVICES[name]
        waits = self.policy.alerts.service_seconds, CLEAR_SECONDS

        def make() -> Condition:
            return Condition(key, "service", severity, f"no {name} answers", hint)

        return self._steady.judge(key, not present, waits, now, make, f"{name} answers")

    def _of_webhook(self, name: str, since: int | None, now: int) -> Verdict | None:
        key = key_of("webhook", name)
        if since is None:
            return Verdict(key, None, f"the webhook {name} takes notifications")
        if (now - since) / _NANO < self.policy.alerts.webhook_seconds:
            return None
        summary = f"the webhook {name} takes no notifications: alerts wait for it"
        hint = "see why with `mendbus dead list`; mend its address, its secret or what listens there"
        return Verdict(key, Condition(key, "webhook", "minor", summary, hint))

    def _given_up(
        self, judged: set[str], open_keys: Iterable[str], disabled: frozenset[str], now: int
    ) -> list[Verdict]:
        """Open alerts that nothing was said of: a rule that is gone, or a subject that is never heard of again."""
        rules = {rule.name for rule in self.policy.rules}
        webhooks = {webhook.name for webhook in self.policy.webhooks}
        verdicts: list[Verdict] = []
        unknown: dict[str, int] = {}
        for key in open_keys:
            family, _, rest = key.partition(":")
            if key in judged or family in ("incident", "latched"):
                continue
            name = rest.partition(":")[0]
            gone = (family == "rule" and name not in rules) or (family == "webhook" and rest not in webhooks)
            since = unknown[key] = self._unknown.get(key, now)
            patience = UNKNOWN_SECONDS
            if family in ("degradation", "exhaustion"):
                warm = (now - self._begun) / _NANO >= WARM_UP_SECONDS
                patience = CLEAR_SECONDS if warm else WARM_UP_SECONDS
            if family in disabled or gone:
                verdicts.append(Verdict(key, None, "its rule is switched off"))
            elif (now - since) / _NANO >= patience:
                verdicts.append(Verdict(key, None, "nothing speaks for it any more"))
        self._unknown = unknown
        return verdicts


def _left(agent: _Agent, now: int) -> bool:
    return agent.status == "retired" and (now - agent.retired_unix_nano) / _NANO >= RETIRED_SECONDS
