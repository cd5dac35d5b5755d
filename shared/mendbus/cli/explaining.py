"""Everything about one incident, as text or JSON."""

import json
from collections.abc import Iterable, Iterator, Sequence

from mendbus.annotations import Annotations
from mendbus.asking.incident_facts import explained
from mendbus.asking.incidents import Noted, incident_of
from mendbus.cli.connect import connected
from mendbus.cli.listing import standing
from mendbus.cli.output import ago, clean, document, moment, ms, say
from mendbus.contracts.journal import Opened
from mendbus.contracts.messages import ErrorReported, RecoveryOutcome
from mendbus.contracts.summaries import Times
from mendbus.settings import Settings

_BAR_WIDTH = 40
_ENTRY_WIDTH = 160


async def tell(settings: Settings, prefix: str, *, audit: bool, as_json: bool) -> None:
    """Prints what is known of the incident whose id begins so. Raises `MendbusError` when there is none, or several."""
    async with connected(settings) as bus:
        found = await explained(bus, settings.subjects, prefix, audit=audit)
    if as_json:
        document(found.facts())
        return
    for line in lines_of(found.outcomes, found.journal, found.written):
        say(line)


def lines_of(
    outcomes: Sequence[RecoveryOutcome], journal: Sequence[Noted], written: Annotations | None = None
) -> list[str]:
    """Everything about one incident: from its outcomes if it has some, these entries of the journal, and what people
    wrote on it.
    """
    lines = [*(_concluded(outcomes) if outcomes else _open(journal))]
    lines += [*_written(written, _incident(outcomes, journal)), *_audit(journal)] if written else _audit(journal)
    return ["".join(c if c.isprintable() else "?" for c in line) for line in lines]


def _concluded(outcomes: Sequence[RecoveryOutcome]) -> Iterator[str]:
    last = outcomes[-1]
    yield f"incident {last.incident_id}: {standing(last)}{f' by {last.strategy}' if last.strategy else ''}"
    if last.reason:
        yield f"  because         {clean(last.reason)}"
    yield f"  agent           {last.agent.key}"
    if last.error is not None:
        yield from _error(last.error)
    events = f" in {last.event_count} events" if last.event_count > 1 else ""
    yield f"  errors          {last.error_count}{events}, fingerprint {last.fingerprint or '-'}"
    if found := last.classification:
        sure = f"confidence {found.confidence:.2f}, by {found.model}"
        yield f"  classification  {found.category}, {found.severity} ({sure})"
    yield from _prediction(last)
    yield from _decision(last)
    yield from _attempts(last)
    yield from waterfall(last.times)
    if len(outcomes) > 1:
        yield "  outcomes"
        for outcome in outcomes:
            yield f"    {outcome.sequence:>3}  {standing(outcome)}, {outcome.error_count} errors"
    if last.trace_id:
        yield f"  trace           {last.trace_id} (mendbus trace {last.trace_id[:12]})"


def _error(error: ErrorReported) -> Iterator[str]:
    yield f"  error           {clean(error.exception.type)}: {clean(error.exception.message, 400)}"
    for cause in error.exception.causes:
        yield f"    caused by     {clean(cause.type)}: {clean(cause.message, 400)}"
    if error.operation:
        yield f"  operation       {clean(error.operation)}"
    for frame in error.exception.frames[-3:]:
        yield f"    at            {clean(frame.file)}:{frame.line} {clean(frame.function)}"
    yield f"  reported        {moment(error.time_unix_nano)} ({ago(error.time_unix_nano)} ago)"


def _prediction(last: RecoveryOutcome) -> Iterator[str]:
    if (found := last.prediction) is None:
        return
    if not found.valid:
        yield "  prediction      not valid, not used"
        return
    advice = f", recommends {found.strategy} (confidence {found.confidence:.2f})" if found.strategy else ""
    yield f"  prediction      fails with probability {found.probability:.2f}{advice}, by {found.model}"


