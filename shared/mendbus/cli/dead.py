"""`mendbus dead`: what services had to refuse, why, and how to send it again."""

import contextlib
import json
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from mendbus.cli.connect import connected, run
from mendbus.cli.options import AsJson, with_settings
from mendbus.cli.output import ago, clean, document, moment, say, table
from mendbus.contracts.errors import MendbusError, NoResponders, Refused
from mendbus.contracts.subjects import HEADER_CODE, HEADER_REASON, HEADER_SIZE, HEADER_SUBJECT

if TYPE_CHECKING:
    from mendbus.bus import StoredMessage
    from mendbus.settings import Settings

Sequence = Annotated[int, typer.Argument(metavar="SEQ", min=1, help="Its number in `mendbus dead list`.")]
_DUMP_BYTES = 1024
_OURS = frozenset((HEADER_CODE, HEADER_REASON, HEADER_SIZE, HEADER_SUBJECT, "Mendbus-Original-Id"))


class Letter(NamedTuple):
    """A dead letter: why it is one, and what the sender had sent."""

    sequence: int
    time_unix_nano: int
    service: str
    code: str
    reason: str
    subject: str
    size: int
    headers: dict[str, str]
    body: bytes

    @property
    def cut(self) -> bool:
        """Whether the service kept only the beginning of the body."""
        return self.size > len(self.body)


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
    letters = run(_read_all(settings))[-limit:]
    if as_json:
        document([_facts(letter) for letter in letters])
    elif letters:
        rows = [(str(x.sequence), ago(x.time_unix_nano), x.service, x.code, x.subject, x.reason) for x in letters]
        table(("seq>", "age>", "service", "code", "subject", "reason"), rows)
    else:
        say("no dead letters")


@with_settings
def show(settings: "Settings", seq: Sequence, as_json: AsJson = False) -> None:
    """Show one refused message: why, its headers, and its body as far as it can be read."""
    letter = run(_read_one(settings, seq))
    body = _readable(letter.body)
    if as_json:
        document(_facts(letter) | {"headers": letter.headers, "body_hex": letter.body.hex(), "body": body})
        return
    say(f"dead letter {letter.sequence} of {letter.service}, {moment(letter.time_unix_nano)}")
    say(f"  refused  {letter.code}: {clean(letter.reason)}")
    say(f"  subject  {clean(letter.subject)}")
    for name, value in letter.headers.items():
        say(f"  header   {clean(name)}: {clean(value)}")
    say(f"  body     {letter.size} bytes{f', the first {len(letter.body)} are kept' if letter.cut else ''}")
    if body is not None:
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
    letter = run(_read_one(settings, seq))
    if letter.cut:
        raise MendbusError(f"dead letter {seq} has {letter.size} bytes, of which {len(letter.body)} were kept")
    if not letter.subject:
        raise MendbusError(f"dead letter {seq} does not say to which subject it was sent")
    if not yes:
        if not sys.stdin.isatty():
            raise typer.BadParameter("there is no terminal to ask on: confirm with --yes")
        say(f"{letter.code}: {clean(letter.reason)}")
        typer.confirm(f"Send {len(letter.body)} bytes to {clean(letter.subject)} again?", abort=True)
    stored = run(_send(settings, letter))
    if as_json:
        document({"subject": letter.subject, "bytes": len(letter.body), "sequence": stored})
    else:
        say(f"sent to {clean(letter.subject)}{f', stored as {stored}' if stored else ''}")


async def _send(settings: "Settings", letter: Letter) -> int | None:
    async with connected(settings) as bus:
        try:
            return (await bus.store(letter.subject, letter.body, letter.headers)).sequence
        except NoResponders:
            # No stream listens there: it was a plain message.
            await bus.publish(letter.subject, letter.body, letter.headers)
            await bus.barrier()
            return None


async def _read_all(settings: "Settings", start: int = 1) -> list[Letter]:
    subjects = settings.subjects
    async with connected(settings) as bus:
        found = bus.read(subjects.stream("DEAD"), subjects.everyone("dead"), start=start)
        return [letter_of(stored) async for stored in found]


async def _read_one(settings: "Settings", sequence: int) -> Letter:
    subjects = settings.subjects
    async with connected(settings) as bus:
        async for stored in bus.read(subjects.stream("DEAD"), subjects.everyone("dead"), start=sequence):
            if stored.sequence == sequence:
                return letter_of(stored)
            break
    raise MendbusError(f"there is no dead letter {sequence}: see `mendbus dead list`")


def letter_of(stored: "StoredMessage") -> Letter:
    """A dead letter from the message in which a service keeps it."""
    said = stored.headers
    size = said.get(HEADER_SIZE, "")
    return Letter(
        sequence=stored.sequence,
        time_unix_nano=stored.time_unix_nano or time.time_ns(),
        service=stored.subject.rsplit(".", 1)[-1],
        code=said.get(HEADER_CODE, ""),
        reason=said.get(HEADER_REASON, ""),
        subject=said.get(HEADER_SUBJECT, ""),
        size=int(size) if size.isdigit() else len(stored.body),
        headers={name: value for name, value in said.items() if name not in _OURS and not name.startswith("Nats-")},
        body=stored.body,
    )


def _readable(body: bytes) -> Any:
    from mendbus import codec

    with contextlib.suppress(Refused):
        return codec.unpack(body)
    return None


def _facts(letter: Letter) -> dict[str, Any]:
    return {name: value for name, value in letter._asdict().items() if name not in ("headers", "body")}
