"""`mendbus health`: how every agent is, or one of them in detail."""

from typing import TYPE_CHECKING, Annotated

import typer

from mendbus.cli.connect import run
from mendbus.cli.options import AsJson, agent_of, with_settings

if TYPE_CHECKING:
    from mendbus.settings import Settings


@with_settings
def health(
    settings: "Settings",
    agent: Annotated[str | None, typer.Argument(metavar="KIND/ID", help="One agent; else all of them.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show how agents are, the worst first; or one agent's metrics over ten minutes and 24 hours.

    The score is 100 less what each metric costs; the reason names what cost most.
    """
    if agent is None:
        from mendbus.cli.health_list import show

        run(show(settings, as_json=as_json))
        return
    from mendbus.cli.health_agent import show as show_one

    run(show_one(settings, agent_of(agent), as_json=as_json))
