"""The table for people and the file for programs."""

import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from tests.bench.bed import DEFAULT_POLICY
from tests.bench.figures import FIGURES, Book, Figure, Mode
from tests.bench.plan import ROOT, Plan

from mendbus.contracts.subjects import PARTITIONS
from mendbus.server import NatsServer
from mendbus_strategy_selector.policy import load_policy

_HEAD = ("figure", "unit", "must", "aim", "measured", "untraced", "x floor", "")


def conditions(plan: Plan, folder: Path) -> dict[str, Any]:
    """What the figures were measured under; starts a server for a moment to ask it how it was configured."""
    server = NatsServer.start(folder / "asked")
    try:
        with urlopen(f"{server.monitor_url}/varz", timeout=5.0) as answer:
            status = json.load(answer)
    finally:
        server.stop()
    policy_file = folder / "policy.toml"
    policy_file.write_text(DEFAULT_POLICY)
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "nats_server": status["version"],
        "sync_always": status["jetstream"]["config"].get("sync_always", False),
        "partitions": PARTITIONS,
        "tracing": "to a live OTLP receiver; untraced beside it",
        "policy": load_policy(policy_file).digest,
        "cores": len(os.sched_getaffinity(0)),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "python": platform.python_version(),
        "nats_py": version("nats-py"),
        "machine": platform.machine(),
        "kernel": platform.release(),
        "plan": asdict(plan),
    }


def table(book: Book, rows: Sequence[str]) -> str:
    """The figures of these rows, those of the floor first."""
    shown = (figure for figure in FIGURES if figure.row in rows and (figure.must or figure.key in book.values))
    lines = [_HEAD, *(_line(book, figure) for figure in shown)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    lines.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "  ".join(
            text.ljust(width) if column in (0, 1, 7) else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _line(book: Book, figure: Figure) -> tuple[str, ...]:
    traced, untraced = book.median(figure.key, "traced"), book.median(figure.key, "untraced")
    ratio = book.ratio(figure, "traced" if traced is not None else "untraced")
    return (
        figure.what,
        figure.unit,
        str(figure.must or ""),
        str(figure.aim or ""),
        _number(traced),
        _number(untraced),
        "" if ratio is None else f"{ratio:.2f}",
        _verdict(figure, traced),
    )


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


def _verdict(figure: Figure, value: float | None) -> str:
    if figure.must and (value is None or not figure.must.holds(value)):
        return "MISSED"
    if value is None or not figure.aim:
        return ""
    return "aim" if figure.aim.holds(value) else ""


def write(book: Book, rows: Sequence[str], found: dict[str, Any]) -> Path:
    """Writes everything to `results/bench-<date>.json`; returns the file."""
    file = ROOT / "results" / f"bench-{time.strftime('%Y-%m-%dT%H-%M-%S')}.json"
    file.parent.mkdir(exist_ok=True)
    figures = [_as_values(book, figure) for figure in FIGURES if figure.row in rows]
    content = {
        "conditions": found,
        "rows": list(rows),
        "figures": figures,
        "missed": book.missed(rows),
        "failures": book.failures,
        "details": book.details,
    }
    file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return file


def _as_values(book: Book, figure: Figure) -> dict[str, Any]:
    modes: tuple[Mode, ...] = ("traced", "untraced")
    values: dict[str, Any] = {
        mode: {
            "median": book.median(figure.key, mode),
            "ratio_to_floor": book.ratio(figure, mode),
            "runs": book.values[figure.key][mode],
        }
        for mode in modes
        if figure.key in book.values and book.values[figure.key][mode]
    }
    return {
        "key": figure.key,
        "what": figure.what,
        "unit": figure.unit,
        "must": str(figure.must) if figure.must else None,
        "aim": str(figure.aim) if figure.aim else None,
        **values,
    }
