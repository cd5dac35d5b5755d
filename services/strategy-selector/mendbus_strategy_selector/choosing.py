"""The learned choice: a pure function of the policy, of recorded estimates and of a recorded seed."""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

from pydantic import Field

from mendbus.contracts.fields import Count, Ratio, ShortText, WireModel
from mendbus.contracts.summaries import LearnedChoice
from mendbus.contracts.vocabulary import SEVERITIES, Category, Severity, Strategy
from mendbus_strategy_selector.policy import Policy

POLICY: Final = "policy"
"""Stands where a model's name would, for the policy's own choice."""
TENFOLD: Final = 0.25
"""What help loses with each tenfold of one second and the time it takes."""
COSTS: Final[Mapping[Strategy, float]] = {
    "retry": 0.0,
    "restart": 0.01,
    "rollback": 0.02,
    "failover": 0.03,
    "fallback": 0.05,
    "scale_down": 0.06,
    "graceful_degradation": 0.1,
    "isolate": 0.2,
}
"""What a strategy takes from those whom the agent serves, as a share of what help is worth: of equals the lightest."""

_LEAST: Final = 1e-3


class Learned(WireModel):
    """What has been learned of an error, as a decision looks at it.

    By strategy, as `model` has it: the chance that it `helps`, the outcomes that this rests on, and the `seconds` it
    takes. `acts`: it decides; otherwise it is in trial, and what it would have chosen is noted. `seed`: of chance.
    """

    model: ShortText
    acts: bool = False
    seed: Count
    helps: dict[Strategy, Ratio]
    outcomes: dict[Strategy, Annotated[float, Field(ge=0)]]
    seconds: dict[Strategy, Annotated[float, Field(ge=0)]]

    def of(self, strategy: Strategy) -> tuple[float, float, float]:
        """All three of a strategy. Raises `KeyError` for one of which nothing is said."""
        return self.helps[strategy], self.outcomes[strategy], self.seconds[strategy]


def said(model: str, seed: int, found: Mapping[Strategy, tuple[float, float, float]], *, acts: bool) -> Learned:
    """What a model says, as numbers that can be read."""
    # Not validated: made here, from checked counts, for every decision.
    return Learned.model_construct(
        model=model,
        acts=acts,
        seed=seed,
        helps={strategy: round(values[0], 3) for strategy, values in found.items()},
        outcomes={strategy: round(values[1], 1) for strategy, values in found.items()},
        seconds={strategy: round(values[2], 3) for strategy, values in found.items()},
    )


@dataclass(frozen=True, slots=True)
class Pick:
    """What is preferred to the policy's own choice, why, and whether to try it out or to hold it out."""

    strategy: Strategy
    reason: str
    explored: bool = False
    held_out: bool = False


def worth(learned: Learned, strategy: Strategy, chance: float | None = None) -> float:
    """What a strategy is expected to be worth, between minus its cost and 1; `chance`: instead of the expected one."""
    helps, _, seconds = learned.of(strategy)
    chance = helps if chance is None else chance
    return chance * (1.0 - TENFOLD * math.log10(1.0 + max(0.0, seconds))) - COSTS.get(strategy, 0.0)


def preferred(
    policy: Policy,
    learned: Learned,
    default: Strategy,
    eligible: Sequence[Strategy],
    severity: Severity,
    category: Category,
) -> Pick | None:
    """What to do instead of the policy's `default`; None: that, because nothing is surely better.

    `eligible`: what may be done now: supported, not tried, inside budgets, without approval.
    """
    if default in policy.learned_leaves:
        return None
    known: list[Strategy] = [s for s in eligible if s in policy.learned_may and s in learned.helps]
    if default not in learned.helps or not known:
        return None
    chance = random.Random(learned.seed)
    held_out, explore = chance.random() < policy.learned_holdout_share, chance.random() < policy.learned_explore_share
    held_out, explore = held_out and learned.acts, explore and learned.acts
    best: Strategy = max(known, key=lambda strategy: worth(learned, strategy))
    if explore and _safe(policy, severity, category):
        light: list[Strategy] = [strategy for strategy in known if strategy in policy.learned_explores]
        tried = drawn(learned, list(dict.fromkeys((best, default, *light))), chance)
        if tried not in (best, default):
            return Pick(tried, f"tried out to learn; {_reason(learned, tried, default)}", explored=True)
    if best == default or not _sure(policy, learned, best, default):
        return None
    return Pick(best, _reason(learned, best, default), held_out=held_out)


def _safe(policy: Policy, severity: Severity, category: Category) -> bool:
    """Whether anything may be tried out on such an error."""
    return category != "security" and SEVERITIES.index(severity) < SEVERITIES.index(policy.grave)


def drawn(learned: Learned, among: Sequence[Strategy], chance: random.Random) -> Strategy:
    """Thompson sampling: what is best where each chance is drawn from what is believed of it."""

    def value(strategy: Strategy) -> float:
        helps, weight, _ = learned.of(strategy)
        return worth(
            learned, strategy, chance.betavariate(max(_LEAST, helps * weight), max(_LEAST, (1 - helps) * weight))
        )

    return max(among, key=value)


def _sure(policy: Policy, learned: Learned, strategy: Strategy, default: Strategy) -> bool:
    gain = worth(learned, strategy) - worth(learned, default)
    variance = sum(h * (1.0 - h) / (w + 1.0) for h, w, _ in (learned.of(s) for s in (strategy, default)))
    return gain > policy.learned_least_gain and gain > policy.learned_sureness * math.sqrt(variance)


def _reason(learned: Learned, strategy: Strategy, default: Strategy) -> str:
    (helps, weight, _), (other, _, _) = learned.of(strategy), learned.of(default)
    return (
        f"expected to help in {100 * helps:.0f} of 100 such errors (from {weight:.0f} outcomes), "
        f"{default} in {100 * other:.0f}; model {learned.model}"
    )


def role(noted: LearnedChoice) -> str:
    """What became of a learned choice, in a word."""
    if noted.strategy == noted.rival_strategy:
        return "same"
    if not noted.acts:
        return "trial"
    return "explored" if noted.explored else "held_out" if noted.held_out else "learned"
