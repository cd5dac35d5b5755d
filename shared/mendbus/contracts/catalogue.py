"""Every family of messages in one table: who sends what to whom, on which subject, kept where, refused by whom.

`proto/` is generated from it, and the tests hold subjects, streams and models against it.
"""

from dataclasses import dataclass
from typing import Final, Literal

from mendbus.contracts.asks import Assess, Assessment, AttemptResult, Classification, Classify, Execute
from mendbus.contracts.fields import WireModel
from mendbus.contracts.journal import JournalRecord
from mendbus.contracts.messages import (
    AgentGoodbye,
    AgentHello,
    Alert,
    CommandResult,
    Control,
    ControlResult,
    ErrorReported,
    FailurePredicted,
    HealthMinute,
    HealthSample,
    HealthSeconds,
    HealthStatus,
    HelloReply,
    PeerNotice,
    Probe,
    ProbeResult,
    RecoveryCommand,
    RecoveryOutcome,
    Rehearse,
    RehearseResult,
    SettledQuery,
    SettledReply,
    Settlement,
)
from mendbus.contracts.subjects import MAX_BODY, MAX_SERVICE_BODY
from mendbus.contracts.vocabulary import SERVICES, ServiceName

Role = Literal["agent", "operator"] | ServiceName
"""Who may stand at an end of a subject; the strategy-selector is meant where the owner of a partition is."""
StreamName = Literal["ERRORS", "JOURNAL", "RECOVERIES", "ALERTS", "HEALTH", "DEAD"]


