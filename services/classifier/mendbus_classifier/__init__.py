"""The classifier: what an error is, from its text."""

from mendbus.runtime import Service


def build() -> Service:
    """The service, not yet started."""
    from mendbus_classifier.handlers import start  # noqa: PLC0415 - the rules cost memory that the other services save

    return Service(name="classifier", description="error -> category, severity, confidence", start=start)
