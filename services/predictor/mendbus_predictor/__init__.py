"""The predictor: how likely an agent fails soon, from its error and its health."""

from mendbus.runtime import Service


def build() -> Service:
    """The service, not yet started."""
    # Only where it runs: it brings numpy.
    from mendbus_predictor.handlers import start

    return Service(name="predictor", description="error and health window -> probability of failure", start=start)
