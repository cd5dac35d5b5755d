"""What the strategy-selector asks the other services, and what they answer."""

from typing import Annotated, Final, Literal

from pydantic import Field

from mendbus.contracts.fields import (
    Count,
    DetailText,
    Millis,
    Numbers,
    Ratio,
    ReadCategory,
    ShortText,
    TakenMillis,
    Token,
    UnixNano,
    WireModel,
)
from mendbus.contracts.messages import ErrorReported, RecoveryCommand
from mendbus.contracts.summaries import PredictionSummary
from mendbus.contracts.vocabulary import CommandStatus, Severity


class Classify(WireModel):
    """What is this error?"""

    error: ErrorReported
    fingerprint: ShortText


class Classification(WireModel):
    """Category, severity (the agent's own words win) and an honest confidence."""

    category: ReadCategory
    severity: Severity
    confidence: Ratio
    model: ShortText
    rule: ShortText | None = None
    duration_ms: TakenMillis = 0


class Assess(WireModel):
    """Will this agent fail within the horizon, given this error?"""

    error: ErrorReported
    fingerprint: ShortText
    classification: Classification
    errors_per_minute: Annotated[float, Field(ge=0)] = 0.0
    recurrences: Count = 0
    open_incidents: Count = 0


class Assessment(WireModel):
    """The predictor's answer; `why_invalid` says why a prediction must not be used."""

    prediction: PredictionSummary
    why_invalid: ShortText | None = None
    errors: Numbers = {}
    duration_ms: TakenMillis = 0


class Execute(WireModel):
    """Carry out one attempt: send the command, then probe. `command` absent: probe only."""

    incident_id: Token
    agent_kind: Token
    agent_id: Token
    command: RecoveryCommand | None = None
    operation: ShortText | None = None
    timeout_ms: Millis


class AttemptResult(WireModel):
    """What came of an attempt. `verified` is the probe's word, never the command's.

    `code` `no_agent`: nobody listens for commands of this agent.
    """

    incident_id: Token
    command_id: Token | None = None
    status: CommandStatus
    code: ShortText | None = None
    detail: DetailText | None = None
    verified: bool
    undo_token: ShortText | None = None
    commanded_unix_nano: UnixNano | None = None
    acted_unix_nano: UnixNano | None = None
    probed_unix_nano: UnixNano | None = None


ProbeState = Literal["healthy", "unhealthy", "unreachable", "silent"]
"""What a probe found; all but `healthy` are codes of its result. `unreachable`: nobody listens; `silent`: no answer
in time."""
UNHEARD: Final[tuple[ProbeState, ...]] = ("unreachable", "silent")
"""Where nothing was heard: the agent may be gone or hang, and the way to it may be cut."""
