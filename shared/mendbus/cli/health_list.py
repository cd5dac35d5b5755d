"""The table of all agents and how they are."""

from typing import Any, Final

from mendbus.asking import health
from mendbus.asking.health import key_of
from mendbus.cli.connect import connected
from mendbus.cli.health_words import counted, written
from mendbus.cli.output import ago, clean, document, say, table
from mendbus.settings import Settings

COLUMNS: Final = ("agent", "status", "score>", "heard>", "reason", "metrics")
_REASON: Final = 60
_SHORT: Final = {
    "cpu_percent": "cpu",
    "memory_bytes": "memory",
    "errors_per_s": "errors",
    "response_time_ms": "response",
    "throughput_per_s": "throughput",
    "availability_ratio": "available",
    "queue_depth": "queue",
    "disk_percent": "disk",
}
"""Metrics that stand in the table, under these names."""


async def show(settings: Settings, *, as_json: bool) -> None:
    """Prints every agent that the health-monitor knows."""
    async with connected(settings) as bus:
        told = await health.agents(bus, settings.subjects)
    if as_json:
        document(told)
        return
    agents = told["agents"]
    if not agents:
        say("no agents")
        return
    table(COLUMNS, [_row(agent) for agent in agents])
    samples = counted(told.get("samples", {}))
    if samples:
        say(f"\nsamples: {samples}")


def _row(row: dict[str, Any]) -> tuple[str, ...]:
    metrics = row.get("metrics", {})
    known = [f"{short} {written(name, metrics[name])}" for name, short in _SHORT.items() if name in metrics]
    return (
        key_of(row),
        row["status"],
        "-" if row["status"] == "unknown" else f"{row['score']:.1f}",
        ago(row.get("last_seen_unix_nano")),
        clean(row.get("reason", ""), _REASON),
        " · ".join(known) or "-",
    )
