"""Adapter of the packs whose entities have a reference phase: servers, pods and pumps."""

from pathlib import Path
from typing import Literal

import numpy as np
from tests.packs import deviations, reading
from tests.packs.deviations import Deviations, Reach
from tests.packs.reading import Columns
from tests.packs.task import Task

_FOUR_DAYS = 4 * 86400
_KEYS = ("entity", "t", "phase")
Gathered = tuple[Columns, Deviations]


def servers_smd(folder: Path) -> list[Task]:
    """38 metrics a minute: an anomaly now, and one that starts within ten minutes."""
    gathered = _gather(folder, Reach(short=(10, 60), long=1440))
    return _servers(folder, gathered, "servers-smd", minutes=1, ahead=10, late=10, thin=8)


def servers_asd(folder: Path) -> list[Task]:
    """19 metrics without names every five minutes: an anomaly now, and one that starts within half an hour."""
    gathered = _gather(folder, Reach(short=(6, 24), long=576))
    return _servers(folder, gathered, "servers-asd", minutes=5, ahead=6, late=10, thin=4)


def pump(folder: Path) -> list[Task]:
    """Eight sensors a second: is the pump degraded now."""
    gathered = _gather(folder, Reach(short=(10, 60), long=600))
    return [_task("pump-1hz", "now", folder, "labels.parquet", gathered, unit_s=1, horizon=30)]


def microfaults(folder: Path) -> list[Task]:
    """Nineteen metrics of a pod a minute; faults last three minutes."""
    gathered = _gather(folder, Reach(short=(3, 10), long=60, sudden=True))
    return [_task("microfaults", "now", folder, "labels.parquet", gathered, unit_s=60, horizon=4)]


def _servers(
    folder: Path, gathered: Gathered, name: str, *, minutes: int, ahead: int, late: int, thin: int
) -> list[Task]:
    unit = minutes * 60
    now = _task(f"{name} now", "now", folder, "labels_detect.parquet", gathered, unit, late, thin, _FOUR_DAYS // unit)
    soon = _task(f"{name} ahead", "ahead", folder, "labels_onset.parquet", gathered, unit, ahead, thin)
    return [now, soon]


def _gather(folder: Path, reach: Reach) -> Gathered:
    metrics = reading.parquet(folder / "metrics.parquet")
    names = [name for name in metrics if name not in _KEYS]
    values = np.column_stack([metrics[name] for name in names]).astype(float)
    parts: list[Deviations] = []
    for _, span in reading.spans(metrics["entity"]):
        reference = values[span][metrics["phase"][span] == "ref"]
        parts.append(deviations.of_machine(values[span], reference, reach))
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in Deviations.__annotations__}
    return metrics, Deviations(**joined)


def _task(
    name: str,
    kind: Literal["ahead", "now"],
    folder: Path,
    labels: str,
    gathered: Gathered,
    unit_s: int,
    horizon: int,
    thin: int = 1,
    settles: int | None = None,
) -> Task:
    metrics, known = gathered
    samples = reading.parquet(folder / labels)
    at = reading.located(metrics, samples)
    return Task(
        name=name,
        kind=kind,
        entity=samples["entity"],
        t=samples["t"],
        y=samples["y"].astype(int),
        events=reading.events(folder / "events.csv"),
        horizon=horizon,
        unit_s=unit_s,
        step_s=unit_s,
        plain=known.plain[at],
        rich=known.rich[at],
        simple={"static": known.static[at], "ewma-z": known.ewma_z[at], "pca": known.pca[at]},
        hints={"distance": known.distance[at], "several": known.several[at]},
        settles=settles,
        thin=thin,
    )
