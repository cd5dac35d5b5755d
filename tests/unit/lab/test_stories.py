"""What became of a fault, told from recorded outcomes and requests."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from tests.lab.kinds import ORDER
from tests.lab.stories import NOTHING, PERSON, Observed, final, optimal_of, served, story
from tests.lab.users import Use

BEGAN = 1_800_000_000_000_000_000
MS = 1_000_000


def uses(bad: tuple[float, float] | None = None, wrong: str = "TimeoutError: ", until: float = 10.0) -> list[Use]:
    """Requests every 100 ms from second 100 on; those between `bad` (seconds after the injection) go wrong."""
    return [
        Use(100 + n / 10, 0.01, wrong if bad is not None and bad[0] <= n / 10 < bad[1] else "")
        for n in range(int(until * 10))
    ]


def attempt(strategy: str, start_ms: int, *, verified: bool = True, undone: bool = False) -> dict[str, Any]:
    """An attempt that took 20 ms."""
    return {
        "attempt": 1,
        "command_id": "c",
        "strategy": strategy,
        "status": "done" if verified else "failed",
        "verified": verified,
        "undone": undone,
        "started_unix_nano": BEGAN + start_ms * MS,
        "ended_unix_nano": BEGAN + (start_ms + 20) * MS,
    }


def outcome(kind: str, result: str, reported_ms: int, *attempts: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """An outcome as on the wire; decided 30 ms after the report, done 100 and verified 140 ms after it."""
    at = BEGAN + reported_ms * MS
    return {
        "incident_id": f"{kind}-{reported_ms}",
        "sequence": 1,
        "agent": {"kind": kind, "id": "lab"},
        "outcome": result,
        "settled": True,
        "error_count": 1,
        "attempts": list(attempts),
        "classification": {"category": "runtime", "severity": "fatal", "confidence": 0.9, "model": "rules"},
        "error": {"exception": {"type": "WorkerDied", "message": "worker process 7 was ended by SIGKILL"}},
        "times": {
            "reported": at,
            "selected": at + 30 * MS,
            "acted": at + 100 * MS,
            "verified": at + 140 * MS,
        },
        "trace_id": f"{reported_ms:032x}",
    } | more


def seen(
    outcomes: Sequence[Mapping[str, Any]],
    felt: Mapping[str, Sequence[Use]] | None = None,
    *,
    kind: str = "runtime",
    success: str = "served",
    **more: Any,
) -> Observed:
    """A fault `killed` in second 100; users who are not named are served."""
    values: dict[str, Any] = {
        "fault": "killed",
        "kind": kind,
        "category": "runtime",
        "success": success,
        "parameters": {},
        "feels": (),
        "injected_unix_nano": BEGAN,
        "injected_at": 100.0,
        "ended_at": 110.0,
        "outcomes": outcomes,
        "unfinished": 0,
        "alerts": [],
        "uses": {name: uses() for name in ORDER} | dict(felt or {}),
    }
    return Observed(**(values | more))


RESTARTED = outcome("runtime", "recovered", 50, attempt("rollback", 90, verified=False), attempt("restart", 120))


def test_a_fault_that_was_recovered() -> None:
    """Detection, choice, clocks and the users' view of the same fault stand in one story."""
    told = story(seen([RESTARTED], {"runtime": uses((0.1, 0.5))}), ["restart", "failover"])
    assert (told.verdict, told.recovered, told.detected_by, told.classified) == (
        "recovered",
        True,
        "runtime",
        "runtime",
    )
    assert [(one.strategy, one.verified, one.held) for one in told.tried] == [
        ("rollback", False, False),
        ("restart", True, True),
    ]
    assert (told.first, told.first_optimal, told.helped, told.helped_optimal) == ("rollback", False, "restart", True)
    clocks = told.clocks
    assert (clocks.detect, clocks.decide, clocks.act, clocks.verified) == (50.0, 40.0, 60.0, 40.0)
    assert told.noticed_ms == pytest.approx(210)
    assert told.over_ms == pytest.approx(510)
    assert (told.felt["runtime"].bad, told.person, told.harmed, told.undone) == (4, [], [], [])
    assert told.traces == [RESTARTED["trace_id"]]


def test_of_one_attempt_the_decision_is_the_selection() -> None:
    """With one attempt the second clock ends when the strategy was selected, not when the command went out."""
    told = story(seen([outcome("runtime", "recovered", 50, attempt("restart", 95))]))
    assert (told.clocks.decide, told.clocks.act) == (30.0, 70.0)
    assert (told.optimal, told.first_optimal, told.helped_optimal) == (None, None, None)


def test_what_the_pipeline_says_does_not_make_it_over() -> None:
    """A fault that is recovered by its outcome, and whose users are still not served, has failed."""
    told = story(seen([RESTARTED], {"runtime": uses((0.1, 10.0))}))
    assert (told.verdict, told.recovered, told.over_ms, told.helped) == ("failed", False, None, "")


def test_a_person_who_was_called_counts_though_users_are_served() -> None:
    """An incident of another agent that ends with a person counts for the fault that brought it about."""
    calls = outcome("orchestrator", "escalated", 400, attempt("retry", 430, verified=False), reason="3 of 3 attempts")
    told = story(seen([calls, RESTARTED], {"runtime": uses((0.1, 0.5))}))
    assert (told.verdict, told.recovered, told.first) == ("person", True, "rollback")
    assert [(one.kind, one.outcome, one.reason) for one in told.person] == [
        ("orchestrator", "escalated", "3 of 3 attempts")
    ]
    assert told.clocks.detect == 50.0


