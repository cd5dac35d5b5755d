"""What the tests of the command line show: one incident, as far as it can go."""

from typing import Any

from mendbus.contracts.asks import Classification
from mendbus.contracts.journal import Opened
from mendbus.contracts.messages import AgentRef, Cause, ErrorReported, ExceptionInfo, Frame, RecoveryOutcome
from mendbus.contracts.summaries import (
    Alternative,
    AttemptSummary,
    ClassificationSummary,
    DecisionSummary,
    PredictionSummary,
    Times,
)

MS = 1_000_000
REPORTED = 1_700_000_000_000 * MS
INCIDENT = "018bcfe5-6800-7000-8000-000000000001"
AGENT = AgentRef(kind="runtime", id="r1")


def error(**changes: Any) -> ErrorReported:
    """An error of runtime/r1."""
    exception = ExceptionInfo(
        type="ValueError",
        message="boom [red]\x1b[31m",
        frames=[Frame(file="app.py", function="serve", line=7)],
        causes=[Cause(type="KeyError", message="'k'")],
    )
    told: dict[str, Any] = {
        "id": "event-1",
        "time_unix_nano": REPORTED,
        "agent": AGENT,
        "exception": exception,
        "operation": "reload",
    }
    return ErrorReported(**(told | changes))


def outcome(**changes: Any) -> RecoveryOutcome:
    """An incident that was recovered by its second attempt and has settled."""
    attempts = [
        AttemptSummary(
            attempt=number,
            command_id=f"command-{number}",
            strategy=strategy,
            status="done",
            verified=verified,
            undone=not verified,
            started_unix_nano=REPORTED + number * 10 * MS,
            ended_unix_nano=REPORTED + number * 10 * MS + 5 * MS,
        )
        for number, strategy, verified in ((1, "rollback", False), (2, "retry", True))
    ]
    told: dict[str, Any] = {
        "incident_id": INCIDENT,
        "sequence": 1,
        "agent": AGENT,
        "fingerprint": "v1:abc",
        "outcome": "recovered",
        "reason": "the probe is healthy",
        "strategy": "retry",
        "attempts": attempts,
        "error_count": 3,
        "event_count": 2,
        "event_ids": ["event-1", "event-2"],
        "error": error(),
        "classification": ClassificationSummary(category="build", severity="error", confidence=0.8, model="rules-v1"),
        "prediction": PredictionSummary(valid=True, probability=0.9, strategy="retry", confidence=0.7, model="base"),
        "decision": DecisionSummary(
            policy="d1gest",
            rule="ladder",
            reason="the next rung",
            alternatives=[Alternative(strategy="restart", why_not="not supported by the agent")],
        ),
        "times": Times(
            reported=REPORTED,
            classified=REPORTED + 1 * MS,
            assessed=REPORTED + 2 * MS,
            selected=REPORTED + 3 * MS,
            commanded=REPORTED + 20 * MS,
            acted=REPORTED + 24 * MS,
            verified=REPORTED + 25 * MS,
        ),
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "settled": True,
    }
    return RecoveryOutcome(**(told | changes))


def opened(incident_id: str = INCIDENT) -> Opened:
    """The same incident's first entry in the journal."""
    return Opened(incident_id=incident_id, agent=AGENT, fingerprint="v1:abc", error=error(), trace_id="ab" * 16)


def classification() -> Classification:
    """What the classifier said of it."""
    return Classification(category="build", severity="error", confidence=0.8, model="rules-v1")
