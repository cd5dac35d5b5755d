"""Messages between agents and services, one model each; WIRE names and limits.

What services ask each other: `asks`; what outcomes consist of: `summaries`.
"""

from typing import Annotated, Final

from pydantic import Field

from mendbus.contracts.fields import (
    Attributes,
    Count,
    DetailText,
    MessageText,
    Millis,
    Numbers,
    OpenMap,
    Ratio,
    ReadCategory,
    ShortText,
    StackText,
    TakenMillis,
    Token,
    UnixNano,
    WireModel,
)
from mendbus.contracts.summaries import AttemptSummary, ClassificationSummary, DecisionSummary, PredictionSummary, Times
from mendbus.contracts.vocabulary import (
    Action,
    AlertChange,
    AlertSeverity,
    AlertState,
    CommandStatus,
    Health,
    NoticeEvent,
    Outcome,
    RehearseAction,
    RehearseStatus,
    Severity,
    Strategy,
)


class AgentRef(WireModel):
    """Who: kind and id are the last two tokens of the subject; `instance` is the boot id of the process."""

    kind: Token
    id: Token
    version: ShortText | None = None
    instance: Token | None = None

    @property
    def key(self) -> str:
        """`kind/id`, the name by which people and tables know an agent."""
        return f"{self.kind}/{self.id}"


class Frame(WireModel):
    """One stack frame."""

    file: DetailText = ""
    function: ShortText = ""
    line: Count = 0
    in_app: bool = True


class Cause(WireModel):
    """An exception that led to the one reported."""

    type: ShortText
    message: MessageText = ""


class ExceptionInfo(WireModel):
    """What went wrong; frames run outermost first, innermost last."""

    type: ShortText
    message: MessageText
    stacktrace: StackText | None = None
    frames: Annotated[list[Frame], Field(max_length=64)] = []
    causes: Annotated[list[Cause], Field(max_length=8)] = []


OVERTAKEN: Final = "mendbus.overtaken"
"""Attribute of an error, true where what failed had begun before the agent had done the last command it was given."""


class ErrorReported(WireModel):
    """An agent's error. Published with JetStream; the PubAck is the promise that it is never lost."""

    id: Token
    time_unix_nano: UnixNano
    agent: AgentRef
    exception: ExceptionInfo
    severity: Severity | None = None
    category: ReadCategory | None = None
    operation: ShortText | None = None
    attributes: Attributes = {}
    metrics: Numbers = {}
    checkpoint_id: Token | None = None
    count: Annotated[int, Field(ge=1, le=2**53)] = 1
    first_time_unix_nano: UnixNano | None = None
    correlation_id: ShortText | None = None


class RecoveryCommand(WireModel):
    """One thing for an agent to do, at most once; `command_id` is the unit of idempotency."""

    command_id: Token
    incident_id: Token
    attempt: Count
    agent: AgentRef
    action: Action
    strategy: Strategy
    operation: ShortText | None = None
    category: ReadCategory | None = None
    event_ids: Annotated[list[Token], Field(max_length=16)] = []
    checkpoint_id: Token | None = None
    parameters: OpenMap
    timeout_ms: Millis
    deadline_unix_nano: UnixNano
    fence: Count
    instance: Token | None = None


class CommandResult(WireModel):
    """What became of a command. `accepted`: still at work, the probe will tell."""

    command_id: Token
    status: CommandStatus
    code: ShortText | None = None
    detail: DetailText | None = None
    undo_token: ShortText | None = None
    duration_ms: TakenMillis | None = None


class Probe(WireModel):
    """Asks an agent to exercise the thing that failed."""

    incident_id: Token | None = None
    operation: ShortText | None = None
    deadline_unix_nano: UnixNano


class ProbeResult(WireModel):
    """Whether the thing that failed works now."""

    healthy: bool
    operation: ShortText | None = None
    detail: DetailText | None = None
    checked_unix_nano: UnixNano


