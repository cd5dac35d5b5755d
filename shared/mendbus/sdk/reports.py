"""From an exception to the bytes of an ErrorReported: captured cheaply where it happened, written out elsewhere.

`capture` runs at the caller and keeps plain text and numbers only, never a frame or an object of the user's;
`encode` runs on the agent's own thread, where reading source lines for the stack text disturbs nobody.
"""

import inspect
import linecache
import math
import os
import sysconfig
import traceback
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Any, Final, NamedTuple

from mendbus import codec
from mendbus.contracts.fields import INT64_MAX
from mendbus.contracts.ids import is_token
from mendbus.contracts.subjects import MAX_BODY
from mendbus.contracts.vocabulary import Category, Severity

MAX_FRAMES: Final = 64
MAX_CAUSES: Final = 8
MAX_ATTRIBUTES: Final = 64
SHORT: Final = 256
DETAIL: Final = 1024
MESSAGE: Final = 8 * 1024
STACK: Final = 16 * 1024
_ATTRIBUTE: Final = 4 * 1024
_CUT_MARK: Final = "... (the beginning is cut)\n"
_SDK: Final = str(Path(__file__).parent)
_LIBRARIES: Final = tuple(
    {path + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib") if (path := sysconfig.get_path(name))}
)

Key = tuple[str, ...]
"""Two reports with the same key are the same failure, and are counted instead of sent twice."""


class Place(NamedTuple):
    """A line of code that was running."""

    file: str
    line: int
    function: str


class Link(NamedTuple):
    """One exception of a chain; `relation` is how Python words its tie to the exception after it."""

    type: str
    message: str
    places: tuple[Place, ...]
    last_words: str
    relation: str


class Words(NamedTuple):
    """What the reporter says of a failure beside the exception itself."""

    severity: Severity | None = None
    category: Category | None = None
    operation: str | None = None
    attributes: Mapping[str, object] | None = None
    checkpoint_id: str | None = None
    correlation_id: str | None = None


class Captured(NamedTuple):
    """A failure as plain text: the exception itself first in `chain`, then what led to it."""

    chain: tuple[Link, ...]
    words: Words
    attributes: dict[str, str | int | float | bool]

    @property
    def type(self) -> str:
        """The exception's type."""
        return self.chain[0].type

    @property
    def message(self) -> str:
        """The exception's message."""
        return self.chain[0].message

    @property
    def size(self) -> int:
        """About how many bytes of memory this takes."""
        size = 400 + 200 * len(self.attributes)
        for link in self.chain:
            size += len(link.message) + len(link.last_words) + 160 * len(link.places)
        return size


@dataclass(slots=True, frozen=True)
class Occurrences:
    """How often and when: times in nanoseconds since 1970."""

    count: int
    first_ns: int
    last_ns: int


def cut(text: str, limit: int) -> str:
    """Text of at most `limit` bytes of UTF-8; what no encoding can carry becomes `?`."""
    if len(text) <= limit and text.isascii():
        return text
    return text[:limit].encode("utf-8", "replace")[:limit].decode("utf-8", "ignore")


def type_name(kind: type[BaseException]) -> str:
    """The name of an exception's type: with its module, unless it is built in."""
    module = kind.__module__
    return cut(kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}", SHORT)


def message_of(error: BaseException) -> str:
    """What an exception says, cut; never raises."""
    try:
        text = str(error)
    except Exception as broken:
        text = f"(its message cannot be had: {broken!r})"
    return cut(text, MESSAGE)


def key_of(type_: str, message: str, words: Words, at: tuple[CodeType, int] | None) -> Key:
    """The key under which repeats of a failure are counted."""
    where = (at[0].co_filename, at[0].co_qualname, str(at[1])) if at else ()
    return (type_, message, words.operation or "", words.severity or "", *where)


def innermost(error: BaseException | None, caller: FrameType | None) -> tuple[CodeType, int] | None:
    """Where an exception was raised; for one that never was, or none at all, where it is reported."""
    link = error.__traceback__ if error is not None else None
    if link is None:
        return (caller.f_code, caller.f_lineno) if caller is not None else None
    while link.tb_next is not None:
        link = link.tb_next
    return link.tb_frame.f_code, link.tb_lineno


def capture(type_: str, message: str, error: BaseException | None, caller: FrameType | None, words: Words) -> Captured:
    """Everything about a failure that must be read where it happened."""
    places = _places(error.__traceback__ if error is not None else None)
    if not places and caller is not None:
        places = (Place(caller.f_code.co_filename, caller.f_lineno, caller.f_code.co_qualname),)
    first = Link(type_, message, places, _last_words(error), "")
    return Captured((first, *_causes(error)), words, _attributes(words.attributes))


def _places(link: TracebackType | None) -> tuple[Place, ...]:
    places: deque[Place] = deque(maxlen=MAX_FRAMES)
    while link is not None:
        code = link.tb_frame.f_code
        if not code.co_filename.startswith(_SDK):
            places.append(Place(code.co_filename, link.tb_lineno or 0, code.co_qualname))
        link = link.tb_next
    return tuple(places)


def _last_words(error: BaseException | None) -> str:
    # Only a syntax error's message leaves out what matters most: the line that is wrong.
    if not isinstance(error, SyntaxError):
        return ""
    return cut("".join(traceback.format_exception_only(error)), DETAIL)


def _causes(error: BaseException | None) -> list[Link]:
    if error is None:
        return []
    causes: list[Link] = []
    seen = {id(error)}
    queue = deque(_led_to(error))
    while queue and len(causes) < MAX_CAUSES:
        cause, relation = queue.popleft()
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        causes.append(
            Link(type_name(type(cause)), message_of(cause), _places(cause.__traceback__), _last_words(cause), relation)
        )
        queue.extend(_led_to(cause))
    return causes


def _led_to(error: BaseException) -> list[tuple[BaseException, str]]:
    found: list[tuple[BaseException, str]] = []
    if error.__cause__ is not None:
        found.append((error.__cause__, "The above exception was the direct cause of the following exception:"))
    elif error.__context__ is not None and not error.__suppress_context__:
        found.append((error.__context__, "During handling of the above exception, another exception occurred:"))
    if isinstance(error, BaseExceptionGroup):
        members: tuple[BaseException, ...] = error.exceptions  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        found.extend((member, "The above exception is one of the group:") for member in members)
    return found


def _attributes(given: Mapping[str, object] | None) -> dict[str, str | int | float | bool]:
    kept: dict[str, str | int | float | bool] = {}
    if not given:
        return kept
    for name, value in given.items():
        if value is None:
            continue
        if len(kept) == MAX_ATTRIBUTES:
            break
        kept[cut(str(name), SHORT)] = _attribute(value)
    return kept


def _attribute(value: object) -> str | int | float | bool:
    if type(value) is bool:
        return value
    if type(value) is int and -INT64_MAX <= value <= INT64_MAX:
        return value
    if type(value) is float and math.isfinite(value):
        return value
    try:
        return cut(str(value), _ATTRIBUTE)
    except Exception as broken:
        return f"(cannot be shown: {type(broken).__name__})"


@lru_cache(maxsize=4096)
def in_app(file: str) -> bool:
    """Whether code is the user's own: not of the standard library, not installed, not frozen."""
    if file.startswith("<frozen") or "site-packages" in file or "dist-packages" in file:
        return False
    return not file.startswith(_LIBRARIES)


def encode(
    captured: Captured,
    *,
    id: str,  # noqa: A002 - the wire's own word
    agent: Mapping[str, str],
    occurrences: Occurrences,
    metrics: Mapping[str, float],
    checkpoint_id: str | None = None,
) -> bytes:
    """The body of an ErrorReported, every field within its limit and the whole within 64 KiB.

    `checkpoint_id` is used where the reporter names none. Times in nanoseconds since 1970.
    """
    words = captured.words
    checkpoint = words.checkpoint_id or checkpoint_id
    first = captured.chain[0]
    exception: dict[str, Any] = {
        "type": first.type,
        "message": first.message,
        "stacktrace": _stack_text(captured.chain),
        "frames": [_frame(place) for place in first.places],
        "causes": [{"type": link.type, "message": link.message} for link in captured.chain[1:]],
    }
    body: dict[str, Any] = {
        "id": id,
        "time_unix_nano": occurrences.last_ns,
        "agent": dict(agent),
        "exception": exception,
        "severity": words.severity,
        "category": words.category,
        "operation": cut(words.operation, SHORT) if words.operation else None,
        "attributes": captured.attributes,
        "metrics": dict(metrics),
        "checkpoint_id": checkpoint if checkpoint and is_token(checkpoint) else None,
        "count": occurrences.count,
        "first_time_unix_nano": occurrences.first_ns if occurrences.count > 1 else None,
        "correlation_id": cut(words.correlation_id, SHORT) if words.correlation_id else None,
    }
    body = {name: value for name, value in body.items() if value is not None}
    packed = codec.pack(body)
    for shrink in (_shorter_causes, _shorter_stack, _fewer_frames, _shorter_attributes):
        if len(packed) <= MAX_BODY:
            break
        shrink(body)
        packed = codec.pack(body)
    return packed


def _frame(place: Place) -> dict[str, Any]:
    return {
        "file": cut(place.file, DETAIL),
        "function": cut(place.function, SHORT),
        "line": place.line,
        "in_app": in_app(place.file),
    }


def _shorter_causes(body: dict[str, Any]) -> None:
    for cause in body["exception"]["causes"]:
        cause["message"] = cut(cause["message"], 512)


def _shorter_stack(body: dict[str, Any]) -> None:
    body["exception"]["stacktrace"] = _last(body["exception"]["stacktrace"], 4096)


def _fewer_frames(body: dict[str, Any]) -> None:
    body["exception"]["frames"] = body["exception"]["frames"][-12:]


def _shorter_attributes(body: dict[str, Any]) -> None:
    body["attributes"] = {
        cut(name, 64): cut(value, SHORT) if isinstance(value, str) else value
        for name, value in body["attributes"].items()
    }


def _stack_text(chain: tuple[Link, ...]) -> str:
    """The text Python would print, oldest cause first; where it is too long, its end."""
    parts: list[str] = []
    for link in reversed(chain):
        if link.places:
            parts.append("Traceback (most recent call last):\n")
            parts += [_place_text(place) for place in link.places]
        parts.append(link.last_words or (f"{link.type}: {link.message}\n" if link.message else f"{link.type}\n"))
        if link.relation:
            parts.append(f"\n{link.relation}\n\n")
    return _last("".join(parts), STACK)


def _place_text(place: Place) -> str:
    # A hot-reloaded file changes under the cache: a stale line would name the wrong culprit.
    if place.file in linecache.cache:
        linecache.checkcache(place.file)
    source = linecache.getline(place.file, place.line).strip() if not place.file.startswith("<") else ""
    text = f'  File "{place.file}", line {place.line}, in {place.function}\n'
    return f"{text}    {source}\n" if source else text


def _last(text: str, limit: int) -> str:
    data = text.encode("utf-8", "replace")
    if len(data) <= limit:
        return data.decode("utf-8")
    return _CUT_MARK + data[-(limit - len(_CUT_MARK)) :].decode("utf-8", "ignore")


def caller_frame(depth: int) -> FrameType | None:
    """The frame `depth` levels above the function that asks."""
    frame = inspect.currentframe()
    for _ in range(depth + 1):
        frame = frame.f_back if frame is not None else None
    return frame
