"""`mendbus audit verify`: is the journal what was written?"""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mendbus.cli.connect import connected, run
from mendbus.cli.options import AsJson, with_settings
from mendbus.cli.output import ago, document, say, table

if TYPE_CHECKING:
    from mendbus.audit import ChainHead, Report
    from mendbus.settings import Settings

_SHOWN = 50


def build() -> typer.Typer:
    """The group of commands."""
    app = typer.Typer(no_args_is_help=True, help="Verify the audit trail: the journal and its hash chains.")
    app.callback()(_group)
    app.command()(verify)
    return app


def _group() -> None:
    """Verify the audit trail: the journal and its hash chains."""


@with_settings
def verify(
    settings: "Settings",
    heads: Annotated[Path | None, typer.Option(metavar="FILE", help="Heads that an earlier run saved.")] = None,
    save_heads: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Save the heads for later; keep them off the server.")
    ] = None,
    partition: Annotated[
        str | None, typer.Option(metavar="N", help="This partition only (a number, or `control`).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check that no record of the journal was changed, removed, moved or rewritten.

    Record numbers, hash chains and stream sequences must be without a gap; what is gone at the start must be older
    than what is kept. Heads from before (--heads, and those that the services publish in the bucket `heads`) show a
    journal that was rewritten as a whole, or cut off. Exit status 1 when something is wrong.
    """
    from mendbus.audit_reading import load_heads
    from mendbus.audit_reading import save_heads as keep

    if partition is not None and not (partition == "control" or partition.isdecimal()):
        raise typer.BadParameter(f"{partition!r} is no partition: a number, or `control`")
    earlier = load_heads(heads, settings.root) if heads else []
    report = run(_read(settings, earlier, partition))
    if as_json:
        document(_facts(report))
    else:
        _show(report)
    if not report.whole:
        raise typer.Exit(1)
    if save_heads:
        # Heads of other partitions are still good when only one was read.
        others = [head for head in earlier if partition not in (None, head.chain)]
        keep(save_heads, settings.root, [*others, *report.heads])


async def _read(settings: "Settings", earlier: "list[ChainHead]", partition: str | None) -> "Report":
    from mendbus.audit_reading import verify as read
    from mendbus.cli.progress import Progress

    with Progress("verifying") as progress:
        async with connected(settings) as bus:
            return await read(
                bus,
                settings.subjects,
                earlier,
                time.time_ns,
                chain=partition,
                on_record=lambda sequence, kept: progress.at(sequence, kept.first_sequence, kept.last_sequence),
            )


def _facts(report: "Report") -> dict[str, Any]:
    chains = [
        {
            "chain": chain.chain,
            "whole": chain.whole,
            "records": chain.records,
            "entries": chain.entries,
            "first": chain.first,
            "confirmed": chain.confirmed,
            "head": chain.head.model_dump() if chain.head else None,
            "notes": list(chain.notes),
        }
        for chain in report.chains
    ]
    problems = [problem._asdict() for problem in report.problems]
    return {"whole": report.whole, "chains": chains, "problems": problems}


def _show(report: "Report") -> None:
    rows = [
        (
            chain.chain,
            "ok" if chain.whole else "problem",
            str(chain.records),
            str(chain.entries),
            f"{chain.first}-{chain.head.number}" if chain.head else "-",
            str(chain.confirmed or "-"),
            ago(chain.head.time_unix_nano) if chain.head else "-",
            chain.head.digest[:16] if chain.head else "-",
        )
        for chain in report.chains
    ]
    table(("chain", "state", "records>", "entries>", "numbers>", "confirmed>", "last>", "head"), rows)
    for chain in report.chains:
        for note in chain.notes:
            say(f"note: chain {chain.chain}: {note}")
    for problem in report.problems[:_SHOWN]:
        where = f"chain {problem.chain}, record {problem.number}" if problem.chain else "stream"
        say(f"{problem.fault}: {where}, stream sequence {problem.sequence or '-'}: {problem.detail}")
    count = len(report.problems)
    if count > _SHOWN:
        say(f"and {count - _SHOWN} more; --json names all")
    records = sum(chain.records for chain in report.chains)
    say(f"\n{records} records, {count} problems" if count else f"\n{records} records, all as they were written")
