"""The health-monitor: how every agent is, who is there, and what a person should know."""

from mendbus.runtime import Service
from mendbus_health_monitor.handlers import start


def build() -> Service:
    """The service, not yet started."""
    return Service(name="health-monitor", description="health samples -> status, agents, alerts", start=start)
