"""The oracle's trials in a small file: nothing that choices are judged by is lost in it."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.lab import choosing, folding, oracle, trials
from tests.lab.choosing import Known
from tests.lab.faults.catalogue import FAULTS

SMALL = 250_000


@pytest.fixture(scope="module")
def folded() -> dict[str, Any]:
    """The oracle, as it is kept with the code."""
    found: dict[str, Any] = json.loads(oracle.FOLDED.read_text())
    return found


def record(**more: Any) -> dict[str, Any]:
    """A trial as the oracle records it."""
    whole: dict[str, Any] = {
        "key": "a retry 1",
        "case": "a",
        "fault": "killed",
        "parameters": {},
        "kind": "runtime",
        "state": "calm",
        "strategy": "retry",
        "repetition": 1,
        "noticed": 0.1,
        "reported": ["lab.WorkerDied"],
        "recovered": True,
        "seconds": 0.123,
        "lost": 2,
        "isolated": False,
        "code": "",
        "detail": "",
        "felt": [
            {"asked": 9, "bad": 2, "first": "AgentRefused: WorkerDied: gone"},
            {"asked": 9, "bad": 1, "first": "AgentRefused: Isolated: no work"},
        ],
        "took": 4.0,
    }
    return whole | more


def test_the_trials_kept_are_those_that_the_oracle_is_the_sum_of(folded: dict[str, Any]) -> None:
    """As many of each strategy in each case, and folded anew they give the same oracle, number by number."""
    kept = trials.read()
    found = Counter((one["case"], one["strategy"]) for one in kept.records)
    assert found == {
        (case["case"], strategy): row[3]
        for case in folded["cases"]
        for strategy, row in case["strategies"].items()
        if strategy != folding.PERSON
    }
    assert (kept.conditions, len(kept.records)) == (folded["conditions"], folded["conditions"]["trials"])
    assert json.loads(json.dumps(folding.fold_cases(kept.records, FAULTS))) == folded["cases"]


def test_the_file_is_small() -> None:
    """It comes with every clone."""
    assert trials.FILE.stat().st_size <= SMALL


def test_what_is_read_back_judges_the_same(tmp_path: Path) -> None:
    """Situations, lessons and the sums of a case are those of the records; what nobody looks at is gone."""
    errors = [{"type": "OSError", "message": "no space", "operation": "put", "severity": None}]
    told = [
        record(),
        record(key="a retry 2", repetition=2, recovered=False, others=0.5, errors=errors, reported=["OSError"]),
        record(
            key="a restart 1",
            strategy="restart",
            code="OSError",
            reported=["lab.WorkerDied"],
            detail="failed again in 3 tries: full",
        ),
        record(key="a none 1", strategy="none", recovered=False, others=0.25, noticed=None),
    ]
    known = {("", "OSError"): Known("full", "critical")}
    whole = trials.Trials({"trials": len(told)}, known, trials.in_order(told))
    file = tmp_path / "trials.json.xz"
    _ = file.write_bytes(trials.packed(whole))
    back = trials.read(file)
    assert "took" not in back.records[0]

    def judged(found: trials.Trials) -> tuple[Any, ...]:
        filled = [{"others": 0.0, **one} for one in found.records]
        cases = folding.fold_cases(filled, FAULTS)
        chosen = choosing.situations(cases, {"a": filled}, found.known, lambda t, m: (m, 1.0))
        return cases, chosen, [choosing.lessons(one, filled) for one in chosen]

    assert judged(back) == judged(whole)
    assert (back.known, back.digest) == (known, whole.digest)
    assert replace(back, records=back.records[1:]).digest != whole.digest


def test_a_fold_that_is_older_than_the_trials_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The conditions kept are those of the trials kept; without trials nothing is written."""
    output = tmp_path / "out"
    given = ["--results", str(tmp_path), "--output", str(output)]
    assert trials.main(given) == 2
    assert "no trials" in capsys.readouterr().out
    oracle.append(tmp_path / "w.jsonl", record())
    assert trials.main(given) == 2
    assert "fold" in capsys.readouterr().out
    assert not output.exists()
