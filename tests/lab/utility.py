"""What a strategy was worth in one case: one pure function of whether it helped, how fast, and what it harmed.

The numbers are a statement of values, not a measurement, and they are all here:

- Help is worth 1 at once and loses `TENFOLD` with each tenfold of `1 + seconds`: people feel a delay by its order of
  magnitude. 0.2 s is worth 0.98, 1 s 0.92, 2.5 s 0.86, a minute 0.55, ten minutes 0.31. No help is worth 0.
- Harm is taken off, at most 1 in all, so that a utility lies between -1 and 1:
  `OTHERS` for all requests of the other agents' users gone bad, in proportion for fewer; `LOST` for state that is
  gone for good, half of it for the first three versions or so (`KEPT_EACH`); `ISOLATED` for an agent that takes no
  work, `LOWERED` for one whose level is at zero, in proportion for less, `FEATURES` for all optional features
  off, in proportion for fewer, and `OTHER_WAY` for answers that come another way than the usual one.
- A person helps in every case, does no harm of its own, and takes `PERSON_SECONDS`; meanwhile nothing is done, and what
  that does to others is taken off. Calling a person for nothing costs `NEEDLESS`.
- Strategies within `TOLERANCE` of the best are equally good: as much as waiting for 0.6 s costs.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

TENFOLD = 0.25
OTHERS = 0.5
LOST = 0.5
KEPT_EACH = 0.8
ISOLATED = 0.2
LOWERED = 0.1
FEATURES = 0.1
OTHER_WAY = 0.05
PERSON_SECONDS = 600.0
NEEDLESS = 0.2
TOLERANCE = 0.05


@dataclass(frozen=True, slots=True)
class Harm:
    """What a strategy did beside what it was meant to.

    `others`: share of the requests of other agents' users gone bad beyond those before (0 to 1). `lost`: versions that
    are gone beyond what the fault broke. `lowered`, `features`: share of the level, of the features taken away.
    """

    others: float = 0.0
    lost: int = 0
    isolated: bool = False
    lowered: float = 0.0
    features: float = 0.0
    other_way: bool = False


def utility(recovered: bool, seconds: float, harm: Harm) -> float:
    """What it was worth, from -1 to 1; `seconds` from when users noticed until it was over, of no account otherwise."""
    return (worth(seconds) if recovered else 0.0) - cost(harm)


def worth(seconds: float) -> float:
    """What help after so many seconds is worth, from 1 down to 0."""
    return max(0.0, 1.0 - TENFOLD * math.log10(1.0 + max(0.0, seconds)))


def cost(harm: Harm) -> float:
    """What harm takes off, from 0 to 1."""
    whole = (
        OTHERS * _share(harm.others)
        + LOST * (1.0 - KEPT_EACH ** max(0, harm.lost))
        + ISOLATED * harm.isolated
        + LOWERED * _share(harm.lowered)
        + FEATURES * _share(harm.features)
        + OTHER_WAY * harm.other_way
    )
    return min(1.0, whole)


def person(*, needed: bool, others: float) -> float:
    """What calling a person is worth; `others`: as in `Harm`, when nothing is done."""
    return worth(PERSON_SECONDS) - cost(Harm(others=others)) if needed else 1.0 - NEEDLESS


def optimal(means: Mapping[str, float]) -> list[str]:
    """The strategies that are as good as the best one, the best first; ties by name."""
    if not means:
        return []
    best = max(means.values())
    return sorted((name for name in means if means[name] >= best - TOLERANCE), key=lambda name: (-means[name], name))


def harm_of(found: Mapping[str, object]) -> Harm:
    """The harm that a trial's record tells of; what it does not name, there was none of."""
    return Harm(**{field.name: found[field.name] for field in fields(Harm) if field.name in found})  # type: ignore[arg-type]


def _share(number: float) -> float:
    return min(1.0, max(0.0, number))
