"""Rows of alerts for other programs."""

from collections.abc import Iterator
from typing import Final

from mendbus import codec
from mendbus.bus import StoredMessage
from mendbus.contracts.errors import Refused
from mendbus.contracts.messages import Alert
from mendbus.contracts.subjects import MAX_SERVICE_BODY
from mendbus.export import Row, picked, timed

ALERT_COLUMNS: Final = (
    "time",
    "time_unix_nano",
    "sequence",
    "alert_id",
    "key",
    "state",
    "severity",
    "agent",
    "summary",
    "hint",
    "incident_id",
    "trace_id",
    "acknowledged_by",
    "details",
)
"""`sequence`: in the stream. `details`: the whole alert."""


class AlertRows:
    """Turns stored alerts into rows, one each time an alert was raised, acknowledged or resolved."""

    def of(self, message: StoredMessage) -> Iterator[Row]:
        """The row of a stored alert; what is none is left out."""
        try:
            alert = codec.decode(Alert, message.body, MAX_SERVICE_BODY)
        except Refused:
            return
        value = alert.model_dump(exclude_none=True)
        row: Row = dict.fromkeys(ALERT_COLUMNS)
        row |= timed(alert.time_unix_nano)
        row |= {"sequence": message.sequence, "alert_id": alert.id, "details": value}
        row |= picked(value, ("key", "state", "severity", "summary", "hint"))
        row |= picked(value, ("incident_id", "trace_id", "acknowledged_by"))
        yield row | ({"agent": alert.agent.key} if alert.agent else {})

    def rest(self) -> Iterator[Row]:
        """None: each alert makes its row at once."""
        return iter(())
