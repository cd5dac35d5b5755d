"""Incidents from outcomes and journal: the last word counts, ids are found by their beginning."""

import gc
import random
from collections.abc import AsyncIterator
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.cli.samples import INCIDENT, opened, outcome

from mendbus import codec
from mendbus.asking.incident_facts import Newest
from mendbus.asking.incidents import (
    Noted,
    find_outcomes,
    fold,
    incident_of,
    is_open,
    match,
    short_ids,
    time_of,
    under_way,
)
from mendbus.bus import Bus, StoredMessage
from mendbus.contracts import canary
from mendbus.contracts.errors import MendbusError
from mendbus.contracts.ids import new_id
from mendbus.contracts.journal import Claimed, Concluded, Counted, Entry
from mendbus.contracts.messages import AgentRef, RecoveryOutcome
from mendbus.contracts.subjects import Subjects
from mendbus.contracts.summaries import Times

TIMES = st.integers(0, 2**48 * 1_000_000 - 1)


@given(st.permutations(range(6)))
def test_the_highest_sequence_is_the_truth(order: list[int]) -> None:
    """Whatever order the outcomes come in, the last word on each incident is kept."""
    last = fold(outcome(incident_id=f"i{n % 2}", sequence=n, error_count=n) for n in order)
    assert {key: one.error_count for key, one in last.items()} == {"i0": 4, "i1": 5}


@given(st.lists(TIMES, min_size=1, max_size=30), st.integers())
def test_short_ids_are_unique_beginnings(times: list[int], seed: int) -> None:
    """A shown id is the beginning of its incident's id, of no other's, and at least 8 characters."""
    noise = random.Random(seed)
    ids = {new_id(time, noise.randbytes(10)) for time in times}
    short = short_ids(ids)
    assert set(short) == ids
    assert short_ids([]) == {}
    for one, prefix in short.items():
        assert len(prefix) >= 8
        assert [other for other in ids if other.startswith(prefix)] == [one]
        assert match(prefix, ids) == one


@given(TIMES, st.integers(8, 36))
def test_an_id_is_not_older_than_its_beginning_says(time: int, length: int) -> None:
    """What is searched from the time in a beginning cannot miss the id."""
    since = time_of(new_id(time)[:length])
    assert since is None or since <= time


@pytest.mark.parametrize("prefix", ["", "0123", "event-12345", "zzzzzzzzzzzz", "ffffffffffff"])
def test_a_beginning_without_a_time_is_searched_everywhere(prefix: str) -> None:
    """Beginnings that are too short, of an id that somebody else made, or from the future, tell no time."""
    assert time_of(prefix) is None


def test_a_beginning_of_several_ids_is_refused() -> None:
    """Nothing is guessed: the ids that begin so are named. An id that is whole is meant, whatever else begins so."""
    with pytest.raises(MendbusError, match="2 incidents begin with 'ab': abc, abcd"):
        match("ab", ["abc", "abcd"])
    assert match("abc", ["abc", "abcd"]) == "abc"
    assert match("x", ["abc"]) is None
    assert match("ABCD", ["abcd"]) == "abcd"


class Stream:
    """A stream of outcomes that looks at its end how many of them its reader holds."""

    def __init__(self, *outcomes: RecoveryOutcome) -> None:
        self._bodies = [codec.encode(outcome) for outcome in outcomes]
        self.held = 0

    async def read(self, stream: str, filter_: str, **_: object) -> AsyncIterator[StoredMessage]:
        for number, body in enumerate(self._bodies, 1):
            yield StoredMessage(filter_, body, {}, number, 1)
        # Constants of modules are there before, and stay.
        self.held = sum(type(one) is RecoveryOutcome for one in gc.get_objects())


async def found(stream: Stream, prefix: str) -> list[tuple[str, int]]:
    outcomes = await find_outcomes(cast("Bus", stream), Subjects(), prefix)
    return [(one.incident_id, one.sequence) for one in outcomes]


