"""`mendbus supervise`: hands over to a fresh Python, so that no command line stays in memory."""

import json
import shlex
import signal
from typing import Annotated

import typer

from mendbus.cli.connect import settings_of
from mendbus.cli.handover import become
from mendbus.cli.options import DataDir, NatsUrl, Root, agent_of


def supervise(
    agent: Annotated[str, typer.Option("--agent", metavar="KIND/ID", help="The agent that the program is.")],
    command: Annotated[list[str], typer.Argument(help="The program and its arguments, after `--`.")],
    standby: Annotated[
        bool, typer.Option("--standby", help="Keep a second process waiting, imported and connected.")
    ] = False,
    heartbeat_ms: Annotated[
        int, typer.Option("--heartbeat-ms", metavar="N", min=10, help="Longest time between two heartbeats.")
    ] = 500,
    grace_ms: Annotated[
        int, typer.Option("--grace-ms", metavar="N", min=0, help="From SIGTERM to SIGKILL at the end.")
    ] = 5000,
    probe: Annotated[
        str | None, typer.Option("--probe", metavar="COMMAND", help="Ends with 0 when all is well; no shell.")
    ] = None,
    preload: Annotated[
        list[str] | None, typer.Option("--preload", metavar="MODULE", help="A standby imports this as well.")
    ] = None,
    scale_down: Annotated[
        str | None, typer.Option("--scale-down", metavar="SIGNAL", help="Takes the program a step down, as TTOU.")
    ] = None,
    scale_up: Annotated[
        str | None, typer.Option("--scale-up", metavar="SIGNAL", help="Takes it up again, as TTIN.")
    ] = None,
    depends_on: Annotated[
        list[str] | None, typer.Option("--depends-on", metavar="KIND[/ID]", help="What the program needs.")
    ] = None,
    nats_url: NatsUrl = None,
    root: Root = None,
    data_dir: DataDir = None,
) -> None:
    """Run a program as an agent that can be restarted.

    Its death is reported at once, with its last words, and so is a hang: once it has written to the descriptor in
    MENDBUS_HEARTBEAT_FD (an Agent in it does so by itself), three missed heartbeats are one. It ends when the program
    ends with status 0, or on Ctrl-C. Linux only.
    """
    kind, id_ = agent_of(agent)
    if (scale_down is None) != (scale_up is None):
        raise typer.BadParameter("--scale-down and --scale-up go together: what is limited must be lifted again")
    settings = settings_of(nats_url, root, data_dir)
    options = {
        "kind": kind,
        "id": id_,
        "nats_url": settings.nats_url,
        "root": settings.root,
        "depends_on": depends_on or [],
        "argv": command,
        "standby": standby,
        "heartbeat_ms": heartbeat_ms,
        "grace_seconds": grace_ms / 1000,
        "probe": None if probe is None else shlex.split(probe),
        "preload": preload or [],
        "scale_down": _signal(scale_down),
        "scale_up": _signal(scale_up),
    }
    become("mendbus.supervise", json.dumps(options))


def _signal(text: str | None) -> str | None:
    if text is None:
        return None
    name = text.upper() if text.upper().startswith("SIG") else f"SIG{text.upper()}"
    if name not in signal.Signals.__members__:
        raise typer.BadParameter(f"{text!r} is no signal")
    return name
