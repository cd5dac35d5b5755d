"""Training on a recording, and what is counted: worked out by hand on small ones."""

import json
from pathlib import Path

import numpy as np
import pytest
from tests.lab import recording
from tests.lab.recording import Names, Run, Told
from typer.testing import CliRunner

from mendbus.cli import app
from mendbus.contracts.errors import MendbusError
from mendbus.contracts.vocabulary import METRICS
from mendbus.features.vectors import Vector
from mendbus_predictor.model import load
from mendbus_predictor.offline import commands, history, scoring, training
from mendbus_predictor.offline.history import UNKNOWN, Track
from mendbus_predictor.offline.scoring import Judged
from mendbus_predictor.reference import NAMES as MODEL_NAMES

NAMES = Names(METRICS, (), ("runtime", "versioning"), ("warning", "error"))
KINDS = ("drift_memory_leak", "drift_slow_upstream", "drift_queue_overload")


@pytest.fixture(autouse=True)
def few_trees(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tested here shows with few trees, too."""
    monkeypatch.setattr(commands, "Recipe", lambda: training.Recipe(rounds=60))


def told(began: float | None, failed: float | None, seconds: float, seed: int) -> Told:
    """Two agents, of which one grows slower once something has begun."""
    chance = np.random.default_rng(seed)
    samples: list[tuple[str, int, float, dict[str, float], dict[str, float]]] = []
    for at in np.arange(0.0, seconds, 0.5).tolist():
        for agent in NAMES.agents:
            share = max(0.0, at - began) / ((failed or seconds) - began) if began and agent == "runtime" else 0.0
            metrics = {"response_time_ms": 20 * (1 + 20 * share) + chance.normal(), "throughput_per_s": 40.0}
            samples.append((agent, 0, at + 0.01, metrics, {}))
    out = Told()
    out.samples.extend(samples)
    return out


def write(folder: Path, runs: list[Run]) -> None:
    types: list[str] = []
    parts = [recording.pack(r.number, told(r.began, r.failed, r.seconds, r.number), NAMES, types) for r in runs]
    recording.write_arrays(folder / "batch-0000.npz", recording.joined(parts))
    index = recording.new_index(NAMES, runs, needs={"runtime": ["versioning"]})
    index["batches"] = {"batch-0000.npz": [run.number for run in runs]}
    recording.write_index(folder, index)


def fault(number: int, name: str = "drift_memory_leak", **more: object) -> Run:
    run = Run(number, 1, "fault", name, "runtime", {"takes": 30.0}, gradual=True, seconds=70.0, began=20.0, failed=60.0)
    for key, value in more.items():
        setattr(run, key, value)
    return run


def track(tracks: list[Track], agent: str = "runtime") -> Track:
    return next(one for one in tracks if one.agent == agent)


def test_labels_are_what_can_be_known(tmp_path: Path) -> None:
    """1 within 30 s of the failure, 0 before, unknown after it; an agent in which nothing was done has only 0."""
    write(tmp_path, [fault(0)])
    found = track(history.read(tmp_path))
    by_time = dict(zip(np.round(found.times).tolist(), found.labels.tolist(), strict=True))
    assert (by_time[25.0], by_time[35.0], by_time[55.0], by_time[65.0]) == (0, 1, 1, UNKNOWN)
    assert set(track(history.read(tmp_path), "versioning").labels.tolist()) == {0}


def test_what_could_not_be_foreseen_is_not_asked_for(tmp_path: Path) -> None:
    """Before the fault began nobody can know; once what the agent needs has failed, its failure is not its own."""
    write(tmp_path, [fault(0, began=45.0)])
    found = track(history.read(tmp_path))
    assert {int(label) for at, label in zip(found.times, found.labels, strict=True) if 31 < at < 44} == {UNKNOWN}
    write(tmp_path, [fault(1, noticed={"versioning": 40.0, "runtime": 60.0})])
    found = track(history.read(tmp_path))
    assert found.failed is None
    assert found.times.max() < 40.0


def test_a_folder_that_is_no_recording_is_named(tmp_path: Path) -> None:
    """The error says which folder, and a recording of too few failures says how many are needed."""
    with pytest.raises(MendbusError, match=str(tmp_path)):
        _ = history.read(tmp_path)
    write(tmp_path, [fault(0)])
    with pytest.raises(MendbusError, match="1 failures are too few"):
        _ = commands.train([tmp_path], tmp_path / "out", "failures-9", lambda _: None)


def test_a_trained_model_is_one_that_the_service_loads(tmp_path: Path) -> None:
    """What `mendbus train predictor` writes passes every check, with the figures of what was held out."""
    runs = [fault(n, KINDS[n % 3], parameters={"takes": 15.0 * (1 + n % 2)}) for n in range(9)]
    runs += [Run(9 + n, 1, "nothing", seconds=70.0) for n in range(3)]
    write(tmp_path, runs)
    card, figures = commands.train([tmp_path], tmp_path / "out", "failures-9", lambda _: None)
    load(tmp_path / "out").close()
    assert figures["unseen_kind"]["failures"] == 9
    assert figures["unseen_kind"]["pr_auc"] > 0.9
    assert set(figures["unseen_kind"]["by_kind"]) == {kind.removeprefix("drift_") for kind in KINDS}
    assert card.figures["unseen_run_recall"] > 0.5
    assert json.loads((tmp_path / "out" / "card.json").read_text())["data"].keys() == {tmp_path.name}


def test_the_command_prints_every_split_and_keeps_the_model(tmp_path: Path) -> None:
    """As a table with intervals, as JSON with all figures; a folder that is no recording is one sentence."""
    write(tmp_path, [fault(n, KINDS[n % 3], parameters={"takes": 15.0 * (1 + n % 2)}) for n in range(6)])
    words = ["train", "predictor", str(tmp_path), "--name", "failures-9", "--output", str(tmp_path / "out")]
    shown = CliRunner().invoke(app.build(), words)
    assert shown.exit_code == 0, shown.output
    assert all(split in shown.stdout for split in ("unseen run", "unseen rate", "unseen kind", "baseline"))
    found = json.loads(CliRunner().invoke(app.build(), [*words, "--json"]).stdout)
    assert found["figures"]["unseen_kind"]["early_warning"]["of"] == 6
    wrong = CliRunner().invoke(app.build(), ["train", "predictor", str(tmp_path / "none"), *words[3:]])
    assert wrong.exit_code == 1
    assert "no recording" in wrong.output


def test_nothing_of_a_held_out_kind_is_learned_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each model is asked only about tracks whose kind and toolchain it has not seen."""
    write(tmp_path, [fault(n, KINDS[n % 3], world=n // 2) for n in range(6)])
    tracks = history.read(tmp_path)
    learned: list[list[Track]] = []

    def fit(inside: list[Track], _: training.Recipe) -> str:
        learned.append(inside)
        return ""

    def said(_: str, outside: list[Track]) -> list[Vector]:
        return [np.zeros(len(one.times)) for one in outside]

    monkeypatch.setattr(training, "fit", fit)
    monkeypatch.setattr(training, "said", said)
    _ = training.held_out(tracks, training.by_kind, training.Recipe())
    parts = sorted({training.by_kind(t) for t in tracks})
    for inside, part in zip(learned, parts, strict=True):
        worlds = {t.world for t in tracks if training.by_kind(t) == part}
        assert all(training.by_kind(t) != part and t.world not in worlds for t in inside)


def test_a_kind_has_no_say_in_the_level_it_is_judged_at(tmp_path: Path) -> None:
    """Its own quiet evaluations may say what they will: the level is that of the other kinds'."""
    write(tmp_path, [fault(n, KINDS[n % 3], world=n, began=28.0) for n in range(3)])
    quiet = {name.removeprefix("drift_"): share for name, share in zip(KINDS, (0.1, 0.2, 0.9), strict=True)}
    tracks = [t for t in history.read(tmp_path) if t.family]
    said = [Judged(t, np.full(len(t.times), quiet[t.family]), 1.0) for t in tracks]
    levels = {one.track.family: one.level for one in training.crossed(said, training.by_kind, 0.0)}
    assert levels["queue_overload"] == pytest.approx(0.2)
    assert levels["memory_leak"] == levels["slow_upstream"] == pytest.approx(0.9)


def test_a_gauge_is_learned_from_like_a_metric(tmp_path: Path) -> None:
    """Of two agents that differ in a gauge alone, only that in which it grows has rows that show growth."""
    names = Names(METRICS, ("files",), NAMES.agents, NAMES.severities)
    out = Told()
    for at in np.arange(0.0, 60.0, 0.5).tolist():
        for agent in names.agents:
            files = 10.0 + (4.0 * max(0.0, at - 30.0) if agent == "runtime" else 0.0)
            out.samples.append((agent, 0, at, {"cpu_percent": 5.0}, {"files": files}))
    recording.write_arrays(tmp_path / "batch-0000.npz", recording.pack(0, out, names, []))
    index = recording.new_index(names, [Run(0, 1, "nothing", seconds=60.0)], needs={})
    recording.write_index(tmp_path, index | {"batches": {"batch-0000.npz": [0]}})
    tracks = history.read(tmp_path)
    rise, steady = (MODEL_NAMES.index(name) for name in ("rise_1", "steady_1"))
    assert track(tracks).rows[-1, rise] > 10.0
    assert track(tracks).rows[-1, steady] > 0.9
    assert not track(tracks, "versioning").rows[:, [rise, steady]].any()


def test_what_shows_the_injection_is_not_learned_from(tmp_path: Path) -> None:
    """A gauge that the recording names as such might as well not have been told."""
    names = Names(METRICS, ("threads",), NAMES.agents, NAMES.severities)
    out = Told()
    for at in np.arange(0.0, 60.0, 0.5).tolist():
        out.samples.append(("runtime", 0, at, {"cpu_percent": 5.0}, {"threads": 10.0 + 4.0 * max(0.0, at - 30.0)}))
    recording.write_arrays(tmp_path / "batch-0000.npz", recording.pack(0, out, names, []))
    index = recording.new_index(names, [Run(0, 1, "nothing", seconds=60.0)], needs={}, injected=["threads"])
    recording.write_index(tmp_path, index | {"batches": {"batch-0000.npz": [0]}})
    shown = track(history.read(tmp_path)).rows[:, : len(MODEL_NAMES) - 4]
    assert not shown.any()


def test_alarms_are_counted_by_failure(tmp_path: Path) -> None:
    """An alarm before users noticed is a warning with its lead; one of an agent that never fails is false."""
    write(tmp_path, [fault(0)])
    tracks = history.read(tmp_path)
    sure = [Judged(t, np.where(t.times >= 50.0, 0.9, 0.1), 0.5) for t in tracks]
    found = scoring.score(sure, 2)
    assert (found["failures"], found["early_warning"]["value"]) == (1, 1.0)
    assert 8.0 <= found["lead_seconds"]["p50"] <= 10.0
    assert found["alarms"] == 2
    assert found["false_alarms_per_agent_hour"]["of"] == 1
    assert found["recall"]["value"] == pytest.approx(1 / 3, abs=0.05)


def test_intervals_hold_what_they_are_of() -> None:
    """A share and a rate are within their intervals, and nothing is known of nothing."""
    assert scoring.share(9, 10)["low"] < 0.9 < scoring.share(9, 10)["high"] < 1.0
    assert (scoring.share(0, 0)["low"], scoring.share(0, 0)["high"]) == (0.0, 1.0)
    assert scoring.rate(4, 2.0)["low"] < 2.0 < scoring.rate(4, 2.0)["high"]
    truth = np.array([True, False, True, False])
    assert scoring.average_precision(truth, np.array([0.9, 0.1, 0.8, 0.2])) == 1.0
    assert scoring.average_precision(truth, np.full(4, 0.5)) == 0.5
