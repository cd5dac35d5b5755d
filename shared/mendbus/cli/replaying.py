"""Asks a strategy-selector what another policy would have decided, and prints the differences."""

import time
from pathlib import Path
from typing import Any

from mendbus.asking.orders import Order, ask, control_of
from mendbus.cli.connect import connected
from mendbus.cli.output import clean, document, say, table
from mendbus.contracts.errors import MendbusError
from mendbus.settings import Settings

_SECONDS = 120.0


def read(file: str) -> str:
    """The text of a policy. Raises `MendbusError` when it cannot be read."""
    try:
        return Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise MendbusError(f"the policy cannot be read: {error}") from None


async def show(settings: Settings, text: str, seconds: float, *, as_json: bool) -> None:
    """Prints what differs under the policy of a text. Raises `MendbusError` for one that is wrong."""
    order = control_of(Order("replay", (None, None)))
    since = time.time_ns() - int(seconds * 1e9)
    order = order.model_copy(update={"arguments": {"policy": text, "since_unix_nano": max(0, since)}})
    async with connected(settings) as bus:
        result = await ask(bus, settings.subjects, order, _SECONDS)
    if not result.ok:
        raise MendbusError(result.detail or "the replay was refused")
    if as_json:
        document(result.data)
    else:
        _print(result.data)


def _print(data: dict[str, Any]) -> None:
    say(f"{data['decided']} decisions, {data['different']} would be different under policy {data['policy']}")
    if data["unreadable"]:
        say(f"{data['unreadable']} could not be decided again")
    if not data["different"]:
        return
    table(("times>", "change"), [(str(times), change) for change, times in data["changes"].items()])
    say()
    rows = [
        (d["incident_id"], str(d["attempt"]), _named(d["was"]), _named(d["would_be"]), clean(d["would_be"]["reason"]))
        for d in data["differences"]
    ]
    table(("incident", "attempt>", "was", "would be", "because"), rows)
    if data["different"] > len(rows):
        say(f"and {data['different'] - len(rows)} more")


def _named(choice: dict[str, Any]) -> str:
    return str(choice.get("strategy") or "-") + ("" if choice["acts"] else f" ({choice['rule']})")
