"""Text from the wire made fit for people, and text from people made into numbers."""

import re
from datetime import UTC, datetime
from typing import Final

_AGO: Final = re.compile(r"(\d{1,12}(?:\.\d{1,9})?)\s*([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def clean(text: str, limit: int = 0) -> str:
    """Text on one line, without control characters, cut at `limit` characters (0: not)."""
    flat = "".join(c if c.isprintable() else " " if c.isspace() else "?" for c in text)
    flat = " ".join(flat.split())
    return flat if not limit or len(flat) <= limit else flat[: limit - 1] + "…"


def seconds_of(text: str) -> float:
    """A length of time in seconds from text such as `90s`, `30m`, `1h` or `7d`. Raises `ValueError`."""
    match = _AGO.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no length of time: a number and s, m, h or d, such as 30m")
    return float(match[1]) * _SECONDS[match[2]]


def moment_of(text: str, now: int) -> int:
    """Nanoseconds since 1970 from `7d` (ago) or an RFC 3339 time (UTC where it says nothing else).

    Raises `ValueError`.
    """
    if text[:4].isdecimal() and "-" in text:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(f"{text!r} is no time: 2026-01-31T12:00:00Z is one") from None
        return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1e6) * 1000
    return now - int(seconds_of(text) * 1e9)
