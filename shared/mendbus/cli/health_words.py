"""How the health-monitor's numbers are written for people."""

from typing import Any, Final

Data = dict[str, Any]

_UNITS: Final = {
    "cpu_percent": " %",
    "disk_percent": " %",
    "memory_bytes": "B",
    "network_bytes_per_s": "B/s",
    "errors_per_s": "/s",
    "throughput_per_s": "/s",
    "response_time_ms": " ms",
    "temperature_celsius": " °C",
    "power_watts": " W",
}
_RATIOS: Final = frozenset(("availability_ratio", "cache_hit_ratio"))
_BYTES: Final = ("B", "kB", "MB", "GB", "TB", "PB")


def written(metric: str, value: float) -> str:
    """A metric's value with its unit."""
    if metric in _RATIOS:
        return f"{value * 100:.3g} %"
    unit = _UNITS.get(metric, "")
    if unit.startswith("B"):
        size = 0
        while abs(value) >= 1000 and size < len(_BYTES) - 1:
            value, size = value / 1000, size + 1
        return f"{value:.3g} {_BYTES[size]}{unit[1:]}"
    return f"{value:.0f}{unit}" if abs(value) >= 1000 else f"{value:.4g}{unit}"


def counted(samples: Data) -> str:
    """What was the matter with samples, in words; empty where there is nothing to say."""
    return ", ".join(f"{number} {reason.replace('_', ' ')}" for reason, number in sorted(samples.items()) if number)
