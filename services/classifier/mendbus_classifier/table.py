"""The token table: what each known token speaks for, added up over a text.

A row holds signed 16-bit weights, one per lane. In memory a row is one whole number whose lanes stand 32 bits apart, so
that adding two rows is one addition and a text of sixty words costs microseconds without numpy.
"""

import struct
import sys
from array import array
from collections.abc import Iterable, Sequence
from typing import Final

from mendbus.contracts.errors import ModelRefused
from mendbus_classifier import tokens

_MAGIC: Final = b"MBTT1\n"
_HEADER: Final = struct.Struct("<II")
_LANE_BITS: Final = 32
_BIAS: Final = 1 << (_LANE_BITS - 1)
_CACHED_WORDS: Final = 4096
_MAX_ROWS: Final = 1 << 20


class TokenTable:
    """Rows by token hash; the sums of a text come out lane by lane."""

    def __init__(self, rows: dict[int, int], lanes: int) -> None:
        """`rows`: token hash to a packed row of `lanes` lanes."""
        self.lanes = lanes
        self._rows = rows
        self._bias = sum(_BIAS << (_LANE_BITS * lane) for lane in range(lanes))
        self._bytes = lanes * _LANE_BITS // 8
        self._words: dict[str, tuple[tuple[int, ...], int, bytes]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def read(self, kind: str, message: str, stack: str) -> tuple[list[int], int]:
        """Sums of all lanes over the distinct tokens of an error, and how many distinct tokens were known."""
        known = self._seen(kind, message, stack) & self._rows.keys()
        rows = self._rows
        total = self._bias
        for token in known:
            total += rows[token]
        lanes = array("I")
        lanes.frombytes(total.to_bytes(self._bytes, "little"))
        return [value - _BIAS for value in lanes], len(known)

    def _seen(self, kind: str, message: str, stack: str) -> set[int]:
        """The distinct tokens of an error."""
        seen: set[int] = {tokens.of_type(kind)}
        last = 0
        for word in tokens.words(tokens.cut(f"{kind}\n{message}")):
            ids, first, folded = self._word(word)
            seen.update(ids)
            seen.add(tokens.pair(last, folded))
            last = first
        if stack:
            for word in tokens.words(tokens.cut(stack)):
                seen.update(self._word(word)[0])
        return seen

    def _word(self, word: str) -> tuple[tuple[int, ...], int, bytes]:
        found = self._words.get(word)
        if found is None:
            if len(self._words) >= _CACHED_WORDS:
                self._words.clear()
            ids = tuple(tokens.of_word(word))
            found = self._words[word] = ids, ids[0], tokens.folded(word)
        return found

    @staticmethod
    def tokens(kind: str, message: str, stack: str) -> set[int]:
        """The distinct tokens of an error, known or not."""
        return TokenTable({}, 1)._seen(kind, message, stack)


def pack(weights: Sequence[int]) -> int:
    """A row as one whole number."""
    return sum(weight << (_LANE_BITS * lane) for lane, weight in enumerate(weights))


def write(rows: Iterable[tuple[int, Sequence[int]]], lanes: int) -> bytes:
    """The bytes of a table: hashes in rising order, then the weights row by row, all little-endian."""
    ordered = sorted(rows)
    hashes = array("I", [token for token, _ in ordered])
    weights = array("h", [weight for _, row in ordered for weight in row])
    return b"".join((_MAGIC, _HEADER.pack(len(ordered), lanes), _little(hashes), _little(weights)))


def read(content: bytes, name: str) -> TokenTable:
    """A table from its bytes. Raises `ModelRefused` where they are not one."""
    hashes, weights, lanes = _parts(content, name)
    rows = {token: pack(weights[row * lanes : (row + 1) * lanes]) for row, token in enumerate(hashes)}
    return TokenTable(rows, lanes)


def weights_of(content: bytes, name: str) -> dict[int, list[int]]:
    """The weights of a table, row by row, to learn on from. Raises `ModelRefused` where the bytes are not one."""
    hashes, weights, lanes = _parts(content, name)
    return {token: weights[row * lanes : (row + 1) * lanes].tolist() for row, token in enumerate(hashes)}


def _parts(content: bytes, name: str) -> "tuple[array[int], array[int], int]":
    """Hashes, all weights, and how many lanes a row has."""
    start = len(_MAGIC) + _HEADER.size
    if len(content) < start or not content.startswith(_MAGIC):
        raise ModelRefused(name, ["not a token table"])
    count, lanes = _HEADER.unpack_from(content, len(_MAGIC))
    if count > _MAX_ROWS or len(content) != start + count * (4 + 2 * lanes):
        raise ModelRefused(name, [f"{count} rows of {lanes} lanes do not fit {len(content)} bytes"])
    hashes, weights = array("I"), array("h")
    hashes.frombytes(content[start : start + 4 * count])
    weights.frombytes(content[start + 4 * count :])
    _swap(hashes)
    _swap(weights)
    return hashes, weights, lanes


def _little(values: "array[int]") -> bytes:
    copy = array(values.typecode, values)
    _swap(copy)
    return copy.tobytes()


def _swap(values: "array[int]") -> None:

    if sys.byteorder == "big":
        values.byteswap()
