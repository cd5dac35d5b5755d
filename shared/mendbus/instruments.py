"""Every metric that Mendbus offers: name, kind, unit, attributes, what it means. One table; nothing else makes any.

`python -m mendbus.instruments` prints it. Names are those of OpenTelemetry's semantic conventions where it has them.
Nothing of the canary is in any of them but its own.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from mendbus.contracts.vocabulary import AGENT_KINDS, SEVERITIES, STRATEGIES

Kind = Literal["counter", "updowncounter", "gauge", "histogram"]

MOST_VALUES: Final = 32
"""Values of an attribute that are told apart; those that come later count as `OTHER`."""
OTHER: Final = "other"

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets of durations."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """What a metric is told apart by. `values`: all that there are; none: the first `MOST_VALUES` that come."""

    name: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Instrument:
    """One metric. `unit` in UCUM, as OpenTelemetry writes it; `services`: who has it, all where none is named."""

    name: str
    kind: Kind
    unit: str
    meaning: str
    attributes: tuple[Attribute, ...] = ()
    services: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


SELECTOR: Final = ("strategy-selector",)
MONITOR: Final = ("health-monitor",)

AGENT_KIND: Final = Attribute("mendbus.agent.kind", AGENT_KINDS)
SEVERITY: Final = Attribute("mendbus.severity", ("unknown", *SEVERITIES))
STRATEGY: Final = Attribute("mendbus.strategy", ("none", *STRATEGIES))
STAGES: Final = ("queue", "journal", "classify", "assess", "execute", "recovery")

REQUESTS: Final = Instrument(
    "messaging.process.duration",
    "histogram",
    "s",
    "How long it took to answer a request, and how many came; `error.type`: `400` refused, `500` failed",
    (Attribute("messaging.destination.template"), Attribute("error.type", ("", "400", "500"))),
    buckets=SECONDS,
)
ERRORS: Final = Instrument(
    "mendbus.errors",
    "counter",
    "{error}",
    "Errors counted, each as often as its sender says it happened",
    (SEVERITY, AGENT_KIND),
    SELECTOR,
)
DEDUPLICATED: Final = Instrument(
    "mendbus.errors.deduplicated",
    "counter",
    "{error}",
    "Those of them that were repeats of an incident that there was already",
    (SEVERITY, AGENT_KIND),
    SELECTOR,
)
REDELIVERED: Final = Instrument(
    "mendbus.errors.redelivered",
    "counter",
    "{message}",
    "Stored errors that came again after they had been counted; they are acknowledged and change nothing",
    services=SELECTOR,
)
STAGES_TAKEN: Final = Instrument(
    "mendbus.stage.duration",
    "histogram",
    "s",
    "How long a stage took: `queue` from stored to pulled, `journal` a synced write, `classify`, `assess`, `execute` "
    "with the way there and back, `recovery` from the agent's report to the healthy probe",
    (Attribute("mendbus.stage", STAGES),),
    SELECTOR,
    (*SECONDS, 30.0, 60.0),
)
OUTCOMES: Final = Instrument(
    "mendbus.outcomes",
    "counter",
    "{incident}",
    "What recoveries came to, the settling afterwards not counted again",
    (
        Attribute(
            "mendbus.outcome",
            ("recovered", "no_action", "escalated", "awaiting_approval", "suppressed", "failed", "rejected"),
        ),
        STRATEGY,
    ),
    SELECTOR,
)
RECOVERIES: Final = Instrument(
    "mendbus.recovery.duration",
    "histogram",
    "s",
    "How long recoveries took that were verified, from the agent's report to the healthy probe, by the strategy that "
    "helped, and how many there were",
    (STRATEGY, AGENT_KIND),
    SELECTOR,
    (*SECONDS, 30.0, 60.0),
)
RECOVERY_ATTEMPTS: Final = Instrument(
    "mendbus.recovery.attempts",
    "histogram",
    "{attempt}",
    "How many attempts those recoveries took",
    (STRATEGY,),
    SELECTOR,
    (1.0, 2.0, 3.0, 4.0, 5.0),
)
ATTEMPTS: Final = Instrument(
    "mendbus.attempts",
    "counter",
    "{attempt}",
    "Strategies that were tried, and whether the probe was healthy after them",
    (STRATEGY, Attribute("mendbus.verified", ("true", "false"))),
    SELECTOR,
)
CHOICES: Final = Instrument(
    "mendbus.choices",
    "counter",
    "{decision}",
    "Decisions of which a learned choice was known: `same` as the policy's or another, in trial or in use, "
    "tried out to learn, or held out for comparison",
    (Attribute("mendbus.choice", ("same", "trial", "learned", "explored", "held_out")),),
    SELECTOR,
)
OPEN_INCIDENTS: Final = Instrument(
    "mendbus.incidents.open",
    "updowncounter",
    "{incident}",
    "Incidents without an outcome, in the partitions that this replica owns",
    services=SELECTOR,
)
QUEUE_LAG: Final = Instrument(
    "mendbus.queue.lag",
    "updowncounter",
    "{message}",
    "Stored errors of the partitions of this replica that are not counted on disk yet: those pulled, and those that "
    "were behind the last one when it came",
    services=SELECTOR,
)
AGENTS_REFUSED: Final = Instrument(
    "mendbus.agents.refused",
    "gauge",
    "1",
    "1 for each agent whose errors the server refuses, since it holds more than its share of ERRORS; told by the owner "
    "of partition 0",
    (Attribute("mendbus.agent"),),
    SELECTOR,
)
DEAD_LETTERS: Final = Instrument(
    "mendbus.dead_letters",
    "counter",
    "{message}",
    "Messages that were refused and put on `dead.<service>`, by the code of the reason",
    (Attribute("mendbus.code"),),
)
LOOP_DELAY: Final = Instrument(
    "mendbus.event_loop.delay",
    "histogram",
    "s",
    "How late the event loop was, looked at twice a second",
    buckets=SECONDS,
)
RECONNECTS: Final = Instrument(
    "mendbus.bus.reconnects", "counter", "{connection}", "How often the connection to NATS was lost and came back"
)
READY: Final = Instrument("mendbus.ready", "gauge", "1", "1 while `/readyz` is 200 for this service, else 0")
DROPPED_SPANS: Final = Instrument(
    "mendbus.spans.dropped", "counter", "{span}", "Spans that ended and were neither sent nor kept"
)
CPU_TIME: Final = Instrument(
    "process.cpu.time",
    "counter",
    "s",
    "CPU time of the process",
    (Attribute("cpu.mode", ("user", "system")),),
)
MEMORY: Final = Instrument("process.memory.usage", "updowncounter", "By", "Resident memory of the process")
DESCRIPTORS: Final = Instrument(
    "process.unix.file_descriptor.count", "updowncounter", "{file_descriptor}", "File descriptors that it holds open"
)
UPTIME: Final = Instrument("process.uptime", "gauge", "s", "How long it has been running")

AGENTS: Final = Instrument(
    "mendbus.agents",
    "updowncounter",
    "{agent}",
    "Agents that the monitor knows, by their health; `unknown` before the first sample",
    (Attribute("mendbus.status", ("unknown", "excellent", "good", "fair", "poor", "critical", "failed", "retired")),),
    MONITOR,
)
SAMPLES: Final = Instrument(
    "mendbus.samples",
    "counter",
    "{sample}",
    "Health samples that were taken in",
    services=MONITOR,
)
SAMPLES_FLAWED: Final = Instrument(
    "mendbus.samples.flawed",
    "counter",
    "{sample}",
    "What was the matter with samples: late, doubled, a number that cannot be, a clock that is off",
    (Attribute("mendbus.reason"),),
    MONITOR,
)
SAMPLES_LEFT_OUT: Final = Instrument(
    "mendbus.samples.left_out",
    "counter",
    "{sample}",
    "Health samples that newer ones of their agents overtook while the predictor was behind; counted by each replica",
    services=("predictor",),
)
PREDICTIONS: Final = Instrument(
    "mendbus.prediction.outcomes",
    "counter",
    "{prediction}",
    "Failures predicted, by what came: `right` when the agent failed within the horizon, else `wrong`; neither are "
    "those acted upon, of unknown end, and `late`, told when it had failed already; repeats of replicas count nowhere",
    (Attribute("mendbus.model"), Attribute("mendbus.result", ("right", "wrong", "acted_upon", "unknown", "late"))),
    MONITOR,
)
FORETOLD: Final = Instrument(
    "mendbus.prediction.failures",
    "counter",
    "{failure}",
    "Failures of agents, by whether one was predicted within its horizon; `acted_upon` and `unknown` as above",
    (Attribute("mendbus.result", ("foretold", "missed", "acted_upon", "unknown")),),
    MONITOR,
)
FORETOLD_BY: Final = Instrument(
    "mendbus.prediction.lead",
    "histogram",
    "s",
    "How long before a failure it was first predicted, of those that were",
    services=MONITOR,
    buckets=(1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0),
)
CALIBRATION_ERROR: Final = Instrument(
    "mendbus.prediction.calibration_error",
    "gauge",
    "1",
    "How far the probabilities that were told and what came of them are apart, of the newest thousand of each model",
    services=MONITOR,
)
WATCHED_TIME: Final = Instrument(
    "mendbus.prediction.watched",
    "counter",
    "s",
    "Time that agents were alive and watched, all together, over which false alarms are counted",
    services=MONITOR,
)
ALERTS: Final = Instrument(
    "mendbus.alerts.open",
    "updowncounter",
    "{alert}",
    "Alerts that are raised or acknowledged and not resolved",
    (Attribute("mendbus.alert.severity", ("info", "warning", "minor", "major", "critical")),),
    MONITOR,
)
WEBHOOKS: Final = Instrument(
    "mendbus.webhooks",
    "counter",
    "{request}",
    "Webhook requests: `sent`, `failed`; what is given up is a dead letter of code `undelivered`",
    (Attribute("mendbus.result", ("sent", "failed")),),
    MONITOR,
)
CANARIES: Final = Instrument(
    "mendbus.canary.sent", "counter", "{error}", "Canaries that this replica sent", services=MONITOR
)
CANARY_TIME: Final = Instrument(
    "mendbus.canary.duration",
    "histogram",
    "s",
    "How long a canary of this replica took through the whole pipeline, of those that came back recovered",
    services=MONITOR,
    buckets=SECONDS,
)
CANARY_OK: Final = Instrument(
    "mendbus.canary.ok",
    "gauge",
    "1",
    "0 while no canary comes back, so that errors may not be recovered",
    services=MONITOR,
)

TABLE: Final[tuple[Instrument, ...]] = (
    REQUESTS,
    ERRORS,
    DEDUPLICATED,
    REDELIVERED,
    STAGES_TAKEN,
    OUTCOMES,
    RECOVERIES,
    RECOVERY_ATTEMPTS,
    ATTEMPTS,
    CHOICES,
    OPEN_INCIDENTS,
    QUEUE_LAG,
    AGENTS_REFUSED,
    DEAD_LETTERS,
    LOOP_DELAY,
    RECONNECTS,
    READY,
    DROPPED_SPANS,
    CPU_TIME,
    MEMORY,
    DESCRIPTORS,
    UPTIME,
    AGENTS,
    SAMPLES,
    SAMPLES_FLAWED,
    SAMPLES_LEFT_OUT,
    PREDICTIONS,
    FORETOLD,
    FORETOLD_BY,
    CALIBRATION_ERROR,
    WATCHED_TIME,
    ALERTS,
    WEBHOOKS,
    CANARIES,
    CANARY_TIME,
    CANARY_OK,
)


def markdown(table: Sequence[Instrument] = TABLE) -> str:
    """The table for people."""
    lines = ["| name | kind | unit | attributes | who | what it says |", "|---|---|---|---|---|---|"]
    for one in table:
        attributes = "; ".join(
            f"`{attribute.name}`"
            + (f": {', '.join(value or 'none' for value in attribute.values)}" if attribute.values else "")
            for attribute in one.attributes
        )
        who = ", ".join(one.services) or "all"
        lines.append(f"| `{one.name}` | {one.kind} | `{one.unit}` | {attributes or '-'} | {who} | {one.meaning} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(markdown())
