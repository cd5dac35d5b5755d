"""`mendbus dead`: what services had to refuse, why, and how to send it again."""

import json
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mendbus.cli.connect import connected, run
from mendbus.cli.options import AsJson, with_settings
from mendbus.cli.output import ago, clean, document, moment, say, table

if TYPE_CHECKING:
    from mendbus.asking.dead import Letter
    from mendbus.settings import Settings

Sequence = Annotated[int, typer.Argument(metavar="SEQ", min=1, help="Its number in `mendbus dead list`.")]
_DUMP_BYTES = 1024


def build() -> typer.Typer:
    """The group of commands."""
    group = typer.Typer(no_args_is_help=True, help="Messages that services refused: list, show, replay.")
    group.command("list")(list_)
    group.command("show")(show)
    group.command("replay")(replay)
    return group


@with_settings
def list_(
    settings: "Settings",
    limit: Annotated[int, typer.Option(min=1, help="The newest so many.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List refused messages, the newest last."""
    letters = run(_newest(settings, limit))
    if as_json:
        document(letters)
    elif letters:
        rows = [
            (str(x["sequence"]), ago(x["time_unix_nano"]), x["service"], x["code"], x["subject"], x["reason"])
            for x in letters
        ]
        table(("seq>", "age>", "service", "code", "subject", "reason"), rows)
    else:
        say("no dead letters")


@with_settings
def show(settings: "Settings", seq: Sequence, as_json: AsJson = False) -> None:
    """Show one refused message: why, its headers, and its body as far as it can be read."""
    letter = run(_read_one(settings, seq))
    if as_json:
        document(letter.whole())
        return
    say(f"dead letter {letter.sequence} of {letter.service}, {moment(letter.time_unix_nano)}")
    say(f"  refused  {letter.code}: {clean(letter.reason)}")
    say(f"  subject  {clean(letter.subject)}")
    for name, value in letter.headers.items():
        say(f"  header   {clean(name)}: {clean(value)}")
    say(f"  body     {letter.size} bytes{f', the first {len(letter.body)} are kept' if letter.cut else ''}")
    if (body := letter.readable) is not None:
        say(json.dumps(body, indent=2, ensure_ascii=True))
        return
    for start in range(0, min(len(letter.body), _DUMP_BYTES), 16):
        part = letter.body[start : start + 16]
        shown = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        say(f"    {start:06x}  {part.hex(' '):<47}  {shown}")
    if len(letter.body) > _DUMP_BYTES:
        say(f"    ... {len(letter.body) - _DUMP_BYTES} bytes more: --json has them all")


@with_settings
def replay(
    settings: "Settings",
    seq: Sequence,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Send a refused message again, as it was, to the subject as its sender wrote it.

    It gets no message id, so that the server does not take it for the repeat that it is.
    """
    from mendbus.asking import dead

    letter = dead.sendable(run(_read_one(settings, seq)))
    if not yes:
        if not sys.stdin.isatty():
            raise typer.BadParameter("there is no terminal to ask on: confirm with --yes")
        say(f"{letter.code}: {clean(letter.reason)}")
        typer.confirm(f"Send {len(letter.body)} bytes to {clean(letter.subject)} again?", abort=True)
    sent = run(_send(settings, letter))
    stored = sent["sequence"]
    if as_json:
        document(sent)
    else:
        say(f"sent to {clean(letter.subject)}{f', stored as {stored}' if stored else ''}")
        if "unnoted" in sent:
            say(clean(f"it does not stand in the audit trail: {sent['unnoted']}"))


async def _send(settings: "Settings", letter: "Letter") -> dict[str, Any]:
    from mendbus.asking import dead

    async with connected(settings) as bus:
        return await dead.send(bus, settings.subjects, letter)


async def _newest(settings: "Settings", limit: int) -> list[dict[str, Any]]:
    from mendbus.asking import dead

    async with connected(settings) as bus:
        return await dead.newest(bus, settings.subjects, limit)


async def _read_one(settings: "Settings", sequence: int) -> "Letter":
    from mendbus.asking import dead

    async with connected(settings) as bus:
        return await dead.read_one(bus, settings.subjects, sequence)
