"""What makes two errors the same failure: a versioned, stable fingerprint, the same in every process and for ever.

Changing anything that alters a result means a new version beside the old one: open incidents and recurrences, analytics
and trained models refer to fingerprints that exist.
"""

import hashlib
import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from mendbus.contracts.messages import ErrorReported, Frame

VERSION: Final = "v1"

MAX_FRAMES: Final = 5
"""Innermost frames that count."""
MAX_NORMALISED: Final = 1024
"""Characters of the normalised message that count: what follows is a dump more often than a difference."""

# One pass, leftmost wins, then the first alternative; each is bounded in length or cannot fail once it has begun, so
# that the time is linear in the text, whatever the text is. Most come only where a word may begin, which saves tries.
_VARIABLE: Final = re.compile(
    r"""
      (?P<space>    \s++ )
    | (?<![A-Za-z0-9]) (?:
        (?P<path>   (?<![_.<:/]) (?: file:/{2,3} (?: [A-Za-z]:/ )? | [A-Za-z]:[\\/] | ~?/ | \.{1,2}/ )
                    (?: [^\s/\\'"`:,;()<>|\[\]{}]{1,255}+ [/\\] )*+ )
      | 0[xX] [0-9a-fA-F]++
      | (?=[0-9a-fA-F:]) (?:
            \d{4}-\d\d-\d\d (?: [T ] \d\d:\d\d (?: :\d\d (?: [.,]\d{1,9} )? )? (?: Z | [ ]?[+-]\d\d:?\d\d )? )?
            (?! [A-Za-z0-9] )
          | [0-9a-fA-F]{8} (?: -[0-9a-fA-F]{4} ){3} -[0-9a-fA-F]{12} (?! [A-Za-z0-9] )
          | (?<![_:]) (?: [0-9a-fA-F]{0,4} : ){2,7} [0-9a-fA-F]{0,4} (?! [\w:] )          # IPv6
          | (?= [0-9]{0,127}+ [a-fA-F] ) (?= [a-fA-F]{0,127}+ [0-9] )                     # a hash has both,
            (?! [a-fA-F]{1,127}+ [0-9]{1,127}+ (?! [A-Za-z0-9] ) )                        # worker12 is none,
            (?! [0-9]{1,127}+ [a-fA-F] (?! [A-Za-z0-9] ) )                                # nor is 4096b
            [0-9a-fA-F]{7,128}+ (?! [A-Za-z0-9] )
        )
      | (?=[\dA-Z]) (?: (?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) ,? [ ] )? (?: \d{1,2} [ -] )?
        (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ -]{1,2} \d{1,4} (?! [A-Za-z0-9] )
      | tmp [a-z0-9_]{8} (?! [A-Za-z0-9_] )                                               # made by a temp-file library
      | (?P<sign>   (?<![_)\]]) [-+] (?=\d) )
    )
    | \d++ (?: [.,:] \d++ )*+ (?: [eE] [-+]? \d++ )?
    """,
    re.VERBOSE | re.ASCII,
)
_MARKS: Final = {"space": " ", "path": "<path>", "sign": ""}
_SEPARATORS: Final = re.compile(r"[/\\]")


def _placeholder(match: re.Match[str]) -> str:
    # Numbers, addresses, times and hashes share one mark: one of them may look like another from event to event.
    return _MARKS.get(match.lastgroup or "", "<n>")


def normalise(text: str) -> str:
    """Text without what differs from one occurrence to the next: numbers, UUIDs, addresses, times, hashes, folders.

    The last part of a path stays: another file is another failure.
    """
    return _VARIABLE.sub(_placeholder, text).strip()[:MAX_NORMALISED]


def _own(frames: Sequence[Frame]) -> list[Frame]:
    """The innermost in-app frames, innermost first; those of libraries where there are no others."""
    chosen: list[Frame] = []
    for frame in reversed(frames):
        if frame.in_app:
            chosen.append(frame)
            if len(chosen) == MAX_FRAMES:
                break
    return chosen or list(reversed(frames[-MAX_FRAMES:]))


def fingerprint(error: ErrorReported) -> str:
    """The version and 16 hex digits, from exception type, normalised message and innermost in-app frames.

    Frames count by the base name of their file and their function: folders differ between machines, and line numbers
    with every edit.
    """
    parts = [error.exception.type, normalise(error.exception.message)]
    for frame in _own(error.exception.frames):
        part = f"{normalise(_SEPARATORS.split(frame.file)[-1])} {normalise(frame.function)}"
        if part != parts[-1]:  # how deep a recursion went says nothing
            parts.append(part)
    # Lengths keep the parts apart, whatever characters they hold.
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return f"{VERSION}:{hashlib.blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=8).hexdigest()}"


class Fingerprints:
    """Fingerprints of raw errors seen lately, so that a storm of one failure costs a look-up each."""

    def __init__(self, capacity: int = 1024, characters: int = 1 << 20) -> None:
        """At most `capacity` errors, whose messages have at most `characters` characters together."""
        self._capacity = capacity
        self._characters = characters
        self._held = 0
        self._known: OrderedDict[tuple[str, ...], str] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def of(self, error: ErrorReported) -> str:
        """The same as `fingerprint(error)`."""
        exception = error.exception
        key = (exception.type, exception.message, *(t for f in _own(exception.frames) for t in (f.file, f.function)))
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            return known
        made = fingerprint(error)
        self._known[key] = made
        self._held += len(exception.message)
        while len(self._known) > self._capacity or self._held > self._characters:
            oldest, _ = self._known.popitem(last=False)
            self._held -= len(oldest[1])
        return made
