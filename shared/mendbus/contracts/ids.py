"""Identifiers: UUIDv7 text (RFC 9562, section 5.7), so that ids sort by the time they were made."""

import os
import time

_TOKEN_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
TOKEN_MAX = 64
_HEX = frozenset("0123456789abcdefABCDEF")


def new_id(time_unix_nano: int | None = None, random: bytes | None = None) -> str:
    """A UUIDv7 as text. Time in nanoseconds since 1970 and ten random bytes may be given, for replays and tests."""
    milliseconds = (time.time_ns() if time_unix_nano is None else time_unix_nano) // 1_000_000
    noise = int.from_bytes(os.urandom(10) if random is None else random[:10], "big")
    value = (milliseconds & 0xFFFF_FFFF_FFFF) << 80
    value |= 0x7 << 76 | (noise >> 68 & 0xFFF) << 64
    value |= 0b10 << 62 | noise & 0x3FFF_FFFF_FFFF_FFFF
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def made_at(text: str) -> int | None:
    """When an id was made, in nanoseconds since 1970 to the millisecond; None for one that is no UUIDv7."""
    digits = text.replace("-", "")
    if len(digits) != 32 or digits[12] != "7" or not _HEX.issuperset(digits):
        return None
    return int(digits[:12], 16) * 1_000_000


def is_token(text: str) -> bool:
    """Whether text may stand between two dots of a subject: `[A-Za-z0-9_-]{1,64}`."""
    return 0 < len(text) <= TOKEN_MAX and _TOKEN_CHARACTERS.issuperset(text)


def token(text: str) -> str:
    """Text made fit for a subject: every other character becomes `_`, cut at 64, never empty."""
    return "".join(c if c in _TOKEN_CHARACTERS else "_" for c in text[:TOKEN_MAX]) or "_"
