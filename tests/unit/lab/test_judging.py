"""When users have noticed a fault and when it is over for them, from requests alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.lab.judging import PATIENCE_SECONDS, bad, felt, noticed, over
from tests.lab.kinds import KINDS
from tests.lab.users import Use

KIND = "runtime"
SLOW = PATIENCE_SECONDS[KIND] * 2


def uses(pattern: str) -> list[Use]:
    """A request a second from 0: `.` served, `x` wrong, `s` too slow."""
    return [Use(float(at), SLOW if c == "s" else 0.01, "wrong" if c == "x" else "") for at, c in enumerate(pattern)]


def test_every_kind_has_a_patience() -> None:
    """No kind's users wait for ever."""
    assert set(PATIENCE_SECONDS) == set(KINDS)


@pytest.mark.parametrize(
    ("pattern", "index"),
    [
        ("", None),
        (".....", None),
        ("x....", None),
        ("xx...", 1),
        ("x...x", 4),
        ("x....x", None),
        ("x....x.x", 7),
        ("ss", 1),
        (".s.x", 3),
    ],
)
def test_users_notice_with_the_second_bad_request_within_five(pattern: str, index: int | None) -> None:
    """One bad request is bad luck, two of five are noticed, when the second has ended."""
    found = uses(pattern)
    assert noticed(found, KIND) == (None if index is None else found[index].at + found[index].seconds)


@pytest.mark.parametrize(
    ("pattern", "index"),
    [
        ("", None),
        (".....", None),
        ("......", 0),
        ("xx......", 2),
        ("xx.....", None),
        ("xx......x", None),
        ("sx.......", 2),
    ],
)
def test_it_is_over_with_the_first_of_the_last_requests_that_were_all_served(pattern: str, index: int | None) -> None:
    """At least six served at the end; it is over when the first of them was."""
    found = uses(pattern)
    assert over(found, KIND) == (None if index is None else found[index].at + found[index].seconds)


def test_a_right_answer_that_comes_too_late_is_bad_and_said_so() -> None:
    """What users felt tells slow from wrong."""
    found = felt(uses("..s.x"), KIND)
    assert (found.asked, found.bad) == (5, 2)
    assert found.first == f"an answer after {SLOW * 1000:.0f} ms"
    assert felt(uses("..x.s"), KIND).first == "wrong"
    assert felt(uses("..."), KIND).first == ""


@given(st.text(".xs", max_size=40))
def test_what_is_over_has_no_bad_request_after_it(pattern: str) -> None:
    """After the end there is none that was not served, and just before it there is one, unless none ever was."""
    found = uses(pattern)
    end = over(found, KIND)
    if end is None:
        assert any(bad(use, KIND) for use in found[-6:]) or len(found) < 6
        return
    after = [use for use in found if use.at + use.seconds >= end]
    assert len(after) >= 6
    assert not any(bad(use, KIND) for use in after)
    before = found[: len(found) - len(after)]
    assert not before or bad(before[-1], KIND)
