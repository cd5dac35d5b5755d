"""Commands about errors and incidents: `report`, `watch`, `incidents`, `explain`."""

from typing import Annotated

import typer

from mendbus.cli.connect import run, settings_of
from mendbus.cli.options import AsJson, DataDir, NatsUrl, Root, Since, agent_of, seconds_of
from mendbus.contracts.vocabulary import Severity

Agent = Annotated[str, typer.Argument(metavar="KIND/ID", help="The agent, such as runtime/r1.")]


def report(
    agent: Agent,
    error_type: Annotated[str, typer.Option("--type", help="Type of the error, such as ValueError.")],
    message: Annotated[str, typer.Option("--message", help="What went wrong.")],
    severity: Annotated[Severity | None, typer.Option(help="How bad it is; else the classifier says.")] = None,
    operation: Annotated[str | None, typer.Option(help="Name of the operation that failed.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the outcome and print it.")] = False,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for the outcome.")] = 30.0,
    nats_url: NatsUrl = None,
    root: Root = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Report an error in the name of an agent.

    Prints the event id once the server has it on disk; with --wait also what became of it.
    """
    from mendbus.cli.reporting import Draft, send

    draft = Draft(*agent_of(agent), error_type, message, severity, operation)
    run(send(settings_of(nats_url, root, data_dir), draft, timeout if wait else None, as_json=as_json))


def watch(nats_url: NatsUrl = None, root: Root = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Show outcomes, alerts and statuses live.

    One a line, as they come, until Ctrl-C.
    """
    from mendbus.cli.watching import follow

    run(follow(settings_of(nats_url, root, data_dir), as_json=as_json))


def incidents(
    limit: Annotated[int, typer.Option(min=1, help="Show the newest so many.")] = 50,
    since: Since = "24h",
    agent: Annotated[str | None, typer.Option(metavar="KIND/ID", help="Of this agent only.")] = None,
    only_open: Annotated[bool, typer.Option("--open", help="Only those not done with, those under way too.")] = False,
    nats_url: NatsUrl = None,
    root: Root = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """List incidents and how they stand, the newest last."""
    from mendbus.cli.listing import show

    who = agent_of(agent) if agent else None
    settings = settings_of(nats_url, root, data_dir)
    run(show(settings, limit, seconds_of(since), who, only_open=only_open, as_json=as_json))


def explain(
    incident: Annotated[str, typer.Argument(metavar="INCIDENT", help="Its id, or the beginning of it.")],
    audit: Annotated[bool, typer.Option("--audit", help="With every entry of the journal on it.")] = False,
    nats_url: NatsUrl = None,
    root: Root = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Tell everything about one incident.

    What failed, what was found, decided and done, when, and why.
    """
    from mendbus.cli.explaining import tell

    run(tell(settings_of(nats_url, root, data_dir), incident, audit=audit, as_json=as_json))
