"""Carries out one recovery attempt: commands the agent, then has it exercise the thing that failed."""

from mendbus.runtime import Service


def build() -> Service:
    """The service, as `mendbus run executor` starts it."""
    from mendbus_executor.wiring import start

    return Service("executor", "carries out one recovery attempt and verifies it", start)
