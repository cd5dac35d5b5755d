"""Owner of the partitions: pulls errors, groups and counts them, decides, journals, has attempts carried out."""

from mendbus.runtime import Service


def build() -> Service:
    """The service, as `mendbus run strategy-selector` starts it."""
    from mendbus_strategy_selector.wiring import start

    return Service("strategy-selector", "groups, decides, journals, drives recoveries", start)
