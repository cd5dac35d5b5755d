"""Why a question or an order came to nothing, for who must tell these apart."""

from mendbus.contracts.errors import MendbusError


class NotFound(MendbusError):
    """What was asked for is not there, or more than one thing is meant."""


class Declined(MendbusError):
    """A service was asked, and said no."""


class Unanswered(MendbusError):
    """Nobody answered, at least not in time."""
