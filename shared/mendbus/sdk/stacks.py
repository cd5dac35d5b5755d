"""Where in the code it happened: places, chains of exceptions, and the text that Python would print of them."""

import inspect
import linecache
import os
import sysconfig
from collections import deque
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import Any, Final, NamedTuple

from mendbus.sdk.texts import DETAIL, SHORT, STACK, cut, cut_front

_MAX_FRAMES: Final = 64
_SDK: Final = str(Path(__file__).parent)
_LIBRARIES: Final = tuple(
    {path + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib") if (path := sysconfig.get_path(name))}
)


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


def innermost(error: BaseException | None, caller: FrameType | None) -> tuple[CodeType, int] | None:
    """Where an exception was raised; for one that never was, or none at all, where it is reported."""
    link = error.__traceback__ if error is not None else None
    if link is None:
        return (caller.f_code, caller.f_lineno) if caller is not None else None
    while link.tb_next is not None:
        link = link.tb_next
    return link.tb_frame.f_code, link.tb_lineno


def caller_frame(depth: int) -> FrameType | None:
    """The frame `depth` levels above the function that asks."""
    frame = inspect.currentframe()
    for _ in range(depth + 1):
        frame = frame.f_back if frame is not None else None
    return frame


def places(link: TracebackType | None) -> tuple[Place, ...]:
    """The innermost places of a traceback, innermost last, without those of this SDK."""
    found: deque[Place] = deque(maxlen=_MAX_FRAMES)
    while link is not None:
        code = link.tb_frame.f_code
        if not code.co_filename.startswith(_SDK):
            found.append(Place(code.co_filename, link.tb_lineno or 0, code.co_qualname))
        link = link.tb_next
    return tuple(found)


@lru_cache(maxsize=4096)
def in_app(file: str) -> bool:
    """Whether code is the user's own: not of the standard library, not installed, not frozen."""
    if file.startswith("<frozen") or "site-packages" in file or "dist-packages" in file:
        return False
    return not file.startswith(_LIBRARIES)


def frame(place: Place) -> dict[str, Any]:
    """A place as a frame of the wire."""
    return {
        "file": cut(place.file, DETAIL),
        "function": cut(place.function, SHORT),
        "line": place.line,
        "in_app": in_app(place.file),
    }


def stack_text(chain: tuple[Link, ...]) -> str:
    """The text Python would print, oldest cause first; where it is too long, its end."""
    parts: list[str] = []
    for link in reversed(chain):
        if link.places:
            parts.append("Traceback (most recent call last):\n")
            parts += [_place_text(place) for place in link.places]
        parts.append(link.last_words or (f"{link.type}: {link.message}\n" if link.message else f"{link.type}\n"))
        if link.relation:
            parts.append(f"\n{link.relation}\n\n")
    return cut_front("".join(parts), STACK)


def _place_text(place: Place) -> str:
    # A hot-reloaded file changes under the cache: a stale line would name the wrong culprit.
    if place.file in linecache.cache:
        linecache.checkcache(place.file)
    source = linecache.getline(place.file, place.line).strip() if not place.file.startswith("<") else ""
    text = f'  File "{place.file}", line {place.line}, in {place.function}\n'
    return f"{text}    {source}\n" if source else text
