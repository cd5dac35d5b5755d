"""Bytes of the wire to messages and back, strictly. The only import of msgpack."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar, cast

import msgpack  # pyright: ignore[reportMissingTypeStubs]
from pydantic import BaseModel, ValidationError

from mendbus.contracts.errors import Refused
from mendbus.contracts.messages import AgentRef
from mendbus.contracts.subjects import CONTENT_TYPE, HEADER_CONTENT_TYPE, MAX_BODY

MAX_DEPTH: Final = 8
"""Levels of maps and lists, the message itself being the first."""
MAX_PROBLEMS: Final = 100
"""Problems of one message that are looked into to name the first."""

M = TypeVar("M", bound=BaseModel)

# msgpack comes without types.
_packb = cast("Callable[..., bytes]", msgpack.packb)  # pyright: ignore[reportUnknownMemberType]
_unpackb = cast("Callable[..., object]", msgpack.unpackb)  # pyright: ignore[reportUnknownMemberType]


class _DuplicateKeyError(ValueError):
    pass


def _map(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
    """A map from the wire: duplicate keys and keys that are no text are refused, nil is the same as absent."""
    items = dict(pairs)
    if len(items) != len(pairs):
        raise _DuplicateKeyError
    for key in items:
        if type(key) is not str:
            msg = f"a {type(key).__name__} is not allowed as a key"
            raise ValueError(msg)
    if None in items.values():
        return {k: v for k, v in items.items() if v is not None}
    return items


def _extension(code: int, _: bytes) -> object:
    msg = f"extension type {code} is not allowed"
    raise ValueError(msg)


def pack(value: Any) -> bytes:
    """Any map of plain values as msgpack; the same value gives the same bytes. Half of a surrogate pair becomes `?`."""
    try:
        return _packb(value)
    except UnicodeEncodeError:
        return _packb(value, unicode_errors="replace")


def encode(message: BaseModel) -> bytes:
    """A message as msgpack, keys in the order of its fields, absent ones left out."""
    return pack(message.model_dump(exclude_none=True))


def pack_with_list(head: Mapping[str, Any], name: str, items: Sequence[bytes]) -> bytes:
    """The map `head` with one more key at its end: a list of values that are packed already."""
    packer = _open_map(head, name)
    packer.pack_array_header(len(items))
    return cast("bytes", packer.bytes()) + b"".join(items)


def pack_with(head: Mapping[str, Any], name: str, item: bytes) -> bytes:
    """The map `head` with one more key at its end: a value that is packed already."""
    return cast("bytes", _open_map(head, name).bytes()) + item


def _open_map(head: Mapping[str, Any], name: str) -> Any:
    packer = cast("Any", msgpack.Packer(autoreset=False))  # pyright: ignore[reportUnknownMemberType]
    packer.pack_map_header(len(head) + 1)
    for key, value in head.items():
        packer.pack(key)
        packer.pack(value)
    packer.pack(name)
    return packer


def unpack(body: bytes, limit: int = MAX_BODY) -> dict[str, Any]:
    """One msgpack map with text keys and nothing after it.

    Raises `Refused` (codes `too_large`, `not_msgpack`, `trailing_bytes`, `duplicate_key`, `too_deep`, `not_a_map`).
    """
    if len(body) > limit:
        raise Refused("too_large", f"the body has {len(body)} bytes, {limit} are allowed")
    message = _unpack_plainest(body)
    if message is not None:
        return message
    value = _unpack_any(body)
    if not isinstance(value, dict):
        raise Refused("not_a_map", f"the body is a {type(value).__name__}, not a map")
    message = cast("dict[str, Any]", value)
    if _deeper_than(message, MAX_DEPTH):
        raise Refused("too_deep", f"the body nests deeper than {MAX_DEPTH}")
    return message


def reread(body: bytes) -> dict[str, Any]:
    """A map that a service packed for itself: what it wrote by this module is not judged again.

    Raises `Refused` (`not_msgpack`, `not_a_map`) for bytes that are none.
    """
    try:
        value = _unpackb(body)
    except (ValueError, TypeError, RecursionError) as error:
        raise Refused("not_msgpack", f"not what a service packed: {error}"[:200]) from None
    if not isinstance(value, dict):
        raise Refused("not_a_map", f"not what a service packed: a {type(value).__name__}")
    return cast("dict[str, Any]", value)


def _unpack_plainest(body: bytes) -> dict[str, Any] | None:
    """The map of a body as most writers make it, or None: `_unpack_any` then judges it.

    A call of Python code for each map would double the time. Without one, duplicate keys are lost, but then the value
    packs to other bytes; and nil or binary are found in it.
    """
    try:
        value = _unpackb(body, max_bin_len=0, max_ext_len=0, ext_hook=_extension)
        if type(value) is dict and _packb(value) == body and _plain(value, MAX_DEPTH):
            return cast("dict[str, Any]", value)
    except (ValueError, TypeError):
        pass
    return None


def _plain(container: Any, levels: int) -> bool:
    """Whether it holds nothing but text, numbers, and such maps and lists, not deeper than so many levels."""
    if type(container) is dict:
        if b"" in container:
            return False
        container = container.values()  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    for child in container:  # pyright: ignore[reportUnknownVariableType]
        kind = type(child)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        if kind is str or kind is int or kind is float or kind is bool:
            continue
        if (kind is not dict and kind is not list) or levels <= 1 or not _plain(child, levels - 1):
            return False
    return True


def _unpack_any(body: bytes) -> object:
    try:
        return _unpackb(body, object_pairs_hook=_map, max_ext_len=0, ext_hook=_extension)
    except _DuplicateKeyError:
        raise Refused("duplicate_key", "a map in the body has the same key twice") from None
    except msgpack.ExtraData:
        raise Refused("trailing_bytes", "there are bytes after the message") from None
    except msgpack.StackError:
        raise Refused("too_deep", f"the body nests deeper than {MAX_DEPTH}") from None
    except (ValueError, TypeError, RecursionError, OverflowError, MemoryError) as error:
        raise Refused("not_msgpack", f"the body is not msgpack as this contract wants it: {error}"[:200]) from None


def _deeper_than(container: Any, levels: int) -> bool:
    for child in container.values() if type(container) is dict else container:  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        if (type(child) is dict or type(child) is list) and (levels <= 1 or _deeper_than(child, levels - 1)):  # pyright: ignore[reportUnknownArgumentType]
            return True
    return False


def decode(model: type[M], body: bytes, limit: int = MAX_BODY) -> M:
    """A message from the wire. Raises `Refused` (those of `unpack`, and `invalid`, which names the fields)."""
    return validate(model, unpack(body, limit))


def validate(model: type[M], value: Mapping[str, Any]) -> M:
    """A message from decoded values. Raises `Refused` (`invalid`)."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise Refused("invalid", f"not a valid {model.__name__}: {_problems(error)}"[:480]) from None


