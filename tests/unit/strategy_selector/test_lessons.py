"""What the journal teaches: each end of an attempt once, a person as a loss, and which of two choices was right."""

import random
from typing import Any

import pytest
from tests.unit.strategy_selector.learning import SEEN, attempt, concluded, decided, ended

from mendbus import codec
from mendbus.contracts.canary import KEY
from mendbus.contracts.foreseen import EXCEPTION, PREDICTED, SEVERITY
from mendbus.lift import Trial
from mendbus_strategy_selector import lessons as module
from mendbus_strategy_selector.lessons import LATER_WEIGHT, Lessons, restored

BAD, GOOD = attempt("retry", verified=False), attempt("restart", verified=True, seconds=0.5)


def taught(lessons: Lessons, *entries: dict[str, Any]) -> Lessons:
    lessons.take(lessons.seen + 1, entries)
    return lessons


def fresh() -> Lessons:
    found = Lessons()
    found.follow(["choice-9"])
    return found


def test_attempts_are_learned_when_their_end_is_known_and_once() -> None:
    """What did not help at once, what seems to at the end of the settle window; told again it teaches nothing."""
    lessons = fresh()
    (first,) = lessons.ends(ended("i1", BAD, GOOD, settled=False))
    assert (first.strategy, first.helped, first.weight, first.seen) == ("retry", False, 1.0, SEEN)
    (second,) = lessons.ends(ended("i1", BAD, GOOD))
    assert (second.strategy, second.helped, second.weight) == ("restart", True, LATER_WEIGHT)
    assert second.seconds == pytest.approx(0.5)
    assert lessons.ends(ended("i1", BAD, GOOD)) == []


@pytest.mark.parametrize(
    "outcome",
    [
        ended("i1", GOOD, outcome="escalated", settled=False),
        ended("i1", {**GOOD, "undone": True}),
        ended("i1", GOOD, attempt("rollback", verified=False), outcome="escalated", settled=False),
    ],
)
def test_what_was_taken_back_or_needed_a_person_is_a_loss(outcome: dict[str, Any]) -> None:
    """Verified is not enough: it has to hold."""
    assert [lesson.helped for lesson in fresh().ends(outcome)] == [False] * len(outcome["attempts"])


def test_what_was_never_carried_out_and_the_canary_teach_nothing() -> None:
    """A refused command says nothing of its strategy, and the canary is no agent."""
    assert fresh().ends(ended("i1", attempt("restart", verified=False, status="unsupported"))) == []
    kind, agent_id = KEY.split("/")
    canary = ended("i2", GOOD) | {"agent": {"kind": kind, "id": agent_id}}
    assert fresh().ends(canary) == []


def test_what_was_done_before_a_failure_teaches_nothing() -> None:
    """An agent that had not failed is well afterwards, whatever was done: that is no help of the strategy's."""
    outcome = ended("i1", GOOD)
    told = {"severity": SEVERITY, "exception": {"type": EXCEPTION}, "attributes": {PREDICTED: True}}
    assert fresh().ends(outcome | {"error": told}) == []
    assert len(fresh().ends(outcome | {"error": told | {"severity": "error"}})) == 1
    assert len(fresh().ends(outcome | {"error": told | {"attributes": {}}})) == 1


def test_a_record_counts_once_however_often_it_comes() -> None:
    """The follower of the journal may see a record again after a gap."""
    lessons = fresh()
    for _ in range(3):
        lessons.take(7, [concluded("i1", BAD, GOOD)])
    assert lessons.experiences["choice-9"].lessons == 2


@pytest.mark.parametrize(
    ("noted", "told", "counts"),
    [
        # In trial: the policy retried, which did not help, and what the model would have done did.
        (("restart", "retry", {}), (BAD, GOOD), (("policy", "choice-9"), Trial(1, 1, 0))),
        (("restart", "retry", {}), (attempt("retry", verified=True),), (("policy", "choice-9"), Trial(1, 0, 1))),
        # Beside another model in use: that one decided, and what the one in trial would have done helped.
        (
            ("retry", "restart", {"acts": True, "rival": "choice-10"}),
            (BAD, GOOD),
            (("choice-9", "choice-10"), Trial(1, 1, 0)),
        ),
    ],
)
def test_a_trial_counts_where_the_two_differ(noted: Any, told: Any, counts: Any) -> None:
    """Only of what was done something is known; what was not done is never counted as if it had helped."""
    lessons = taught(fresh(), decided("i1", noted[0], noted[1], **noted[2]), concluded("i1", *told))
    assert lessons.trials == dict([counts])


def seen(lessons: Lessons, number: int, *, helped: bool, held_out: bool = False) -> None:
    """A case in which the model in use would restart and the policy retry, with how the first attempt ended."""
    first = attempt("retry" if held_out else "restart", verified=helped)
    second = attempt("restart" if held_out else "retry", verified=True)
    told = concluded(f"i{number}", first) if helped else concluded(f"i{number}", first, second)
    _ = taught(lessons, decided(f"i{number}", "restart", "retry", acts=True, held_out=held_out), told)


