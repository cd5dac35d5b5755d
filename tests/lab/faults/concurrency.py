"""Faults of threads in one another's way."""

from tests.lab.faults import Case, Fault
from tests.lab.judging import PATIENCE_SECONDS
from tests.lab.kinds import ORDER


async def _deadlock(case: Case) -> None:
    _ = await case.member.inside("inside_process.deadlock", **case.parameters)


async def _contend(case: Case) -> None:
    held = case.number("times") * PATIENCE_SECONDS[case.member.kind]
    _ = await case.member.inside("inside_process.contend", held=held, where=case.parameters["where"])


CONCURRENCY = (
    Fault(
        "deadlock",
        "Two locks are taken in opposite order by calls and by a thread beside them, until each waits for the other: "
        "by all calls, or by those that go the usual way.",
        "concurrency",
        ORDER,
        _deadlock,
        {"where": ("core", "usual_way"), "every_ms": (2, 20)},
        notices_seconds=10.0,
    ),
    Fault(
        "lock_contention",
        "A lock that calls need is held most of the time, for some times as long as users have patience: always, "
        "needed in the usual way only, or held only while the optional feature is on.",
        "concurrency",
        ORDER,
        _contend,
        {"where": ("core", "usual_way", "feature"), "times": (2, 4)},
        notices_seconds=10.0,
    ),
)
