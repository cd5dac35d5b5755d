"""An error that no agent has reported: a failure that was predicted, stored by the strategy-selector as an incident's.

It is about what has not happened, so it counts in no statistic of errors and recoveries, and nothing is learned of it.
"""

from collections.abc import Mapping
from typing import Any, Final

from mendbus.contracts.messages import ErrorReported

SEVERITY: Final = "warning"
"""Nothing has failed yet."""
EXCEPTION: Final = "mendbus.FailurePredicted"
"""Type of its exception."""
PREDICTED: Final = "mendbus.predicted"
"""Attribute of an error, true where it tells of a prediction; the next ones say which."""
PROBABILITY: Final = "mendbus.prediction.probability"
CONFIDENCE: Final = "mendbus.prediction.confidence"
HORIZON: Final = "mendbus.prediction.horizon_ms"
MODEL: Final = "mendbus.prediction.model"
STRATEGY: Final = "mendbus.prediction.strategy"
FEATURE: Final = "mendbus.prediction.feature."
"""What comes before the name of each feature that spoke for a failure."""


def is_predicted(error: ErrorReported) -> bool:
    """Whether an error tells of a prediction, and not of a failure."""
    return _tells(error.severity, error.exception.type, error.attributes)


def was_predicted(error: Mapping[str, Any]) -> bool:
    """The same of an error as plain values, as it stands in the journal."""
    return _tells(error.get("severity"), error["exception"]["type"], error.get("attributes", {}))


def _tells(severity: str | None, exception: str, attributes: Mapping[str, Any]) -> bool:
    return attributes.get(PREDICTED) is True and (severity, exception) == (SEVERITY, EXCEPTION)
