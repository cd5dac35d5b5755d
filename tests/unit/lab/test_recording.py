"""What is recorded comes back as it was told, and the split follows its rule."""

from pathlib import Path

import numpy as np
import pytest
from tests.lab import recording
from tests.lab.recording import Names, Run, Told, part_of

_NAMES = Names(("cpu_percent", "memory_bytes"), ("worker_rss",), ("runtime", "versioning"), ("warning", "error"))


def _told(shift: float = 0.0) -> Told:
    return Told(
        [
            ("versioning", 0, 0.6 + shift, {"memory_bytes": 2.0}, {}),
            ("runtime", 0, 0.1 + shift, {"cpu_percent": 0.0, "memory_bytes": 1.0}, {"worker_rss": 7.0}),
            ("runtime", 0, 0.9 + shift, {"cpu_percent": 5.0}, {"other": 1.0}),
            ("runtime", 1, 1.4 + shift, {}, {}),
        ],
        [("runtime", 0.95 + shift, "OSError", "error", 3)],
    )


def _write(folder: Path) -> None:
    runs = [
        Run(0, 1, "nothing"),
        Run(1, 1, "fault", "leak", "runtime", {"rate": 2}, part="held_out_kind", began=1.0, failed=1.2),
        Run(2, 1, "fault", "leak", trouble="it did not start"),
    ]
    index = recording.new_index(_NAMES, runs)
    for number in (0, 1):
        name = f"batch-{number:04}.npz"
        recording.write_arrays(folder / name, recording.pack(number, _told(number), _NAMES, index["types"]))
        index["batches"][name] = [number]
    recording.write_index(folder, index)


def test_a_recording_comes_back(tmp_path: Path) -> None:
    """Rows are in the order of time, with the numbers that were told, and nothing is made up."""
    _write(tmp_path)
    found = recording.read(tmp_path)
    rows = found.of(0, "runtime")
    assert found.time[rows].tolist() == [0.1, 0.9, 1.4]
    assert found.process[rows].tolist() == [0, 0, 1]
    np.testing.assert_array_equal(found.samples[rows], [[0.0, 1.0], [5.0, np.nan], [np.nan, np.nan]])
    np.testing.assert_array_equal(found.gauges[rows], [[7.0], [np.nan], [np.nan]])
    assert found.samples.dtype == np.float32
    assert found.index["types"][int(found.error_type[0])] == "OSError"
    assert found.error_count.tolist() == [3, 3]
    assert found.runs[1].parameters == {"rate": 2}
    assert found.runs.keys() == {0, 1}, "a run that could not be recorded has no rows and is left out"


def test_one_sample_a_second_is_the_last_of_it(tmp_path: Path) -> None:
    """At 1 Hz each agent has one sample for each second in which it told any."""
    _write(tmp_path)
    found = recording.read(tmp_path)
    assert found.time[found.of(0, "runtime", each_second=True)].tolist() == [0.9, 1.4]
    assert found.time[found.of(0, "versioning", each_second=True)].tolist() == [0.6]


def test_parts_are_read_alone(tmp_path: Path) -> None:
    """Only the samples and errors of the asked part are there; an empty part is empty arrays."""
    _write(tmp_path)
    held_out = recording.read(tmp_path, "held_out_kind")
    assert set(held_out.run.tolist()) == {1}
    assert held_out.error_run.tolist() == [1]
    nothing = recording.read(tmp_path, "held_out_rate")
    assert nothing.samples.shape == (0, 2)
    assert nothing.runs == {}


def test_what_is_no_part_or_another_format_is_refused(tmp_path: Path) -> None:
    """A name that is no part, and a version from elsewhere, are said to be so."""
    _write(tmp_path)
    with pytest.raises(ValueError, match="no part dev"):
        _ = recording.read(tmp_path, "dev")
    index = tmp_path / recording.INDEX
    index.write_text(index.read_text().replace('"version": 1', '"version": 9'))
    with pytest.raises(ValueError, match="version 9"):
        _ = recording.read(tmp_path)


def test_a_kind_of_fault_is_held_out_as_a_whole() -> None:
    """Whatever parameters, seed and number: runs of a held-out fault are all held out, those of others never there."""
    for name in (f"fault_{number}" for number in range(60)):
        parts = {
            part_of("fault", name, {"rate": rate}, 4, seed, number)
            for rate in range(4)
            for seed in range(2)
            for number in range(5)
        }
        assert ("held_out_kind" in parts) == (parts == {"held_out_kind"})


def test_a_slow_form_goes_with_its_fault() -> None:
    """What is held out is held out in every form, so that nothing of it is learned from another name."""
    for name in ("descriptors", "memory_leak"):
        fault, slow = (part_of("fault", each, {}, 1, 1, 1) for each in (name, f"drift_{name}"))
        assert (fault == "held_out_kind") == (slow == "held_out_kind") == (name == "descriptors")


def test_a_held_out_rate_is_in_no_training_run() -> None:
    """Of one fault and its parameters all runs are held out, or none for their parameters' sake."""
    for rate in range(60):
        parts = {part_of("fault", "fault_1", {"rate": rate}, 60, 1, number) for number in range(40)}
        assert ("held_out_rate" in parts) == (parts == {"held_out_rate"})


def test_the_split_has_something_in_each_part() -> None:
    """The shares are about what the rule says."""
    parts = [
        part_of("fault", f"fault_{number % 97}", {"rate": number % 7}, 7, 1, number) for number in range(97 * 7 * 5)
    ]
    shares = [parts.count(part) / len(parts) for part in ("train", "held_out_run", "held_out_rate", "held_out_kind")]
    assert shares == pytest.approx([0.48, 0.12, 0.15, 0.25], abs=0.1)
    assert {part_of("nothing", "", {}, 0, 1, number) for number in range(50)} == {"train", "held_out_run"}
