"""`mendbus models`: what models there are, which one answers, and changing that, for all replicas of a service."""

import contextlib
import getpass
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mendbus.cli.connect import connected, run
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
    rows, changes = run(_listed(settings, service))
    if as_json:
        document({"service": service, "models": rows, "changes": changes})
        return
    shown = _FIGURES.get(service, ())
    table(
        ("model", "is", "created", *(f"{name.removeprefix('unseen_kind_').replace('_', ' ')}>" for name in shown)),
        [(r["name"], r["is"], r["created"], *(_share(r["figures"].get(f)) for f in shown)) for r in rows],
    )
    for change in changes[-5:]:
        say(f"{change['at']} {change['to'] or PACKAGED}: {change['change']} (by {change['by']})")


async def _listed(settings: "Settings", service: str) -> tuple[list[dict[str, Any]], list[dict[str, str]]]:
    """Each model as a row, and the changes."""
    async with _store(settings, service) as store:
        state, names = await store.state(), await store.names()
        # One in use that somebody has deleted is shown, too.
        shown = sorted({"", *names, state.active, state.shadow or ""})
        rows = [await _row(store, name, state.active, state.shadow) for name in shown]
        if (included := _included(store)) is not None and included.name not in names:
            role = "kept" if state.changes else "in trial"
            figures = dict(included.figures)
            row = {"name": included.name, "is": f"{role}, of the package", "created": included.created}
            rows.append({**row, "figures": figures})
        return rows, state.changes


@with_settings
def compare(
    settings: "Settings", first: Name, second: Name, service: Service = "classifier", as_json: AsJson = False
) -> None:
    """Compare what two models were measured at, and what they were made of."""
    cards = run(_cards(settings, service, first, second))
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


async def _cards(settings: "Settings", service: str, *names: str) -> "list[Card]":
    async with _store(settings, service) as store:
        return [await _card(store, _named(name)) for name in names]


@with_settings
def add(
    settings: "Settings",
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of a trained model.")],
    service: Service = "classifier",
    as_json: AsJson = False,
) -> None:
    """Put a model in trial: it is asked beside the one in use, and promoted when it shows lift."""
    name = run(_added(settings, service, folder))
    _said({"trial": name}, f"{name} is in trial", as_json=as_json)


async def _added(settings: "Settings", service: str, folder: Path) -> str:
    async with _store(settings, service) as store:
        return await store.add(folder, _now(), getpass.getuser())


@with_settings
def promote(settings: "Settings", model: Name, service: Service = "classifier", as_json: AsJson = False) -> None:
    """Use a model from the next request on; the one used before goes on in trial."""
    run(_promoted(settings, service, model))
    _said({"active": model}, f"{model} is in use", as_json=as_json)


async def _promoted(settings: "Settings", service: str, model: str) -> None:
    async with _store(settings, service) as store:
        state = await store.state()
        if (included := _included(store)) is not None and model == included.name and model not in await store.names():
            _ = await store.put(offline(service).included())
        _ = await store.promote(_named(model), _now(), getpass.getuser(), state)


@with_settings
def rollback(settings: "Settings", service: Service = "classifier", as_json: AsJson = False) -> None:
    """Use what was used before the last promotion."""
    name = run(_rolled_back(settings, service)) or PACKAGED
    _said({"active": name}, f"{name} is in use", as_json=as_json)


async def _rolled_back(settings: "Settings", service: str) -> str:
    async with _store(settings, service) as store:
        return await store.rollback(_now(), getpass.getuser())


def _said(facts: dict[str, str], text: str, *, as_json: bool) -> None:
    if as_json:
        document(facts)
    else:
        say(text)


@contextlib.asynccontextmanager
async def _store(settings: "Settings", service: str) -> "AsyncGenerator[ModelStore]":
    """The models of a service for the length of a block. Raises `MendbusError`."""
    from mendbus.contracts.vocabulary import SERVICES
    from mendbus.modelstore import ModelStore

    if service not in SERVICES:
        raise MendbusError(f"there is no service {service!r}; there are: {', '.join(SERVICES)}")
    async with connected(settings) as bus:
        yield ModelStore(bus, settings.subjects, service)


def _named(name: str) -> str:
    return "" if name == PACKAGED else name


async def _card(store: "ModelStore", name: str) -> "Card":
    from mendbus import models

    included = _included(store)
    if included is not None and name == included.name and name not in await store.names():
        return included
    return models.read(await store.content(name) or offline(store.service).packaged())[0]


def _included(store: "ModelStore") -> "Card | None":
    """The card of a model that comes with the package beside the one that is used at first; None: there is none."""
    from mendbus import models

    folder = getattr(offline(store.service), "included", None)
    return models.read_folder(folder())[0] if folder is not None else None


async def _row(store: "ModelStore", name: str, active: str, shadow: str | None) -> dict[str, Any]:
    role = "in use" if name == active else "in trial" if name == shadow else "kept"
    known = name or PACKAGED
    try:
        card = await _card(store, name)
    except MendbusError as error:
        return {"name": known, "is": f"{role}, refused", "created": "-", "figures": {}, "problem": str(error)}
    return {"name": known, "is": role, "model": card.name, "created": card.created, "figures": dict(card.figures)}


def _share(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _now() -> str:
    from mendbus.modelstore import moment

    return moment(time.time_ns())