@dataclass(frozen=True, slots=True)
class Family:
    """One family of messages.

    `address`: subject below the root, `{name}` for a token that varies. `body` None: the bytes of another message.
    `receivers`: those who must read it come first; whoever has the right may listen too. `queue`: group in which each
    message goes to one replica; empty: each replica gets it. `id_header`: what `Nats-Msg-Id` is.
    """

    name: str
    address: str
    body: type[WireModel] | None
    senders: tuple[Role, ...]
    receivers: tuple[Role, ...]
    summary: str
    reply: type[WireModel] | None = None
    queue: str = ""
    stream: StreamName | None = None
    id_header: str | None = None

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the tokens that vary, in the order of the subject."""
        return tuple(token[1:-1] for token in self.address.split(".") if token.startswith("{"))

    @property
    def dead_letter(self) -> ServiceName | None:
        """The first service that reads it, which writes the dead letter of what does not fit; None: agents only."""
        return next((role for role in self.receivers if role in SERVICES), None)

    @property
    def limit(self) -> int:
        """Largest body in bytes: agents and operators may send less than services."""
        return MAX_SERVICE_BODY if all(sender in SERVICES for sender in self.senders) else MAX_BODY

    @property
    def reply_limit(self) -> int:
        """Largest body of an answer in bytes."""
        return MAX_BODY if "agent" in self.receivers else MAX_SERVICE_BODY


FAMILIES: Final[tuple[Family, ...]] = (
    Family(
        "error",
        "error.{severity}.{kind}.{agent}",
        ErrorReported,
        ("agent", "strategy-selector"),
        ("strategy-selector", "health-monitor"),
        "An agent reports an error; the server's acknowledgement is the promise that it is never lost. The "
        "strategy-selector stores what was predicted of an agent as a `warning` of it.",
        stream="ERRORS",
        id_header="the event's `id`",
    ),
    Family(
        "outcome",
        "outcome.{kind}.{agent}",
        RecoveryOutcome,
        ("strategy-selector",),
        ("health-monitor", "predictor", "agent", "operator"),
        "How an incident of the agent stands; the highest sequence is the truth.",
        stream="RECOVERIES",
        id_header="`incident_id`, a dash, `sequence`",
    ),
    Family(
        "settlement",
        "settlement.{kind}.{agent}",
        Settlement,
        ("strategy-selector",),
        ("agent",),
        "Event ids that are done with: the agent may forget them.",
    ),
    Family(
        "settled",
        "settled.{kind}.{agent}",
        SettledQuery,
        ("agent",),
        ("strategy-selector",),
        "An agent asks what became of its events; the owner of its partition answers.",
        reply=SettledReply,
    ),
    Family(
        "command",
        "command.{kind}.{agent}",
        RecoveryCommand,
        ("executor",),
        ("agent",),
        "One thing for the agent to do, at most once.",
        reply=CommandResult,
    ),
    Family(
        "probe",
        "probe.{kind}.{agent}",
        Probe,
        ("executor",),
        ("agent",),
        "The agent is to exercise the thing that failed and say whether it works.",
        reply=ProbeResult,
    ),
    Family(
        "rehearse",
        "rehearse.{kind}.{agent}",
        Rehearse,
        ("operator",),
        ("agent",),
        "An operator brings a fault into an agent that has opted in, to see it recover.",
        reply=RehearseResult,
    ),
    Family(
        "hello",
        "agent.hello.{kind}.{agent}",
        AgentHello,
        ("agent",),
        ("health-monitor", "strategy-selector", "executor", "predictor"),
        "An agent says what it is and what it can do, again and again until it is answered.",
        reply=HelloReply,
    ),
    Family(
        "goodbye",
        "agent.goodbye.{kind}.{agent}",
        AgentGoodbye,
        ("agent",),
        ("health-monitor", "strategy-selector", "predictor"),
        "An agent leaves on purpose: its silence is not a failure.",
    ),
    Family(
        "health",
        "health.{kind}.{agent}",
        HealthSample,
        ("agent",),
        ("health-monitor", "predictor"),
        "One reading of an agent's metrics.",
    ),
    Family(
        "status",
        "status.{kind}.{agent}",
        HealthStatus,
        ("health-monitor",),
        ("strategy-selector", "executor", "predictor", "agent", "operator"),
        "What the health-monitor makes of an agent.",
    ),
    Family(
        "minute",
        "history.minute.{kind}.{agent}",
        HealthMinute,
        ("health-monitor",),
        ("health-monitor", "operator"),
        "What an agent's samples of one minute come to.",
        stream="HEALTH",
        id_header="kind, agent and the minute's number since 1970, with dots between them",
    ),
    Family(
        "second",
        "history.second.{bundle}",
        HealthSeconds,
        ("health-monitor",),
        ("health-monitor", "operator"),
        "Ten seconds of the agents of one bundle, kept for ten minutes.",
        stream="HEALTH",
        id_header="`second`, the bundle and the number of these ten seconds since 1970, with dots between them",
    ),
    Family(
        "prediction",
        "prediction.{kind}.{agent}",
        FailurePredicted,
        ("predictor",),
        ("strategy-selector", "health-monitor"),
        "An agent is likely to fail soon, judged from its health alone.",
    ),
    Family(
        "notice",
        "notice.{kind}.{agent}",
        PeerNotice,
        ("strategy-selector",),
        ("agent",),
        "A peer was cut off, is back, or has handed over.",
    ),
    Family(
        "alert",
        "alert.{state}.{severity}",
        Alert,
        ("health-monitor",),
        ("operator",),
        "Something a person should know.",
        stream="ALERTS",
        id_header="the alert's `id`",
    ),
    Family(
        "control",
        "control.{verb}",
        Control,
        ("operator",),
        ("strategy-selector", "executor", "health-monitor", "classifier", "predictor"),
        "An operator's order or question; every service that it concerns answers.",
        reply=ControlResult,
    ),
    Family(
        "classify",
        "classifier.classify",
        Classify,
        ("strategy-selector",),
        ("classifier",),
        "What kind of error is this?",
        reply=Classification,
        queue="classifier",
    ),
    Family(
        "assess",
        "predictor.assess",
        Assess,
        ("strategy-selector",),
        ("predictor",),
        "Will this agent fail, given this error?",
        reply=Assessment,
        queue="predictor",
    ),
    Family(
        "execute",
        "executor.execute",
        Execute,
        ("strategy-selector",),
        ("executor",),
        "Carry out one attempt and probe the agent.",
        reply=AttemptResult,
        queue="executor",
    ),
    Family(
        "journal",
        "journal.{partition}",
        JournalRecord,
        ("strategy-selector",),
        ("strategy-selector", "health-monitor", "operator"),
        "What the owner of a partition decided and did, one record a group commit; `journal.control` is the owner of "
        "partition 0 on what operators did that names no agent.",
        stream="JOURNAL",
        id_header="the record's `id`",
    ),
    Family(
        "dead",
        "dead.{service}",
        None,
        SERVICES,
        ("operator",),
        "What a service had to refuse, as it came, with the reason in its headers.",
        stream="DEAD",
    ),
)

REFUSALS: Final[dict[str, str]] = {
    "too_large": "the body has more bytes than its sender may send",
    "not_msgpack": "the body is no complete msgpack value, or holds an extension type, text that is not UTF-8, or a "
    "key that is no text",
    "trailing_bytes": "something follows the message",
    "duplicate_key": "a map names the same key twice",
    "not_a_map": "the body is a msgpack value, but no map",
    "too_deep": "maps and lists nest deeper than 8, the message itself being the first level",
    "invalid": "a field is missing, has the wrong type, is over its limit, or holds a word or number that it may not",
    "content_type": "the Content-Type header names something else than application/vnd.msgpack",
    "agent_mismatch": "the body speaks for another agent than the subject",
    "severity_mismatch": "the severity in the body is not the token in the subject",
    "bad_subject": "the subject does not have the tokens of its family",
}
"""Codes of dead letters: what each means. A code never changes its meaning; new ones may come."""
