"""All commands in one place, and what their errors look like."""

import sys
from importlib.metadata import version
from io import TextIOWrapper
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mendbus.cli import (
    alerts,
    analytics,
    audit,
    bench,
    capacity,
    conformance,
    control,
    dead,
    decode,
    doctor,
    export,
    health,
    inject,
    kept,
    models,
    nats_config,
    notes,
    pipeline,
    predictions,
    profile,
    score,
    supervise,
    trace,
    train,
    up,
)
from mendbus.contracts.errors import MendbusError, SettingsError

EPILOG = (
    "Exit status: 0 = done, 1 = it failed, 2 = wrong usage or settings. Every command takes --json. "
    "NATS is found by --nats-url, NATS_URL, a running `mendbus up` of the same --data-dir, else on port 4222."
)


class Commands(TyperGroup):
    """Turns the project's own errors into one sentence and an exit status."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command."""
        try:
            return super().invoke(ctx)
        except MendbusError as error:
            typer.echo(f"mendbus: {error}", err=True)
            raise typer.Exit(2 if isinstance(error, SettingsError) else 1) from None


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("mendbus"))
        raise typer.Exit


def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Distributed error recovery on NATS."""


def build() -> typer.Typer:
    """The application with all its commands, in the order of the help page."""
    app = typer.Typer(
        cls=Commands,
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        epilog=EPILOG,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )
    app.callback()(_root)
    for command in (up.up, bench.demo, up.run, supervise.supervise, pipeline.report, pipeline.watch):
        app.command()(command)
    for command in (pipeline.incidents, pipeline.explain, analytics.analytics, notes.note, notes.relabel):
        app.command()(command)
    app.command()(health.health)
    app.command()(kept.checkpoints)
    app.command()(inject.inject)
    app.command()(trace.trace)
    app.command()(profile.profile)
    app.command()(capacity.capacity)
    app.command()(predictions.predictions)
    for command in (control.pause, control.resume, kept.pauses, control.approve, control.close, control.replay):
        app.command()(command)
    for group in (alerts, dead, audit, export, models, train, score):
        app.add_typer(group.build(), name=group.__name__.rpartition(".")[2])
    app.add_typer(nats_config.build(), name="nats-config")
    for command in (doctor.doctor, decode.decode, conformance.conformance):
        app.command()(command)
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(bench.bench)
    return app


def run() -> None:
    """Runs the command line and exits."""
    # What agents wrote may hold characters that the terminal's encoding lacks.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    build()()
