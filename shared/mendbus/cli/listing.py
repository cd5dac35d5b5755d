"""The list of incidents."""

import time
from collections.abc import Sequence
from typing import Any

from mendbus.annotations import Annotations, read_annotations
from mendbus.cli.connect import connected
from mendbus.cli.incidents import fold, is_open, read_journal, read_outcomes, short_ids, under_way
from mendbus.cli.output import ago, document, ms, say, table
from mendbus.contracts.canary import is_canary
from mendbus.contracts.journal import Opened
from mendbus.contracts.messages import RecoveryOutcome
from mendbus.settings import Settings

COLUMNS = (
    "incident",
    "agent",
    "category",
    "severity",
    "strategy",
    "outcome",
    "errors>",
    "recovered in>",
    "notes>",
    "age>",
)


async def show(
    settings: Settings,
    limit: int,
    since_seconds: float,
    agent: tuple[str, str] | None,
    *,
    only_open: bool,
    as_json: bool,
) -> None:
    """Prints the newest incidents, the newest last. With `only_open` those without an outcome are among them."""
    since = max(0, time.time_ns() - int(since_seconds * 1e9))
    subjects = settings.subjects
    waiting: list[Opened] = []
    async with connected(settings) as bus:
        last = fold(await read_outcomes(bus, subjects, agent, since))
        written = await read_annotations(bus, subjects, since)
        if only_open:
            journal = await read_journal(bus, subjects, agent, since)
            waiting = [
                opened
                for opened in under_way(journal).values()
                if agent is None or (opened.agent.kind, opened.agent.id) == agent
            ]
    ids = short_ids((*last, *(opened.incident_id for opened in waiting)))
    told = [outcome for outcome in last.values() if not only_open or is_open(outcome)]
    if agent is None:
        told = [outcome for outcome in told if not is_canary(outcome.agent)]
        waiting = [opened for opened in waiting if not is_canary(opened.agent)]
    told.sort(key=_reported)
    listed: list[RecoveryOutcome | Opened] = [*told, *waiting][-limit:]
    if as_json:
        document([_facts(one) | written.facts(one.incident_id) for one in listed])
    elif listed:
        table(COLUMNS, [_row(one, ids[one.incident_id], written) for one in listed])
    else:
        say("no incidents")


def _reported(outcome: RecoveryOutcome) -> int:
    return outcome.times.reported or 0


def _facts(one: RecoveryOutcome | Opened) -> dict[str, Any]:
    if isinstance(one, Opened):
        return {"outcome": None} | one.model_dump(exclude_none=True, exclude={"type", "tried", "stale"})
    return one.model_dump(exclude_none=True)


def _row(one: RecoveryOutcome | Opened, short: str, written: Annotations) -> Sequence[str]:
    relabel, notes = written.relabels.get(one.incident_id), str(len(written.notes.get(one.incident_id, ())) or "-")
    if isinstance(one, Opened):
        severity = one.error.severity or "-"
        return short, one.agent.key, "-", severity, "-", "open", "-", "-", notes, ago(one.error.time_unix_nano)
    found, times = one.classification, one.times
    taken = times.verified - times.reported if times.verified and times.reported else None
    return (
        short,
        one.agent.key,
        f"{relabel.category} (relabelled)" if relabel else found.category if found else "-",
        (relabel.severity if relabel else None) or (found.severity if found else "-"),
        one.strategy or "-",
        standing(one),
        str(one.error_count),
        ms(taken),
        notes,
        ago(times.reported),
    )


def standing(outcome: RecoveryOutcome) -> str:
    """The outcome of an incident, and what is still to come of it."""
    if outcome.outcome == "recovered" and not outcome.settled:
        return "recovered (settling)"
    return f"{outcome.outcome}{' (undone)' if outcome.undone else ''}"
