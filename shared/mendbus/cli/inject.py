"""`inject`: a real fault into one live agent of one's own, to see it recover."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from mendbus.cli.connect import run
from mendbus.cli.options import AsJson, agent_of, with_settings

if TYPE_CHECKING:
    from mendbus.settings import Settings


@with_settings
def inject(
    settings: "Settings",
    fault: Annotated[str | None, typer.Argument(metavar="FAULT", help="Its name; --list shows all.")] = None,
    agent: Annotated[str | None, typer.Option(metavar="KIND/ID", help="The one agent that shall meet it.")] = None,
    operation: Annotated[str | None, typer.Option(help="The operation whose calls shall meet it.")] = None,
    seconds: Annotated[float, typer.Option(min=0.1, max=300, help="How long it lasts at most.")] = 10.0,
    calls: Annotated[int | None, typer.Option(min=1, help="It ends after so many calls.")] = None,
    parameter: Annotated[list[str] | None, typer.Option("-p", metavar="KEY=VALUE", help="A parameter of it.")] = None,
    pid: Annotated[int | None, typer.Option(min=2, help="The agent's process on this host; else it is asked.")] = None,
    timeout: Annotated[
        float, typer.Option(min=0, help="Seconds to follow the recovery after its end; 0: do not follow.")
    ] = 30.0,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why; it stands in the audit trail.")] = None,
    by: Annotated[str | None, typer.Option(metavar="NAME", help="Who wants it; else the user's name.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    listing: Annotated[bool, typer.Option("--list", help="List all faults and their parameters.")] = False,
    as_json: AsJson = False,
) -> None:
    """Bring a real fault into a live agent and follow its recovery.

    The agent must have opted in, by Agent(..., rehearsal=True) or MENDBUS_REHEARSAL=1; faults from outside need that,
    or its --pid on this host. Ctrl-C takes the fault back. Status 0 when it recovered, else 1.
    """
    from mendbus.cli import rehearsing

    if listing:
        rehearsing.show_faults(as_json=as_json)
        return
    if fault is None or agent is None:
        raise typer.BadParameter("name a fault and its one agent, --agent KIND/ID; --list shows all faults")
    wish = rehearsing.Wish(
        fault=rehearsing.known(fault),
        agent=agent_of(agent),
        operation=operation,
        seconds=seconds,
        calls=calls,
        values=rehearsing.values_of(parameter or []),
        pid=pid,
        by=by,
        reason=reason,
    )
    plan = run(rehearsing.plan(settings, wish))
    if not yes and sys.stdin.isatty():
        _ = typer.confirm(f"{rehearsing.sentence(plan)}. Go on?", abort=True, err=True)
    if not run(rehearsing.rehearse(settings, plan, timeout, as_json=as_json)):
        raise typer.Exit(1)
