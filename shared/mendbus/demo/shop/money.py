"""Amounts of money, in whole cents."""


def share(cents: int, permille: int) -> int:
    """So many thousandths of an amount, rounded to a whole cent, half of one away from zero."""
    whole = (abs(cents * permille) + 500) // 1000
    return whole if cents * permille >= 0 else -whole


def shown(cents: int) -> str:
    """An amount as people read it."""
    sign = "-" if cents < 0 else ""
    return f"{sign}{abs(cents) // 100}.{abs(cents) % 100:02d}"
