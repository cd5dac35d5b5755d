"""What an outcome tells of the way to it: what was found, foretold, chosen and tried, and when."""

from mendbus.contracts.fields import (
    Count,
    DetailText,
    Numbers,
    OpenMap,
    Ratio,
    ReadCategory,
    ShortText,
    Token,
    UnixNano,
    WireModel,
)
from mendbus.contracts.vocabulary import CommandStatus, Severity, Strategy


class AttemptSummary(WireModel):
    """One attempt at a recovery, as the outcome tells it."""

    attempt: Count
    command_id: Token
    strategy: Strategy
    status: CommandStatus
    verified: bool
    undone: bool = False
    started_unix_nano: UnixNano
    ended_unix_nano: UnixNano


class ClassificationSummary(WireModel):
    """What the classifier said; `model` names rules or model and version."""

    category: ReadCategory
    severity: Severity
    confidence: Ratio
    model: ShortText


class PredictionSummary(WireModel):
    """What the predictor said; `features` holds those it looked at, by name."""

    valid: bool
    probability: Ratio
    strategy: Strategy | None = None
    confidence: Ratio = 0.0
    model: ShortText = ""
    features: Numbers = {}


class Alternative(WireModel):
    """A strategy that was not chosen, and why not."""

    strategy: Strategy
    score: float = 0.0
    why_not: ShortText


class LearnedChoice(WireModel):
    """What a learned `model` (name and version) would do, and what its `rival`, the policy or another model, would.

    `acts`: the model decides, and the rival is in trial; otherwise the other way round. `explored`: tried out to learn.
    `held_out`: the policy decided all the same, so that the two can go on being compared.
    """

    model: ShortText
    acts: bool = False
    strategy: Strategy
    rival: ShortText
    rival_strategy: Strategy
    explored: bool = False
    held_out: bool = False


class DecisionSummary(WireModel):
    """Which strategy, by which rule of which policy (digest), what else there was, and what the policy looked at."""

    policy: ShortText
    rule: ShortText
    reason: DetailText
    alternatives: list[Alternative] = []
    state: OpenMap = {}
    learned: LearnedChoice | None = None


class Times(WireModel):
    """When each stage was reached, in nanoseconds since 1970, by the clock of the service that did it."""

    reported: UnixNano | None = None
    classified: UnixNano | None = None
    assessed: UnixNano | None = None
    selected: UnixNano | None = None
    commanded: UnixNano | None = None
    acted: UnixNano | None = None
    verified: UnixNano | None = None
