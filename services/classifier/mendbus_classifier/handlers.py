"""Answers what an error is: the agent's own words win, the model decides otherwise, the rules where no model may."""

import logging
from typing import Final, cast

from mendbus.contracts.asks import Classification, Classify
from mendbus.contracts.errors import ModelRefused
from mendbus.contracts.messages import ErrorReported, ExceptionInfo
from mendbus.contracts.vocabulary import Category, Severity
from mendbus.modellife import Life
from mendbus.modelstore import PACKAGED, ModelStore
from mendbus.runtime import Drain, Runtime
from mendbus.telemetry import Span
from mendbus_classifier import rules
from mendbus_classifier.features import Text
from mendbus_classifier.life import Opened, Pair
from mendbus_classifier.model import SERVICE, Guess, load

log = logging.getLogger("mendbus")

RULES: Final = "rules-v1"
AGENT: Final = "agent"
"""Stands as the model where the agent named the category itself."""


class Classifier:
    """What answers: the model in use, or the rules alone; and the model in trial beside it."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair

    @property
    def name(self) -> str:
        """What stands as the model in answers that the agent did not give itself."""
        return self._pair.used.name if self._pair.used else RULES

    def classify(self, request: Classify) -> Classification:
        """Category, severity and confidence of an error, whatever its text is; `unknown` where nothing is sure."""
        error = request.error
        text = text_of(error)
        guess = self.guess(text)
        named = error.category if error.category != "unknown" else None
        self._pair.watch(text, named, guess)
        return Classification(
            category=named or cast("Category", guess.category),
            severity=error.severity or cast("Severity", guess.severity),
            confidence=1.0 if named else guess.confidence,
            model=AGENT if named else self.name,
            rule=None if named else guess.rule,
        )

    def guess(self, text: Text) -> Guess:
        """What the text alone says."""
        if self._pair.used is not None:
            return self._pair.used.classify(text)
        verdict = rules.classify(text.kind, text.message, text.stack)
        return Guess(verdict.category, verdict.severity, verdict.confidence, verdict.rule)


async def start(runtime: Runtime, opened: Opened = load) -> Drain:
    """Serves `classifier.classify` with the model that comes with the package; with the rules where it is refused."""
    pair = Pair()
    try:
        pair.used, pair.used_name = opened(None), PACKAGED
        runtime.readiness.set("model", True, pair.used.name)
    except ModelRefused as refused:
        # Worse answers are better than none: every incident would be `unknown`.
        log.error("%s; the rules answer alone", refused)
        runtime.readiness.set("model", True, f"refused, the rules answer: {'; '.join(refused.problems)}")
    classifier = Classifier(pair)

    async def answer(request: Classify, _: Span) -> Classification:
        return classifier.classify(request)

    async def drain() -> None:
        """Requests are answered one by one, so that none is under way."""
        pair.close()

    store = ModelStore(runtime.bus, runtime.subjects, SERVICE)
    runtime.spawn(Life(store, pair, opened, runtime.now).follow(), "models")
    await runtime.serve("classify", runtime.subjects.classify, Classify, answer)
    return drain


def text_of(error: ErrorReported) -> Text:
    """What the classifier reads of an error."""
    message, stack = texts(error.exception)
    hints = frozenset(hint for hint in (error.category, error.severity) if hint and hint != "unknown")
    return Text(error.exception.type, message, stack, len(error.exception.causes), hints, error.metrics)


def texts(exception: ExceptionInfo) -> tuple[str, str]:
    """Message, with the causes in the words that programs print them with, and stack."""
    causes = (f"caused by: {cause.type}: {cause.message}" for cause in exception.causes)
    stack = exception.stacktrace or "\n".join(f"{frame.file} in {frame.function}" for frame in exception.frames)
    return "\n".join((exception.message, *causes)), stack
