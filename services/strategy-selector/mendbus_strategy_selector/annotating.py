"""What people write on incidents, in whatever state those are: notes, and what they say an incident really was.

It changes nothing that is done; it stands in `journal.control`, for whoever reads an incident or trains on it.
"""

from typing import Final

from mendbus.contracts.ids import is_token, made_at
from mendbus.contracts.journal import NOTE, RELABEL, Operated
from mendbus.contracts.messages import Control
from mendbus.contracts.subjects import HEADER_ID
from mendbus.contracts.vocabulary import KNOWN_CATEGORIES, SEVERITIES
from mendbus.runtime import Runtime
from mendbus_strategy_selector.incidents import OpenIncidents

ANNOTATIONS: Final = (NOTE, RELABEL)
_SKEW_NANO: Final = 60 * 1_000_000_000


def annotation(control: Control) -> Operated:
    """The entry of a note or a relabelling.

    Raises `ValueError` for one that names no incident, says nothing, or whose category or severity is none.
    """
    incident, reason = control.arguments.get("incident"), (control.reason or "").strip()
    if control.agent is None or not isinstance(incident, str) or not is_token(incident):
        msg = f"{control.verb} names an agent and an incident; without them there is nothing to write on"
        raise ValueError(msg)
    if not reason:
        msg = "a note without text says nothing" if control.verb == NOTE else "a relabelling needs a reason"
        raise ValueError(msg)
    if control.verb == NOTE:
        return Operated(verb=NOTE, by=control.by, incident_id=incident, reason=reason)
    category, severity = control.arguments.get("category"), control.arguments.get("severity")
    if category not in KNOWN_CATEGORIES:
        msg = f"{category!r} is no category to learn from: one of {', '.join(KNOWN_CATEGORIES)}"
        raise ValueError(msg)
    if severity is not None and severity not in SEVERITIES:
        msg = f"{severity!r} is no severity: one of {', '.join(SEVERITIES)}"
        raise ValueError(msg)
    return Operated(
        verb=RELABEL, by=control.by, incident_id=incident, reason=reason, category=category, severity=severity
    )


async def known(runtime: Runtime, incidents: OpenIncidents, control: Control) -> bool:
    """Whether the agent has had the incident that an order names: it is open, ended lately, or its outcome is kept.

    Raises `BusError` when the outcomes cannot be read.
    """
    incident, agent = control.arguments["incident"], control.agent
    if agent is None:
        return False
    if incidents.get(incident) is not None or incidents.outcome(incident) is not None:
        return True
    made, subjects = made_at(incident), runtime.subjects
    since = None if made is None else max(0, made - _SKEW_NANO)
    outcomes = runtime.bus.read(
        subjects.stream("RECOVERIES"),
        subjects.outcome(agent.kind, agent.id),
        since_unix_nano=since,
        headers_only=True,
    )
    async for stored in outcomes:
        if stored.headers.get(HEADER_ID, "").rpartition("-")[0] == incident:
            return True
    return False
