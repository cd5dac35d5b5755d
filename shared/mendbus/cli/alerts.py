"""`mendbus alerts`: what is open, what was, who has it, and what shall be silent."""

from typing import TYPE_CHECKING, Annotated

import typer

from mendbus.cli.connect import run
from mendbus.cli.options import AsJson, Since, agent_of, seconds_of, with_settings

if TYPE_CHECKING:
    from mendbus.settings import Settings

Key = Annotated[str, typer.Argument(metavar="KEY", help="An open alert's key, the beginning of it, or its incident's.")]
Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why; it stands in the audit trail.")]
By = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who wants it; else the user's name.")]
_LONGEST_SECONDS = 30 * 86400


def build() -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(help="Open alerts: list, show, acknowledge, silence.")
    group.callback(invoke_without_command=True)(list_)
    group.command("show")(show)
    group.command("ack")(ack)
    group.command("silence")(silence)
    group.command("silences")(silences)
    group.command("unsilence")(unsilence)
    return group


@with_settings
def list_(
    settings: "Settings",
    ctx: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Resolved ones too, as far back as --since.")] = False,
    since: Since = "24h",
    as_json: AsJson = False,
) -> None:
    """List open alerts, the gravest first.

    An acknowledged alert is somebody's until it is resolved; a muted one notifies nobody.
    """
    if ctx.invoked_subcommand is not None:
        return
    from mendbus.cli import alerts_showing

    if everything:
        run(alerts_showing.history(settings, seconds_of(since), as_json=as_json))
    else:
        run(alerts_showing.open_ones(settings, as_json=as_json))


@with_settings
def show(settings: "Settings", key: Key, as_json: AsJson = False) -> None:
    """Show an open alert, and what to do about it."""
    from mendbus.cli import alerts_showing

    run(alerts_showing.one(settings, key, as_json=as_json))


@with_settings
def ack(settings: "Settings", key: Key, reason: Reason = None, by: By = None, as_json: AsJson = False) -> None:
    """Take an alert on, until it is resolved.

    It is not told again, and gets no graver by waiting.
    """
    from mendbus.cli import alerts_ordering

    run(alerts_ordering.acknowledge(settings, key, reason, by, as_json=as_json))


@with_settings
def silence(
    settings: "Settings",
    agent: Annotated[str | None, typer.Option(metavar="KIND/ID", help="Alerts of this agent.")] = None,
    kind: Annotated[str | None, typer.Option(metavar="KIND", help="Alerts of agents of this kind.")] = None,
    rule: Annotated[
        str | None, typer.Option(metavar="RULE", help="Alerts of this rule; * and ? may stand in it.")
    ] = None,
    key: Annotated[str | None, typer.Option(metavar="KEY", help="Alerts of this key; * and ? may stand in it.")] = None,
    length: Annotated[str, typer.Option("--for", metavar="TIME", help="How long, such as 2h; 30d at most.")] = "2h",
    reason: Reason = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Have alerts notify nobody for a while.

    They are raised and kept all the same. Those that fit everything that is named are meant.
    """
    from mendbus.cli import alerts_ordering

    seconds = seconds_of(length)
    if not 0 < seconds <= _LONGEST_SECONDS:
        raise typer.BadParameter(f"{length!r} is no length for a silence: up to 30d", param_hint="--for")
    named = {"rule": rule, "key": key}
    if not any((agent, kind, rule, key)):
        raise typer.BadParameter("name an agent, a kind, a rule or a key: an empty target silences nothing")
    whom = agent_of(agent) if agent else None
    run(alerts_ordering.silence(settings, whom, kind, named, seconds, reason, by, as_json=as_json))


@with_settings
def silences(settings: "Settings", as_json: AsJson = False) -> None:
    """List the silences in force."""
    from mendbus.cli import alerts_showing

    run(alerts_showing.silences(settings, as_json=as_json))


@with_settings
def unsilence(
    settings: "Settings",
    silence_id: Annotated[str, typer.Argument(metavar="ID", help="Its id, or the end of it, from `alerts silences`.")],
    reason: Reason = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """End a silence before its time."""
    from mendbus.cli import alerts_ordering

    run(alerts_ordering.unsilence(settings, silence_id, reason, by, as_json=as_json))
