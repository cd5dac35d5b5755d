"""What a soak says is lost was lost, and its figures are those of what was seen."""

from collections import Counter, defaultdict
from typing import Any, cast

import pytest
from tests.harness import Ledger, ProtocolAgent
from tests.lab.processes import Use, Watch
from tests.lab.soaked import Diary, drift, note_streams, slopes, wrongs
from tests.simulation.long import Sizes, draw, level, simulate_hours

from mendbus.contracts.messages import RecoveryOutcome


class _Outcome:
    def __init__(self, errors: int, outcome: str = "no_action", settled: bool = True) -> None:
        self.error_count, self.outcome, self.settled = errors, outcome, settled


def _books() -> tuple[Ledger, dict[str, int], list[ProtocolAgent]]:
    agent = ProtocolAgent(cast("Any", None), cast("Any", None), "lean", "a", reported={"e1": 1, "e2": 3})
    ledger = Ledger(
        counted=Counter({"e1": 1, "e2": 1}),
        errors=Counter({"i1": 4}),
        incidents_of=defaultdict(set, {"e1": {"i1"}, "e2": {"i1"}}),
        told={"i1": cast("RecoveryOutcome", _Outcome(4))},
        opened={"i1"},
        rejected=set(),
        decided=1,
        chain_whole=True,
    )
    return ledger, {"e1": 1, "e2": 3}, [agent]


def test_books_that_agree_have_lost_nothing() -> None:
    """Everything stored, counted once, told and over."""
    assert wrongs(*_books()) == []


def test_each_loss_is_told() -> None:
    """An error that is not stored, not counted, counted twice, not told, or not over; events that agents wait for."""
    ledger, stored, agents = _books()
    assert "are not stored" in wrongs(ledger, {"e1": 1}, agents)[0]
    ledger.counted["e1"] = 2
    assert "more than once" in wrongs(ledger, stored, agents)[0]
    ledger.counted["e1"] = 0
    assert "not counted" in wrongs(ledger, stored, agents)[0]
    ledger, stored, agents = _books()
    ledger.told["i1"] = cast("RecoveryOutcome", _Outcome(3, "recovered", settled=False))
    found = wrongs(ledger, stored, agents, Diary(waiting={"runtime/lab": 2.0, "versioning/lab": 0.0}))
    assert [line.partition(" ")[2].partition(":")[0] for line in found] == [
        "incidents told another number of errors than was counted",
        "incidents have not ended",
        "agents still wait for the settlement of events",
    ]


def test_drift_compares_the_first_with_the_last_third() -> None:
    """What became twice as slow has a ratio of two, with certainty; too few say nothing."""
    points = [(float(at), 10.0 + at % 3 + (at >= 200) * 11.0) for at in range(300)]
    found = drift(points, 300.0)
    assert found is not None
    assert found["ratio_p50"] == pytest.approx(2.0)
    assert found["interval"][0] > 1.5
    assert drift(points[:20], 300.0) is None


def test_memory_that_grows_is_told_from_memory_that_grew() -> None:
    """What is used at the beginning is warm-up; only what goes on growing rises."""
    watch = Watch(dict)
    for name, memory in (("grows", lambda at: 30e6 + 1000.0 * at), ("grew", lambda at: 30e6 + 1e5 * min(at, 100))):
        watch.seen[name] = [Use(float(at), 1, int(memory(at)), 9, 2, 0.1) for at in range(0, 1000, 2)]
    found = slopes(watch, 0.0, 1000.0)
    assert found["grows"]["rises"]
    assert found["grows"]["memory_kib_per_minute"]["slope"] == pytest.approx(1000 * 60 / 1024, rel=0.01)
    assert not found["grew"]["rises"]


def test_streams_are_noted_with_what_waits_in_them() -> None:
    """Sizes by stream, and of its consumers what is pending and what is not acknowledged."""
    diary = Diary()
    consumers = [{"num_pending": 3, "num_ack_pending": 2}, {"num_pending": 1, "num_ack_pending": 0}]
    stream = {"name": "E", "state": {"bytes": 10, "messages": 4}, "consumer_detail": consumers}
    note_streams({"account_details": [{"stream_detail": [stream]}]}, diary)
    assert diary.streams[0]["E"] == (10, 4)
    assert diary.consumers[0]["E"] == 6


def test_a_state_that_goes_on_growing_has_not_levelled_off() -> None:
    """Sizes that grow to the end are found, those that saw between bounds are not."""
    sizes = Sizes(at=[hour / 10 for hour in range(100)])
    sizes.services = {
        "leaks": [1000.0 + 20 * step for step in range(100)],
        "saws": [1000.0 + 40 * (step % 7) for step in range(100)],
    }
    rising, levels = level(sizes)
    assert rising.keys() == {"leaks"}
    assert levels["saws"]["low"] <= 0.0 <= levels["saws"]["high"]


def test_simulated_hours_pass() -> None:
    """Some minutes of simulated time under light load: nothing is wrong, and every service was measured."""
    assert draw(24.0, 1) == draw(24.0, 1)
    found = simulate_hours(0.05, 1)
    assert found.result.wrong == []
    assert found.sizes.services.keys() == {
        "strategy-selector",
        "executor",
        "classifier",
        "predictor",
        "health-monitor",
    }
    assert all(size > 1000 for sizes in found.sizes.services.values() for size in sizes)
