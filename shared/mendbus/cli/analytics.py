"""`mendbus analytics`: what fails, what helps, how fast, and how often a person was needed."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from mendbus.cli.connect import connected, run
from mendbus.cli.options import AsJson, moment_of, with_settings

if TYPE_CHECKING:
    from mendbus.analytics_report import Report
    from mendbus.measures import Share, Spread
    from mendbus.settings import Settings

From = Annotated[str, typer.Option("--from", metavar="WHEN", help="From then on: 24h, 7d (ago), or 2026-01-31T12:00Z.")]
To = Annotated[str | None, typer.Option("--to", metavar="WHEN", help="Up to then, written in the same way; else now.")]
_WIDE = 100


@with_settings
def analytics(settings: "Settings", since: From = "24h", until: To = None, as_json: AsJson = False) -> None:
    """Tell what the incidents of a time came to.

    Of those that were opened in the range, as they stand now: success and time per category and strategy, with
    intervals of 95 % confidence; agents and failures that come back, each with a hint; the mean time to recovery;
    how many needed a person. MTTR is the mean, over recovered incidents, from first error to first healthy probe.
    """
    from mendbus.analytics_report import facts
    from mendbus.cli.output import document

    now = time.time_ns()
    first, last = moment_of(since, now), moment_of(until, now) if until else now
    if first >= last:
        raise typer.BadParameter("the range ends before it begins", param_hint="--from, --to")
    report = run(_read(settings, first, last))
    if as_json:
        document(facts(report))
    else:
        show(report)


async def _read(settings: "Settings", since: int, until: int) -> "Report":
    from mendbus.analytics_reading import analyse
    from mendbus.audit_reading import retention_of
    from mendbus.cli.progress import Progress

    subjects = settings.subjects
    with Progress("reading outcomes") as progress:
        async with connected(settings) as bus:
            kept = await retention_of(bus, subjects.stream("RECOVERIES"))

            def at(sequence: int) -> None:
                progress.at(sequence, kept.first_sequence, kept.last_sequence)

            return await analyse(bus, subjects, since, until, at)


def show(report: "Report") -> None:
    """Prints a report for people."""
    from mendbus.cli.output import moment, say

    say(f"{moment(report.since_unix_nano)} to {moment(report.until_unix_nano)}")
    if not report.incidents:
        say("no incidents were opened in this time")
    else:
        _show_whole(report)
        _show_tables(report)
    raised = ", ".join(f"{count} {severity}" for severity, count in sorted(report.alerts.items()))
    say(f"alerts raised   {report.alerts_raised}{f' ({raised})' if raised else ''}")
    for note in report.notes:
        say(f"note: {note}")


def _show_whole(report: "Report") -> None:
    from mendbus.cli.output import clean, say

    outcomes = ", ".join(f"{count} {outcome}" for outcome, count in report.outcomes.items())
    extra = f", {report.relabelled} relabelled by people" if report.relabelled else ""
    refused = f", {report.rejected} events were rejected" if report.rejected else ""
    say(f"incidents       {report.incidents} ({outcomes}) of {report.errors} errors{extra}{refused}")
    say(f"recovered       {_percent(report.success)}")
    say(f"needed a person {_percent(report.needed_person)}")
    mttr = report.mttr
    if mttr.n:
        say(
            f"MTTR            {_ms(mttr.mean_ms)}, median {_ms(mttr.median_ms)}, p90 {_ms(mttr.p90_ms)}, from first "
            f"error to first healthy probe ({mttr.n} recovered)"
        )
    say(f"most common     {report.most_common_category or 'no known category'}")
    say(f"most failing    {clean(report.most_failing_agent or '-')}")
    say()


def _show_tables(report: "Report") -> None:
    from mendbus.cli.output import ago, clean, say, table

    rows = [
        (r.category, str(r.incidents), str(r.errors), _percent(r.success), *_times(r.time)) for r in report.categories
    ]
    table(("category", "incidents>", "errors>", "recovered", "median>", "p90>"), rows)
    say()
    if report.strategies:
        attempts = [*report.strategies, *report.by_category]
        rows = [
            (r.strategy, r.category or "all", str(r.attempts), _percent(r.success), *_times(r.time)) for r in attempts
        ]
        table(("strategy", "category", "attempts>", "helped", "median>", "p90>"), rows)
        say()
    rows = [
        (clean(r.agent), str(r.incidents), str(r.errors), _percent(r.success), str(r.needed_person))
        for r in report.agents
    ]
    table(("agent", "incidents>", "errors>", "recovered", "needed a person>"), rows)
    say()
    for found in report.recurring:
        who = f"{found.agents} agents" if found.agents > 1 else "one agent"
        helped = f", {found.helped} helped most often" if found.helped else ""
        say(f"{found.incidents} times  {clean(found.error or found.fingerprint, _WIDE)}")
        when = f"last {ago(found.last_unix_nano)} ago"
        say(f"    {found.category}, {who}, {when}, recovered {_percent(found.success)}{helped}")
        say(f"    {found.hint}")
    if report.recurring:
        say()


def _percent(share: "Share") -> str:
    if share.share is None or share.low is None or share.high is None:
        return "-"
    return f"{share.share:.1%} ({share.low:.0%}-{share.high:.0%}, {share.hits} of {share.of})"


def _times(spread: "Spread") -> tuple[str, str]:
    return _ms(spread.median_ms), _ms(spread.p90_ms)


def _ms(milliseconds: float | None) -> str:
    if milliseconds is None:
        return "-"
    return f"{milliseconds:.1f} ms" if milliseconds < 10_000 else f"{milliseconds / 1000:.1f} s"
