"""What stands in for an agent's standard output."""


class Recorded:
    """Keeps what was told, in order."""

    def __init__(self) -> None:
        self.told: list[dict[str, object]] = []

    def tell(self, event: str, **facts: object) -> None:
        """See `mendbus.demo.lines.Lines`."""
        self.told.append({"event": event} | facts)
