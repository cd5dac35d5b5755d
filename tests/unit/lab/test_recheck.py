"""The oracle's re-check: which trials it takes, and what it takes for the same."""

from typing import Any

from tests.lab import recheck

ROW = [0.9, 1.0, 0.2, 3]


def _case(fault: str, counts: bool = True, **strategies: float) -> dict[str, Any]:
    rows = {name: [0.5, recovered, 0.2, 3] for name, recovered in strategies.items()}
    key = f"{fault}() runtime calm"
    found = {"case": key, "fault": fault, "parameters": {}, "kind": "runtime", "state": "calm"}
    return found | {"counts": counts, "strategies": rows | {"escalate": ROW}}


ORACLE = {
    "cases": [
        _case("killed", restart=1.0, retry=0.0, fallback=0.67),
        _case("segfault", restart=0.5, retry=0.33),
        _case("hang", counts=False, restart=1.0),
        _case("no longer a fault", restart=1.0),
    ]
}


def test_what_is_tried_again() -> None:
    """Strategies that were tried, of cases that count and exist; the same for a seed; never a person."""
    every = recheck.cells(ORACLE, 1.0, 1)
    assert {(case["fault"], strategy) for case, strategy in every} == {
        ("killed", "restart"),
        ("killed", "retry"),
        ("killed", "fallback"),
        ("segfault", "restart"),
        ("segfault", "retry"),
    }
    assert len(recheck.cells(ORACLE, 0.4, 1)) == 2
    assert recheck.cells(ORACLE, 0.4, 1) == recheck.cells(ORACLE, 0.4, 1)


def test_what_is_the_same() -> None:
    """A trial agrees that came out as most did; where half did, either; one that did not come about is not counted."""
    chosen = recheck.cells(ORACLE, 1.0, 1)
    found = {recheck.trial_of(cell).key: {"recovered": True} for cell in chosen if cell[1] != "fallback"}
    agreed, differing = recheck.compared(chosen, found)
    assert (agreed.hits, agreed.of) == (2, 4)
    assert {(row[0].partition("(")[0], row[1]) for row in differing} == {("killed", "retry"), ("segfault", "retry")}
