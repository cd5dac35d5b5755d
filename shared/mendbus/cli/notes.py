"""What a person writes on an incident: `note`, and `relabel`, which says what it really was."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mendbus.cli.connect import connected, run
from mendbus.cli.control import By, Incident
from mendbus.cli.options import AsJson, with_settings
from mendbus.contracts.vocabulary import Category, Severity

if TYPE_CHECKING:
    from mendbus.settings import Settings

_MOST_BYTES = 1024


@with_settings
def note(
    settings: "Settings",
    incident: Incident,
    text: Annotated[str, typer.Argument(metavar="TEXT", help="What to note, up to 1024 bytes.")],
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Write a note on an incident.

    It stands in the audit trail, and `explain` and `incidents` show it.
    """
    run(send(settings, "note", incident, _said(text, "TEXT"), by, {}, as_json=as_json))


@with_settings
def relabel(
    settings: "Settings",
    incident: Incident,
    category: Annotated[Category, typer.Option(help="What it really was.")],
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it stands in the audit trail.")],
    severity: Annotated[Severity | None, typer.Option(help="How bad it really was; else as it was found.")] = None,
    by: By = None,
    as_json: AsJson = False,
) -> None:
    """Say what an incident really was.

    Nothing is done again. Analytics count it so, and `mendbus export relabels` hands it to training.
    """
    if category == "unknown":
        raise typer.BadParameter("nothing is learnt from an incident of category unknown", param_hint="--category")
    labels = {"category": category} | ({"severity": severity} if severity else {})
    run(send(settings, "relabel", incident, _said(reason, "--reason"), by, labels, as_json=as_json))


def _said(text: str, where: str) -> str:
    size = len(text.encode("utf-8", "replace"))
    if not text.strip() or size > _MOST_BYTES:
        raise typer.BadParameter(f"{size} bytes: some text of up to {_MOST_BYTES} is needed", param_hint=where)
    return text


async def send(
    settings: "Settings",
    verb: str,
    prefix: str,
    reason: str,
    by: str | None,
    labels: dict[str, Any],
    *,
    as_json: bool,
) -> None:
    """Writes on the incident whose id begins so. Raises `MendbusError` when it was refused, or there is none such."""
    from mendbus.asking.orders import annotate
    from mendbus.cli.ordering import tell

    async with connected(settings) as bus:
        incident, result = await annotate(bus, settings.subjects, verb, prefix, reason, by, labels)
    tell(verb, incident, result, as_json=as_json)
