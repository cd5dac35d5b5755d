"""Patterns of subjects as the server reads them: `*` stands for one token, `>` at the end for one or more."""

from functools import lru_cache


@lru_cache(maxsize=8192)
def covers(pattern: str, wanted: str) -> bool:
    """Whether a pattern lets through a subject, or everything that another pattern stands for."""
    given, asked = pattern.split("."), wanted.split(".")
    for number, one in enumerate(given):
        if one == ">":
            return len(asked) > number
        if number >= len(asked) or asked[number] == ">" or one not in ("*", asked[number]):
            return False
    return len(given) == len(asked)


def overlap(one: str, other: str) -> bool:
    """Whether some subject fits both patterns."""
    pairs = list(zip(left := one.split("."), right := other.split("."), strict=False))
    for a, b in pairs:
        if ">" in (a, b):
            return True
        if a != b and "*" not in (a, b):
            return False
    return len(left) == len(right)
