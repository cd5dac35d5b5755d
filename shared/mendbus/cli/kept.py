"""What is in force and what is kept: `mendbus pauses`, `mendbus checkpoints`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mendbus.cli.connect import connected, run
from mendbus.cli.options import AsJson, agent_of, with_settings

if TYPE_CHECKING:
    from mendbus.settings import Settings


@with_settings
def pauses(settings: "Settings", as_json: AsJson = False) -> None:
    """List the pauses in force.

    Also whether recovery has switched itself off.
    """
    from mendbus.cli.output import document, moment, say, table

    told = run(_pauses(settings))
    if as_json:
        document(told)
        return
    if told["latched"]:
        say(f"recovery is off until `mendbus resume --all`: {told['latched']}")
    rows = [
        (one["scope"], f"{moment(one['until_unix_nano'])[:19]}Z", one["by"], one["reason"]) for one in told["pauses"]
    ]
    if rows:
        table(("paused", "until", "by", "reason"), rows)
    else:
        say("no pauses")
    if told["unseen"]:
        say(f"nobody spoke for {told['unseen']} partitions: pauses of single agents there are not listed")


@with_settings
def checkpoints(
    settings: "Settings",
    agent: Annotated[str, typer.Argument(metavar="KIND/ID", help="The agent, such as runtime/r1.")],
    as_json: AsJson = False,
) -> None:
    """List the checkpoints of an agent, the newest first."""
    from mendbus.cli.output import ago, document, say, table

    found = run(_checkpoints(settings, agent_of(agent)))
    if as_json:
        document(found)
        return
    rows = [
        (
            one["id"],
            ago(one["time_unix_nano"]),
            str(one["size"]),
            "yes" if one["good"] else "no",
            one.get("version", "-"),
        )
        for one in found
    ]
    if rows:
        table(("checkpoint", "age>", "bytes>", "good", "version"), rows)
    else:
        say("no checkpoints")


async def _pauses(settings: "Settings") -> dict[str, Any]:
    from mendbus.asking.pauses import pauses as ask

    async with connected(settings) as bus:
        return await ask(bus, settings.subjects)


async def _checkpoints(settings: "Settings", agent: tuple[str, str]) -> list[dict[str, Any]]:
    from mendbus.asking.storage import checkpoints as ask

    async with connected(settings) as bus:
        return await ask(bus, settings.subjects, agent)
