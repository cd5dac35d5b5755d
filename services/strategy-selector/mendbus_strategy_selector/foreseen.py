"""From predictions to incidents: what the predictor tells of an agent is stored as an error, and becomes one."""

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from pydantic import ValidationError

from mendbus import codec
from mendbus.bus import Message
from mendbus.contracts import foreseen
from mendbus.contracts.canary import is_canary
from mendbus.contracts.errors import BusError
from mendbus.contracts.messages import Cause, ErrorReported, ExceptionInfo, FailurePredicted
from mendbus.contracts.subjects import partition_of
from mendbus.contracts.summaries import PredictionSummary
from mendbus.runtime import Runtime
from mendbus_strategy_selector.lots import LOTS, lot_of
from mendbus_strategy_selector.policies import Policies
from mendbus_strategy_selector.preventing import Predicted

log = logging.getLogger("mendbus")

EVERY_SECONDS: Final = 60.0
"""Of one agent one prediction is taken in this time: each replica of the predictor tells its own."""
MAX_AGENTS: Final = 10_000
"""Agents of which it is remembered when that was."""
SHOWN_FEATURES: Final = 16
_STORE_SECONDS: Final = 2.0
_NANO: Final = 1_000_000_000


class PredictionIntake:
    """Stores predictions about agents whose partitions are owned here."""

    def __init__(self, runtime: Runtime, policies: Policies, owns: Callable[[int], bool]) -> None:
        """`owns`: whether a partition is owned here."""
        self._runtime = runtime
        self._policies = policies
        self._owns = owns
        self._taken: OrderedDict[str, int] = OrderedDict()

    async def hear(self, predicted: FailurePredicted, _: Message) -> None:
        """Stores a prediction under its own id. One that the server does not take is lost: it is soon out of date."""
        policy, agent = self._policies.current, predicted.agent
        if not (policy.enable_predictive_failure_detection and policy.enable_automatic_recovery):
            return
        if is_canary(agent) or not self._owns(partition_of(agent.kind, agent.id)):
            return
        # By the time in the message: two of one predictor are never too close for being on their way.
        last = self._taken.get(agent.key)
        if last is not None and abs(predicted.time_unix_nano - last) < EVERY_SECONDS * _NANO:
            return
        subject = self._runtime.subjects.error(foreseen.SEVERITY, agent.kind, agent.id)
        body, headers = codec.encode(error_of(predicted)), codec.headers("")
        try:
            await self._runtime.bus.store(subject, body, headers, id=predicted.id, timeout=_STORE_SECONDS)
        except BusError as error:
            log.warning("a predicted failure of %s was not taken in: %s", agent.key, error)
            return
        self._taken[agent.key] = predicted.time_unix_nano
        self._taken.move_to_end(agent.key)
        if len(self._taken) > MAX_AGENTS:
            self._taken.popitem(last=False)


def error_of(predicted: FailurePredicted) -> ErrorReported:
    """The error that tells of a prediction. What differs from one to the next of an agent is no part of its message."""
    shown = list(predicted.features.items())[:SHOWN_FEATURES]
    said: dict[str, str | int | float | bool] = {
        foreseen.PREDICTED: True,
        foreseen.PROBABILITY: predicted.probability,
        foreseen.CONFIDENCE: predicted.confidence,
        foreseen.HORIZON: predicted.horizon_ms,
        foreseen.MODEL: predicted.model,
        **{f"{foreseen.FEATURE}{name}": value for name, value in shown},
    }
    advice = f"{predicted.strategy} is recommended with confidence {predicted.confidence:.2f}"
    if predicted.strategy is None:
        advice = "no strategy is recommended"
    else:
        said[foreseen.STRATEGY] = predicted.strategy
    spoke = ", ".join(f"{name} {value:.4g}" for name, value in shown) or "no single feature"
    return ErrorReported(
        id=predicted.id,
        time_unix_nano=predicted.time_unix_nano,
        agent=predicted.agent,
        exception=ExceptionInfo(
            type=foreseen.EXCEPTION,
            message=f"likely to fail within {predicted.horizon_ms / 1000:g} s: probability {predicted.probability:.2f}",
            causes=[Cause(type=predicted.model, message=f"{spoke} spoke for it; {advice}")],
        ),
        severity=foreseen.SEVERITY,
        attributes=said,
    )


def summary_of(error: ErrorReported) -> PredictionSummary | None:
    """The prediction that an error tells of; None for one that tells of none, or not as `error_of` does."""
    said = error.attributes
    if not foreseen.is_predicted(error) or _horizon(error) is None:
        return None
    try:
        return PredictionSummary.model_validate(
            {
                "valid": True,
                "probability": said[foreseen.PROBABILITY],
                "confidence": said[foreseen.CONFIDENCE],
                "strategy": said.get(foreseen.STRATEGY),
                "model": said[foreseen.MODEL],
                "features": {
                    name.removeprefix(foreseen.FEATURE): value
                    for name, value in said.items()
                    if name.startswith(foreseen.FEATURE)
                },
            }
        )
    except (KeyError, ValidationError):
        return None


def predicted_of(error: ErrorReported, now: int) -> Predicted | None:
    """What a decision looks at of the prediction that an error tells of, if it does. `now`: nanoseconds since 1970."""
    found, horizon = summary_of(error), _horizon(error)
    if found is None or horizon is None:
        return None
    return Predicted(
        kind=error.agent.kind,
        probability=found.probability,
        strategy=found.strategy,
        horizon_ms=horizon,
        age_ms=max(0, now - error.time_unix_nano) // 1_000_000,
        lot=lot_of(error.id) / LOTS,
    )


def _horizon(error: ErrorReported) -> int | None:
    said = error.attributes.get(foreseen.HORIZON)
    return int(said) if isinstance(said, int) and said >= 0 else None
