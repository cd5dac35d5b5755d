"""Recordings of the lab: what agents told of themselves while something went wrong by and by, or did not. Numpy only.

A folder holds `index.json` and one `batch-NNNN.npz` for some runs each. A run is one toolchain of six agents from its
readiness on; second 0 is there. In a batch are, row by row in the order of run and time:

  samples      float32 [n, 12]  the metrics, in the order of `metrics` of the index; NaN is missing, never zero
  gauges       float32 [n, g]   further numbers, in the order of `gauges` of the index; NaN is missing; those of them in
                                `injected` show that a fault was injected, not what it does: not to be learned from
  time         float64 [n]      seconds, by the agent's own clock
  run          int32 [n]        the run's number in the index
  agent        int8 [n]         which of `agents` of the index
  process      int16 [n]        counts the agent's processes in this run from 0: rows of two are not comparable
  each_second  bool [n]         the last sample of an agent in a whole second: these rows are the recording at 1 Hz
  error_time, error_run, error_agent, error_count, error_type, error_severity
                                one row for each error that was reported; the last two are places in `types` and
                                `severities` of the index

The index says of each run what was done to whom and when (`Run`), and in which part of the split it is (`part_of`).
"""

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

INDEX = "index.json"
VERSION = 1
RULE = (
    "A fault is held out when the first 8 hex digits of SHA-256 of `family:NAME` (NAME without `drift_`) are divisible "
    "by 4, a quarter of all and two of six that grow by degrees; of the others, the parameters are held out when those "
    "of `rate:NAME:JSON` are divisible by 5 (JSON: parameters without `reach`, keys sorted, no spaces; only where the "
    "fault has more than one case); of the others, the run is held out when those of `run:SEED:NUMBER` are divisible "
    "by 5. What is left is for training. Runs without a fault go by the last only."
)
PARTS = ("train", "held_out_run", "held_out_rate", "held_out_kind")


@dataclass(slots=True)
class Run:
    """One run. Times in seconds of the run; None is never.

    `what`: `fault`, `look_alike` (looks like one and does not fail), or `nothing`. `began`: the injection.
    `noticed`: when users first noticed, by kind of agent; `failed` the first of those who use what the fault is in, the
    label of failure. `gradual`: it grows worse by degrees, so that there is something to foresee. Runs of one `world`
    (the number of the first of them) went on in the same toolchain, each with a fault in an agent of its own; `agents`:
    whose samples and errors are with this run, none named: everybody's.
    """

    number: int
    seed: int
    what: str
    name: str = ""
    agent: str = ""
    parameters: dict[str, Any] = field(default_factory=dict[str, Any])
    gradual: bool = False
    category: str = ""
    part: str = "train"
    seconds: float = 0.0
    began: float | None = None
    failed: float | None = None
    noticed: dict[str, float] = field(default_factory=dict[str, float])
    disturbed: list[str] = field(default_factory=list[str])
    """Kinds of agents whose users noticed something before anything was done: the machine was too busy."""
    trouble: str = ""
    """What went wrong with the recording itself; such a run is in no batch."""
    conditions: dict[str, Any] = field(default_factory=dict[str, Any])
    world: int = -1
    agents: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class Told:
    """What came from agents in a run: samples `(agent, process, time, metrics, gauges)`, errors `(agent, time, type,
    severity, count)`."""

    samples: list[tuple[str, int, float, Mapping[str, float], Mapping[str, float]]] = field(default_factory=list)
    errors: list[tuple[str, float, str, str, int]] = field(default_factory=list)

    def of(self, agents: Sequence[str]) -> "Told":
        """What some agents told; with none named, all of it."""
        return Told(
            [sample for sample in self.samples if not agents or sample[0] in agents],
            [error for error in self.errors if not agents or error[0] in agents],
        )


Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Names:
    """What the columns and numbers of a recording stand for."""

    metrics: tuple[str, ...]
    gauges: tuple[str, ...]
    agents: tuple[str, ...]
    severities: tuple[str, ...]


def part_of(what: str, name: str, parameters: Mapping[str, Any], cases: int, seed: int, number: int) -> str:
    """The part of the split that a run is in, by `RULE`; `cases`: how many parameters the fault may have."""
    if what != "nothing":
        if _number(f"family:{name.removeprefix('drift_')}") % 4 == 0:
            return "held_out_kind"
        text = json.dumps(parameters, sort_keys=True, separators=(",", ":"))
        if cases > 1 and _number(f"rate:{name}:{text}") % 5 == 0:
            return "held_out_rate"
    return "held_out_run" if _number(f"run:{seed}:{number}") % 5 == 0 else "train"


def _number(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16)


