"""`mendbus doctor`: is everything there that is needed, and if not, what to do."""

from typing import TYPE_CHECKING

import typer

from mendbus.cli.connect import run
from mendbus.cli.options import AsJson, with_settings
from mendbus.cli.output import document, say, table

if TYPE_CHECKING:
    from mendbus.settings import Settings


@with_settings
def doctor(settings: "Settings", as_json: AsJson = False) -> None:
    """Check server, streams, services and machine.

    Names a remedy for each problem, changes nothing. Exit status 1 when something is wrong.
    """
    from mendbus.cli.checks import examine

    found = run(examine(settings))
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
