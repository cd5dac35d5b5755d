"""What becomes of canaries, and when recovery counts as broken: the watch alone, without a bus."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from mendbus.contracts import canary
from mendbus.contracts.messages import AgentRef, RecoveryOutcome
from mendbus_health_monitor.canary import PATIENCE_SECONDS, Watch


def outcome(event_id: str, word: str = "recovered", **more: Any) -> RecoveryOutcome:
    agent = {"kind": canary.KIND, "id": canary.ID}
    known = {"incident_id": f"i-{event_id}", "sequence": 0, "agent": agent, "fingerprint": "", "outcome": word}
    counts = {"error_count": 1, "event_count": 1, "event_ids": [event_id], "trace_id": ""}
    return RecoveryOutcome.model_validate({**known, **counts, **more})


def test_only_this_agent_is_the_canary() -> None:
    """By its key, whatever its instance; its kind alone makes nobody one."""
    assert canary.is_canary(AgentRef(kind="mendbus", id="canary", instance="x"))
    assert canary.is_canary("mendbus/canary")
    assert not canary.is_canary(AgentRef(kind="mendbus", id="other"))
    assert not canary.is_canary("runtime/canary")


def test_patience_is_three_periods_and_fifteen_seconds_at_least() -> None:
    """A takeover or an election takes seconds, and is no reason to wake anybody."""
    assert Watch(1.0, 0.0).patience == PATIENCE_SECONDS
    assert Watch(10.0, 0.0).patience == 30.0


def test_it_is_broken_when_nothing_comes_back_and_whole_with_the_next_that_does() -> None:
    """Exactly while the last good one is longer ago than its patience."""
    watch = Watch(5.0, 100.0)
    assert watch.broken(115.0) == ""
    assert "none has been sent yet" in watch.broken(115.1)
    watch.send("a", 116.0)
    assert watch.end(outcome("a"), 116.5) == 0.5
    assert watch.broken(116.5) == ""
    assert watch.broken(131.6) != ""


def test_the_sentence_names_the_stage_that_was_reached() -> None:
    """Not stored, refused, stored, commanded, or ended otherwise: each points at somebody else."""
    watch = Watch(5.0, 0.0)
    out = watch.send("a", 1.0)
    assert "NATS has not confirmed its error" in watch.broken(20.0)
    out.stored = True
    assert "nobody commanded a recovery" in watch.broken(20.0)
    out.commanded = True
    assert "no outcome was told" in watch.broken(20.0)
    assert watch.end(outcome("a", "escalated", reason="no strategy is left"), 20.0) is None
    assert "escalated: no strategy is left" in watch.broken(20.0)
    watch.send("b", 21.0)
    watch.withdraw("b", "its error could not be stored: full")
    assert "could not be stored: full" in watch.broken(22.0)


def test_the_canary_of_another_replica_counts_too() -> None:
    """An outcome of an event that this process did not send shows that recovery works, and has no duration here."""
    watch = Watch(5.0, 0.0)
    assert watch.end(outcome("theirs"), 20.0) is None
    assert (watch.recovered, watch.broken(20.0)) == (1, "")


def test_few_are_out_at_once_and_none_for_ever() -> None:
    """Three wait where nobody takes them, then no more are sent, until they are a minute old."""
    watch = Watch(5.0, 0.0)
    for number in range(3):
        assert watch.may_send(number)
        watch.send(f"c{number}", number)
    assert not watch.may_send(60.0)
    assert watch.may_send(60.5)
    assert list(watch.out) == ["c1", "c2"]


def test_time_in_which_it_could_not_look_is_forgiven() -> None:
    """A process that was stopped does not blame the pipeline."""
    watch = Watch(5.0, 0.0)
    watch.send("a", 1.0)
    watch.forgive(100.0)
    assert watch.broken(110.0) == ""
    assert watch.may_send(110.0)
    assert list(watch.out) == ["a"]


@given(st.lists(st.tuples(st.sampled_from(["send", "good", "bad", "refused"]), st.floats(0.1, 20.0)), max_size=40))
def test_it_is_broken_exactly_while_the_last_good_one_is_too_long_ago(steps: list[tuple[str, float]]) -> None:
    """Whatever happens in whatever order, and the number that is out stays bounded."""
    watch, now, good = Watch(5.0, 0.0), 0.0, 0.0
    for number, (what, seconds) in enumerate(steps):
        now += seconds
        if what == "send" and watch.may_send(now):
            watch.send(f"e{number}", now)
        elif what in ("good", "bad"):
            event_id = next(iter(watch.out), "other")
            _ = watch.end(outcome(event_id, "recovered" if what == "good" else "failed"), now)
            good = now if what == "good" else good
        elif what == "refused" and watch.out:
            watch.withdraw(next(iter(watch.out)), "refused")
        assert bool(watch.broken(now)) == (now - good > watch.patience)
        assert len(watch.out) <= 3