def test_nobody_reports() -> None:
    """A fault that nobody reports is failed while users suffer, and was left to itself when they do not."""
    suffered = story(seen([], {"runtime": uses((0.1, 10.0))}), ["restart"])
    assert (suffered.verdict, suffered.detected_by, suffered.first) == ("failed", "", NOTHING)
    assert (suffered.first_optimal, suffered.clocks.detect) == (False, None)
    passed = story(seen([], {"runtime": uses((0.1, 0.6))}), [NOTHING])
    assert (passed.verdict, passed.helped, passed.helped_optimal) == ("recovered", NOTHING, True)


def test_escalated_at_once_is_the_choice_of_a_person() -> None:
    """Where no strategy was tried and a person called, the person is what was chosen."""
    told = story(seen([outcome("runtime", "escalated", 50)], {"runtime": uses((0.1, 10.0))}), [PERSON])
    assert (told.first, told.first_optimal, told.helped) == (PERSON, True, "")


def test_contained_means_that_no_wrong_answer_gets_out() -> None:
    """No answer is good enough where wrong ones must be held back; a wrong one is not."""
    isolated = outcome("runtime", "recovered", 50, attempt("isolate", 90))
    refused = {"runtime": uses((0.2, 10.0), "AgentRefused: isolated")}
    assert story(seen([isolated], refused, success="contained")).recovered
    lied = {"runtime": uses((0.2, 10.0), "m01 answers 3, not 4")}
    assert not story(seen([isolated], lied, success="contained")).recovered


def test_others_are_harmed() -> None:
    """Harm is what users notice of agents that do not need the one hit, or what is left of those that do."""
    broken = {"runtime": uses((0.1, 0.5)), "versioning": uses((1.0, 2.0)), "developer_tools": uses((0.2, 1.0))}
    assert story(seen([RESTARTED], broken)).harmed == ["versioning: noticed something after the first action"]
    left = {"runtime": uses((0.1, 0.5)), "developer_tools": uses((0.2, 10.0))}
    assert story(seen([RESTARTED], left)).harmed == ["developer_tools: left unserved"]
    before = {"runtime": uses((0.1, 5.0)), "versioning": uses((1.0, 2.0))}
    late = outcome("runtime", "recovered", 50, attempt("restart", 3000))
    assert story(seen([late], before)).harmed == []


def test_a_control_is_harmed_by_anything_at_all() -> None:
    """One bad request after an action, or a limit in force, harms a control; what comes before an action does not."""
    alone = story(seen([], {"runtime": uses((0.1, 0.3))}, success="undisturbed"))
    assert (alone.verdict, alone.control, alone.harmed) == ("undisturbed", True, [])
    restarted = outcome("runtime", "recovered", 50, attempt("restart", 1000))
    told = story(seen([restarted], {"developer_tools": uses((1.2, 1.3))}, success="undisturbed"))
    assert (told.verdict, told.harmed) == ("harmed", ["developer_tools: 1 bad requests, first TimeoutError: "])
    limited = outcome("runtime", "recovered", 50, attempt("scale_down", 1000))
    told = story(seen([limited], success="undisturbed"))
    assert told.harmed == ["runtime: scale_down is in force"]
    assert told.clocks.detect is None


def test_what_was_undone_and_what_has_not_ended() -> None:
    """Undone attempts do not hold; a recovery that has not settled is unfinished."""
    undone = attempt("failover", 100, undone=True)
    unsettled = outcome("runtime", "recovered", 50, undone, settled=None)
    told = story(seen([unsettled], unfinished=1))
    assert (told.undone, told.unfinished, told.tried[0].held) == (["failover"], 2, False)
    assert not final([unsettled])
    assert final([RESTARTED, outcome("runtime", "no_action", 1, settled=None)])


def test_users_of_every_agent_must_be_served_before_a_case_ends() -> None:
    """A case is looked at for as long as anybody who noticed something is not served."""
    assert served(seen([RESTARTED], {"runtime": uses((0.1, 0.5))}))
    assert not served(seen([RESTARTED], {"runtime": uses((0.1, 0.5)), "orchestrator": uses((0.3, 10.0))}))
    assert not served(seen([RESTARTED], {"runtime": uses((0.1, 9.8))}))


def test_an_alert_is_a_detection_where_nothing_was_reported() -> None:
    """What the health-monitor raised stands in the story, and counts as detection if no error came."""
    told_of = {"severity": "major", "key": "agent/runtime/lab", "summary": "silent for 3 s"}
    changes = [("raised", "raised"), ("raised", "worsened"), ("raised", "muted"), ("resolved", "resolved")]
    told = story(seen([], alerts=[{**told_of, "state": state, "change": change} for state, change in changes]))
    assert (told.detected_by, told.alerts) == ("health-monitor", ["major: agent/runtime/lab: silent for 3 s"])


def test_what_the_oracle_says_of_a_case() -> None:
    """The optimal set is that of the same fault, parameters and agent, calm; one that does not count says nothing."""
    same = {"fault": "slow", "kind": "runtime", "parameters": {"delay": 0.5}, "optimal": ["fallback"]}
    oracle = {
        "cases": [
            same | {"state": "busy", "optimal": ["scale_down"]},
            same | {"state": "calm"},
            same | {"kind": "versioning", "state": "calm", "counts": False},
        ]
    }
    assert optimal_of(oracle, "slow", "runtime", {"delay": 0.5}) == ["fallback"]
    assert optimal_of(oracle, "slow", "runtime", {"delay": 1.0}) is None
    assert optimal_of(oracle, "slow", "versioning", {"delay": 0.5}) is None
    assert optimal_of(None, "slow", "runtime", {"delay": 0.5}) is None
