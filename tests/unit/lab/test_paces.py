"""An operation that is slower than its objective for a while is told of once, one slow call is not."""

from tests.lab.paces import CALLS, FAR_TOO_SLOW_CALLS, Paces


def test_slow_in_the_median_is_told_once() -> None:
    """It takes as many calls as the median is of, and as many again before it is told anew."""
    paces = Paces({"build": 100.0})
    for _ in range(2):
        told = [paces.slow("build", 150.0) for _ in range(CALLS)]
        assert told[:-1] == [None] * (CALLS - 1)
        assert told[-1] == ("build takes 150 ms in the median, its objective is 100 ms", "error")


def test_far_too_slow_does_not_wait_for_a_median() -> None:
    """A few calls in a row are enough; it is grave where the median of all calls says so too."""
    paces = Paces({"build": 100.0})
    told = [paces.slow("build", 300.0 + number) for number in range(FAR_TOO_SLOW_CALLS)]
    words = "build took 300 ms at least each of 3 times, its objective is 100 ms"
    assert told == [*[None] * (FAR_TOO_SLOW_CALLS - 1), (words, "error")]
    told = [paces.slow("build", took) for took in (250.0, 250.0, 90.0, 250.0, 250.0, 90.0, 250.0, 250.0)]
    words = "build takes 250 ms in the median, its objective is 100 ms"
    assert told == [*[None] * (CALLS - 1), (words, "critical")]


def test_single_slow_calls_and_those_of_a_worker_that_is_gone_do_not_count() -> None:
    """Neither an outlier among good calls nor what was noted before a worker was replaced is told of."""
    paces = Paces({"build": 100.0, "manifest": 10.0})
    assert [paces.slow("build", took) for took in (50.0, 900.0, 900.0, 50.0, 50.0, 50.0, 50.0, 50.0)] == [None] * 8
    assert [paces.slow("manifest", 90.0) for _ in range(2)] == [None] * 2
    paces.forget()
    assert paces.slow("manifest", 90.0) is None