def _decision(last: RecoveryOutcome) -> Iterator[str]:
    if (found := last.decision) is None:
        return
    rule = f"rule {found.rule}, policy {found.policy}"
    yield f"  decision        {last.strategy or 'none'}: {clean(found.reason)} ({clean(rule)})"
    if learned := found.learned:
        acts = "decides" if learned.acts else "is in trial"
        how = ", tried out to learn" if learned.explored else ", held out for comparison" if learned.held_out else ""
        beside = f"{clean(learned.rival)} {learned.rival_strategy}"
        yield f"  learned         {clean(learned.model)} {acts}: {learned.strategy}{how}; {beside}"
    for other in found.alternatives:
        yield f"    not           {other.strategy:<21} {clean(other.why_not)}"


def _attempts(last: RecoveryOutcome) -> Iterator[str]:
    for attempt in last.attempts:
        taken = ms(attempt.ended_unix_nano - attempt.started_unix_nano)
        end = ", ".join(
            ("verified" if attempt.verified else "not verified", *(("undone",) if attempt.undone else ())),
        )
        yield f"  attempt {attempt.attempt:<8}{attempt.strategy:<21} {attempt.status}, {end}, {taken}"


def waterfall(times: Times) -> Iterator[str]:
    """The stages that were reached, one a line: when, as a bar from the stage before, and how long that took."""
    reached = [(name, at) for name in Times.model_fields if (at := getattr(times, name)) is not None]
    reached.sort(key=lambda stage: stage[1])
    if not reached:
        return
    start = before = reached[0][1]
    total = max(1, reached[-1][1] - start)
    for name, at in reached:
        left = int((before - start) / total * _BAR_WIDTH)
        length = max(1, round((at - before) / total * _BAR_WIDTH))
        bar = f"{' ' * min(left, _BAR_WIDTH - 1)}{'█' * length}"[:_BAR_WIDTH]
        yield f"  {name:<10} {ms(at - start):>12} |{bar:<{_BAR_WIDTH}}| {ms(at - before):>12}"
        before = at


def _open(journal: Sequence[Noted]) -> Iterator[str]:
    opened = next((noted.entry for noted in journal if isinstance(noted.entry, Opened)), None)
    incident = incident_of(journal[0].entry)
    yield f"incident {incident}: under way, there is no outcome yet"
    if opened is not None:
        yield f"  agent           {opened.agent.key}"
        yield from _error(opened.error)
        if opened.trace_id:
            yield f"  trace           {opened.trace_id} (mendbus trace {opened.trace_id[:12]})"


def _incident(outcomes: Sequence[RecoveryOutcome], journal: Sequence[Noted]) -> str:
    return outcomes[-1].incident_id if outcomes else incident_of(journal[0].entry) or ""


def _written(written: Annotations, incident: str) -> Iterator[str]:
    if relabel := written.relabels.get(incident):
        what = relabel.category + (f", {relabel.severity}" if relabel.severity else "")
        when = f"{ago(relabel.time_unix_nano)} ago"
        yield f"  relabelled      {what} (by {clean(relabel.by)}, {when}): {clean(relabel.reason)}"
    for note in written.notes.get(incident, ()):
        yield f"  note            {clean(note.text)} (by {clean(note.by)}, {ago(note.time_unix_nano)} ago)"


def _audit(journal: Iterable[Noted]) -> Iterator[str]:
    for place, noted in enumerate(journal):
        if not place:
            yield "  journal"
        facts = noted.entry.model_dump(exclude_none=True, exclude={"type", "incident_id", "error", "outcome"})
        text = clean(json.dumps(facts, ensure_ascii=False, default=str), _ENTRY_WIDTH)
        where = f"{noted.partition}/{noted.number}"
        yield f"    {where:<8} {moment(noted.time_unix_nano)}  {noted.entry.type:<10} {noted.owner}  {text}"
