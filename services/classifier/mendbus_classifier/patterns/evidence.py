"""What a piece of evidence is, and how heavy it can be."""

from dataclasses import dataclass

# Weights.  A root cause outweighs the wrapper that reports it, and a wrapper outweighs a mere topic word.
DECISIVE, STRONG, GOOD, HINT, TRACE = 12.0, 7.0, 4.0, 2.0, 1.0


@dataclass(frozen=True, slots=True)
class Rule:
    """One named piece of evidence for one label."""

    label: str
    name: str
    weight: float
    phrases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ShapeRule:
    """Evidence that needs a regular expression; it runs only where one of the `gates` occurs."""

    label: str
    name: str
    weight: float
    gates: tuple[str, ...]
    regex: str


def rules(label: str, *groups: tuple[str, float, str]) -> tuple[Rule, ...]:
    """One label's rules; phrases are parted by `|` and white space around them does not count."""
    return tuple(
        Rule(label, name, weight, tuple(" ".join(p.split()) for p in phrases.split("|") if p.strip()))
        for name, weight, phrases in groups
    )