def _problems(error: ValidationError) -> str:
    # Naming each of thousands of problems would hold up everything else.
    if error.error_count() > MAX_PROBLEMS:
        return f"{error.error_count()} problems"
    items = error.errors(include_url=False, include_context=False, include_input=False)
    named = [f"{'.'.join(str(step) for step in item['loc'])}: {item['msg']}" for item in items[:4]]
    if len(items) > len(named):
        named.append(f"and {len(items) - len(named)} more")
    # A key from the wire may hold anything; the sentence goes into headers and logs.
    return "".join(c if c.isprintable() else "?" for c in "; ".join(named))


def headers(traceparent: str = "") -> dict[str, str]:
    """The headers of a message of this contract, with the span it belongs to where there is one."""
    found = {HEADER_CONTENT_TYPE: CONTENT_TYPE}
    if traceparent:
        found["traceparent"] = traceparent
    return found


def check_content_type(headers: Mapping[str, str]) -> None:
    """Raises `Refused` (`content_type`) when the headers name another format than msgpack."""
    stated = headers.get(HEADER_CONTENT_TYPE)
    if stated is not None and stated.split(";")[0].strip().lower() != CONTENT_TYPE:
        raise Refused("content_type", f"{HEADER_CONTENT_TYPE} is {stated[:80]!r}, expected {CONTENT_TYPE!r}")


def check_agent(agent: AgentRef, kind: str, agent_id: str) -> None:
    """Raises `Refused` (`agent_mismatch`) when a body speaks for another agent than its subject."""
    if agent.kind != kind or agent.id != agent_id:
        raise Refused("agent_mismatch", f"the body speaks for {agent.key!r}, the subject for '{kind}/{agent_id}'")


def check_severity(severity: str | None, token: str) -> None:
    """Raises `Refused` (`severity_mismatch`) when body and subject differ; an unsaid severity has the token unknown."""
    if (severity or "unknown") != token:
        raise Refused("severity_mismatch", f"the body says severity {severity!r}, the subject {token!r}")
