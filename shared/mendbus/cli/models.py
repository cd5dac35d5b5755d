"""`mendbus models`: what models there are, which one answers, and changing that; on the machine that serves them."""

import getpass
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mendbus.cli.options import AsJson, with_settings
from mendbus.cli.output import document, say, table
from mendbus.cli.score import offline
from mendbus.contracts.errors import MendbusError

if TYPE_CHECKING:
    from mendbus.models import Card
    from mendbus.modelstore import ModelStore
    from mendbus.settings import Settings

Service = Annotated[str, typer.Option(metavar="NAME", help="The service whose models are meant.")]
Name = Annotated[str, typer.Argument(metavar="MODEL", help="A model's name; `packaged` is the one of the package.")]

PACKAGED = "packaged"
_FIGURES = {
    "classifier": ("strict", "lenient", "severity", "macro_f1", "ece"),
    "predictor": tuple(
        f"unseen_kind_{figure}" for figure in ("recall", "false_positives", "precision", "pr_auc", "early_warning")
    ),
    "strategy-selector": ("optimal", "helped", "calibration_error"),
}
"""Which of a card's figures a list shows, by service."""


def build() -> typer.Typer:
    """The group of commands."""
    app = typer.Typer(no_args_is_help=True, help="List, compare, try, promote and roll back models.")
    app.callback()(_group)
    for command in (list_, compare, add, promote, rollback):
        app.command(command.__name__.rstrip("_"))(command)
    return app


def _group() -> None:
    """List, compare, try, promote and roll back models."""


@with_settings
def list_(settings: "Settings", service: Service = "classifier", as_json: AsJson = False) -> None:
    """List the models of a service: in use, in trial, and kept."""
    store = _store(settings, service)
    state = store.state()
    rows = [_row(store, name, state.active, state.shadow) for name in ("", *store.names())]
    if (included := _included(store)) is not None and included.name not in store.names():
        role = "kept" if store.stamp() else "in trial"
        figures = dict(included.figures)
        rows.append(
            {"name": included.name, "is": f"{role}, of the package", "created": included.created, "figures": figures}
        )
    if as_json:
        document({"service": service, "models": rows, "changes": state.changes})
        return
    shown = _FIGURES.get(service, ())
    table(
        ("model", "is", "created", *(f"{name.removeprefix('unseen_kind_').replace('_', ' ')}>" for name in shown)),
        [(r["name"], r["is"], r["created"], *(_share(r["figures"].get(f)) for f in shown)) for r in rows],
    )
    for change in state.changes[-5:]:
        say(f"{change['at']} {change['to'] or PACKAGED}: {change['change']} (by {change['by']})")


@with_settings
def compare(
    settings: "Settings", first: Name, second: Name, service: Service = "classifier", as_json: AsJson = False
) -> None:
    """Compare what two models were measured at, and what they were made of."""
    store = _store(settings, service)
    cards = [_card(store, _named(name)) for name in (first, second)]
    figures = sorted({*cards[0].figures, *cards[1].figures})
    if as_json:
        document({card.name: card.model_dump(mode="json", exclude={"features", "files"}) for card in cards})
        return
    table(
        ("", *(f"{card.name}>" for card in cards)),
        [
            ("created", *(card.created for card in cards)),
            ("samples", *(str(card.samples) for card in cards)),
            ("same data", *("yes" if cards[0].data == cards[1].data else "no" for _ in cards)),
            *((name.replace("_", " "), *(_share(card.figures.get(name)) for card in cards)) for name in figures),
        ],
    )


@with_settings
def add(
    settings: "Settings",
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a trained model.")],
    service: Service = "classifier",
    as_json: AsJson = False,
) -> None:
    """Put a model in trial: it is asked beside the one in use, and promoted when it shows lift."""
    name = _store(settings, service).add(folder, _now(), getpass.getuser())
    _said({"trial": name}, f"{name} is in trial", as_json=as_json)


@with_settings
def promote(settings: "Settings", model: Name, service: Service = "classifier", as_json: AsJson = False) -> None:
    """Use a model from the next request on; the one used before goes on in trial."""
    store = _store(settings, service)
    if (included := _included(store)) is not None and model == included.name and model not in store.names():
        _ = store.add(offline(service).included(), _now(), getpass.getuser())
    store.promote(_named(model), _now(), getpass.getuser())
    _said({"active": model}, f"{model} is in use", as_json=as_json)


@with_settings
def rollback(settings: "Settings", service: Service = "classifier", as_json: AsJson = False) -> None:
    """Use what was used before the last promotion."""
    name = _store(settings, service).rollback(_now(), getpass.getuser()) or PACKAGED
    _said({"active": name}, f"{name} is in use", as_json=as_json)


def _said(facts: dict[str, str], text: str, *, as_json: bool) -> None:
    if as_json:
        document(facts)
    else:
        say(text)


def _store(settings: "Settings", service: str) -> "ModelStore":
    from mendbus.modelstore import ModelStore

    return ModelStore(settings.data_dir / "models", service)


def _named(name: str) -> str:
    return "" if name == PACKAGED else name


def _card(store: "ModelStore", name: str) -> "Card":
    from mendbus import models

    included = _included(store)
    if included is not None and name == included.name and name not in store.names():
        return included
    return models.read_folder(store.folder(name) or offline(store.service).packaged())[0]


def _included(store: "ModelStore") -> "Card | None":
    """The card of a model that comes with the package beside the one that is used at first; None: there is none."""
    from mendbus import models

    folder = getattr(offline(store.service), "included", None)
    return models.read_folder(folder())[0] if folder is not None else None


def _row(store: "ModelStore", name: str, active: str, shadow: str | None) -> dict[str, Any]:
    role = "in use" if name == active else "in trial" if name == shadow else "kept"
    known = name or PACKAGED
    try:
        card = _card(store, name)
    except MendbusError as error:
        return {"name": known, "is": f"{role}, refused", "created": "-", "figures": {}, "problem": str(error)}
    return {"name": known, "is": role, "model": card.name, "created": card.created, "figures": dict(card.figures)}


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _now() -> str:
    from mendbus.modelstore import moment

    return moment(time.time_ns())
