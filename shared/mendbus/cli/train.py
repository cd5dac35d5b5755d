"""`mendbus train`: a new model from labelled errors, measured before it is tried."""

from pathlib import Path
from typing import Annotated

import typer

from mendbus.cli.options import AsJson
from mendbus.cli.output import document, say
from mendbus.cli.score import offline


def build() -> typer.Typer:
    """The group of commands."""
    app = typer.Typer(no_args_is_help=True, help="Train a model.")
    app.callback()(_group)
    app.command()(errors)
    return app


def _group() -> None:
    """Train a model."""


def errors(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Labelled errors, JSON Lines.")],
    name: Annotated[str, typer.Option(metavar="NAME", help="Name and version of the model, such as errors-2.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder that gets the model.")],
    workers: Annotated[int, typer.Option(min=1, help="Processes that fit at the same time.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Train the error classifier on labelled errors, and measure it on what it was not fitted on.

    Each line needs message, category and severity; exception_type, stack, alt_category, group and weight where known.
    Texts of one group are never on both sides of a measurement. `mendbus models add DIR` puts the model in trial.
    """
    card = offline("classifier").train(files, output, name, workers, _tell)
    if as_json:
        document(card.model_dump(mode="json", exclude={"features", "files"}))
        return
    say(f"{card.name}: {card.samples} samples, in {output}")
    for figure, value in card.figures.items():
        say(f"  {figure.replace('_', ' '):26} {100 * value:5.1f} %")


def _tell(text: str) -> None:
    typer.echo(text, err=True)
