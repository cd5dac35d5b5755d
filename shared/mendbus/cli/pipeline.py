"""Commands about errors and incidents: `report`, `watch`, `incidents`, `explain`."""

from typing import TYPE_CHECKING, Annotated

import typer

from mendbus.cli.connect import run
from mendbus.cli.options import AsJson, Since, agent_of, seconds_of, with_settings
from mendbus.contracts.vocabulary import Severity

if TYPE_CHECKING:
    from mendbus.settings import Settings

Agent = Annotated[str, typer.Argument(metavar="KIND/ID", help="The agent, such as runtime/r1.")]


@with_settings
def report(
    settings: "Settings",
    agent: Agent,
    error_type: Annotated[str, typer.Option("--type", help="Type of the error, such as ValueError.")],
    message: Annotated[str, typer.Option("--message", help="What went wrong.")],
    severity: Annotated[Severity | None, typer.Option(help="How bad it is; else the classifier says.")] = None,
    operation: Annotated[str | None, typer.Option(help="Name of the operation that failed.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the outcome and print it.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for the outcome.")] = 30.0,
    as_json: AsJson = False,
) -> None:
    """Report an error in the name of an agent.

    Prints the event id once the server has it on disk; with --wait also what became of it.
    """
    from mendbus.cli.reporting import Draft, send

    draft = Draft(*agent_of(agent), error_type, message, severity, operation)
    run(send(settings, draft, timeout if wait else None, as_json=as_json))


@with_settings
def watch(
    settings: "Settings",
    lines: Annotated[bool, typer.Option("--lines", help="One line for each thing that happens.")] = False,
    as_json: AsJson = False,
) -> None:
    """Watch agents, live incidents, alerts and rates.

    On a terminal as a view that redraws itself. Without one, or with --lines: outcomes, alerts and statuses, one a
    line as they come. Until Ctrl-C.
    """
    from mendbus.cli.output import is_screen

    if is_screen() and not (lines or as_json):
        from mendbus.cli.live import show

        run(show(settings))
        return
    from mendbus.cli.watching import follow

    run(follow(settings, as_json=as_json))


@with_settings
def incidents(
    settings: "Settings",
    limit: Annotated[int, typer.Option(min=1, help="Show the newest so many.")] = 50,
    since: Since = "24h",
    agent: Annotated[str | None, typer.Option(metavar="KIND/ID", help="Of this agent only.")] = None,
    only_open: Annotated[bool, typer.Option("--open", help="Only those not done with, those under way too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List incidents and how they stand, the newest last."""
    from mendbus.cli.listing import show

    who = agent_of(agent) if agent else None
    run(show(settings, limit, seconds_of(since), who, only_open=only_open, as_json=as_json))


@with_settings
def explain(
    settings: "Settings",
    incident: Annotated[str, typer.Argument(metavar="INCIDENT", help="Its id, or the beginning of it.")],
    audit: Annotated[bool, typer.Option("--audit", help="With every entry of the journal on it.")] = False,
    as_json: AsJson = False,
) -> None:
    """Tell everything about one incident.

    What failed, what was found, decided and done, when, and why.
    """
    from mendbus.cli.explaining import tell

    run(tell(settings, incident, audit=audit, as_json=as_json))