def pack(run: int, told: Told, names: Names, types: list[str]) -> Arrays:
    """A run as arrays. `types` is added to: the types of errors seen so far."""
    samples = sorted(told.samples, key=lambda sample: sample[2])
    errors = sorted(told.errors, key=lambda error: error[1])
    place = {agent: index for index, agent in enumerate(names.agents)}
    for error in errors:
        if error[2] not in types:
            types.append(error[2])
    agents = np.array([place[sample[0]] for sample in samples], np.int8)
    times = np.array([sample[2] for sample in samples], np.float64)
    return {
        "samples": _matrix([sample[3] for sample in samples], names.metrics),
        "gauges": _matrix([sample[4] for sample in samples], names.gauges),
        "time": times,
        "run": np.full(len(samples), run, np.int32),
        "agent": agents,
        "process": np.array([sample[1] for sample in samples], np.int16),
        "each_second": each_second(agents, times),
        "error_time": np.array([error[1] for error in errors], np.float64),
        "error_run": np.full(len(errors), run, np.int32),
        "error_agent": np.array([place[error[0]] for error in errors], np.int8),
        "error_count": np.array([error[4] for error in errors], np.int32),
        "error_type": np.array([types.index(error[2]) for error in errors], np.int16),
        "error_severity": np.array([names.severities.index(error[3]) for error in errors], np.int8),
    }


def _matrix(rows: Sequence[Mapping[str, float]], columns: Sequence[str]) -> npt.NDArray[np.float32]:
    table = np.full((len(rows), len(columns)), np.nan, np.float32)
    for number, row in enumerate(rows):
        for column, name in enumerate(columns):
            table[number, column] = row.get(name, np.nan)
    return table


def each_second(agents: npt.NDArray[np.int8], times: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which samples of one run, in the order of time, are the last of their agent in a whole second."""
    kept = np.zeros(len(times), np.bool_)
    seen: set[tuple[int, int]] = set()
    for row in range(len(times) - 1, -1, -1):
        key = int(agents[row]), int(times[row] // 1)
        kept[row] = key not in seen
        seen.add(key)
    return kept


def joined(parts: Sequence[Arrays]) -> Arrays:
    """Several runs as one, in the order given."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def write_arrays(path: Path, arrays: Arrays) -> None:
    """Writes a batch so that nobody ever reads half of it. Raises `OSError`."""
    fresh = path.with_suffix(".fresh")
    with fresh.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)
    fresh.replace(path)


def write_index(folder: Path, index: Mapping[str, Any]) -> None:
    """Writes the index likewise. Raises `OSError`."""
    fresh = folder / f".{INDEX}.{os.getpid()}"
    fresh.write_text(json.dumps(index, indent=1) + "\n")
    fresh.replace(folder / INDEX)


def new_index(names: Names, runs: Iterable[Run] = (), **more: Any) -> dict[str, Any]:
    """An index of runs. `types` and `batches` (file name to numbers of runs) are filled as batches are written."""
    return {
        "version": VERSION,
        **{name: list(value) for name, value in asdict(names).items()},
        "types": [],
        "split": RULE,
        "batches": {},
        "runs": [asdict(run) for run in runs],
        **more,
    }


@dataclass(slots=True)
class Recording:
    """A recording, or a part of it, in memory. The arrays are described in the module."""

    index: dict[str, Any]
    runs: dict[int, Run]
    arrays: Arrays

    def __getattr__(self, name: str) -> npt.NDArray[Any]:
        try:
            return self.arrays[name]
        except KeyError:
            raise AttributeError(name) from None

    def of(self, run: int, agent: str, *, each_second: bool = False) -> npt.NDArray[np.intp]:
        """Rows of an agent's samples in a run, in the order of time, at the agent's own rate or at 1 Hz."""
        rows = (self.arrays["run"] == run) & (self.arrays["agent"] == self.index["agents"].index(agent))
        return np.flatnonzero(rows & self.arrays["each_second"] if each_second else rows)


def read(folder: Path, *parts: str) -> Recording:
    """The recording in a folder: all of it, or only the runs in some `PARTS` of the split.

    Raises `FileNotFoundError` and, for a format that this is not the reader of, `ValueError`.
    """
    index: dict[str, Any] = json.loads((folder / INDEX).read_text())
    if index.get("version") != VERSION:
        msg = f"{folder / INDEX} has version {index.get('version')}, this reads version {VERSION}"
        raise ValueError(msg)
    if unknown := set(parts) - set(PARTS):
        msg = f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}"
        raise ValueError(msg)
    there = {number for numbers in index["batches"].values() for number in numbers}
    runs = {
        run["number"]: Run(**run)
        for run in index["runs"]
        if run["number"] in there and (not parts or run["part"] in parts)
    }
    batches = [_read_batch(folder / name) for name, numbers in index["batches"].items() if runs.keys() & set(numbers)]
    if not batches:
        names = Names(*(tuple(index[name]) for name in ("metrics", "gauges", "agents", "severities")))
        return Recording(index, runs, pack(0, Told(), names, []))
    arrays = joined(batches)
    wanted = np.array(sorted(runs), np.int32)
    for owner in ("run", "error_run"):
        kept = np.isin(arrays[owner], wanted)
        family = [name for name in arrays if name.startswith("error_") == owner.startswith("error_")]
        arrays |= {name: arrays[name][kept] for name in family}
    return Recording(index, runs, arrays)


def _read_batch(path: Path) -> Arrays:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
