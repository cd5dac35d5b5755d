"""From an exception to the bytes of an ErrorReported: captured cheaply where it happened, written out elsewhere.

`capture` runs at the caller and keeps plain text and numbers only, never a frame or an object of the user's;
`encode` runs on the agent's own thread, where reading source lines for the stack text disturbs nobody.
"""

import logging
import math
import traceback
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import CodeType, FrameType
from typing import Any, Final, NamedTuple, TypeVar

from mendbus import codec
from mendbus.contracts.fields import INT64_MAX
from mendbus.contracts.ids import is_token
from mendbus.contracts.messages import OVERTAKEN
from mendbus.contracts.subjects import MAX_BODY
from mendbus.contracts.vocabulary import Category, Severity
from mendbus.redacted import redact_exception
from mendbus.redaction import DEFAULT, Redaction, redact_values
from mendbus.sdk.stacks import Link, Place, frame, places, stack_text
from mendbus.sdk.texts import DETAIL, SHORT, cut, cut_front, message_of, type_name

log = logging.getLogger("mendbus.sdk")

W = TypeVar("W", bound=str)

MAX_CAUSES: Final = 8
MAX_ATTRIBUTES: Final = 64
_ATTRIBUTE: Final = 4 * 1024

Key = tuple[str, ...]
"""Two reports with the same key are the same failure, and are counted instead of sent twice."""


class Words(NamedTuple):
    """What the reporter says of a failure beside the exception itself."""

    severity: Severity | None = None
    category: Category | None = None
    operation: str | None = None
    attributes: Mapping[str, object] | None = None
    checkpoint_id: str | None = None
    correlation_id: str | None = None
    seconds: float = 0.0
    """How long what failed had been under way."""


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
            size += len(link.message) + len(link.last_words) + 300 * len(link.places)
        return size


@dataclass(slots=True, frozen=True)
class Occurrences:
    """How often and when: times in nanoseconds since 1970."""

    count: int
    first_ns: int
    last_ns: int


def known(word: W | None, words: Sequence[W]) -> W | None:
    """The word if it is one of those; else None, with a warning: losing the report would be worse."""
    if word is None or word in words:
        return word
    log.warning("%r is none of %s and is left out", word, ", ".join(map(str, words)))
    return None


def key_of(type_: str, message: str, words: Words, at: tuple[CodeType, int] | None) -> Key:
    """The key under which repeats of a failure are counted."""
    where = (at[0].co_filename, at[0].co_qualname, str(at[1])) if at else ()
    return (type_, message, words.operation or "", words.severity or "", *where)


def capture(type_: str, message: str, error: BaseException | None, caller: FrameType | None, words: Words) -> Captured:
    """Everything about a failure that must be read where it happened."""
    where = places(error.__traceback__ if error is not None else None)
    if not where and caller is not None:
        where = (Place(caller.f_code.co_filename, caller.f_lineno, caller.f_code.co_qualname),)
    first = Link(type_, message, where, _last_words(error), "")
    return Captured((first, *_causes(error)), words, _attributes(words.attributes))


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
            Link(type_name(type(cause)), message_of(cause), places(cause.__traceback__), _last_words(cause), relation)
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


def encode(
    captured: Captured,
    *,
    id: str,  # noqa: A002 - the wire's own word
    agent: Mapping[str, str],
    occurrences: Occurrences,
    metrics: Mapping[str, float],
    checkpoint_id: str | None = None,
    acted_ns: int = 0,
    redaction: Redaction = DEFAULT,
) -> bytes:
    """The body of an ErrorReported, every field within its limit and the whole within 64 KiB.

    `checkpoint_id` is used where the reporter names none; what began before `acted_ns`, when the agent had last done a
    command, is marked as overtaken. Times in nanoseconds since 1970. What `redaction` names is taken out.
    """
    words = captured.words
    checkpoint = words.checkpoint_id or checkpoint_id
    first = captured.chain[0]
    exception: dict[str, Any] = {
        "type": first.type,
        "message": first.message,
        "stacktrace": stack_text(captured.chain),
        "frames": [frame(place) for place in first.places],
        "causes": [{"type": link.type, "message": link.message} for link in captured.chain[1:]],
    }
    body: dict[str, Any] = {
        "id": id,
        "time_unix_nano": occurrences.last_ns,
        "agent": dict(agent),
        "exception": redact_exception(exception, redaction),
        "severity": words.severity,
        "category": words.category,
        "operation": cut(words.operation, SHORT) if words.operation else None,
        "attributes": redact_values(_attributes_of(captured, occurrences, acted_ns), redaction),
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


def _attributes_of(captured: Captured, occurrences: Occurrences, acted_ns: int) -> dict[str, str | int | float | bool]:
    # Of repeats that were coalesced only the time of the last is known, not when it began.
    under_way = captured.words.seconds * 1e9 if occurrences.count == 1 else 0.0
    if occurrences.last_ns - under_way > acted_ns:
        return captured.attributes
    return {OVERTAKEN: True, **dict(list(captured.attributes.items())[: MAX_ATTRIBUTES - 1])}


def _shorter_causes(body: dict[str, Any]) -> None:
    for cause in body["exception"]["causes"]:
        cause["message"] = cut(cause["message"], 512)


def _shorter_stack(body: dict[str, Any]) -> None:
    body["exception"]["stacktrace"] = cut_front(body["exception"]["stacktrace"], 4096)


def _fewer_frames(body: dict[str, Any]) -> None:
    body["exception"]["frames"] = body["exception"]["frames"][-12:]


def _shorter_attributes(body: dict[str, Any]) -> None:
    body["attributes"] = {
        cut(name, 64): cut(value, SHORT) if isinstance(value, str) else value
        for name, value in body["attributes"].items()
    }
