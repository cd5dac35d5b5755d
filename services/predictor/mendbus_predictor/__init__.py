"""The predictor: how likely an agent fails soon, from its error and its health."""

from mendbus.runtime import Service


def build() -> Service:
    """The service, not yet started."""
    from mendbus_predictor.handlers import start  # noqa: PLC0415 - brings numpy, which the other services do without

    return Service(name="predictor", description="error and health window -> probability of failure", start=start)
