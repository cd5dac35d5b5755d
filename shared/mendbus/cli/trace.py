"""`mendbus trace`: recoveries as waterfalls, from the local trace store."""

import shutil
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mendbus.cli.connect import connected, run
from mendbus.cli.options import AsJson, with_settings
from mendbus.cli.output import ago, document, say, table
from mendbus.contracts.errors import MendbusError

if TYPE_CHECKING:
    from mendbus.settings import Settings
    from mendbus.traces import SpanRow

_LISTED = 20
_WIDTH_WITHOUT_TERMINAL = 160


@with_settings
def trace(
    settings: "Settings",
    trace_id: Annotated[str | None, typer.Argument(metavar="[TRACE]", help="Its id, or the beginning of it.")] = None,
    incident: Annotated[
        str | None,
        typer.Option("--incident", metavar="INCIDENT", help="The trace of this incident (or its beginning)."),
    ] = None,
    last: Annotated[int, typer.Option("--last", min=0, help="The newest so many traces.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Draw recoveries as waterfalls, or list them.

    Without an argument or --last: lists the newest traces.

    Reads the local trace store. Where spans go to a collector (OTEL_EXPORTER_OTLP_ENDPOINT), look there.
    """
    from mendbus.asking.tracing import spans, where
    from mendbus.traces import recent_traces

    if incident is not None:
        wanted = [_trace_of(settings, incident)]
    elif trace_id is not None:
        wanted = [trace_id]
    else:
        newest = recent_traces(settings.traces, last or _LISTED)
        if not newest:
            raise MendbusError(where(settings))
        if not last:
            _list(newest, as_json=as_json)
            return
        wanted = [one.trace_id for one in reversed(newest)]
    found: list[SpanRow] = []
    for one in wanted:
        rows = spans(settings, one)
        found += rows
        if not as_json:
            _draw(rows)
    if as_json:
        document([row._asdict() for row in found])


def _draw(rows: "list[SpanRow]") -> None:
    from mendbus.traces import waterfall

    width = shutil.get_terminal_size((_WIDTH_WITHOUT_TERMINAL, 24)).columns if sys.stdout.isatty() else 0
    for drawn in waterfall(rows, width or _WIDTH_WITHOUT_TERMINAL):
        say(drawn)
    say()


def _list(newest: "list[Any]", *, as_json: bool) -> None:
    if as_json:
        document([one._asdict() for one in newest])
        return
    columns = ("trace", "age>", "took>", "spans>", "failed>", "incident", "services", "root")
    rows = [
        (
            one.trace_id,
            ago(one.start),
            f"{one.ms:.1f} ms",
            str(one.spans),
            str(one.errors),
            one.incident_id or "-",
            ", ".join(one.services),
            one.name,
        )
        for one in reversed(newest)
    ]
    table(columns, rows)


def _trace_of(settings: "Settings", prefix: str) -> str:
    """The trace of an incident: from the local store, else from its outcome."""
    from mendbus.asking.tracing import local_trace, told_trace

    async def ask() -> str:
        async with connected(settings) as bus:
            return await told_trace(bus, settings.subjects, prefix)

    return local_trace(settings, prefix) or run(ask())
