"""Recorded history as rows to learn from: what the service would have computed, and what came of it.

A folder as `make record` writes it: `index.json` with the runs, and batches of arrays. Each agent of a run is a track.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mendbus.contracts.errors import MendbusError
from mendbus.contracts.messages import AgentRef, HealthSample
from mendbus.contracts.vocabulary import METRICS
from mendbus.features.vectors import Vector, health_features
from mendbus.features.window import Window
from mendbus_predictor.alarm import EVALUATE_SECONDS, MIN_SAMPLES
from mendbus_predictor.reference import HORIZON_SECONDS, NAMES, Reference

UNKNOWN: Final = -1
"""The label of a row of which nobody can know, or nobody could have known, what comes."""
_MOST_RUNS: Final = 1_000_000
_NANO: Final = 1_000_000_000
_ZERO: Final = 1_700_000_000
"""Seconds since 1970 at which recordings begin for the window, which needs times of day."""


@dataclass(slots=True)
class Track:
    """One agent in one run. Times in seconds of the run.

    `family`: what was done to this agent, "" for nothing; `failed`: when its users noticed, None for never. `times`,
    `rows` and `labels` are of the evaluations: 1 is a failure within the horizon, 0 none, `UNKNOWN` neither.
    """

    world: int
    part: str
    agent: str
    family: str
    rate: str
    look_alike: bool
    gradual: bool
    began: float | None
    failed: float | None
    times: Vector
    rows: Vector
    raw: Vector
    labels: npt.NDArray[np.int8]


def read(folder: Path, number: int = 0) -> list[Track]:
    """All tracks of a recording; `number` keeps its toolchains apart from those of others.

    Raises `MendbusError` where it cannot be read.
    """
    try:
        index: dict[str, Any] = json.loads((folder / "index.json").read_text())
        if tuple(index["metrics"]) != METRICS:
            raise MendbusError(f"{folder} was recorded with other metrics: {', '.join(index['metrics'])}")
        runs: dict[int, dict[str, Any]] = {run["number"]: run for run in index["runs"] if not run["trouble"]}
        needs = {kind: _all_needs(kind, index["needs"]) for kind in index["agents"]}
        tracks: list[Track] = []
        for name in sorted(index["batches"]):
            with np.load(folder / name, allow_pickle=False) as file:
                arrays = {key: file[key] for key in file.files}
            for number in index["batches"][name]:
                tracks += _run(runs[number], arrays, index, needs, number * _MOST_RUNS)
    except (OSError, ValueError, KeyError) as error:
        raise MendbusError(f"{folder} is no recording that can be read: {error!r}") from None
    return tracks


def digest(folder: Path) -> str:
    """SHA-256 (hex) of a recording: of its batches, in the order of their names."""
    found = hashlib.sha256()
    for path in sorted(folder.glob("batch-*.npz")):
        found.update(path.read_bytes())
    return found.hexdigest()


def _all_needs(kind: str, needs: Mapping[str, list[str]]) -> frozenset[str]:
    direct = needs.get(kind, [])
    return frozenset(direct).union(*(_all_needs(other, needs) for other in direct))


def _run(
    run: Mapping[str, Any],
    arrays: Mapping[str, npt.NDArray[Any]],
    index: Mapping[str, Any],
    needs: Mapping[str, frozenset[str]],
    before: int,
) -> Iterator[Track]:
    if run["disturbed"]:
        return
    of_run = arrays["run"] == run["number"]
    # What shows that a fault was injected, and not what it does, would be learned instead of it.
    kept = [place for place, gauge in enumerate(index["gauges"]) if gauge not in index.get("injected", ())]
    gauges = [index["gauges"][place] for place in kept]
    for place, agent in enumerate(index["agents"]):
        chosen = np.flatnonzero(of_run & (arrays["agent"] == place) & (arrays["time"] <= run["seconds"]))
        if len(chosen) >= MIN_SAMPLES:
            told = {key: arrays[key][chosen] for key in ("samples", "gauges", "time", "process")}
            told["gauges"] = told["gauges"][:, kept]
            yield _track(run, agent, needs[agent], before, told, gauges)


def _track(
    run: Mapping[str, Any],
    agent: str,
    needs: frozenset[str],
    before: int,
    told: Mapping[str, npt.NDArray[Any]],
    gauges: Sequence[str],
) -> Track:
    own = run["name"] if agent == run["agent"] else ""
    fault = bool(own) and run["what"] == "fault"
    noticed: Mapping[str, float] = run["noticed"]
    failed = run["failed"] if fault else None
    # What spreads from another agent fails here without anything to foresee in this one.
    others = [at for kind, at in noticed.items() if kind in needs]
    end = float(told["time"][-1])
    if not fault and agent in noticed:
        end = noticed[agent]
        hurt: float | None = end
    elif failed is not None and others and min(others) < failed - 1.0:
        end, hurt = min(others), min(others)
        failed = None
    else:
        hurt = None
    evaluated = list(_evaluated(told, gauges, end))
    times = np.array([at for at, _, _ in evaluated])
    empty = np.zeros((0, len(NAMES)))
    rows = np.array([row for _, row, _ in evaluated]) if evaluated else empty
    raw = np.array([row for _, _, row in evaluated]) if evaluated else empty
    labels = np.array([_label(at, run, fault, failed, hurt, end) for at in times.tolist()], np.int8)
    rate = json.dumps({k: v for k, v in run["parameters"].items() if k != "reach"}, sort_keys=True) if own else ""
    world = run.get("world", -1)
    return Track(
        world=before + (run["number"] if world < 0 else world),
        part=run["part"],
        agent=agent,
        family=own.removeprefix("drift_"),
        rate=rate,
        look_alike=bool(own) and not fault,
        gradual=fault and run["gradual"],
        began=run["began"] if own else None,
        failed=failed,
        times=times,
        rows=rows,
        raw=raw,
        labels=labels,
    )


def _label(at: float, run: Mapping[str, Any], fault: bool, failed: float | None, hurt: float | None, end: float) -> int:
    if hurt is not None and at > hurt - HORIZON_SECONDS:
        return UNKNOWN
    if not fault:
        return 0
    if failed is None:
        # It may have been about to fail when the recording ended.
        return 0 if at + HORIZON_SECONDS <= end or at < run["began"] else UNKNOWN
    if at >= failed:
        return UNKNOWN
    if at + HORIZON_SECONDS < failed:
        return 0
    return 1 if at >= run["began"] else UNKNOWN


def _evaluated(
    told: Mapping[str, npt.NDArray[Any]], gauges: Sequence[str], end: float
) -> Iterator[tuple[float, Vector, Vector]]:
    """Time, features against what is usual, and plain features, whenever the service would have evaluated."""
    window, reference = Window(), Reference()
    last, process = float("-inf"), -1
    times, boots = told["time"].tolist(), told["process"].tolist()
    for number, (at, values, levels, boot) in enumerate(
        zip(times, told["samples"].tolist(), told["gauges"].tolist(), boots, strict=True)
    ):
        if at >= end:
            return
        if boot != process:
            process, reference = boot, Reference()
        sample = HealthSample.model_construct(
            agent=AgentRef.model_construct(kind="k", id="a", instance=str(boot)),
            time_unix_nano=round((_ZERO + at) * _NANO),
            sequence=number,
            interval_ms=500,
            metrics={m: v for m, v in zip(METRICS, values, strict=True) if v == v},
            gauges={g: v for g, v in zip(gauges, levels, strict=True) if v == v},
        )
        _ = window.add(sample, sample.time_unix_nano)
        reference.add(window.newest)
        if window.rows < MIN_SAMPLES or at - last < EVALUATE_SECONDS - 0.01:
            continue
        last = at
        health = health_features(window)
        yield at, reference.against(health), health.features
