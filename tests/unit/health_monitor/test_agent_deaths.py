"""Deaths of agents: told at once, ended by a recovery, a new process or a supervisor's number."""

from tests.support import SECOND
from tests.unit.health_monitor.agent_watch import Watch

from mendbus import codec
from mendbus.contracts.messages import HealthStatus

CHILD_LIVES, CHILD_IS_GONE = {"child_alive": 1.0}, {"child_alive": 0.0}


def test_a_death_that_the_supervisor_reports_is_a_failure_at_once() -> None:
    """A fatal error fails the agent though its supervisor goes on speaking; it is well when the new process lives."""
    watch = Watch()
    watch.feed(3, gauges=CHILD_LIVES)
    watch.clock.pass_seconds(0.1)
    died = watch.die()
    assert died is not None
    assert (died.status, died.score) == ("failed", 0.0)
    assert died.reason == "it died: ProcessDied: the process was ended by SIGKILL"
    assert watch.die() is None
    # Asked before the death, told after it.
    assert watch.feed(1, gauges=CHILD_LIVES) == []
    assert watch.feed(4, gauges=CHILD_IS_GONE) == []
    assert watch.feed(1, gauges=CHILD_LIVES) == ["excellent"]


def test_a_verified_recovery_ends_a_death_with_the_next_sample() -> None:
    """The outcome says that it lives again before the supervisor's number does."""
    watch = Watch()
    watch.feed(3, gauges=CHILD_LIVES)
    assert watch.die() is not None
    assert watch.feed(1, gauges=CHILD_IS_GONE) == []
    watch.agents.revive("runtime/a1")
    assert watch.feed(1, gauges=CHILD_LIVES) == ["excellent"]


def test_a_supervisor_that_says_so_twice_is_believed_without_an_error() -> None:
    """A process that is gone for one sample, as at a planned restart, fails nobody; for two, it does."""
    watch = Watch()
    watch.feed(2, gauges=CHILD_LIVES)
    assert watch.feed(1, gauges=CHILD_IS_GONE) == []
    assert watch.feed(1, gauges=CHILD_LIVES) == []
    assert watch.feed(2, gauges=CHILD_IS_GONE) == ["failed"]
    assert watch.feed(3, gauges=CHILD_LIVES) == ["excellent"]


def test_a_process_that_reports_its_own_end_is_back_as_another_or_after_a_while() -> None:
    """Without a supervisor a new boot id tells that it lives, or five seconds in which it goes on speaking."""
    watch = Watch()
    watch.feed(2)
    assert watch.die() is not None
    assert watch.feed(2) == []
    watch.sequence = 0
    assert watch.feed(1, agent=watch.ref("boot2")) == ["excellent"]
    watch = Watch()
    watch.feed(2)
    assert watch.die() is not None
    assert watch.feed(9) == []
    assert watch.feed(1) == ["excellent"]


def test_an_old_death_changes_nothing() -> None:
    """A fatal error that is sent long after the agent lives again is no death, nor is one after a goodbye."""
    watch = Watch()
    watch.feed(30)
    assert watch.die(time_unix_nano=watch.clock() - 12 * SECOND) is None
    assert watch.goodbye() is not None
    assert watch.die() is None


def test_a_death_of_an_agent_nobody_knew_is_told() -> None:
    """The first that is heard of an agent may be its end."""
    died = Watch().die()
    assert died is not None
    assert (died.status, died.previous) == ("failed", None)


def test_last_words_of_any_length_and_kind_fit_a_status() -> None:
    """Bytes are counted, not characters, and what is secret in them is left out."""
    said = {"type": "💥" * 64, "message": "password=hunter2-1 " + "🚀" * 2000}
    died = Watch().die(exception=said)
    assert died is not None
    assert codec.decode(HealthStatus, codec.encode(died)).reason.startswith("it died: 💥")
    assert "hunter2" not in died.reason
