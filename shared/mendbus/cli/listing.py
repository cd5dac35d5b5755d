"""The list of incidents."""

from collections.abc import Sequence

from mendbus.annotations import Annotations
from mendbus.asking.incident_facts import listed
from mendbus.cli.connect import connected
from mendbus.cli.output import ago, document, ms, say, table
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
    async with connected(settings) as bus:
        found = await listed(bus, settings.subjects, limit, since_seconds, agent, only_open=only_open)
    if as_json:
        document(found.facts())
    elif found.incidents:
        table(COLUMNS, [_row(one, found.ids[one.incident_id], found.written) for one in found.incidents])
    else:
        say("no incidents")


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
