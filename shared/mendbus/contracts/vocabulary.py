"""The closed sets of words that go over the wire, in the order that matters."""

from typing import Final, Literal, get_args

AgentKind = Literal["versioning", "build_pipeline", "runtime", "developer_tools", "shader_pipeline", "orchestrator"]
"""The kinds with a one-hot slot of their own; any other token is a valid kind too."""

Severity = Literal["warning", "error", "critical", "fatal"]
Category = Literal[
    "memory",
    "network",
    "storage",
    "build",
    "runtime",
    "dependency",
    "configuration",
    "performance",
    "concurrency",
    "security",
    "unknown",
]
Strategy = Literal[
    "retry",
    "fallback",
    "rollback",
    "isolate",
    "restart",
    "scale_down",
    "graceful_degradation",
    "failover",
    "escalate",
]
Action = Literal["apply", "undo", "restore"]
Health = Literal["excellent", "good", "fair", "poor", "critical", "failed", "retired"]
AlertSeverity = Literal["info", "warning", "minor", "major", "critical"]
AlertState = Literal["raised", "acknowledged", "resolved"]
AlertChange = Literal[
    "raised", "updated", "worsened", "escalated", "acknowledged", "muted", "unmuted", "calmed", "returned", "resolved"
]
"""Why an alert is told again: each message of one is a change of it."""
CommandStatus = Literal["done", "accepted", "failed", "unsupported", "expired", "stale", "misaddressed", "unauthorized"]
Outcome = Literal["recovered", "no_action", "escalated", "awaiting_approval", "suppressed", "failed", "rejected"]
NoticeEvent = Literal["isolated", "restored", "failed_over"]
RehearseAction = Literal["look", "begin", "end"]
RehearseStatus = Literal["ready", "begun", "ended", "refused"]
Metric = Literal[
    "cpu_percent",
    "memory_bytes",
    "disk_percent",
    "network_bytes_per_s",
    "errors_per_s",
    "response_time_ms",
    "throughput_per_s",
    "availability_ratio",
    "temperature_celsius",
    "power_watts",
    "cache_hit_ratio",
    "queue_depth",
]
ServiceName = Literal["classifier", "predictor", "strategy-selector", "executor", "health-monitor"]

IN_PLACE: Final = "in_place"
"""Code of a failover after which the successor serves under the same kind and id: its peers go on calling it."""

AGENT_KINDS: Final[tuple[AgentKind, ...]] = get_args(AgentKind)
SEVERITIES: Final[tuple[Severity, ...]] = get_args(Severity)
CATEGORIES: Final[tuple[Category, ...]] = get_args(Category)
KNOWN_CATEGORIES: Final[tuple[Category, ...]] = tuple(category for category in CATEGORIES if category != "unknown")
"""Those that say what an error is. Models number them in this order."""
STRATEGIES: Final[tuple[Strategy, ...]] = get_args(Strategy)
METRICS: Final[tuple[Metric, ...]] = get_args(Metric)
ALERT_SEVERITIES: Final[tuple[AlertSeverity, ...]] = get_args(AlertSeverity)
SERVICES: Final[tuple[ServiceName, ...]] = get_args(ServiceName)

LIMITING: Final = frozenset[Strategy](("isolate", "scale_down", "graceful_degradation", "fallback", "failover"))
"""Strategies that limit the agent until they are lifted with a `restore` command."""

UNDOABLE: Final = LIMITING | frozenset[Strategy](("rollback",))
"""Strategies whose `apply` can be taken back with an `undo` command."""

SILENT_AGENT_STRATEGIES: Final[tuple[Strategy, ...]] = ("retry", "restart")
"""What an agent that never said hello is taken to support."""
