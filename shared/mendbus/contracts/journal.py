"""What the owner of a partition writes to its journal: one record a group commit, entries in the order they happened.

The journal is the audit trail, the input of replay and training, and what a new owner rebuilds its state from.
"""

from typing import Annotated, Final, Literal

from pydantic import Field

from mendbus.contracts.asks import AttemptResult, Classification
from mendbus.contracts.fields import Count, DetailText, ReadCategory, ShortText, Token, UnixNano, WireModel
from mendbus.contracts.messages import AgentRef, ErrorReported, RecoveryCommand, RecoveryOutcome
from mendbus.contracts.summaries import DecisionSummary, PredictionSummary, Times
from mendbus.contracts.vocabulary import Severity, Strategy


class Claimed(WireModel):
    """A service took the partition over; its first write fences the one before it off."""

    type: Literal["claimed"] = "claimed"
    owner: ShortText


class Opened(WireModel):
    """A new incident, from its first error. `tried`: strategies that a recurrence skips."""

    type: Literal["opened"] = "opened"
    incident_id: Token
    agent: AgentRef
    fingerprint: ShortText
    error: ErrorReported
    stale: bool = False
    recurrence_of: Token | None = None
    tried: list[Strategy] = []
    trace_id: ShortText = ""
    traceparent: ShortText | None = None


class Counted(WireModel):
    """Errors counted into an incident; `sequences` are those of the ERRORS stream, one for each event id.

    `repeated`: one of them came after the recovery that was settling, which therefore did not hold.
    """

    type: Literal["counted"] = "counted"
    incident_id: Token
    lane: Literal["urgent", "normal"]
    sequences: list[Count]
    event_ids: list[Token]
    error_count: Count
    repeated: bool | None = None


class Rejected(WireModel):
    """An error that was no valid message; its bytes are in DEAD."""

    type: Literal["rejected"] = "rejected"
    lane: Literal["urgent", "normal"]
    sequence: Count
    code: ShortText


class Floored(WireModel):
    """Every sequence of a lane up to `floor` has been counted, so the single ones below it may be forgotten."""

    type: Literal["floored"] = "floored"
    lane: Literal["urgent", "normal"]
    floor: Count


class Decided(WireModel):
    """What was found and chosen. With a `command` it is the intent: no command goes out that is not on disk."""

    type: Literal["decided"] = "decided"
    incident_id: Token
    attempt: Count
    strategy: Strategy | None = None
    decision: DecisionSummary
    classification: Classification
    prediction: PredictionSummary | None = None
    command: RecoveryCommand | None = None
    times: Times = Times()


class Commanded(WireModel):
    """The intent of an `undo` or a `restore`."""

    type: Literal["commanded"] = "commanded"
    incident_id: Token
    command: RecoveryCommand


class Attempted(WireModel):
    """What came of the command of an intent."""

    type: Literal["attempted"] = "attempted"
    incident_id: Token
    command_id: Token
    result: AttemptResult
    ended_unix_nano: UnixNano


class Concluded(WireModel):
    """The outcome as it was told to everyone; it may be followed by others of a higher sequence."""

    type: Literal["concluded"] = "concluded"
    outcome: RecoveryOutcome


class Held(WireModel):
    """A limiting strategy stays in force until its hold time of good health is over (nanoseconds since 1970)."""

    type: Literal["held"] = "held"
    incident_id: Token
    until_unix_nano: UnixNano


class Released(WireModel):
    """A limiting strategy is no longer in force: it was lifted, or the agent refused to lift it (`detail`)."""

    type: Literal["released"] = "released"
    incident_id: Token
    detail: DetailText = ""


LATCH: Final = "latch"
"""The verb of the entry that switches recovery off until a person resumes it; written by the strategy-selector."""
RESUME: Final = "resume"
NOTE: Final = "note"
"""The verb of a person's note on an incident: `reason` is its text."""
RELABEL: Final = "relabel"
"""The verb with which a person says what an incident really was: `category`, `severity` and why."""
AUDIT: Final = "audit"
"""The order by which another service has an operator's action noted; the entry's verb is the action's own."""
REDRIVE: Final = "redrive"
"""The verb of the entry that says who had a dead letter (`key`: `dead:` and its number) sent again."""
AUDITED: Final = frozenset(("ack", "silence", "unsilence", REDRIVE))
"""Actions of operators that others do, and the strategy-selector only notes."""


class Operated(WireModel):
    """What an operator did: to an incident, an agent, a kind, or (none of them named) to everything.

    `until_unix_nano`: when a pause or a silence ends. `key`: the alert or silence that it is about. `category` and
    `severity`: what an incident was relabelled as.
    """

    type: Literal["operated"] = "operated"
    verb: Token
    by: ShortText
    incident_id: Token | None = None
    reason: DetailText | None = None
    agent: AgentRef | None = None
    kind: Token | None = None
    until_unix_nano: UnixNano | None = None
    category: ReadCategory | None = None
    severity: Severity | None = None
    key: ShortText | None = None


Entry = Annotated[
    Claimed
    | Opened
    | Counted
    | Rejected
    | Floored
    | Decided
    | Commanded
    | Attempted
    | Concluded
    | Held
    | Released
    | Operated,
    Field(discriminator="type"),
]


class JournalRecord(WireModel):
    """One group commit. `previous` is the SHA-256 (hex) of the body of the record before it, empty for the first."""

    id: Token
    time_unix_nano: UnixNano
    partition: Count
    number: Count
    owner: ShortText
    previous: ShortText
    entries: list[Entry]
