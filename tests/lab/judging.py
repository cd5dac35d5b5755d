"""When users notice a fault, and when it is over for them: told from their requests alone, not by the pipeline."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.lab.users import Use

PATIENCE_SECONDS = {
    "versioning": 0.25,
    "build_pipeline": 0.6,
    "runtime": 0.25,
    "shader_pipeline": 0.6,
    "developer_tools": 0.4,
    "orchestrator": 1.5,
}
"""An answer that takes longer is as good as none, by the kind that is asked."""
_NOTICED = 2
_OF = 5
_OVER = 6


def bad(use: Use, kind: str) -> bool:
    """Whether a user was not served: no answer, a wrong one, or one that came too late."""
    return bool(use.wrong) or use.seconds > PATIENCE_SECONDS[kind]


def noticed(uses: Sequence[Use], kind: str) -> float | None:
    """When users had noticed (monotonic): the second bad request within five; None if they have not."""
    for index in range(len(uses)):
        if (
            bad(uses[index], kind)
            and sum(bad(use, kind) for use in uses[max(0, index + 1 - _OF) : index + 1]) >= _NOTICED
        ):
            return uses[index].at + uses[index].seconds
    return None


def over(uses: Sequence[Use], kind: str) -> float | None:
    """When it was over for good (monotonic): the first of the last requests that were all served, six at least."""
    served = 0
    for use in reversed(uses):
        if bad(use, kind):
            break
        served += 1
    if served < _OVER:
        return None
    first = uses[len(uses) - served]
    return first.at + first.seconds


@dataclass(frozen=True, slots=True)
class Felt:
    """What users of one agent felt of a fault: requests made, how many were bad, and the first thing that was wrong."""

    asked: int
    bad: int
    first: str


def felt(uses: Sequence[Use], kind: str) -> Felt:
    """A summary of requests."""
    wrong = [use for use in uses if bad(use, kind)]
    first = (wrong[0].wrong or f"an answer after {wrong[0].seconds * 1000:.0f} ms") if wrong else ""
    return Felt(len(uses), len(wrong), first)
