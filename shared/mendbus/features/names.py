"""Names of the features, in the order of their vectors; a model's card must list the same."""

from typing import Final

from mendbus.contracts.vocabulary import AGENT_KINDS, CATEGORIES, METRICS, SEVERITIES

ERROR_FEATURES: Final[tuple[str, ...]] = (
    *(f"kind_{kind}" for kind in AGENT_KINDS),
    *(f"severity_{severity}" for severity in SEVERITIES),
    *(f"category_{category}" for category in CATEGORIES if category != "unknown"),
    "memory_gib",
    "cpu_fraction",
    "errors_per_minute",
    "classification_confidence",
    "recurrences",
    "open_incidents",
    "repeats_log",
    "frames_in_app",
    "causes",
    "message_length_log",
    "names_operation",
    "names_checkpoint",
)
"""32: one-hot kind, severity and category; memory in GiB; CPU in cores; errors of the agent a minute; confidence of the
classifier; earlier incidents of the fingerprint; open incidents of the agent; log(1 + repeats told in one message);
in-app frames; causes; log(1 + characters of the message); whether the error names an operation, and a checkpoint.
"""

STATISTICS: Final = ("last", "mean", "std", "slope", "z")
"""Of each metric: last value, mean, standard deviation, slope per second, distance of the last value from the mean in
standard deviations."""

HEALTH_FEATURES: Final[tuple[str, ...]] = (
    *(f"{metric}_{statistic}" for metric in METRICS for statistic in STATISTICS),
    "errors_peak_per_s",
    "errors_share_of_samples",
    "errors_share_recent",
    "errors_quiet_s",
)
"""64: five statistics of each of the twelve metrics; then of `errors_per_s` its peak, the share of samples with errors,
the share of all errors that fell into the last ten seconds, and seconds since the last sample with an error (the length
of the window when there was none).
"""
