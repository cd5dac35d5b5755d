"""The trace of an incident, from the local trace store."""

from typing import Final

from mendbus.asking.errors import NotFound
from mendbus.asking.incidents import find_outcomes, match
from mendbus.bus import Bus
from mendbus.contracts.subjects import Subjects
from mendbus.settings import Settings
from mendbus.traces import SpanRow, read_trace, recent_traces

_ALL: Final = 1_000_000


def local_trace(settings: Settings, prefix: str) -> str | None:
    """The id of the trace, in the local store, of the incident whose id begins so. Raises `NotFound` for several."""
    local = {one.incident_id: one.trace_id for one in recent_traces(settings.traces, _ALL) if one.incident_id}
    found = match(prefix, local)
    return local[found] if found is not None else None


async def told_trace(bus: Bus, subjects: Subjects, prefix: str) -> str:
    """The same from the incident's outcome. Raises `NotFound`."""
    outcomes = await find_outcomes(bus, subjects, prefix)
    if not outcomes:
        raise NotFound(f"there is no incident that begins with {prefix!r}: see `mendbus incidents`")
    return outcomes[-1].trace_id


def spans(settings: Settings, prefix: str) -> list[SpanRow]:
    """All spans of the one trace whose id begins so. Raises `NotFound` for none, or several."""
    rows = read_trace(settings.traces, prefix)
    if not rows:
        raise NotFound(f"no trace begins with {prefix!r}. {where(settings)}")
    ids = sorted({row.trace_id for row in rows})
    if len(ids) > 1:
        raise NotFound(f"{len(ids)} traces begin with {prefix!r}: {', '.join(ids[:4])}")
    return rows


def where(settings: Settings) -> str:
    """Where spans go, for whoever finds none."""
    if settings.otlp_endpoint:
        return f"Spans go to the collector at {settings.otlp_endpoint}: look there, such as in Jaeger."
    return f"The local trace store is {settings.traces}; another --data-dir may be meant."
