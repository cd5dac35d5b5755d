"""`mendbus export audit|incidents|alerts|relabels|health`: what is stored, as JSON lines or CSV, row by row."""

import contextlib
import sys
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, TextIO

import typer

from mendbus.cli.connect import connected, run
from mendbus.cli.options import moment_of, with_settings
from mendbus.contracts.errors import MendbusError

if TYPE_CHECKING:
    from mendbus.cli.progress import Progress
    from mendbus.exports import Export
    from mendbus.settings import Settings

Format = Literal["json", "csv"]
Since = Annotated[
    str | None, typer.Option("--since", metavar="WHEN", help="From then on: 30m, 7d (ago), or 2026-01-31T12:00:00Z.")
]
Until = Annotated[str | None, typer.Option("--until", metavar="WHEN", help="Up to then, written in the same way.")]
As = Annotated[Format, typer.Option("--format", help="JSON lines, or CSV with a heading.")]
Json = Annotated[bool, typer.Option("--json", help="The same as --format json.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="Write to a file.")]

_WHOLE: Final = {
    "audit": """Export the journal, one row an entry.

    Events, decisions, approvals, attempts, undos, restores, outcomes and what operators did, in the order in which
    they were written. The whole entry stands in the column `details`.
    """,
    "incidents": """Export incidents, one row each, as they stand.

    The time is that of an incident's last outcome in the range. Where one incident has several rows, which happens
    when very much lies between its outcomes, that with the highest `sequence` counts.
    """,
    "alerts": "Export alerts, one row each time one was raised, acknowledged or resolved.",
    "relabels": """Export what people said incidents really were, one row each, with the error: examples for training.

    The range is that of an incident's outcomes. Those that are no longer kept have no row.
    """,
}


def build() -> typer.Typer:
    """The group of commands."""
    app = typer.Typer(no_args_is_help=True, help="Export what is stored as JSON lines or CSV.")
    app.callback()(_group)
    for what, said in _WHOLE.items():
        app.command(what, help=said)(_whole(what))
    app.command()(health)
    return app


def _group() -> None:
    """Export what is stored as JSON lines or CSV."""


def _whole(what: str) -> Callable[..., None]:
    """The command of an export that has no options of its own."""

    @with_settings
    def export(
        settings: "Settings",
        since: Since = None,
        until: Until = None,
        format_: As = "json",
        output: Output = None,
        as_json: Json = False,
    ) -> None:
        _export(what, since, until, "json" if as_json else format_, output, settings)

    return export


@with_settings
def health(
    settings: "Settings",
    resolution: Annotated[
        Literal["1m", "1s"], typer.Option("--resolution", help="A row a minute (24 h), or a second (ten minutes).")
    ] = "1m",
    since: Since = None,
    until: Until = None,
    format_: As = "json",
    output: Output = None,
    as_json: Json = False,
) -> None:
    """Export agents' health, one row a metric and minute, or a metric and second.

    The time is when the minute or second began.
    """
    what = "health" if resolution == "1m" else "health_seconds"
    _export(what, since, until, "json" if as_json else format_, output, settings)


def _export(
    what: str,
    since: str | None,
    until: str | None,
    format_: Format,
    output: Path | None,
    settings: "Settings",
) -> None:
    from mendbus.cli.progress import Progress
    from mendbus.exports import EXPORTS

    now = time.time_ns()
    first = moment_of(since, now) if since else None
    last = moment_of(until, now) if until else None
    with Progress("exporting") as progress, opened(output) as file:
        count = run(_write(settings, EXPORTS[what], first, last, format_, file, progress))
    if output and sys.stderr.isatty():
        typer.echo(f"{count} rows in {output}", err=True)


@contextlib.contextmanager
def opened(output: Path | None) -> Generator[TextIO]:
    """Standard output, or a file that is there when it is complete, and not before."""
    if output is None:
        yield sys.stdout
        sys.stdout.flush()
        return
    draft = output.with_name(f"{output.name}.part")
    try:
        with draft.open("w", encoding="utf-8", errors="replace", newline="") as file:
            yield file
        draft.replace(output)
    except OSError as error:
        raise MendbusError(f"cannot write to {output}: {error}") from None
    finally:
        draft.unlink(missing_ok=True)


async def _write(
    settings: "Settings",
    export: "Export",
    since: int | None,
    until: int | None,
    format_: Format,
    file: TextIO,
    progress: "Progress",
) -> int:
    from mendbus.audit_reading import retention_of
    from mendbus.export import csv_line, json_line
    from mendbus.exports import rows_of

    count, subjects = 0, settings.subjects
    if format_ == "csv":
        file.write(csv_line(export.columns))
    async with connected(settings) as bus:
        kept = await retention_of(bus, subjects.stream(export.stream))

        def on_message(sequence: int) -> None:
            progress.at(sequence, kept.first_sequence, kept.last_sequence)

        async for row in rows_of(bus, subjects, export, since, until, on_message):
            file.write(json_line(row) if format_ == "json" else csv_line(row.values()))
            count += 1
    return count
