"""An error without what is secret in it: what an agent sends, and what the first service that keeps it writes down."""

import re
from collections.abc import Mapping
from typing import Any, Final, cast

from mendbus.contracts.messages import ErrorReported
from mendbus.redaction import DEFAULT, MARK, Redaction, names_secret, redact, redact_values

# Bytes of UTF-8 that the contract allows for each.
_MESSAGE: Final = 8 * 1024
_STACK: Final = 16 * 1024
_DETAIL: Final = 1024
# A name, and the first byte of the text or the bytes that follow it in msgpack.
_PACKED: Final = re.compile(rb"(?<![A-Za-z0-9_.-]) ([A-Za-z0-9_.-]{3,}+) ([\xa1-\xbf\xc4-\xc6\xd9-\xdb])", re.VERBOSE)
_LENGTHS: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
"""How many bytes of length follow the first byte of longer ones."""


def redact_error(error: ErrorReported, rules: Redaction = DEFAULT) -> ErrorReported:
    """The error with its message, stack, causes and attributes redacted; the same object where nothing was found.

    Type and places in the code stay, since errors are grouped by them; so do operation and ids: they are addresses.
    """
    said = error.exception
    message = redact_text(said.message, _MESSAGE, rules)
    stack = None if said.stacktrace is None else redact_text(said.stacktrace, _STACK, rules)
    causes = [redact_text(cause.message, _MESSAGE, rules) for cause in said.causes]
    attributes = redact_values(error.attributes, rules)
    before = [cause.message for cause in said.causes]
    if (message, stack, causes, attributes) == (said.message, said.stacktrace, before, error.attributes):
        return error
    told = [cause.model_copy(update={"message": text}) for cause, text in zip(said.causes, causes, strict=True)]
    exception = said.model_copy(update={"message": message, "stacktrace": stack, "causes": told})
    return error.model_copy(update={"exception": exception, "attributes": attributes})


def redact_exception(exception: Mapping[str, Any], rules: Redaction) -> dict[str, Any]:
    """The same for the map of an exception that an agent is about to send."""
    return {
        **exception,
        "message": redact_text(exception["message"], _MESSAGE, rules),
        "stacktrace": redact_text(exception["stacktrace"], _STACK, rules),
        "causes": [
            {**cause, "message": redact_text(cause["message"], _MESSAGE, rules)} for cause in exception["causes"]
        ],
    }


def redact_detail(detail: str | None, rules: Redaction = DEFAULT) -> str | None:
    """The same for what is said of a command, a probe or an attempt."""
    return None if detail is None else redact_text(detail, _DETAIL, rules)


def redact_plain(value: object, rules: Redaction = DEFAULT) -> Any:
    """A message as plain values, however deep, redacted: what goes by the name of a secret is hidden whole."""
    if isinstance(value, str):
        return redact(value, rules)
    if isinstance(value, bytes):
        return redact_bytes(value, rules)
    if isinstance(value, list):
        return [redact_plain(one, rules) for one in cast("list[object]", value)]
    if isinstance(value, dict):
        named = cast("dict[str, object]", value)
        return {redact(name, rules): _named(name, one, rules) for name, one in named.items()}
    return value


def _named(name: str, value: object, rules: Redaction) -> Any:
    if isinstance(value, bytes | list | dict):
        return MARK if names_secret(name, rules) else redact_plain(cast("object", value), rules)
    return redact_values({name: value}, rules)[name]


def redact_bytes(data: bytes, rules: Redaction = DEFAULT) -> bytes:
    """The same for bytes that cannot be read as a message: plain text in them, and what maps of msgpack name."""
    return redact(_without_named(data, rules).decode("latin-1"), rules).encode("latin-1")


def _without_named(data: bytes, rules: Redaction) -> bytes:
    kept: list[bytes] = []
    end = 0
    for match in _PACKED.finditer(data):
        if match.start() < end or not names_secret(match[1].decode("ascii"), rules):
            continue
        first, begin = match[2][0], match.end()
        size = first & 0x1F
        if first in _LENGTHS:
            begin += _LENGTHS[first]
            size = int.from_bytes(data[match.end() : begin], "big")
        kept += [data[end:begin], MARK.encode()]
        end = begin + size
    return b"".join((*kept, data[end:]))


def redact_text(text: str, limit: int, rules: Redaction = DEFAULT) -> str:
    """The text redacted, and still of at most `limit` bytes of UTF-8: a mark may be longer than what it hides."""
    clean = redact(text, rules)
    if len(clean) * 4 <= limit:
        return clean
    data = clean.encode("utf-8", "surrogatepass")
    return clean if len(data) <= limit else data[:limit].decode("utf-8", "ignore")