def test_in_use_a_case_held_out_is_set_against_the_next_that_was_not() -> None:
    """Each was drawn by lot, and of each only the first attempt counts; alone, none tells anything."""
    lessons = fresh()
    seen(lessons, 1, helped=False)
    seen(lessons, 2, helped=True, held_out=True)
    assert not lessons.trials
    seen(lessons, 3, helped=False)
    seen(lessons, 4, helped=True)
    assert lessons.trials == {("choice-9", "policy"): Trial(1, 1, 0)}
    seen(lessons, 5, helped=False, held_out=True)
    seen(lessons, 6, helped=True)
    assert lessons.trials == {("choice-9", "policy"): Trial(2, 1, 1)}


@pytest.mark.parametrize(
    ("model", "policy", "verdicts"),
    [(0.6, 0.6, {None}), (0.3, 0.3, {None}), (0.5, 0.9, {"lift"}), (0.9, 0.5, {"loss"})],
    ids=["equal", "equally bad", "the policy is better", "the model is better"],
)
def test_in_use_the_verdict_is_right(model: float, policy: float, verdicts: set[str | None]) -> None:
    """Equals stay in trial, and what is better shows, whoever goes first more often."""
    chance = random.Random(7)
    found: set[str | None] = set()
    for _ in range(10):
        lessons, number, trial = Lessons(), 0, Trial()
        while trial.verdict is None and number < 1000:
            held_out, number = chance.random() < 0.2, number + 1
            seen(lessons, number, helped=chance.random() < (policy if held_out else model), held_out=held_out)
            trial = lessons.trials.get(("choice-9", "policy"), trial)
        found.add(trial.verdict)
    assert found == verdicts


def test_a_trial_that_was_ended_is_counted_anew() -> None:
    """Neither its counts nor a case that waits for its counterpart is left."""
    lessons = fresh()
    seen(lessons, 1, helped=True, held_out=True)
    lessons.end(("choice-9", "policy"))
    seen(lessons, 2, helped=False)
    assert not lessons.trials


def test_a_case_is_judged_when_nothing_more_is_done() -> None:
    """While an incident waits for a person, what the other would have done may still be done, and help."""
    waiting = concluded("i1", BAD, outcome="awaiting_approval", settled=False)
    lessons = taught(fresh(), decided("i1", "restart", "retry"), waiting)
    assert not lessons.trials
    assert taught(lessons, concluded("i1", BAD, GOOD)).trials == {("policy", "choice-9"): Trial(1, 1, 0)}
    _ = taught(lessons, decided("i2", "restart", "retry"), concluded("i2", BAD, outcome="escalated", settled=False))
    assert lessons.trials == {("policy", "choice-9"): Trial(2, 1, 0)}


def test_what_waits_teaches_once_however_many_incidents_come_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Closed incidents push out what is remembered of closed ones alone."""
    monkeypatch.setattr(module, "_REMEMBERED", 3)
    lessons = taught(fresh(), concluded("waits", BAD, outcome="awaiting_approval", settled=False))
    _ = taught(lessons, *(concluded(f"i{number}", GOOD) for number in range(5)))
    assert lessons.experiences["choice-9"].lessons == 6
    _ = taught(lessons, concluded("waits", BAD, GOOD), concluded("waits", BAD, GOOD))
    assert lessons.experiences["choice-9"].lessons == 7
    assert (len(lessons.taught), len(lessons.closed)) == (0, 3)


def test_equal_choices_and_what_was_tried_out_count_in_no_trial() -> None:
    """They say nothing of which of the two is better."""
    lessons = taught(fresh(), decided("i1", "retry", "retry"), concluded("i1", BAD, GOOD))
    _ = taught(lessons, decided("i2", "restart", "retry", acts=True, explored=True), concluded("i2", BAD, GOOD))
    assert {pair: trial for pair, trial in lessons.trials.items() if trial.better or trial.worse} == {}


def test_it_is_the_same_after_it_was_kept() -> None:
    """Counts, trials, and what was learned of which incident survive a restart."""
    lessons = taught(fresh(), decided("i1", "restart", "retry"), decided("i2", "restart", "retry"))
    _ = taught(lessons, concluded("i1", BAD, GOOD), concluded("i3", BAD, outcome="escalated", settled=False))
    seen(lessons, 9, helped=True, held_out=True)
    again = restored(codec.unpack(codec.pack(lessons.packed()), 1 << 20))
    assert again == lessons
    for one in (lessons, again):
        _ = taught(one, concluded("i3", BAD, GOOD), concluded("i2", BAD, GOOD))
    assert again == lessons
    assert again.trials["policy", "choice-9"].better == 2
    assert again.held["choice-9", "policy"] == [True]
    before = {name: value for name, value in again.packed().items() if name not in ("held", "closed")}
    assert (restored(before).held, restored(before).closed) == ({}, {})


def test_only_models_in_use_or_in_trial_are_taught() -> None:
    """One that is new starts with its own counts; one that has gone is forgotten."""
    lessons = taught(fresh(), concluded("i1", BAD))
    lessons.follow(["choice-9", "choice-10"])
    _ = taught(lessons, concluded("i2", BAD, outcome="escalated"))
    assert [lessons.experiences[name].lessons for name in ("choice-9", "choice-10")] == [2, 1]
    lessons.follow(["choice-10"])
    assert list(lessons.experiences) == ["choice-10"]
