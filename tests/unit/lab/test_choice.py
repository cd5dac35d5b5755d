"""Judging choices in the lab: only by what the pipeline sees, each kind of fault by what the others taught."""

from dataclasses import replace
from typing import Any

import pytest
from tests.lab import choice, choosing
from tests.lab.choosing import Judged, Known, Situation

from mendbus_strategy_selector.experience import Seen
from mendbus_strategy_selector.policy import Policy

STRATEGIES = ("retry", "restart")


def record(case: str, strategy: str, *, recovered: bool, **more: Any) -> dict[str, Any]:
    """A trial, as far as choices look at it."""
    return {
        "case": case,
        "kind": "runtime",
        "strategy": strategy,
        "recovered": recovered,
        "seconds": 0.2,
        "reported": ["TimeoutError"],
        "code": "",
        "detail": "",
        "felt": [],
        **more,
    }


def folded(case: str, fault: str, optimal: str, **more: Any) -> dict[str, Any]:
    """A case of the oracle."""
    worth = {name: [0.9 if name == optimal else 0.1, 1.0, 0.2, 1] for name in (*STRATEGIES, "none")}
    return {
        "case": case,
        "fault": fault,
        "kind": "runtime",
        "counts": True,
        "success": "served",
        "strategies": worth,
        "optimal": [optimal],
        **more,
    }


def situation(case: str, fault: str, **more: Any) -> Situation:
    """An error of a case."""
    seen = Seen("runtime", "network", "TimeoutError")
    return replace(Situation(case, fault, seen, "timed out", "error", 1.0, share=1.0, control=False), **more)


def test_a_situation_holds_what_the_pipeline_sees() -> None:
    """Type and severity from the report, the message that was told, the category that is found in it."""
    asked: list[tuple[str, str]] = []

    def classify(type_: str, message: str) -> tuple[str, float]:
        asked.append((type_, message))
        return "network", 0.9

    told = [
        record("a", "retry", recovered=False, felt=[{"first": "AgentRefused: TimeoutError: timed out"}]),
        record("a", "restart", recovered=True),
    ]
    known = {("", "TimeoutError"): Known("elsewhere", "critical")}
    (found,) = choosing.situations([folded("a", "hang", "restart")], {"a": told}, known, classify)
    assert asked == [("TimeoutError", "timed out")]
    assert found.seen == Seen("runtime", "network", "TimeoutError", severity="critical")
    assert (found.severity, found.share, found.of_type) == ("critical", 1.0, 1.0)


def test_an_error_that_was_reported_at_two_severities_teaches_once() -> None:
    """Each teaches by its share of the reports of that type; what was grave now and then is not counted twice."""
    told = [
        record("a", "retry", recovered=True, errors=[{"type": "TimeoutError", "message": "", "severity": severity}])
        for severity in ("error", "error", "error", "critical")
    ]
    found = choosing.situations([folded("a", "x", "retry")], {"a": told}, {}, lambda t, m: ("network", 1.0))
    assert {one.severity: one.of_type for one in found} == {"error": 0.75, "critical": 0.25}
    cells = choosing.fit(found, {"a": told}).cells
    assert cells["all"]["retry"][0] == pytest.approx(1.0)
    assert cells["severity runtime critical"]["retry"][0] == pytest.approx(0.25)


def test_records_that_tell_of_their_errors_are_taken_at_their_word() -> None:
    """The first error is what is decided on; others that came later are not."""
    errors = [
        {"type": "OSError", "message": "no space", "operation": "put", "severity": "critical"},
        {"type": "TimeoutError", "message": "timed out", "operation": "put", "severity": "error"},
    ]
    told = [record("a", "retry", recovered=False, errors=errors)]
    (found,) = choosing.situations([folded("a", "disk", "restart")], {"a": told}, {}, lambda t, m: (m, 1.0))
    assert (found.seen.type, found.seen.category, found.severity) == ("OSError", "no space", "critical")


def test_a_case_without_a_report_or_that_does_not_count_is_left_out() -> None:
    """Where nothing is reported nothing is decided."""
    cases = [folded("a", "x", "retry"), folded("b", "x", "retry", counts=False)]
    told = {"a": [record("a", "retry", recovered=True, reported=[])], "b": [record("b", "retry", recovered=True)]}
    assert choosing.situations(cases, told, {}, lambda t, m: ("network", 1.0)) == []


def test_a_fault_is_judged_by_what_the_others_taught() -> None:
    """What helps against one kind of fault alone is not known when that one is left out; repetitions count once."""
    told = {
        name: [record(name, s, recovered=s == best) for s in STRATEGIES for _ in range(3)]
        for name, best in (("a", "retry"), ("b", "restart"))
    }
    chosen = [situation("a", "first"), situation("b", "second")]
    found = choosing.without_each(chosen, told, lambda one: one.fault)
    assert found["first"].cells["all"]["restart"][0] == pytest.approx(1.0)
    assert found["first"].cells["all"]["retry"][0] == 0.0
    assert choice.best_of(found["first"], chosen[0]) == "restart"


def test_judged_are_the_share_that_is_optimal_and_what_was_lost() -> None:
    """Several errors of a case count by their share of its reports."""
    chosen = [situation("a", "x", share=0.25), situation("a", "x", share=0.75, severity="critical")]
    cases = {"a": folded("a", "x", "restart")}
    found = choosing.judge(chosen, cases, lambda one: "restart" if one.severity == "critical" else "retry")
    assert found["a"].optimal == pytest.approx(0.75)
    assert found["a"].regret == pytest.approx(0.25 * 0.8)


def test_the_policy_is_asked_as_the_pipeline_asks_it() -> None:
    """A warning whose agent is well needs nothing; without anything learned an error is retried."""
    warned = situation("a", "x", severity="warning", control=True)
    assert choosing.chosen_by(Policy(), warned, None) == "none"
    assert choosing.chosen_by(Policy(), situation("a", "x"), None) == "retry"


def test_no_choice_by_the_same_facts_is_better_than_the_ceiling() -> None:
    """Two cases that look alike and need different strategies: one of them is lost."""
    chosen = [situation("a", "x"), situation("b", "y")]
    cases = {"a": folded("a", "x", "restart"), "b": folded("b", "y", "retry")}
    assert choosing.ceiling(chosen, cases, lambda one: one.seen) == 0.5
    assert choosing.ceiling(chosen, cases, lambda one: one.case) == 1.0


def test_the_interval_of_a_lift_draws_kinds_of_fault() -> None:
    """Where every kind is better, so is the whole interval; one kind alone has no spread."""
    better = [(Judged(name, 1.0, 0.0), Judged(name, 0.0, 1.0)) for name in "abcd"]
    assert choice.bootstrap(better, lambda one: one.optimal) == ((1.0, 1.0), (1.0, 1.0))
    mixed = [(Judged(name, float(name > "b"), 0.0), Judged(name, 0.0, 1.0)) for name in "abcd"]
    (low, high), _ = choice.bootstrap(mixed, lambda one: one.optimal)
    assert low < 0.5 < high


def test_converged_is_where_a_curve_stays_near_its_end() -> None:
    """A dip afterwards moves it."""
    flat = dict.fromkeys(choice.POINTS, 0.8)
    assert choice.converged(flat) == 0
    assert choice.converged(flat | {100: 0.7}) == 150
