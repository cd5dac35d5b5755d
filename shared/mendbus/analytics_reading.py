"""Analytics of an installation: what to read for a range of time. The command line and the dashboard both ask here."""

from collections.abc import Callable
from typing import Final

from mendbus import codec
from mendbus.analytics import Analysis, Report
from mendbus.annotations import read_annotations
from mendbus.bus import Bus
from mendbus.contracts.errors import Refused
from mendbus.contracts.messages import Alert, RecoveryOutcome
from mendbus.contracts.subjects import MAX_SERVICE_BODY, Subjects

_SKEW_NANO: Final = 60 * 1_000_000_000
"""How far the clocks of services and server may be apart."""


async def analyse(
    bus: Bus,
    subjects: Subjects,
    since: int,
    until: int,
    on_outcome: Callable[[int], None] = lambda sequence: None,
) -> Report:
    """What the incidents that were opened in a range (ns since 1970, `until` not included) have come to by now.

    `on_outcome` is told the stream sequence of each outcome that was read. Raises `NoResponders` without the streams.
    """
    start = max(0, since - _SKEW_NANO)
    # Outcomes and relabellings after the range are read too: an incident counts as it stands now.
    annotations = await read_annotations(bus, subjects, start)
    analysis = Analysis(since, until, annotations.relabels)
    outcomes = bus.read(subjects.stream("RECOVERIES"), subjects.everyone("outcome"), since_unix_nano=start)
    async for stored in outcomes:
        on_outcome(stored.sequence)
        try:
            outcome = codec.decode(RecoveryOutcome, stored.body, MAX_SERVICE_BODY)
        except Refused:
            continue
        analysis.take(outcome, stored.time_unix_nano)
    async for stored in bus.read(subjects.stream("ALERTS"), subjects.everyone("alert"), since_unix_nano=start):
        if stored.time_unix_nano >= until + _SKEW_NANO:
            break
        try:
            alert = codec.decode(Alert, stored.body, MAX_SERVICE_BODY)
        except Refused:
            continue
        analysis.take_alert(alert)
    return analysis.report()
