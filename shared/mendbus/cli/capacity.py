"""The command `capacity`: what runs out, when, and what to scale; of agents, of kinds, and of Mendbus itself."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mendbus.cli.connect import connected, run
from mendbus.cli.options import AsJson, with_settings
from mendbus.contracts.ids import is_token

if TYPE_CHECKING:
    from mendbus.settings import Settings

_TIGHT = 0.7
"""Share of its limit from which a resource is shown without --every."""


@with_settings
def capacity(
    settings: "Settings",
    target: Annotated[str | None, typer.Argument(metavar="KIND[/ID]", help="Of a kind, or of one agent only.")] = None,
    every: Annotated[bool, typer.Option("--every", help="Also what has plenty of room.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what runs out, when, and what to scale.

    Memory, disk, queue and descriptors of agents against their limits, and what Mendbus itself can still take.
    """
    kind, slash, agent = (target or "").partition("/")
    if target is not None and not (is_token(kind) and (not slash or is_token(agent))):
        raise typer.BadParameter(f"{target!r} is neither a kind nor KIND/ID")
    run(show(settings, kind or None, agent or None, every=every, as_json=as_json))


async def show(settings: "Settings", kind: str | None, agent: str | None, *, every: bool, as_json: bool) -> None:
    """Prints what runs out; without `every` only agents' resources that are tight."""
    from mendbus.asking import health
    from mendbus.cli.output import clean, document, say, table

    async with connected(settings) as bus:
        told = await health.capacity(bus, settings.subjects, kind, agent)
    if as_json:
        document(told)
        return
    rows = [row for row in told["agents"] if every or "scale" in row or row["share"] >= _TIGHT]
    if rows:
        table(
            ("agent", "metric", "used>", "a minute>", "runs out in>", "what to scale"),
            [
                (row["agent"], row["metric"], f"{row['share']:.1%}", _per_minute(row), _eta(row), row.get("scale", "-"))
                for row in rows
            ],
        )
    else:
        say("nothing runs out" if told["agents"] else "no agent has told a limit yet")
    for row in told["kinds"]:
        if "sentence" in row:
            say(clean(f"{row['sentence']}: {row['scale']}"))
    _say_own(told["mendbus"])


def _say_own(own: dict[str, Any]) -> None:
    from mendbus.cli.output import clean, say, table

    if not own:
        return
    recoveries = own["recoveries"]
    now = recoveries.get("now_per_s")
    say()
    if now is not None:
        say(
            f"recoveries: {now:.1f}/s now, {recoveries['peak_per_s']:.1f}/s at most of late, "
            f"{recoveries['sustainable_per_s']:g}/s sustained; room for {recoveries['headroom_per_s']:.1f}/s more"
        )
    if "sentence" in recoveries:
        say(clean(f"recoveries: {recoveries['sentence']}: {recoveries['scale']}"))
    say(f"errors waiting: {own['errors']['waiting_at_most']} at most")
    table(
        ("stream", "bytes>", "used>", "full in>"),
        [
            (row["stream"], str(row["bytes"]), f"{row['share']:.1%}" if "share" in row else "-", _eta(row))
            for row in own["streams"]
        ],
    )


def _per_minute(row: dict[str, Any]) -> str:
    return f"{row['per_second'] * 60 / row['limit']:+.2%}" if row["per_second"] else "-"


def _eta(row: dict[str, Any]) -> str:
    if "scale" not in row or "eta_seconds" not in row:
        return "-"
    until = f"{_minutes(row['eta_high'])}" if "eta_high" in row else "never"
    return f"{_minutes(row['eta_seconds'])} ({_minutes(row['eta_low'])} to {until})"


def _minutes(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
