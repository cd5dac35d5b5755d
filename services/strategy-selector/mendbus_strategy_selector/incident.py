"""One incident: a few facts that are looked at all the time, and its details, which are bytes while nobody needs them.

Most incidents rest: they settle, are parked or have closed. As models each would be some sixty objects that every
collection of garbage looks at.
"""

import sys
from dataclasses import dataclass, fields
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

from mendbus import codec
from mendbus.contracts.asks import Classification
from mendbus.contracts.messages import AgentRef, ErrorReported, RecoveryCommand, RecoveryOutcome
from mendbus.contracts.summaries import AttemptSummary, DecisionSummary, PredictionSummary, Times
from mendbus.contracts.vocabulary import Outcome, Strategy

Phase = Literal["open", "settling", "parked", "closed"]

SHOWN_EVENTS: Final = 100
_TOLD = ("error", "event_ids", "prediction", "decision", "attempts", "times", "trace_id")
"""Details that an outcome tells as they are."""
_AS_TOLD = "as_told"


class Details(BaseModel):
    """What is needed of an incident to work on it and to tell of it."""

    model_config = ConfigDict(defer_build=True)

    error: ErrorReported
    trace_id: str = ""
    event_ids: list[str] = []
    """The first hundred."""
    unsettled: list[str] = []
    """Event ids whose senders still wait for a settlement."""
    classification: Classification | None = None
    prediction: PredictionSummary | None = None
    decision: DecisionSummary | None = None
    attempts: list[AttemptSummary] = []
    times: Times = Times()
    outcome: RecoveryOutcome | None = None
    """The last outcome told."""

    def packed(self, outcome: bytes = b"") -> bytes:
        """All of it; what the outcome says too is there once. `outcome`: the last one, if it is packed already."""
        told = self.outcome
        same = [name for name in _TOLD if told is not None and getattr(self, name) == getattr(told, name)]
        rest = {**self.model_dump(exclude_none=True, exclude={*same, "outcome"}), _AS_TOLD: same}
        return codec.pack(rest) if told is None else codec.pack_with(rest, "outcome", outcome or codec.encode(told))


def retold(content: bytes, **changes: Any) -> tuple[bytes, bytes, int]:
    """From packed details: their outcome as settled, packed; the details that hold it; the number of its attempts.

    `changes`: other fields that it tells otherwise than the one before. Raises `KeyError` where there is none.
    """
    value = codec.reread(content)
    last = value.pop("outcome")
    attempts = last.get("attempts", [])
    shown = value.get("event_ids", last.get("event_ids", []))
    undone = bool(attempts and attempts[-1].get("undone"))
    body = codec.pack({**last, "event_ids": shown, **changes, "settled": True, "undone": undone})
    return body, codec.pack_with(value, "outcome", body), len(attempts)


def unpacked(content: bytes) -> Details:
    """What `Details.packed` gave. Raises `Refused` or `ValueError` for anything else."""
    value = codec.reread(content)
    if "outcome" in value:
        told = value["outcome"] = RecoveryOutcome.model_validate(value["outcome"])
        value |= {name: getattr(told, name) for name in value[_AS_TOLD]}
    return Details.model_validate(value)


def as_told(outcome: RecoveryOutcome) -> Details:
    """Details as an outcome tells them. Raises `ValueError` for one that does not tell of its error."""
    found = outcome.classification
    return Details.model_validate(
        {name: getattr(outcome, name) for name in _TOLD}
        | {"outcome": outcome, "classification": found and Classification.model_validate(found.model_dump())}
    )


