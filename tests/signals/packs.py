"""Reads public packs of health data as agents: rows at their own rate, what happened to them, and when nothing did."""

import csv
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tests.packs.reading import parquet

from mendbus_health_monitor.findings import RULES, Rule

Floats = npt.NDArray[np.float64]

SHARE = Rule("up", 0.1, 0.0)
"""Of metrics that were brought to 0..1 and lost their meaning: a tenth of all that they ever did matters."""


@dataclass(frozen=True, slots=True)
class Entity:
    """One machine, pod or job. Times in steps; `quiet` says of each row that nothing happened near it."""

    pack: str
    name: str
    step_seconds: int
    rules: Mapping[str, Rule]
    limits: Mapping[str, float]
    times: npt.NDArray[np.int64]
    values: Mapping[str, Floats]
    quiet: npt.NDArray[np.bool_]
    scored: npt.NDArray[np.bool_]
    """Rows that findings are counted at; the others are the history before them."""
    events: tuple[tuple[int, int], ...]
    """First step, and the first after it."""


def _table(path: Path) -> dict[str, Any]:
    return dict(parquet(path))


def _events(path: Path, length: int) -> dict[str, list[tuple[int, int]]]:
    found: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    with path.open() as file:
        for row in csv.DictReader(file):
            start = int(float(row["start"]))
            found[row["entity"]].append((start, int(float(row["end"])) if "end" in row else start + length))
    return found


