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
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Labelled or exported errors, JSON Lines; the last one wins."),
    ],
    name: Annotated[str, typer.Option(metavar="NAME", help="Name and version of the model, such as errors-2.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder that gets the model.")],
    base: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Model to learn on from; without it, the one that is installed.")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that fit at the same time.")] = 2,
    as_json: AsJson = False,
) -> None:
    """Train the error classifier on recorded history and relabels, and measure it on what it was not fitted on.

    It learns on from a model. FILE: what `mendbus export incidents` and `mendbus export relabels` write, in this order;
    of incidents only those are learnt from whose agents named the category, for the classifier's own guesses are no
    truth. Or lines with message, category and severity, and exception_type, stack, alt_category, group and weight
    where known. Texts of one group are never on both sides of a measurement. `mendbus models add DIR` puts the model
    in trial.
    """
    card = offline("classifier").train(files, output, name, workers, _tell, base)
    if as_json:
        document(card.model_dump(mode="json", exclude={"features", "files"}))
        return
    say(f"{card.name}: {card.samples} samples, in {output}")
    for figure, value in card.figures.items():
        say(f"  {figure.replace('_', ' '):26} {100 * value:5.1f} %")


def _tell(text: str) -> None:
    typer.echo(text, err=True)