class RecoveryOutcome(WireModel):
    """How an incident stands. Of all outcomes of an incident the one with the highest `sequence` is the truth."""

    incident_id: Token
    sequence: Count
    agent: AgentRef
    fingerprint: ShortText
    outcome: Outcome
    reason: DetailText | None = None
    strategy: Strategy | None = None
    attempts: list[AttemptSummary] = []
    error_count: Count
    event_count: Count
    event_ids: Annotated[list[Token], Field(max_length=100)] = []
    symptoms: list[Token] = []
    error: ErrorReported | None = None
    classification: ClassificationSummary | None = None
    prediction: PredictionSummary | None = None
    decision: DecisionSummary | None = None
    times: Times = Times()
    trace_id: ShortText
    settled: bool | None = None
    undone: bool | None = None


class Settlement(WireModel):
    """Tells an agent which of its event ids are done with."""

    agent: AgentRef
    event_ids: Annotated[list[Token], Field(max_length=900)]
    outcome: Outcome
    incident_id: Token | None = None


class SettledQuery(WireModel):
    """An agent asks what became of its events.

    `sequences` (event id: stream sequence from its PubAck) lets the owner answer exactly for as long as ERRORS is kept.
    """

    event_ids: Annotated[list[Token], Field(max_length=900)]
    agent: AgentRef | None = None
    sequences: Annotated[dict[Token, Count], Field(max_length=900)] = {}


class SettledReply(WireModel):
    """`settled`: forget them; `open`: wait; `unknown`: send them again."""

    settled: list[Token] = []
    open: list[Token] = []
    unknown: list[Token] = []


class Operation(WireModel):
    """Something an agent does that can fail, and the names of its registered alternatives."""

    name: ShortText
    fallbacks: Annotated[list[ShortText], Field(max_length=32)] = []


class Rehearse(WireModel):
    """Brings a fault into one agent that has opted in, so that its recovery can be rehearsed; `id` is done once.

    `begin` needs `fault`, `seconds` and the agent's `instance`; `end` the `id` of what is to end; `look` changes
    nothing. `calls`: the fault ends after so many calls of `operation`, or after `seconds`, whichever comes first.
    """

    id: Token
    time_unix_nano: UnixNano
    agent: AgentRef
    action: RehearseAction
    by: ShortText
    fault: Token | None = None
    operation: ShortText | None = None
    seconds: Annotated[float, Field(ge=0.01, le=300)] | None = None
    calls: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    parameters: Numbers = {}


class RehearseResult(WireModel):
    """What an agent did about it, and who it is: `pid` means the same process wherever `host` is the same text."""

    id: Token
    status: RehearseStatus
    detail: DetailText | None = None
    operation: ShortText | None = None
    instance: Token
    pid: Count
    host: ShortText
    operations: Annotated[list[ShortText], Field(max_length=256)] = []


class AgentHello(WireModel):
    """An agent says what it is and what it can do; a request, repeated until the health-monitor has stored it."""

    id: Token | None = None
    time_unix_nano: UnixNano | None = None
    agent: AgentRef
    strategies: Annotated[list[Strategy], Field(max_length=32)]
    operations: Annotated[list[Operation], Field(max_length=256)] = []
    features: Annotated[list[ShortText], Field(max_length=256)] = []
    depends_on: Annotated[list[ShortText], Field(max_length=64)] = []
    standby_for: ShortText | None = None
    limits: Numbers = {}
    interval_ms: Annotated[int, Field(ge=1, le=3_600_000)]
    sdk: ShortText | None = None


class HelloReply(WireModel):
    """The hello is stored."""

    stored: bool
    time_unix_nano: UnixNano


class AgentGoodbye(WireModel):
    """An agent leaves on purpose: its silence is not a failure."""

    id: Token
    time_unix_nano: UnixNano
    agent: AgentRef
    reason: DetailText | None = None


class HealthSample(WireModel):
    """One reading of an agent. A metric that is missing is missing, never zero."""

    agent: AgentRef
    time_unix_nano: UnixNano
    sequence: Count
    interval_ms: Annotated[int, Field(ge=1, le=3_600_000)]
    metrics: Numbers
    gauges: Numbers = {}
    limits: Numbers = {}


