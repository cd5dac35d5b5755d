"""Orders of an operator: `pause`, `resume`, `approve`, `close`, `replay`."""

from typing import TYPE_CHECKING, Annotated

import typer

from mendbus.cli.connect import run
from mendbus.cli.options import AsJson, Since, seconds_of, with_settings
from mendbus.contracts.ids import is_token

if TYPE_CHECKING:
    from mendbus.settings import Settings

Target = Annotated[str | None, typer.Argument(metavar="KIND[/ID]", help="A kind of agents, or one agent.")]
Everything = Annotated[bool, typer.Option("--all", help="Everything.")]
Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Why; it stands in the audit trail.")]
By = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who wants it; else the user's name.")]
Incident = Annotated[str, typer.Argument(metavar="INCIDENT", help="Its id, or the beginning of it.")]


@with_settings
def pause(
    settings: "Settings",
    target: Target = None,
    everything: Everything = False,
    length: Annotated[str, typer.Option("--for", metavar="TIME", help="How long, such as 30m, 2h; 7d at most.")] = "1h",
    reason: Reason = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Decide and record, but act on nothing for a time.

    What is parked meanwhile is taken up when the pause ends or is lifted.
    """
    from mendbus.cli.ordering import Order, send

    seconds = seconds_of(length)
    if not 0 < seconds <= 7 * 86400:
        raise typer.BadParameter(f"{length!r} is no length for a pause: up to 7d", param_hint="--for")
    order = Order("pause", _target(target, everything=everything), reason, by, seconds=seconds)
    run(send(settings, order, as_json=as_json))


@with_settings
def resume(
    settings: "Settings",
    target: Target = None,
    everything: Everything = False,
    reason: Reason = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """End a pause.

    With --all also the latch that recovery falls into when the last budget is spent.
    """
    from mendbus.cli.ordering import Order, send

    order = Order("resume", _target(target, everything=everything), reason, by)
    run(send(settings, order, as_json=as_json))


@with_settings
def approve(
    settings: "Settings",
    incident: Incident,
    reject: Annotated[bool, typer.Option("--reject", help="Say no: the incident is escalated.")] = False,
    reason: Reason = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Let a strategy that waits for a person go on.

    Or reject it: then the incident is escalated.
    """
    from mendbus.cli.ordering import decide

    verb = "reject" if reject else "approve"
    run(decide(settings, verb, incident, reason, by, as_json=as_json))


@with_settings
def close(
    settings: "Settings",
    incident: Incident,
    reason: Reason = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Close an incident that waits for a person."""
    from mendbus.cli.ordering import decide

    run(decide(settings, "close", incident, reason, by, as_json=as_json))


def _target(target: str | None, *, everything: bool) -> tuple[str | None, str | None]:
    """Kind and agent id; neither means everything, which must be said."""
    if (target is None) != everything:
        raise typer.BadParameter("name a kind, an agent as KIND/ID, or --all: an empty target acts on nothing")
    if target is None:
        return None, None
    kind, slash, agent = target.partition("/")
    if not is_token(kind) or (slash and not is_token(agent)):
        raise typer.BadParameter(f"{target!r} is neither a kind nor KIND/ID")
    return kind, agent or None


@with_settings
def replay(
    settings: "Settings",
    policy: Annotated[str, typer.Option("--policy", metavar="FILE", help="The other policy, as a TOML file.")],
    since: Since = "24h",
    as_json: AsJson = False,
) -> None:
    """Show what another policy would have decided.

    Recorded decisions are made again from what they looked at. Nothing is done.
    """
    from mendbus.cli.replaying import read, show

    run(show(settings, read(policy), seconds_of(since), as_json=as_json))
