"""Answers what an error is: the agent's own words win, rules on its text decide otherwise."""

from typing import Final, cast

from mendbus.contracts.asks import Classification, Classify
from mendbus.contracts.messages import ExceptionInfo
from mendbus.contracts.vocabulary import Category, Severity
from mendbus.runtime import Drain, Runtime
from mendbus.telemetry import Span
from mendbus_classifier import rules

MODEL: Final = "rules-v1"
AGENT: Final = "agent"
"""Stands as the model where the agent named the category itself."""


async def start(runtime: Runtime) -> Drain:
    """Serves `classifier.classify`; nothing is kept between two requests."""
    await runtime.serve("classify", runtime.subjects.classify, Classify, _answer)
    return _drain


async def _answer(request: Classify, _: Span) -> Classification:
    return classify(request)


async def _drain() -> None:
    """Requests are answered one by one, so that none is under way."""


def classify(request: Classify) -> Classification:
    """Category, severity and confidence of an error, whatever its text is; `unknown` where the rules are not sure."""
    error = request.error
    message, stack = texts(error.exception)
    verdict = rules.classify(error.exception.type, message, stack)
    named = error.category if error.category != "unknown" else None
    return Classification(
        category=named or cast("Category", verdict.category),
        severity=error.severity or cast("Severity", verdict.severity),
        confidence=1.0 if named else verdict.confidence,
        model=AGENT if named else MODEL,
        rule=None if named else verdict.rule,
    )


def texts(exception: ExceptionInfo) -> tuple[str, str]:
    """Message, with the causes in the words that programs print them with, and stack."""
    causes = (f"caused by: {cause.type}: {cause.message}" for cause in exception.causes)
    stack = exception.stacktrace or "\n".join(f"{frame.file} in {frame.function}" for frame in exception.frames)
    return "\n".join((exception.message, *causes)), stack
