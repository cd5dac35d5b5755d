"""`mendbus up` and `mendbus run`: both hand over to a fresh Python, so that no command line stays in memory."""

import json
import signal
from typing import Annotated

import typer

from mendbus.cli.connect import settings_of
from mendbus.cli.handover import become
from mendbus.cli.options import AsJson, DataDir
from mendbus.contracts.vocabulary import ServiceName
from mendbus.whereabouts import DASHBOARD_PORT

NATS_PORT = 4222
HTTP_PORT = 7700


def up(
    nats_port: Annotated[
        int, typer.Option("--nats-port", metavar="PORT", min=0, max=65535, help="Port of NATS; 0: any free one.")
    ] = NATS_PORT,
    http_port: Annotated[
        int | None,
        typer.Option(
            "--http-port", metavar="PORT", min=0, max=65535, help=f"Port of /livez and /readyz; 0: any. [{HTTP_PORT}]"
        ),
    ] = None,
    dashboard_port: Annotated[
        int | None,
        typer.Option(
            "--dashboard-port",
            metavar="PORT",
            min=-1,
            max=65535,
            help=f"Port of the dashboard; 0: any, -1: none. [{DASHBOARD_PORT}, or any if taken]",
        ),
    ] = None,
    data_dir: DataDir = None,
    single_process: Annotated[
        bool, typer.Option("--single-process", help="All services in one process, for small hosts.")
    ] = False,
    secure: Annotated[
        bool, typer.Option("--secure", help="Users, TLS and signatures, made in DIR/secure; see `nats-config`.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run everything on this machine, supervised.

    A NATS server and the five services: what dies is started again. Prints the addresses and the state of each service
    once all are ready, then the address of the dashboard (behind # the token with which it may act; with --json the
    file that holds it), and every change after that. Ctrl-C ends it; a second one does not wait for work under way.
    """
    settings = settings_of(data_dir=data_dir)
    options = {
        "nats_port": nats_port,
        "http_port": _chosen(http_port, settings.http_port, HTTP_PORT),
        "data_dir": str(settings.data_dir),
        "single_process": single_process,
        "json": as_json,
        "dashboard_port": _chosen(dashboard_port, settings.dashboard_port, DASHBOARD_PORT),
        "secure": secure,
    }
    # Held back until it can end well: whoever presses Ctrl-C while it loads must get no traceback.
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
    become("mendbus.up", json.dumps(options))


def _chosen(asked: int | None, set_: int, usual: int) -> int:
    """A port: as an option asks for, else as the environment sets it, else the usual one."""
    if asked is not None:
        return asked
    return set_ if set_ >= 0 else usual


def run(service: Annotated[ServiceName, typer.Argument(help="Which one.")]) -> None:
    """Run one service in this process.

    Its settings come from the environment: NATS_URL, MENDBUS_HTTP_PORT and so on.
    """
    become("mendbus.service", service)