class HealthStatus(WireModel):
    """What the health-monitor makes of an agent; `score` in per cent."""

    id: Token
    time_unix_nano: UnixNano
    agent: AgentRef
    status: Health
    previous: Health | None = None
    score: Annotated[float, Field(ge=0, le=100)]
    reason: DetailText
    metrics: Numbers = {}


class HealthMinute(WireModel):
    """What an agent's samples of one minute come to: `[min, mean, max, count]` of each metric, and of its `score`."""

    agent: AgentRef
    time_unix_nano: UnixNano
    metrics: Annotated[dict[ShortText, Annotated[list[float], Field(min_length=4, max_length=4)]], Field(max_length=64)]


class AgentSeconds(WireModel):
    """One agent's means for the seconds (counted from the message's time) in which something was heard of it.

    A series has one value for each of `seconds`, but for those that `missing` names for it.
    """

    agent: AgentRef
    seconds: Annotated[list[Count], Field(max_length=60)]
    series: Annotated[dict[ShortText, Annotated[list[float], Field(max_length=60)]], Field(max_length=64)]
    missing: Annotated[dict[ShortText, Annotated[list[Count], Field(max_length=60)]], Field(max_length=64)] = {}


class HealthSeconds(WireModel):
    """Ten seconds of the agents of one bundle, second by second; `time_unix_nano`: when the first second began."""

    time_unix_nano: UnixNano
    agents: list[AgentSeconds]


class FailurePredicted(WireModel):
    """An agent is likely to fail within `horizon_ms`, judged from its health alone."""

    id: Token
    time_unix_nano: UnixNano
    agent: AgentRef
    probability: Ratio
    confidence: Ratio
    strategy: Strategy | None = None
    horizon_ms: Millis
    model: ShortText
    features: Numbers = {}


class PeerNotice(WireModel):
    """Tells every agent that a peer is cut off, is back, or has handed over."""

    id: Token
    time_unix_nano: UnixNano
    agent: AgentRef
    event: NoticeEvent
    to: ShortText | None = None
    incident_id: Token | None = None


class Alert(WireModel):
    """Something a person should know. `key` names the condition: one alert a key is open at a time.

    Each message is one `change` of it, the `version`-th; the last one says all there is to know. `since` is when it was
    raised, `waiting` from when it has waited for somebody to take it on, `calm` since when its condition is over
    although it flaps and is kept open (nanoseconds since 1970). `sequence`: of the outcome or journal record it is
    made of. `muted_by`: what keeps it from notifying (`silence:ID`, or `alert:KEY` of an agent that this one depends
    on). `reason`: of whoever acknowledged it.
    """

    id: Token
    key: ShortText
    time_unix_nano: UnixNano
    severity: AlertSeverity
    state: AlertState
    agent: AgentRef | None = None
    summary: DetailText
    hint: DetailText | None = None
    incident_id: Token | None = None
    trace_id: ShortText | None = None
    acknowledged_by: ShortText | None = None
    rule: ShortText | None = None
    change: AlertChange | None = None
    version: Count | None = None
    since_unix_nano: UnixNano | None = None
    waiting_unix_nano: UnixNano | None = None
    calm_unix_nano: UnixNano | None = None
    sequence: Count | None = None
    muted_by: ShortText | None = None
    reason: DetailText | None = None
    flapping: bool | None = None


class Control(WireModel):
    """An operator's order or question; `by` is who, `arguments` are the verb's own."""

    id: Token
    time_unix_nano: UnixNano
    verb: Token
    by: ShortText
    agent: AgentRef | None = None
    kind: Token | None = None
    arguments: OpenMap = {}
    reason: DetailText | None = None


class ControlResult(WireModel):
    """What a service did about an order."""

    ok: bool
    service: Token
    instance: Token
    detail: DetailText | None = None
    data: OpenMap = {}