def _groups(table: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name in np.unique(table["entity"]):
        rows = np.flatnonzero(table["entity"] == name)
        rows = rows[np.argsort(table["t"][rows], kind="stable")]
        yield str(name), {column: values[rows] for column, values in table.items()}


def _far(times: npt.NDArray[np.int64], events: list[tuple[int, int]], before: int, after: int) -> npt.NDArray[np.bool_]:
    quiet = np.ones(len(times), np.bool_)
    for start, end in events:
        quiet &= (times < start - before) | (times >= end + after)
    return quiet


def _servers(folder: Path, step: int) -> Iterator[Entity]:
    events = _events(folder / "events.csv", 1)
    for name, rows in _groups(_table(folder / "metrics.parquet")):
        live = rows["phase"] == "live"
        times = rows["t"].astype(np.int64)
        if folder.name == "servers-smd":
            # Two days of history, as long as the live class remembers at this rate.
            live = live & (times >= times[live][0])
            first = np.flatnonzero(live)[0]
            keep = np.arange(len(times)) >= first - 2880
            rows = {column: values[keep] for column, values in rows.items()}
            live, times = live[keep], times[keep]
        metrics = [column for column in rows if column not in ("entity", "t", "phase")]
        if folder.name == "servers-smd":
            metrics = [m for m in metrics if m in SMD]
        quiet = live & _far(times, events[name], 30, 60)
        values = {metric: rows[metric].astype(np.float64) for metric in metrics}
        yield Entity(
            folder.name, name, step, dict.fromkeys(metrics, SHARE), {}, times, values, quiet, live, tuple(events[name])
        )


SMD = ("cpu_r", "load_1", "mem_u", "disk_q", "disk_svc", "disk_u", "eth1_fi", "eth1_fo", "in_errs", "retransegs",
       "tcp_timeouts", "listen_overflows", "curr_estab", "tcp_use")  # fmt: skip


def smd(folder: Path) -> Iterator[Entity]:
    """Server machines, a row a minute."""
    return _servers(folder, 60)


def asd(folder: Path) -> Iterator[Entity]:
    """Application servers, a row every five minutes."""
    return _servers(folder, 300)


def microfaults(folder: Path) -> Iterator[Entity]:
    """Pods of two shops with faults of three minutes, a row a minute, in the metrics that Mendbus has."""
    events = _events(folder / "events.csv", 3)
    quiet_at = {
        (str(e), int(t))
        for e, t in zip(*(_table(folder / "labels_quiet.parquet")[c] for c in ("entity", "t")), strict=True)
    }
    scored_at: defaultdict[str, set[int]] = defaultdict(set)
    labels = _table(folder / "labels.parquet")
    for e, t, y in zip(labels["entity"], labels["t"], labels["y"], strict=True):
        if not y:
            scored_at[str(e)].add(int(t))
    for name, rows in _groups(_table(folder / "metrics.parquet")):
        times = rows["t"].astype(np.int64)
        latency = np.where(np.isfinite(rows["lat_server_p95"]), rows["lat_server_p95"], rows["lat_client_p95"])
        values = {
            "cpu_percent": rows["cpu_pct"],
            "memory_bytes": rows["mem_mi"] * (1 << 20),
            "network_bytes_per_s": (rows["net_rx"] + rows["net_tx"]) / 60.0,
            "response_time_ms": latency * 1000.0,
            "throughput_per_s": rows["workload_ops"],
            "availability_ratio": rows["success_pct"] / 100.0,
        }
        quiet = np.array([(name, int(t)) in quiet_at or int(t) in scored_at[name] for t in times])
        quiet &= _far(times, events[name], 10, 30)
        rules = {metric: RULES[metric] for metric in values}
        clean = {metric: column.astype(np.float64) for metric, column in values.items()}
        yield Entity(
            "microfaults", name, 60, rules, {}, times, clean, quiet, np.ones(len(times), np.bool_), tuple(events[name])
        )


def pump(folder: Path) -> Iterator[Entity]:
    """A water pump at one row a second, one degradation a run; calm for its first 400 seconds."""
    events = _events(folder / "events.csv", 1)
    rules = {
        "acc1_g": Rule("up", 0.01, 0.1),
        "acc2_g": Rule("up", 0.01, 0.1),
        "current_a": Rule("up", 0.1, 0.1),
        "temp_c": Rule("up", 1.0, 0.01),
        "fluid_temp_c": Rule("up", 0.5, 0.01),
        "flow_lpm": Rule("down", 2.0, 0.05),
    }
    for name, rows in _groups(_table(folder / "metrics.parquet")):
        times = rows["t"].astype(np.int64)
        values = {metric: rows[metric].astype(np.float64) for metric in rules}
        quiet = _far(times, events[name], 0, 10**6)
        yield Entity(
            "pump-1hz", name, 1, rules, {}, times, values, quiet, np.ones(len(times), np.bool_), tuple(events[name])
        )


def capacity(folder: Path) -> Iterator[Entity]:
    """Jobs of a cluster, a row every five minutes: CPU and memory in per cent of a machine, exhausted at 80.

    CPU takes the place of the queue here, which has a limit that the agent names; both forecasts are the same code.
    """
    events = _events(folder / "events.csv", 1)
    rules = {"memory_bytes": Rule("up", 2.0, 0.05), "queue_depth": Rule("up", 2.0, 0.05)}
    limits = {"memory_bytes": 80.0, "queue_depth": 80.0}
    labels = _table(folder / "labels.parquet")
    calm = {(str(e), int(t)) for e, t, y in zip(labels["entity"], labels["t"], labels["y"], strict=True) if not y}
    for name, rows in _groups(_table(folder / "metrics.parquet")):
        times = rows["t"].astype(np.int64)
        values = {"memory_bytes": rows["mem"].astype(np.float64), "queue_depth": rows["cpu"].astype(np.float64)}
        quiet = np.array([(name, int(t)) in calm for t in times])
        yield Entity(
            "capacity",
            name,
            300,
            rules,
            limits,
            times,
            values,
            quiet,
            np.ones(len(times), np.bool_),
            tuple(events[name]),
        )


PACKS: Mapping[str, Callable[[Path], Iterator[Entity]]] = {
    "pump-1hz": pump,
    "microfaults": microfaults,
    "servers-asd": asd,
    "servers-smd": smd,
    "capacity": capacity,
}