async def test_an_incident_is_found_among_others_by_its_beginning() -> None:
    """Its outcomes come by sequence; an id that is whole is meant, whatever else begins so and was told before."""
    told = [("abcd", 1), ("abc", 2), ("abce", 1), ("abc", 1), ("xyz", 1)]
    stream = Stream(*(outcome(incident_id=one, sequence=number) for one, number in told))
    assert await found(stream, "abc") == [("abc", 1), ("abc", 2)]
    assert await found(stream, "x") == [("xyz", 1)]
    assert await found(stream, "q") == []


async def test_a_beginning_of_everything_holds_nothing() -> None:
    """Of several that begin so no outcome is kept while others are read, and no more ids than are counted."""
    stream = Stream(*(outcome(incident_id=f"i{number}", sequence=1) for number in range(1010)))
    _ = gc.collect()
    before = sum(type(one) is RecoveryOutcome for one in gc.get_objects())
    with pytest.raises(MendbusError, match="1000 or more incidents begin with 'i'"):
        await found(stream, "i")
    assert stream.held - before <= 2


@pytest.mark.parametrize(
    ("told", "settled", "expected"),
    [
        ("recovered", True, False),
        ("recovered", None, True),
        ("no_action", None, False),
        ("rejected", None, False),
        ("escalated", None, True),
        ("escalated", True, False),
        ("awaiting_approval", None, True),
        ("suppressed", None, True),
        ("failed", None, True),
    ],
)
def test_open_is_what_settles_or_waits_for_a_person(told: str, settled: bool | None, expected: bool) -> None:
    """An incident is open until it has settled or ended without an action."""
    assert is_open(outcome(outcome=told, settled=settled)) is expected


def _noted(entry: Entry) -> Noted:
    return Noted(0, 1, 0, "owner", entry)


def test_under_way_is_what_was_opened_and_has_no_outcome() -> None:
    """An incident without an outcome is known from the journal, and only until it has one."""
    one, two = opened("one"), opened("two")
    journal = [_noted(one), _noted(two), _noted(Concluded(outcome=outcome(incident_id="one")))]
    assert under_way(journal) == {"two": two}


def test_entries_name_their_incident() -> None:
    """Each entry of the journal is about one incident, or about none."""
    assert incident_of(opened()) == INCIDENT
    assert incident_of(Concluded(outcome=outcome())) == INCIDENT
    assert incident_of(Claimed(owner="x")) is None
    counted = Counted(incident_id="a", lane="normal", sequences=[1], event_ids=["e"], error_count=1)
    assert incident_of(counted) == "a"


def _told(incident: str, reported: int, sequence: int = 0, **changes: object) -> RecoveryOutcome:
    return outcome(incident_id=incident, sequence=sequence, times=Times(reported=reported), **changes)


def test_the_newest_incidents_are_kept_and_no_others() -> None:
    """The last word on each, in whatever order outcomes come; older ones are only counted."""
    newest = Newest(2, only_open=False, canary=False)
    for number in range(20):
        newest.take(_told(f"i{number}", number, 1))
        newest.take(_told(f"i{number}", number, 0, strategy="restart"))
    newest.take(_told("i3", 3, 9))
    newest.take(_told("i18", 18, 2, strategy="rollback"))
    told = newest.told()
    assert [one.incident_id for one in told[-2:]] == ["i18", "i19"]
    assert [one.strategy for one in told[-2:]] == ["rollback", "retry"]
    assert len(told) <= 4
    assert len(newest.sequences) == 20


def test_an_open_incident_is_kept_however_many_newer_ones_close() -> None:
    """With only the open ones wanted, those that close go; the canary's are none."""
    newest = Newest(1, only_open=True, canary=False)
    waiting = {"outcome": "escalated", "settled": None}
    newest.take(_told("old", 1, **waiting))
    for number in range(2, 9):
        newest.take(_told(f"i{number}", number, 0, **waiting))
        newest.take(_told(f"i{number}", number, 1))
    newest.take(_told("own", 10, agent=AgentRef(kind=canary.KIND, id=canary.ID), **waiting))
    assert [one.incident_id for one in newest.told()] == ["old"]
