"""What many stories come to: shares with intervals, medians, and whether the musts hold."""

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.lab.stories import Story

from mendbus import measures

RECOVERED_AT_LEAST = 0.9
PERSON_AT_MOST = 0.11
CLOCKS = ("detect", "decide", "act", "verified")


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many."""

    hits: int
    of: int

    @property
    def value(self) -> float | None:
        """The share; None of nothing."""
        return self.hits / self.of if self.of else None

    def interval(self) -> tuple[float, float] | None:
        """Bounds of the true share with 95 % confidence; None of nothing."""
        found = measures.share(self.hits, self.of)
        return None if found.low is None or found.high is None else (found.low, found.high)

    def __str__(self) -> str:
        between = self.interval()
        if between is None:
            return "none of 0"
        low, high = (100 * end for end in between)
        return f"{100 * self.hits / self.of:.0f} % ({self.hits} of {self.of}, {low:.0f} to {high:.0f} %)"

    def values(self) -> dict[str, Any]:
        """For programs."""
        return {"hits": self.hits, "of": self.of, "share": self.value, "interval": self.interval()}


@dataclass(frozen=True, slots=True)
class Summary:
    """What the stories of one run come to; the shares are of faults, controls apart.

    `optimal` by true category: first choices; `verdicts` by category: how many recovered, person, failed; `clocks`:
    median and 90th percentile in milliseconds; `strategies`: attempts carried out, verified, and held to the end.
    """

    faults: int
    controls: int
    recovered: Share
    person: Share
    classified: Share
    felt: Share
    controls_harmed: int
    controls_acted_on: int
    controls_called: int
    """Controls for which a person was called for nothing."""
    harmed: int
    optimal: dict[str, Share]
    optimal_in_all: Share
    helped_optimal: Share
    verdicts: dict[str, dict[str, int]]
    clocks: dict[str, tuple[float, float] | None]
    strategies: dict[str, tuple[Share, Share]]
    missed: list[str]


def summary(stories: Sequence[Story], broken: Sequence[str] = ()) -> Summary:
    """Sums stories up; `broken`: cases that could not be played, for whatever reason."""
    faults = [one for one in stories if not one.control]
    controls = [one for one in stories if one.control]
    judged = [one for one in stories if one.first_optimal is not None]
    recovered = _share(one.recovered for one in faults)
    person = _share(bool(one.person) for one in faults)
    harmed = sum(bool(one.harmed) for one in controls)
    return Summary(
        faults=len(faults),
        controls=len(controls),
        recovered=recovered,
        person=person,
        classified=_share(one.classified == one.category for one in faults if one.classified),
        felt=_share(one.noticed_ms is not None for one in faults),
        controls_harmed=harmed,
        controls_acted_on=sum(bool(one.tried) for one in controls),
        controls_called=sum(bool(one.person) for one in controls),
        harmed=sum(bool(one.harmed) for one in faults),
        optimal={
            category: _share(bool(one.first_optimal) for one in judged if one.category == category)
            for category in sorted({one.category for one in judged})
        },
        optimal_in_all=_share(bool(one.first_optimal) for one in judged),
        helped_optimal=_share(bool(one.helped_optimal) for one in judged if one.helped_optimal is not None),
        verdicts={
            category: {
                verdict: sum((one.category, one.verdict) == (category, verdict) for one in faults)
                for verdict in ("recovered", "person", "failed")
            }
            for category in sorted({one.category for one in faults})
        },
        clocks={name: _spread([getattr(one.clocks, name) for one in faults]) for name in CLOCKS},
        strategies=_strategies(faults),
        missed=_missed(recovered, person, harmed, controls, broken),
    )


def _missed(
    recovered: Share, person: Share, harmed: int, controls: Sequence[Story], broken: Sequence[str]
) -> list[str]:
    found: list[str] = []
    if recovered.value is not None and recovered.value < RECOVERED_AT_LEAST:
        found.append(f"recovered: {recovered}, must be at least {RECOVERED_AT_LEAST:.0%}")
    if person.value is not None and person.value > PERSON_AT_MOST:
        found.append(f"a person was needed: {person}, must be at most {PERSON_AT_MOST:.0%}")
    if harmed:
        found.append(f"{harmed} of {len(controls)} controls harmed, must be none")
    if broken:
        found.append(f"{len(broken)} cases were not played")
    return found


def _strategies(faults: Sequence[Story]) -> dict[str, tuple[Share, Share]]:
    tried = [attempt for one in faults for attempt in one.tried]
    return {
        strategy: (
            _share(one.verified for one in tried if one.strategy == strategy),
            _share(one.held for one in tried if one.strategy == strategy),
        )
        for strategy in sorted({one.strategy for one in tried})
    }


def _share(hits: Iterable[bool]) -> Share:
    found = list(hits)
    return Share(sum(found), len(found))


def _spread(values: Sequence[float | None]) -> tuple[float, float] | None:
    known = sorted(value for value in values if value is not None)
    if not known:
        return None
    return statistics.median(known), known[math.ceil(0.9 * len(known)) - 1]


def difference(a: Share, b: Share) -> str:
    """The difference of two shares in points, with an interval of 95 %.

    Method 10 of R. G. Newcombe, Interval estimation for the difference between independent proportions: comparison of
    eleven methods, Statistics in Medicine 17 (1998), 873-890: from the Wilson intervals of both.
    """
    first, second = a.interval(), b.interval()
    if first is None or second is None:
        return "not comparable"
    p, q = a.hits / a.of, b.hits / b.of
    low = q - p - math.hypot(q - second[0], first[1] - p)
    high = q - p + math.hypot(second[1] - q, p - first[0])
    return f"{100 * (q - p):+.0f} points ({100 * low:+.0f} to {100 * high:+.0f})"
