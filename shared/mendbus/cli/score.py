"""`mendbus score`: how good a service's model is on labelled data."""

from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mendbus.cli.options import AsJson
from mendbus.cli.output import document, say, table
from mendbus.contracts.errors import MendbusError

if TYPE_CHECKING:
    from types import ModuleType

_SHOWN = ("strict", "lenient", "severity", "severity_within_one", "macro_f1", "ece", "coverage_at_95_precision")


def build() -> typer.Typer:
    """The group of commands."""
    app = typer.Typer(no_args_is_help=True, help="Score a model on labelled data.")
    app.callback()(_group)
    app.command()(errors)
    return app


def _group() -> None:
    """Score a model on labelled data."""


def errors(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Labelled errors, JSON Lines.")],
    model: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of a model; without it, the one that is installed.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Score the error classifier, beside the rules alone and beside always saying the most frequent label.

    `strict`: the category is right; `lenient`: it is right or the second one that the label allows. `unknown` is wrong.
    """
    found: dict[str, Any] = offline("classifier").score(file, model)
    if as_json:
        document(found)
        return
    say(f"{found['samples']} errors, model {found['model']}")
    rows = [("model", found), ("rules only", found["rules_only"]), ("majority", found["majority"])]
    table(
        ("", *(f"{name.replace('_', ' ')}>" for name in _SHOWN)),
        [(name, *(_share(figures.get(key)) for key in _SHOWN)) for name, figures in rows],
    )
    say()
    table(
        ("category", "precision>", "recall>", "f1>", "errors>"),
        [
            (name, _share(part["precision"]), _share(part["recall"]), _share(part["f1"]), str(part["support"]))
            for name, part in found["per_class"].items()
        ],
    )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def offline(service: str) -> "ModuleType":
    """What an installed service offers for work on its models. Raises `MendbusError` where it is not installed."""
    found = [entry for entry in entry_points(group="mendbus.services") if entry.name == service]
    if not found:
        raise MendbusError(f"the service {service!r} is not installed here")
    try:
        return import_module(f"{found[0].module}.offline.commands")
    except ImportError as error:
        raise MendbusError(f"{service} cannot work on models: {error}") from None
