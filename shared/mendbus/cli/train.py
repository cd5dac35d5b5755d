"""`mendbus train`: a new model from labelled errors or recorded history, measured before it is tried."""

import asyncio
import time
from collections.abc import AsyncGenerator, Generator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mendbus.cli.connect import connected
from mendbus.cli.options import AsJson, Since, seconds_of, with_settings
from mendbus.cli.output import document, say, table
from mendbus.cli.score import offline

if TYPE_CHECKING:
    from mendbus.settings import Settings


def build() -> typer.Typer:
    """The group of commands."""
    app = typer.Typer(no_args_is_help=True, help="Train a model.")
    app.callback()(_group)
    for command in (errors, selector, predictor):
        app.command()(command)
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


@with_settings
def selector(
    settings: "Settings",
    name: Annotated[str, typer.Option(metavar="NAME", help="Name and version of the model, such as choice-3.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder that gets the model.")],
    since: Since = "30d",
    as_json: AsJson = False,
) -> None:
    """Train strategy choice on the recorded outcomes of an installation, on top of the model that comes with it.

    Each outcome is foretold from those before it and then learned, which is what the figures say. Only attempts that
    were really made teach anything. `mendbus models add DIR --service strategy-selector` puts the model in trial.
    """
    first = time.time_ns() - int(seconds_of(since) * 1e9)
    with closing(outcomes(settings, first)) as found:
        card = offline("strategy-selector").train(found, output, name)
    if as_json:
        document(card.model_dump(mode="json", exclude={"features", "files"}))
        return
    say(f"{card.name}: {card.samples} attempts, in {output}")
    for figure, value in card.figures.items():
        say(f"  {figure.replace('_', ' '):30} {value:6.3f}")


def outcomes(settings: "Settings", since_unix_nano: int) -> Generator[dict[str, Any]]:
    """Every outcome that an installation has told since a time (ns since 1970), oldest first.

    Each is read when it is asked for: all of them may be more than memory holds.
    """
    coming = recorded(settings, since_unix_nano)

    async def following() -> dict[str, Any] | None:
        return await anext(coming, None)

    with asyncio.Runner() as runner:
        try:
            while (outcome := runner.run(following())) is not None:
                yield outcome
        finally:
            runner.run(coming.aclose())


async def recorded(settings: "Settings", since_unix_nano: int) -> AsyncGenerator[dict[str, Any]]:
    """As `outcomes`."""
    from mendbus import codec
    from mendbus.contracts.errors import Refused
    from mendbus.contracts.subjects import MAX_SERVICE_BODY

    async with connected(settings) as bus:
        subjects = settings.subjects
        stream, filter_ = subjects.stream("RECOVERIES"), subjects.everyone("outcome")
        async for message in bus.read(stream, filter_, since_unix_nano=since_unix_nano):
            try:
                outcome = codec.unpack(message.body, MAX_SERVICE_BODY)
            except Refused:
                continue
            yield outcome


def predictor(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR...", help="Recordings of health and failures.")],
    name: Annotated[str, typer.Option(metavar="NAME", help="Name and version of the model, such as failures-2.")],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Folder that gets the model.")],
    as_json: AsJson = False,
) -> None:
    """Train the failure predictor on recorded history, and measure it on runs, rates and kinds of faults not seen.

    Level and calibration of the alarm are those of unseen kinds. `mendbus models --service predictor add DIR` puts the
    model in trial.
    """
    card, figures = offline("predictor").train(folders, output, name, _tell)
    if as_json:
        document({"name": card.name, "samples": card.samples, "thresholds": card.thresholds, "figures": figures})
        return
    say(f"{card.name}: {card.samples} evaluations, in {output}; level of the alarm {card.thresholds['alarm']:.2f}")
    table(
        (
            "",
            "recall>",
            "false positives>",
            "precision>",
            "PR-AUC>",
            "warned early>",
            "chance>",
            "lead>",
            "false/agent h>",
        ),
        [
            (
                split.replace("_", " "),
                *(_interval(some[key]) for key in ("recall", "false_positives", "precision")),
                f"{some['pr_auc']:.3f}",
                _interval(some["early_warning"]),
                f"{100 * some['chance']:.0f} %",
                f"{some['lead_seconds']['p50']:.1f} s",
                f"{some['false_alarms_per_agent_hour']['value']:.1f}",
            )
            for split, some in figures.items()
        ],
    )
    for kind, some in figures["unseen_kind"]["by_kind"].items():
        say(f"  {kind:20} unseen: recall {_interval(some['recall'])}, warned early {_interval(some['early_warning'])}")


def _interval(found: dict[str, float]) -> str:
    """A share with its interval and what it is out of."""
    if not found["of"]:
        return "-"
    low, high = (f"{100 * found[end]:.0f}" for end in ("low", "high"))
    return f"{100 * found['value']:.1f} % [{low}, {high}] of {found['of']}"


def _tell(text: str) -> None:
    typer.echo(text, err=True)
