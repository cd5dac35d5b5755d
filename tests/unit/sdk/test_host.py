"""What the machine tells: read now and then, and missing where it tells nothing."""

from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest

from mendbus.sdk import host as module
from mendbus.sdk.host import Host, bounds, memory_limit

Sensor = namedtuple("Sensor", "current")
Network = namedtuple("Network", "bytes_sent bytes_recv")


def test_the_machine_is_read_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within five seconds the same numbers are told; rates come with the second reading."""
    monkeypatch.setattr(module.psutil, "net_io_counters", lambda: Network(*traffic))
    host, traffic = Host(), (1000, 0)
    metrics, gauges = host.look(0.0)
    assert 0 <= metrics["disk_percent"] <= 100
    assert 0 < gauges["host_memory_percent"] <= 100
    assert not {"host_cpu_percent", "host_network_bytes_per_s", "power_watts"} & (metrics.keys() | gauges.keys())
    traffic = (1000, 5000)
    assert host.look(4.9) == (metrics, gauges)
    _, gauges = host.look(10.0)
    assert gauges["host_network_bytes_per_s"] == 500.0
    assert 0 <= gauges.get("host_cpu_percent", 0.0) <= 100
    traffic = (0, 0)
    assert "host_network_bytes_per_s" not in host.look(20.0)[1]


def test_temperature_and_power_are_told_where_they_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hottest sensor of the processor, and the energy between two readings; one that began anew says none."""
    energy = tmp_path / "energy_uj"
    monkeypatch.setattr(module, "_ENERGY", energy)
    sensors = {"nvme": [Sensor(30.0)], "coretemp": [Sensor(41.0), Sensor(55.5)]}
    monkeypatch.setattr(module.psutil, "sensors_temperatures", lambda: sensors, raising=False)
    host, told = Host(), list[Any]()
    for time, microjoules in ((0.0, 1_000_000), (5.0, 76_000_000), (10.0, 5)):
        energy.write_text(f"{microjoules}\n")
        told.append(host.look(time)[0])
    assert [one["temperature_celsius"] for one in told] == [55.5] * 3
    assert [one.get("power_watts") for one in told] == [None, 15.0, None]


def test_what_cannot_be_read_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without sensors, counters or a folder to stand in still gives a reading."""

    def refuse(*_: object) -> None:
        raise OSError("not here")

    for name in ("disk_usage", "sensors_temperatures", "virtual_memory", "cpu_times", "net_io_counters"):
        monkeypatch.setattr(module.psutil, name, refuse, raising=False)
    monkeypatch.setattr(module, "_ENERGY", tmp_path / "none")
    assert Host().look(0.0) == ({}, {})


def test_the_least_limit_of_all_groups_counts(tmp_path: Path) -> None:
    """A group's own limit and those above it bound it alike; `max` is none."""
    process, groups = tmp_path / "cgroup", tmp_path / "groups"
    process.write_text("12:cpu:/x\n0::/a/b\n")
    inner = groups / "a" / "b"
    inner.mkdir(parents=True)
    assert memory_limit(process, groups) is None
    (inner / "memory.max").write_text("max\n")
    (inner.parent / "memory.max").write_text("1000\n")
    (groups / "memory.max").write_text("2000\n")
    assert memory_limit(process, groups) == 1000.0
    assert memory_limit(tmp_path / "none", groups) is None


def test_bounds_are_those_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The soft limit of descriptors, and nothing where there is no limit."""
    monkeypatch.setattr(module, "memory_limit", lambda: None)
    monkeypatch.setattr(module.psutil.Process, "rlimit", lambda *_: (1024, 4096))
    assert bounds() == {"descriptors": 1024.0}
    monkeypatch.setattr(module.psutil.Process, "rlimit", lambda *_: (-1, -1))
    assert bounds() == {}
