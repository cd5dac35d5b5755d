"""The tokens of an error text, as 32-bit hashes: words, parts of compound names, stems, numbers, pairs of words.

Hashes, so that a model file holds no text. One pure function, used by training and by the service alike.
"""

import re
from collections.abc import Iterator
from typing import Final
from zlib import crc32

VERSION: Final = 1
"""Goes into every model card: a model made with other tokens must be refused."""

HEAD_CHARS: Final = 2048
TAIL_CHARS: Final = 1024
"""Error texts say what matters at their start and at their end; the cut also bounds the time of a hostile input."""
MAX_WORDS: Final = 320
MAX_WORD_CHARS: Final = 64
STEM_CHARS: Final = 5
"""Words longer than this are known by their beginning, too."""
LOUD_CHARS: Final = 4
"""Words in capitals of at least this length are tokens of their own: log levels and codes shout."""

_WORD: Final = re.compile(r"[^\W\d_]+|\d{3,5}(?!\d)")
_PART: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def cut(text: str) -> str:
    """A text's head and tail, where it is longer than both."""
    return text if len(text) <= HEAD_CHARS + TAIL_CHARS else f"{text[:HEAD_CHARS]}\n{text[-TAIL_CHARS:]}"


def words(text: str) -> list[str]:
    """The words of a text as they are written, in order, bounded in number and length."""
    return [word[:MAX_WORD_CHARS] for word in _WORD.findall(text)[:MAX_WORDS]]


def folded(word: str) -> bytes:
    """A word as it enters a hash."""
    return word.lower().encode("utf-8", "replace")


def of_word(word: str) -> Iterator[int]:
    """What one word stands for: itself first, then its stem, its loudness, and the parts of a compound name."""
    small = folded(word)
    yield crc32(small)
    if len(small) > STEM_CHARS:
        yield crc32(b"^" + small[:STEM_CHARS])
    if word.islower():
        return
    if word.isupper():
        if len(word) >= LOUD_CHARS:
            yield crc32(b"!" + small)
        return
    parts = _PART.findall(word)
    if len(parts) > 1:
        for part in parts:
            piece = folded(part)
            yield crc32(piece)
            if len(piece) > STEM_CHARS:
                yield crc32(b"^" + piece[:STEM_CHARS])


def pair(first: int, second: bytes) -> int:
    """Two words in a row: the first one's own hash, the second one folded."""
    return crc32(second, first ^ 0x9E3779B9)


def of_type(name: str) -> int:
    """An exception's class name, which tells more than the same word in a sentence."""
    return crc32(b"=" + folded(name))
