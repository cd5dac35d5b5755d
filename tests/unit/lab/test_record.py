"""The plan of a recording follows from its seed, and what is recorded already is not recorded again."""

import json
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from tests.lab import recording
from tests.lab.faults.drift import DRIFTS
from tests.lab.planning import TOGETHER, plan
from tests.lab.record import BATCH, NAMES, Ear, Shelf
from tests.lab.recording import Run, Told

from mendbus import codec
from mendbus.bus import Message
from mendbus.contracts.ids import new_id
from mendbus.contracts.messages import AgentRef, ErrorReported, ExceptionInfo, HealthSample

_CONDITIONS = {"seed": 1, "seconds": 60.0, "only": [], "faults": ["killed"]}


def _keep(shelf: Shelf, run: Run, kind: str) -> None:
    types: list[str] = []
    told = Told([("runtime", 0, 1.0, {"cpu_percent": 1.0}, {})], [("runtime", 2.0, kind, "error", 1)])
    recording.write_arrays(shelf.part(run.number), recording.pack(run.number, told, NAMES, types))
    shelf.part(run.number).with_suffix(".json").write_text(json.dumps({"run": asdict(run), "types": types}))


def test_the_plan_of_more_runs_begins_with_that_of_fewer() -> None:
    """A recording can be made longer without what is there becoming something else."""
    assert plan(300, 60.0, 1)[:40] == plan(40, 60.0, 1)
    assert plan(40, 60.0, 2) != plan(40, 60.0, 1)


def test_the_plan_has_everything_in_it() -> None:
    """Runs of all kinds, gradual faults most of all at several rates, and each part of the split."""
    runs = plan(400, 60.0, 1)
    assert {run.what for run in runs} == {"fault", "look_alike", "nothing"}
    assert {run.part for run in runs} == set(recording.PARTS)
    assert sum(run.gradual for run in runs if run.what == "fault") > 120
    for name in DRIFTS:
        rates = {run.parameters["takes"] for run in runs if run.name == name}
        assert len(rates) >= 3
    assert all(run.parameters["reach"] < 0.5 for run in runs if run.what == "look_alike" and run.name in DRIFTS)
    assert all(run.agent in DRIFTS[run.name].kinds for run in runs if run.name in DRIFTS)


def test_agents_of_one_world_each_have_a_fault_of_their_own() -> None:
    """At most three growing faults go on together, never two in an agent; what is sudden is alone."""
    worlds: dict[int, list[Run]] = {}
    for run in plan(400, 60.0, 1):
        worlds.setdefault(run.world, []).append(run)
    assert max(len(runs) for runs in worlds.values()) == TOGETHER
    for number, runs in worlds.items():
        assert runs[0].number == number
        assert len({run.agent for run in runs}) == len(runs)
        assert len(runs) == 1 or all(run.name in DRIFTS for run in runs)


def test_what_some_agents_told_is_theirs_alone() -> None:
    """Samples and errors of others are left out; with nobody named all is there."""
    told = Told(
        [("runtime", 0, 1.0, {}, {}), ("versioning", 0, 1.0, {}, {})], [("versioning", 2.0, "OSError", "error", 1)]
    )
    assert told.of(["runtime"]) == Told([("runtime", 0, 1.0, {}, {})], [])
    assert told.of([]) == told


def test_a_look_alike_is_held_out_with_what_it_looks_like() -> None:
    """Nothing of a held-out fault or rate is learned from its look-alike."""
    for run in plan(400, 60.0, 1):
        if run.name == "drift_descriptors":
            assert run.part == "held_out_kind"
    rates = {
        (run.name, run.parameters["takes"], run.part == "held_out_rate")
        for run in plan(400, 60.0, 1)
        if run.name in DRIFTS
    }
    assert len(rates) == len({(name, takes) for name, takes, _ in rates})


def test_parts_become_batches_and_stay_done(tmp_path: Path) -> None:
    """What is recorded is done, in whatever form, and types of errors are the same numbers in all batches."""
    shelf = Shelf.open(tmp_path, _CONDITIONS)
    runs = plan(BATCH + 2, 60.0, 1)
    for run in runs[:-1]:
        _keep(shelf, run, f"Type{run.number % 3}")
    shelf.pack(rest=False)
    assert shelf.done() == set(range(BATCH + 1))
    assert list(shelf.index["batches"]) == ["batch-0000.npz"]
    again = Shelf.open(tmp_path, _CONDITIONS)
    assert again.done() == set(range(BATCH + 1))
    failed = runs[-1]
    failed.trouble = "it did not start"
    again.troubled[failed.number] = failed
    again.pack(rest=True)
    found = recording.read(tmp_path)
    assert sorted(found.runs) == list(range(BATCH + 1))
    assert [run["number"] for run in found.index["runs"]] == list(range(BATCH + 2))
    types = found.index["types"]
    assert [types[place] for place in found.error_type] == [f"Type{run % 3}" for run in found.error_run]
    assert Shelf.open(tmp_path, _CONDITIONS).done() == set(range(BATCH + 1)), "what failed is tried again"


def test_another_plan_is_not_mixed_in(tmp_path: Path) -> None:
    """A folder holds one recording: another seed, length or catalogue is refused."""
    Shelf.open(tmp_path, _CONDITIONS).pack(rest=True)
    with pytest.raises(SystemExit, match="seed 1, not 2"):
        _ = Shelf.open(tmp_path, _CONDITIONS | {"seed": 2})
    with pytest.raises(SystemExit, match="faults"):
        _ = Shelf.open(tmp_path, _CONDITIONS | {"faults": ["killed", "hang"]})


async def test_what_agents_tell_is_noted_once_and_in_seconds_of_the_run() -> None:
    """A repeat of an error is no second error; samples from before are left out; a new process has a number."""
    zero = time.time_ns()
    ear = Ear(zero)
    error = ErrorReported(
        id=new_id(),
        time_unix_nano=zero + 1_500_000_000,
        agent=AgentRef(kind="runtime", id="lab", instance="a"),
        exception=ExceptionInfo(type="OSError", message="no"),
        count=2,
    )
    for _ in range(2):
        await ear.error(Message("s", codec.encode(error), {}))
    for at, instance in ((-1.0, "a"), (0.5, "a"), (1.0, "b")):
        sample = HealthSample(
            agent=AgentRef(kind="runtime", id="lab", instance=instance),
            time_unix_nano=zero + round(at * 1e9),
            sequence=1,
            interval_ms=500,
            metrics={"cpu_percent": at},
        )
        await ear.sample(Message("s", codec.encode(sample), {}))
    assert ear.told.errors == [("runtime", 1.5, "OSError", "unknown", 2)]
    assert [sample[:3] for sample in ear.told.samples] == [("runtime", 0, 0.5), ("runtime", 1, 1.0)]
    arrays = recording.pack(7, ear.told, NAMES, [])
    np.testing.assert_array_equal(arrays["samples"][:, 0], [0.5, 1.0])
