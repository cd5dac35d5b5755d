"""The figures of a score, on answers whose figures can be worked out by hand."""

import json
from pathlib import Path

import pytest

from mendbus.contracts.errors import MendbusError
from mendbus_classifier.offline import samples, scoring
from mendbus_classifier.offline.samples import Sample
from mendbus_classifier.offline.scoring import Answer


def labelled(category: str, severity: str = "error", alternative: str = "") -> Sample:
    return Sample("", "m", "", category, severity, alternative)


def test_strict_lenient_and_severity_are_counted_as_they_are_defined() -> None:
    """The second category counts as lenient only; `unknown` is wrong; one step off is within one."""
    truth = [labelled("memory"), labelled("network", "fatal", "security"), labelled("build"), labelled("build")]
    said = [
        Answer("memory", "error", 0.9),
        Answer("security", "critical", 0.8),
        Answer("unknown", "warning", 0.0),
        Answer("build", "fatal", 0.7),
    ]
    found = scoring.score(truth, said)
    assert (found["strict"], found["lenient"], found["unknown"]) == (0.5, 0.75, 0.25)
    assert (found["severity"], found["severity_within_one"]) == (0.25, 0.75)
    assert found["confusion"]["build"] == {"unknown": 1, "build": 1}
    assert found["per_class"]["build"] == {"precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "support": 2}


def test_coverage_ends_where_precision_falls_below_the_mark() -> None:
    """The most confident answers count as long as nineteen of twenty are right."""
    truth = [labelled("memory")] * 40
    said = [Answer("memory" if i != 20 else "build", "error", 1.0 - i / 100) for i in range(30)]
    said += [Answer("network", "error", 0.1)] * 10
    assert scoring.score(truth, said)["coverage_at_95_precision"] == 30 / 40


def test_perfect_confidence_has_no_calibration_error() -> None:
    """Certain and right: no error; certain and wrong: an error of one."""
    assert scoring.score([labelled("memory")], [Answer("memory", "error", 1.0)])["ece"] == 0.0
    assert scoring.score([labelled("memory")], [Answer("build", "error", 1.0)])["ece"] == 1.0


def test_the_majority_says_the_most_frequent_labels() -> None:
    """Its strict figure is the share of the most frequent category."""
    truth = [labelled("memory"), labelled("memory", "fatal"), labelled("build", "fatal")]
    found = scoring.score(truth, scoring.majority(truth))
    assert found["strict"] == found["severity"] == pytest.approx(2 / 3)


def test_a_file_of_labelled_errors_is_read_and_a_wrong_line_is_named(tmp_path: Path) -> None:
    """Lists of stack lines are joined, the repository is the group, and an error says which line is wrong."""
    good = {"message": "m", "stack": ["a", "b"], "category": "build", "severity": "error", "source": "o/r#1"}
    path = tmp_path / "e.jsonl"
    path.write_text(json.dumps(good) + "\n\n")
    (found,) = samples.read(path)
    assert (found.stack, found.group, found.kind, found.alternative) == ("a\nb", "o/r", "", "")
    path.write_text(json.dumps(good) + "\n" + json.dumps({**good, "category": "nonsense"}) + "\n")
    with pytest.raises(MendbusError, match="line 2"):
        samples.read(path)
    with pytest.raises(MendbusError, match="cannot read"):
        samples.read(tmp_path / "none")
