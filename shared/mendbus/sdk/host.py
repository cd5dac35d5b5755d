"""What the machine says of itself and of this process's bounds; what it does not say stays missing."""

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import psutil

LOOK_SECONDS: Final = 5.0
"""How long what was read of the machine is good: it changes slowly and is dearer to read than the process."""

_CPU_SENSORS: Final = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "soc_thermal", "acpitz")
_ENERGY: Final = Path("/sys/class/powercap/intel-rapl:0/energy_uj")
_CGROUPS: Final = Path("/sys/fs/cgroup")


class Host:
    """Readings of the machine, or of the container where that has numbers of its own; at most one in `LOOK_SECONDS`."""

    def __init__(self) -> None:
        self._looked: float | None = None
        self._metrics: dict[str, float] = {}
        self._gauges: dict[str, float] = {}
        self._cpu: tuple[float, float] | None = None
        self._network: int | None = None
        self._energy: int | None = None

    def look(self, time: float) -> tuple[Mapping[str, float], Mapping[str, float]]:
        """Metrics (disk, temperature, power) and gauges `host_...`; `time` in seconds of any steady clock."""
        before = self._looked
        if before is None or time - before >= LOOK_SECONDS:
            seconds = time - before if before is not None else 0.0
            self._metrics = self._read_metrics(seconds)
            self._gauges = self._read_gauges(seconds)
            self._looked = time
        return self._metrics, self._gauges

    def _read_metrics(self, seconds: float) -> dict[str, float]:
        metrics: dict[str, float] = {}
        with contextlib.suppress(OSError):
            metrics["disk_percent"] = psutil.disk_usage(os.getcwd()).percent
        with contextlib.suppress(AttributeError, OSError, ValueError):
            sensors = psutil.sensors_temperatures()
            chip = next((sensors[name] for name in _CPU_SENSORS if sensors.get(name)), ())
            if chip:
                metrics["temperature_celsius"] = max(sensor.current for sensor in chip)
        with contextlib.suppress(OSError, ValueError):
            # Most systems let root alone read it; the counter begins anew when it is full.
            energy, before = int(_ENERGY.read_text(encoding="ascii")), self._energy
            self._energy = energy
            if before is not None and seconds > 0 and energy >= before:
                metrics["power_watts"] = (energy - before) / 1e6 / seconds
        return metrics

    def _read_gauges(self, seconds: float) -> dict[str, float]:
        gauges: dict[str, float] = {}
        with contextlib.suppress(OSError, psutil.Error):
            gauges["host_memory_percent"] = psutil.virtual_memory().percent
        with contextlib.suppress(OSError, psutil.Error):
            # Not psutil.cpu_percent: it compares with the last call of anybody in this process.
            times = psutil.cpu_times()
            total, idle = sum(times[:8]), times.idle + getattr(times, "iowait", 0.0)
            before, self._cpu = self._cpu, (total, idle)
            if before is not None and total > before[0]:
                busy = 1 - (idle - before[1]) / (total - before[0])
                gauges["host_cpu_percent"] = round(min(1.0, max(0.0, busy)) * 100, 1)
        with contextlib.suppress(OSError, psutil.Error):
            # Of all processes that share this one's network: whose bytes they are nobody says.
            counters = psutil.net_io_counters()
            transferred, earlier = counters.bytes_sent + counters.bytes_recv, self._network
            self._network = transferred
            if earlier is not None and seconds > 0 and transferred >= earlier:
                gauges["host_network_bytes_per_s"] = round((transferred - earlier) / seconds, 1)
        return gauges


def bounds() -> dict[str, float]:
    """Limits that the system sets this process: `descriptors`, and `memory_bytes` of its control group."""
    found: dict[str, float] = {}
    # Not every system has it.
    with contextlib.suppress(AttributeError, OSError, psutil.Error):
        soft, _ = psutil.Process().rlimit(psutil.RLIMIT_NOFILE)
        if soft > 0:
            found["descriptors"] = float(soft)
    memory = memory_limit()
    if memory is not None:
        found["memory_bytes"] = memory
    return found


def memory_limit(process: Path = Path("/proc/self/cgroup"), groups: Path = _CGROUPS) -> float | None:
    """The least memory limit of the control groups (version 2) that the process is in, in bytes; None without one."""
    least: float | None = None
    with contextlib.suppress(OSError, StopIteration):
        lines = process.read_text(encoding="utf-8").splitlines()
        path = next(line[3:] for line in lines if line.startswith("0::"))
        group = groups / path.lstrip("/")
        for folder in (group, *group.parents):
            with contextlib.suppress(OSError, ValueError):
                limit = float((folder / "memory.max").read_text(encoding="ascii"))
                least = limit if least is None else min(least, limit)
            if folder == groups:
                break
    return least
