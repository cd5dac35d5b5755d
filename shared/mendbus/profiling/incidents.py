"""Where the time of one recovery went: stage by stage from what was recorded of it, span by span from its trace."""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from mendbus.contracts.messages import RecoveryOutcome
from mendbus.traces import SpanRow

Source = Literal["outcome", "stream", "trace", "id"]
"""Where the end of a stage is known from; `id`: from the incident's own id, to the millisecond."""

PROCESS_SPAN: Final = "process error"
_ID_DIGITS: Final = 12
_NANO_A_MILLI: Final = 1_000_000


class Stage(NamedTuple):
    """A stretch of a recovery, from the end of the one before (ns since 1970). Negative where two clocks disagree."""

    name: str
    start: int
    end: int
    source: Source

    @property
    def ms(self) -> float:
        """How long it took, in milliseconds."""
        return (self.end - self.start) / 1e6


def stages(outcome: RecoveryOutcome, stored_unix_nano: int | None, spans: Sequence[SpanRow]) -> list[Stage]:
    """The way from the error to its end, in order; a stage of which no time is known is part of the next one.

    `stored_unix_nano`: when the server acknowledged the first error, so that the wait in the queue can be told.
    """
    times = outcome.times
    pulled, source = _pulled(outcome.incident_id, spans)
    ends: list[tuple[str, int | None, Source]] = [
        ("send, store", stored_unix_nano, "stream"),
        ("queue wait", pulled, source),
        ("classify", times.classified, "outcome"),
        ("assess", times.assessed, "outcome"),
        ("decide", times.selected, "outcome"),
        ("journal, command", times.commanded, "outcome"),
        ("act", times.acted, "outcome"),
        ("verify", times.verified, "outcome"),
    ]
    found: list[Stage] = []
    before = times.reported
    for name, end, known_from in ends:
        if end is None:
            continue
        if before is not None:
            told = "send, store, queue wait" if name == "queue wait" and stored_unix_nano is None else name
            found.append(Stage(told, before, end, known_from))
        before = end
    return found


def _pulled(incident_id: str, spans: Sequence[SpanRow]) -> tuple[int | None, Source]:
    for span in spans:
        if span.name == PROCESS_SPAN and span.attributes.get("mendbus.incident.id") == incident_id:
            return span.start, "trace"
    digits = incident_id.replace("-", "")
    try:
        made = int(digits[:_ID_DIGITS], 16) * _NANO_A_MILLI
    except ValueError:
        return None, "id"
    # Ids of ours are UUIDv7, made as the error is taken from the queue.
    return (made, "id") if digits[_ID_DIGITS : _ID_DIGITS + 1] == "7" else (None, "id")


def stacks(spans: Sequence[SpanRow]) -> dict[tuple[str, ...], float]:
    """Microseconds that each span took by itself, by the names of the spans around it and its own."""
    known = {span.span_id: span for span in spans}
    inside: dict[str, int] = {}
    for span in known.values():
        parent = known.get(span.parent_id)
        if parent is not None:
            covered = min(span.end, parent.end) - max(span.start, parent.start)
            inside[parent.span_id] = inside.get(parent.span_id, 0) + max(0, covered)
    found: dict[tuple[str, ...], float] = {}
    for span in known.values():
        alone = span.end - span.start - inside.get(span.span_id, 0)
        if alone > 0:
            path = _path(span, known)
            found[path] = found.get(path, 0.0) + alone / 1e3
    return found


def _path(span: SpanRow, known: dict[str, SpanRow]) -> tuple[str, ...]:
    names: list[str] = []
    seen: set[str] = set()
    here: SpanRow | None = span
    while here is not None and here.span_id not in seen:
        seen.add(here.span_id)
        names.append(f"{here.service}: {here.name}")
        here = known.get(here.parent_id)
    return tuple(reversed(names))
