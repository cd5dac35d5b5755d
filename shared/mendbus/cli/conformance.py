"""`mendbus conformance`: does a live agent keep to the contract?"""

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from mendbus.cli.connect import connected, run
from mendbus.cli.options import AsJson, agent_of, with_settings
from mendbus.cli.output import document, say, table

if TYPE_CHECKING:
    from mendbus.conformance import Check
    from mendbus.settings import Settings


@with_settings
def conformance(
    settings: "Settings",
    agent: Annotated[str, typer.Option("--agent", metavar="KIND/ID", help="The agent to drive.")],
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds for each of its answers.")] = 5.0,
    error_wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for it to report an error.")] = 0.0,
    as_json: AsJson = False,
) -> None:
    """Drive a live agent through its duties.

    Prints which of them it keeps; exit status 1 when it breaks one. Safe on an agent at work: what it is sent must be
    refused, or asks for nothing.
    """
    checks = run(_drive(settings, agent_of(agent), timeout, error_wait))
    broken = [check for check in checks if check.verdict == "fail"]
    if as_json:
        document([asdict(check) for check in checks])
    else:
        table(("duty", "verdict", "seen"), [(check.name, check.verdict, check.detail) for check in checks])
        for check in broken:
            say(f"\n{check.name}: {check.rule}")
        counts = Counter(check.verdict for check in checks)
        say(f"\n{counts['pass']} kept, {counts['fail']} broken, {counts['skip']} not checked")
    if broken:
        raise typer.Exit(1)


async def _drive(settings: "Settings", agent: tuple[str, str], timeout: float, error_wait: float) -> "list[Check]":
    from mendbus.conformance import conform

    async with connected(settings) as bus:
        return await conform(bus, settings.subjects, *agent, timeout=timeout, error_wait=error_wait)
