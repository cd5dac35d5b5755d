"""The health-monitor: how every agent is, who is there, and what a person should know."""

from mendbus.runtime import Service


def build() -> Service:
    """The service, not yet started."""
    from mendbus_health_monitor.handlers import start  # noqa: PLC0415 - the service, only where it runs

    return Service(name="health-monitor", description="health samples -> status, agents, alerts", start=start)
