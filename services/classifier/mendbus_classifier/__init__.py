"""The classifier: what an error is, from its text."""

from mendbus.runtime import Service


def build() -> Service:
    """The service, not yet started."""
    # Only where it runs: the words of the rules take memory.
    from mendbus_classifier.handlers import start

    return Service(name="classifier", description="error -> category, severity, confidence", start=start)
