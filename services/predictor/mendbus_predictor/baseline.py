"""The baseline model: a logistic sum over a few named features, every weight of it readable in its file.

Its interface is the one that learned models share: the two vectors in, a `Prediction` out, a card that is checked.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mendbus.contracts.errors import ModelRefused
from mendbus.contracts.vocabulary import Strategy
from mendbus.features.names import ERROR_FEATURES, HEALTH_FEATURES
from mendbus.features.vectors import Vector

FILE: Final = "baseline.json"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Card(_Part):
    """What a model says of itself; a service that computes other features than these must not use it."""

    name: str
    version: int
    horizon_ms: Annotated[int, Field(gt=0)]
    """The prediction is about a failure within this time."""
    error_features: tuple[str, ...]
    health_features: tuple[str, ...]
    scored: bool
    """Whether the model has been measured against failures that happened."""
    note: str
    digest: str
    """SHA-256 (hex) of the file's content as canonical JSON without this field."""


class Term(_Part):
    """Evidence: `weight * min(most, max(0, (x - center) / scale))`; nothing where a feature it needs is missing.

    `x` is the feature, divided by the feature `per` where that is named. It never speaks against a failure.
    """

    feature: str
    per: str | None = None
    center: float
    scale: float
    weight: Annotated[float, Field(gt=0)]
    most: Annotated[float, Field(gt=0)]
    strategy: Strategy | None = None
    """What helps when this term is the strongest."""


class Model(_Part):
    """The file of the baseline model."""

    card: Card
    bias: Annotated[float, Field(ge=-50, le=50)]
    """Log odds of a failure within the horizon when nothing speaks for one."""
    sureness: Annotated[float, Field(gt=0, le=1)]
    """Most confidence that an unscored model may claim."""
    terms: Annotated[tuple[Term, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says of one agent. `features`: those that spoke for a failure, by name, the strongest first."""

    probability: float
    strategy: Strategy | None
    confidence: float
    features: Mapping[str, float]


class Baseline:
    """A loaded and checked model; it keeps nothing between predictions."""

    def __init__(self, model: Model) -> None:
        """Raises `ModelRefused` when the card or a term does not fit the features this program computes."""
        check(model)
        self.card = model.card
        self.name = f"{model.card.name}-{model.card.version}"
        self._bias = model.bias
        self._sureness = model.sureness
        slots = {name: slot for slot, name in enumerate((*ERROR_FEATURES, *HEALTH_FEATURES))}
        self._terms = tuple(
            (term, slots[term.feature], None if term.per is None else slots[term.per]) for term in model.terms
        )

    def predict(self, errors: Vector | None, health: Vector, seen: float | None = None) -> Prediction:
        """From the vectors of an error (None: there is none) and of health; strategy None below even odds.

        `seen`: log odds that somebody else has found in health; bias and terms over health then only explain.
        """
        # Plain floats: a handful of numpy scalars costs more than all the arithmetic here.
        known: list[float] = [math.nan] * len(ERROR_FEATURES) if errors is None else errors.tolist()
        values: list[float] = known + health.tolist()
        odds = self._bias if seen is None else seen
        spoke: list[tuple[float, Term, float]] = []
        for term, slot, per in self._terms:
            value = values[slot] if per is None else _ratio(values[slot], values[per])
            # In this order min() keeps NaN, and NaN is not above zero: what is missing says nothing.
            evidence = term.weight * min((value - term.center) / term.scale, term.most)
            if evidence > 0.0:
                odds += evidence if seen is None or slot < len(ERROR_FEATURES) else 0.0
                spoke.append((evidence, term, values[slot]))
        spoke.sort(key=lambda item: -item[0])
        probability = 1.0 / (1.0 + math.exp(-odds))
        named: Iterator[Strategy] = (term.strategy for _, term, _ in spoke if term.strategy)
        strategy = next(named, None) if odds > 0.0 else None
        return Prediction(
            probability=probability,
            strategy=strategy,
            confidence=self._sureness * (2.0 * probability - 1.0) if strategy else 0.0,
            features={term.feature: value for _, term, value in spoke},
        )


def _ratio(value: float, per: float) -> float:
    return value / per if per > 0.0 else math.nan


def digest(content: Mapping[str, Any]) -> str:
    """The digest that a model file must carry in its card."""
    card = {key: value for key, value in content["card"].items() if key != "digest"}
    canonical = json.dumps({**content, "card": card}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def check(model: Model) -> None:
    """Raises `ModelRefused` that names everything in which the model and this program differ."""
    problems = [
        *_difference("error_features", model.card.error_features, ERROR_FEATURES),
        *_difference("health_features", model.card.health_features, HEALTH_FEATURES),
    ]
    known = {*ERROR_FEATURES, *HEALTH_FEATURES}
    for term in model.terms:
        needed = (term.feature, term.per)
        problems += [f"a term needs {name!r}, which is no feature" for name in needed if name and name not in known]
        if term.scale == 0.0:
            problems.append(f"the term of {term.feature!r} has scale 0")
    if problems:
        raise ModelRefused(model.card.name, problems)


def _difference(what: str, listed: Sequence[str], computed: Sequence[str]) -> list[str]:
    if tuple(listed) == tuple(computed):
        return []
    if len(listed) != len(computed):
        return [f"the card lists {len(listed)} {what}, {len(computed)} are computed"]
    slot = next(i for i, pair in enumerate(zip(listed, computed, strict=True)) if pair[0] != pair[1])
    return [f"{what}[{slot}] is {listed[slot]!r} in the card and {computed[slot]!r} here"]


def read(text: str, name: str = FILE) -> Baseline:
    """A model from the text of its file. Raises `ModelRefused`: not a model, altered, or for other features."""
    try:
        content: dict[str, Any] = json.loads(text)
        model = Model.model_validate(content)
    except ValidationError as error:
        raise ModelRefused(name, [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]) from None
    except ValueError as error:
        raise ModelRefused(name, [f"not JSON: {error}"]) from None
    if digest(content) != model.card.digest:
        raise ModelRefused(name, [f"the digest in its card is {model.card.digest}, of its content {digest(content)}"])
    return Baseline(model)


def load() -> Baseline:
    """The model that comes with this package. Raises `ModelRefused`."""
    return read((resources.files("mendbus_predictor") / "model" / FILE).read_text("utf-8"))
