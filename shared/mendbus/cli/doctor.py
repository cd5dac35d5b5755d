"""`mendbus doctor`: is everything there that is needed, and if not, what to do."""

import typer

from mendbus.cli.connect import run, settings_of
from mendbus.cli.options import AsJson, DataDir, NatsUrl, Root
from mendbus.cli.output import document, say, table


def doctor(nats_url: NatsUrl = None, root: Root = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Check server, streams, services and machine.

    Names a remedy for each problem, changes nothing. Exit status 1 when something is wrong.
    """
    from mendbus.cli.checks import examine

    found = run(examine(settings_of(nats_url, root, data_dir)))
    problems = [check for check in found if check.state == "problem"]
    if as_json:
        document([check._asdict() for check in found])
    else:
        table(("check", "state", "found"), [(check.name, check.state, check.found) for check in found])
        for check in found:
            if check.remedy:
                say(f"\n{check.name}: {check.found}\n  -> {check.remedy}")
        say(f"\n{len(problems)} problems" if problems else "\nall is well")
    if problems:
        raise typer.Exit(1)
