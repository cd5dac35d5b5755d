"""Inputs that are nearly right: golden vectors, policies and requests with something broken in them, from a seed."""

import copy
import math
import random
from collections.abc import Sequence
from typing import Any, Final, cast

import msgpack
from tests.contract.vectors import Vector

from mendbus import codec
from mendbus.contracts.catalogue import Family
from mendbus.contracts.errors import Refused

NASTY: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1, 2**53, 2**63 - 1, -(2**63), 2**64 - 1, 0.0, -0.0, 1e308, math.inf, -math.inf, math.nan,
    "", " ", "a" * 70, "a" * 70_000, "\x00", "\r\n", "\udce9", "é" * 300, "../../etc/passwd", "{kind}", "%s%n", "'; --",
    "a.b", "*", ">", "$JS.API.>", b"", b"\xff\x00", [], {}, [[]], {"": ""}, [None], {"a": None}, ["x"] * 1000,
)  # fmt: skip

_LONG: Final = 300_000
"""Characters that a text is made longer to, at about the most: more than any body may have."""


def body(choose: random.Random, vectors: Sequence[Vector], message: str, agent: tuple[str, str] | None = None) -> bytes:
    """A body for a message of that name; `agent`: whom it is to speak for, most of the time."""
    ours = [vector for vector in vectors if vector.message == message and vector.value is not None] or vectors
    vector = choose.choice(ours if choose.random() < 0.8 else vectors)
    way = choose.random()
    if way < 0.1:
        return choose.randbytes(choose.choice((0, 1, 2, 7, 60, 3000)))
    if way < 0.4 or vector.value is None:
        return scratched(choose, vector.body)
    value = copy.deepcopy(vector.value)
    if agent is not None and isinstance(value.get("agent"), dict) and choose.random() < 0.8:
        value["agent"] |= {"kind": agent[0], "id": agent[1]}
    for _ in range(choose.choice((0, 1, 1, 2, 5))):
        value = broken(choose, value)
    made = packed(value)
    return scratched(choose, made) if choose.random() < 0.05 else made


def is_valid(family: Family, body: bytes) -> bool:
    """Whether readers of the contract take it."""
    assert family.body is not None
    try:
        codec.decode(family.body, body)
    except Refused:
        return False
    return True


def packed(value: Any) -> bytes:
    """A value as msgpack, even if no reader of the contract takes it."""
    return cast("bytes", msgpack.packb(value, unicode_errors="surrogatepass"))


def scratched(choose: random.Random, data: bytes) -> bytes:
    """Bytes with some of them changed, cut out, doubled or put in."""
    found = bytearray(data)
    for _ in range(choose.choice((1, 1, 2, 4, 16))):
        place = choose.randrange(len(found) + 1)
        size = choose.choice((1, 1, 1, 2, 8, 40))
        match choose.randrange(5):
            case 0 if place < len(found):
                found[place] ^= 1 << choose.randrange(8)
            case 1:
                del found[place : place + size]
            case 2:
                found[place:place] = choose.randbytes(size)
            case 3:
                found[place:place] = found[place : place + size] * choose.choice((1, 2, 30))
            case _:
                found = found[:place]
    return bytes(found)


def broken(choose: random.Random, value: dict[str, Any]) -> dict[str, Any]:
    """A value in which one thing, somewhere, is missing, new, or another than it should be."""
    places: list[tuple[Any, Any]] = []
    rest: list[Any] = [value]
    while rest:
        container = rest.pop()
        keys = list(container) if isinstance(container, dict) else list(range(len(container)))
        for key in keys:
            places.append((container, key))
            if isinstance(container[key], dict | list):
                rest.append(container[key])
    if not places:
        return {choose.choice(("id", "agent", "x")): _nasty(choose)}
    container, key = choose.choice(places)
    match choose.randrange(6):
        case 0:
            del container[key]
        case 1 if isinstance(container, dict):
            container[choose.choice(("", "new", "id", "kind", "\x00", "é" * 100))] = _nasty(choose)
        case 2 if isinstance(container[key], str):
            text = container[key]
            # Not always 3000 times: a second such change of one text would make gigabytes of it.
            long = text * min(3000, 1 + _LONG // (len(text) + 1))
            container[key] = choose.choice((text * 2, text + "\n", text.upper(), text[::-1], f" {text}", long))
        case 3 if isinstance(container[key], int | float):
            given = container[key]
            near = (given + 1, -given, float(given), 2**62)
            container[key] = choose.choice([number for number in near if -(2**63) <= number < 2**64] or [0])
        case 4:
            for _ in range(choose.choice((1, 5, 12))):
                container[key] = {"a": container[key]} if choose.random() < 0.5 else [container[key]]
        case _:
            container[key] = _nasty(choose)
    return value


def _nasty(choose: random.Random) -> Any:
    # A copy: what is put in may be broken further, and the next case is to be the same whatever came before it.
    return copy.deepcopy(choose.choice(NASTY))


def text(choose: random.Random, lines: Sequence[str]) -> str:
    """A file of some of these lines, with values, names and brackets mixed up now and then."""
    found = [choose.choice(lines) for _ in range(choose.randrange(1, 8))]
    for number, line in enumerate(found):
        name, equals, value = line.partition("=")
        match choose.randrange(8):
            case 0:
                found[number] = f"{name}{equals} {_toml(choose)}"
            case 1:
                found[number] = scratched(choose, line.encode()).decode("utf-8", "replace")
            case 2:
                found[number] = f"{choose.choice(lines).partition('=')[0]}{equals}{value}"
            case _:
                pass
    return "\n".join(found) + "\n"


def _toml(choose: random.Random) -> str:
    return choose.choice(
        ("0", "-1", "1e400", "nan", "inf", "true", '""', '"x"', "[]", "[1]", '["retry"]', "{}", '{a = "b"}', "9" * 30,
         "1979-05-27T07:32:00Z", '"\\u0000"', "'''", '{retry = 1}', '[["retry"]]', '"é"', "0x7f", "_")
    )  # fmt: skip


_HEADERS: Final = (
    b"Host: x", b"Content-Length: 5", b"Content-Length: -1", b"Transfer-Encoding: chunked", b"A" * 9000, b": ",
    b"X:\x00", b"Expect: 100-continue", b"Connection: keep-alive", b"Upgrade: websocket",
)  # fmt: skip


def request(choose: random.Random, paths: Sequence[str]) -> bytes:
    """Bytes that are nearly an HTTP request."""
    method = choose.choice((b"GET", b"GET", b"HEAD", b"POST", b"DELETE", b"", b"get", b"\x16\x03\x01", b"G" * 9000))
    target = choose.choice([path.encode() for path in paths] + [b"/", b"", b"*", b"/..%2f", b"/\xff\x00", b"/" * 9000])
    target += choose.choice((b"", b"?x=1", b"?%00", b"#a", b" ", b"?" + b"a" * 9000))
    head = choose.choice((b"HTTP/1.1", b"HTTP/1.0", b"HTTP/9", b"", b"\x00"))
    lines = [b" ".join((method, target, head))]
    lines += choose.choices(_HEADERS, k=choose.randrange(4))
    end = choose.choice((b"\r\n\r\n", b"\r\n\r\n", b"\n\n", b"\r\n", b"", b"\r\n\r\nhello"))
    made = b"\r\n".join(lines) + end
    return scratched(choose, made) if choose.random() < 0.3 else made
