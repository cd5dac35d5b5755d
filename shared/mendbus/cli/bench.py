"""`mendbus bench` and `mendbus demo`: they start what is elsewhere."""

import os
from pathlib import Path
from typing import Annotated

import typer

from mendbus.cli.handover import become
from mendbus.cli.options import AsJson
from mendbus.contracts.errors import MendbusError


def checkout() -> Path | None:
    """The source checkout around this package or around the current folder, if it is one with a bench."""
    places = (Path(__file__).resolve(), Path.cwd() / "here")
    return next((up for place in places for up in place.parents if (up / "tests" / "bench").is_dir()), None)


def bench(context: typer.Context) -> None:
    """Measure the figures; needs a source checkout.

    Beside a floor measured in the same run. Arguments are handed on to the bench: --only ROW,... for some of them,
    --validate recovery-time or stress to judge one promise beyond the machine's noise, --quick for a short look,
    --json for JSON on standard output.
    """
    root = checkout()
    if root is None:
        raise MendbusError("the bench is part of the source, not of the package: run this in a checkout of Mendbus")
    os.chdir(root)
    become("tests.bench", *context.args)


def demo(
    secure: Annotated[bool, typer.Option("--secure", help="With users, TLS and signatures.")] = False,
    as_json: AsJson = False,
) -> None:
    """Watch two agents break and be recovered.

    Real agents break in four ways on a small project; takes under a minute.
    """
    from mendbus.demo import main

    raise typer.Exit(main(as_json=as_json, secure=secure))
