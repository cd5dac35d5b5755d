"""`mendbus decode`: bytes of the wire as JSON, also for `nats sub --translate`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mendbus.cli.connect import settings_of
from mendbus.cli.options import AsJson, Root
from mendbus.cli.output import line
from mendbus.contracts.errors import MendbusError

if TYPE_CHECKING:
    from mendbus.contracts.catalogue import Family

_HEX = frozenset(b"0123456789abcdefABCDEF")


def decode(
    file: Annotated[str, typer.Argument(metavar="[FILE]", help="Binary or hex text; - is standard input.")] = "-",
    subject: Annotated[str | None, typer.Option(help="Hold it against the message of this subject.")] = None,
    root: Root = None,
    _as_json: AsJson = False,
) -> None:
    """Show a message of the wire as one line of JSON.

    With the NATS command line: nats sub 'mendbus.v1.>' --translate 'mendbus decode --subject {{Subject}}'
    """
    from mendbus import codec
    from mendbus.contracts.subjects import MAX_SERVICE_BODY

    body = as_binary(_read(file))
    family = None
    if subject is not None:
        family = family_of(subject, settings_of(root=root).root)
        if family is None:
            raise MendbusError(f"{subject!r} is no subject of this contract; without --subject any map is shown")
    if family is None or family.body is None:
        line(codec.unpack(body, MAX_SERVICE_BODY))
    else:
        message = codec.decode(family.body, body, family.limit)
        line(message.model_dump(exclude_none=True))


def _read(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise MendbusError(f"cannot read {file}: {error.strerror}") from None


def as_binary(content: bytes) -> bytes:
    """Hex text as the bytes that it means, anything else as it is; no message begins like hex text."""
    digits = b"".join(content.split())
    return bytes.fromhex(digits.decode()) if digits and len(digits) % 2 == 0 and _HEX.issuperset(digits) else content


def family_of(subject: str, root: str) -> "Family | None":
    """The family of messages that a subject belongs to; errors are known by their stored subject too."""
    from mendbus.contracts.catalogue import FAMILIES

    tokens = subject.removeprefix(f"{root}.").split(".")
    if not subject.startswith(f"{root}."):
        return None
    if tokens[0] == "errors":
        tokens = ["error", *tokens[2:]]
    for family in FAMILIES:
        address = family.address.split(".")
        if len(address) == len(tokens) and all(
            a.startswith("{") or a == t for a, t in zip(address, tokens, strict=True)
        ):
            return family
    return None
