"""Whether a new model is better than the one in use: evidence that may be looked at after every answer.

Only cases where exactly one of the two was right tell anything. The evidence is a test martingale (a bet on the next
such case, averaged over all biases): when the two are equally good, it ever reaches 1 / `LEVEL` with a probability of
at most `LEVEL`, however often one looks. That needs cases that favour neither: both are asked, or a coin says which of
the two is heard.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal

LEVEL: Final = 0.01
"""Chance of a wrong verdict between models that are equally good."""

Verdict = Literal["lift", "loss"]


@dataclass(slots=True)
class Trial:
    """Counts of one comparison. `better`: only the new one was right; `worse`: only the one in use was."""

    asked: int = 0
    better: int = 0
    worse: int = 0

    def count(self, *, used_right: bool, new_right: bool) -> None:
        """Takes one case in of which the truth is known."""
        self.asked += 1
        self.better += new_right and not used_right
        self.worse += used_right and not new_right

    @property
    def evidence(self) -> float:
        """Against the two being equally good; infinite where it is beyond all doubt."""
        total = self.better + self.worse
        beta = math.lgamma(self.better + 0.5) + math.lgamma(self.worse + 0.5) - math.lgamma(total + 1.0)
        logarithm = total * math.log(2.0) + beta - math.log(math.pi)
        return math.exp(logarithm) if logarithm < 700.0 else math.inf

    @property
    def verdict(self) -> Verdict | None:
        """`lift` where the new model has shown to be better, `loss` where it has shown to be worse."""
        if self.evidence < 1.0 / LEVEL:
            return None
        return "lift" if self.better > self.worse else "loss"