@dataclass(slots=True, eq=False)
class Incident:
    """One fingerprint of one agent, from its first error until it is settled, ended otherwise or closed."""

    id: str
    agent: AgentRef
    fingerprint: str
    opened_unix_nano: int
    stored: Details | bytes | None
    """The details; packed, while it rests; None: they are in the journal alone."""
    body: bytes = b""
    """The last outcome, packed, from when it was told until the details are."""
    operation: str | None = None
    """What failed: the details may rest while that is probed."""
    traceparent: str | None = None
    stale: bool = False
    recurrence_of: str | None = None
    tried: tuple[Strategy, ...] = ()
    phase: Phase = "open"
    error_count: int = 0
    event_count: int = 0
    late_event_ids: tuple[str, ...] = ()
    """Events counted since the details are in the journal alone, as far as they would be shown."""
    strategy: Strategy | None = None
    rule: str = ""
    """By which rule it was last decided on."""
    selected_unix_nano: int = 0
    """When it was last decided on."""
    ended_unix_nano: int = 0
    """When the last attempt ended."""
    pending: RecoveryCommand | None = None
    """A command that is on disk and whose result is not."""
    standing: Outcome | None = None
    """The last outcome told, in a word."""
    sequence: int = -1
    """The number of the last outcome told."""
    told_count: int = 0
    """How many errors the last outcome told."""
    outcome_unix_nano: int = 0
    """When the last outcome was written."""
    recorded: int = 0
    """Stream sequence of the journal's record with the last outcome; 0: not known."""
    concluded_unix_nano: int = 0
    """When it reached its phase."""
    held_until_unix_nano: int = 0
    """Until when a limiting strategy stays in force; 0: none is."""
    repeated: bool = False
    """It came again while it settled, or its recovery was taken back: the next rung is due."""
    approved: Strategy | None = None
    """A strategy that a person approved of and that has not been begun."""
    symptom_of: str | None = None
    """The incident that this one was a symptom of when it was last decided on."""

    @property
    def details(self) -> Details:
        """The details, from here on as models until `fold`. Raises `LookupError` when only the journal has them."""
        if isinstance(self.stored, bytes):
            self.stored = unpacked(self.stored)
        if self.stored is None:
            raise LookupError(f"the details of {self.id} are in the journal alone")
        return self.stored

    @property
    def slim(self) -> bool:
        """Whether only the journal has the details."""
        return self.stored is None

    @property
    def key(self) -> tuple[str, str]:
        """What makes errors the same incident."""
        return sys.intern(self.agent.key), self.fingerprint

    @property
    def untold(self) -> bool:
        """Whether errors were counted after the last outcome."""
        return self.standing is not None and self.error_count > self.told_count

    @property
    def done(self) -> bool:
        """Whether it has closed and everything about it is over and written down."""
        return self.phase == "closed" and not self.held_until_unix_nano and self.pending is None and not self.untold

    @property
    def unsettled(self) -> list[str]:
        """Event ids whose senders still wait for a settlement: none, once an outcome was told."""
        return self.details.unsettled if self.standing is None else []

    @property
    def error(self) -> ErrorReported:
        """The first error."""
        return self.details.error

    @property
    def attempts(self) -> list[AttemptSummary]:
        """All attempts, whose results are known."""
        return self.details.attempts

    @property
    def spent_ms(self) -> int:
        """Time of all attempts together."""
        return sum(a.ended_unix_nano - a.started_unix_nano for a in self.attempts) // 1_000_000

    def fold(self) -> None:
        """Packs the details, if nobody works on the incident now."""
        if isinstance(self.stored, Details) and self.phase != "open" and self.pending is None:
            self.stored, self.body = self.stored.packed(self.body), b""

    def drop(self) -> bool:
        """Leaves the details to the journal, if all is over and the record there is known; whether it did."""
        if self.done and self.recorded:
            self.stored, self.body = None, b""
            # Of use only before, and a good part of what would be left.
            self.opened_unix_nano = self.selected_unix_nano = self.ended_unix_nano = 0
            self.operation = self.traceparent = None
        return self.slim

    def packed(self) -> bytes:
        """Everything, for a snapshot."""
        value: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN}
        value["agent"] = self.agent.model_dump(exclude_none=True)
        value["pending"] = self.pending and self.pending.model_dump(exclude_none=True)
        value["stored"] = self.stored.packed() if isinstance(self.stored, Details) else self.stored
        return codec.pack({name: item for name, item in value.items() if item is not None})


_MODELS = ("agent", "pending", "stored", "body")
_PLAIN: Final = tuple(field.name for field in fields(Incident) if field.name not in _MODELS)


def restored(value: dict[str, Any]) -> Incident:
    """What `Incident.packed` gave, unpacked. Raises `ValueError`, `KeyError` or `TypeError` for anything else."""
    pending = value.get("pending")
    plain: dict[str, Any] = {
        **value,
        "agent": AgentRef.model_validate(value["agent"]),
        "pending": None if pending is None else RecoveryCommand.model_validate(pending),
        "stored": value.get("stored"),
        "tried": tuple(value["tried"]),
        "late_event_ids": tuple(value["late_event_ids"]),
    }
    return Incident(**plain)
