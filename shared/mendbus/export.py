"""Rows of audit trail, incidents and alerts for other programs: flat, with columns that keep their names and order.

A row is a map with every column; what does not apply is None. Times are given twice: RFC 3339 in UTC with nine digits,
and nanoseconds since 1970.
"""

import csv
import json
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from io import StringIO
from typing import Any, Final, cast

from pydantic import BaseModel

from mendbus import codec
from mendbus.bus import StoredMessage
from mendbus.contracts.errors import Refused
from mendbus.contracts.journal import JournalRecord
from mendbus.contracts.messages import Alert, RecoveryOutcome
from mendbus.contracts.subjects import MAX_SERVICE_BODY

AUDIT_COLUMNS: Final = (
    "time",
    "time_unix_nano",
    "chain",
    "number",
    "entry",
    "sequence",
    "kind",
    "incident_id",
    "agent",
    "fingerprint",
    "attempt",
    "command_id",
    "action",
    "strategy",
    "status",
    "verified",
    "outcome",
    "reason",
    "error_type",
    "error_message",
    "severity",
    "category",
    "error_count",
    "event_ids",
    "by",
    "trace_id",
    "record_id",
    "previous",
    "details",
)
"""`entry`: its place in the record, from 0. `details`: the whole entry as the journal holds it."""
INCIDENT_COLUMNS: Final = (
    "time",
    "time_unix_nano",
    "incident_id",
    "sequence",
    "agent",
    "fingerprint",
    "outcome",
    "reason",
    "strategy",
    "attempts",
    "category",
    "severity",
    "confidence",
    "error_type",
    "error_message",
    "operation",
    "error_count",
    "event_count",
    "settled",
    "undone",
    "rule",
    "policy",
    *(
        f"{stage}{unit}"
        for stage in ("reported", "classified", "assessed", "selected", "commanded", "acted", "verified")
        for unit in ("", "_unix_nano")
    ),
    "recovery_ms",
    "trace_id",
    "details",
)
"""`time`: when the outcome was stored. `recovery_ms`: from reported to verified. `details`: the whole outcome."""
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
HELD: Final = 2000
"""Incidents whose last outcome is held back, in case another one comes."""
_COMMANDS: Final = 10_000

Row = dict[str, Any]

_KINDS: Final = {
    "claimed": "owner",
    "opened": "event",
    "counted": "event",
    "rejected": "event",
    "floored": "bookkeeping",
    "decided": "decision",
    "attempted": "attempt",
    "concluded": "outcome",
    "held": "hold",
    "released": "release",
    "operated": "operator",
    "approved": "approval",
}


def rfc3339(unix_nano: int | None) -> str | None:
    """A time in UTC with nine digits after the second."""
    if unix_nano is None:
        return None
    seconds, nanos = divmod(unix_nano, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanos:09d}Z"


class AuditRows:
    """Turns records of the journal into rows, one an entry; remembers the last commands, and nothing else."""

    def __init__(self) -> None:
        self._commands: OrderedDict[str, Row] = OrderedDict()

    def of(self, message: StoredMessage) -> Iterator[Row]:
        """The rows of a stored record; bytes that are none make a row of kind `unreadable`."""
        chain = message.subject.rsplit(".", 1)[1]
        row: Row = dict.fromkeys(AUDIT_COLUMNS)
        row |= {"chain": chain, "sequence": message.sequence}
        try:
            record = codec.decode(JournalRecord, message.body, MAX_SERVICE_BODY)
        except Refused as refused:
            yield row | _time(message.time_unix_nano) | {"kind": "unreadable", "reason": str(refused)}
            return
        row |= _time(record.time_unix_nano)
        row |= {"number": record.number, "record_id": record.id, "previous": record.previous}
        for index, entry in enumerate(record.entries):
            yield row | {"entry": index} | self._entry(entry, record.owner)

    def rest(self) -> Iterator[Row]:
        """None: each record makes its rows at once."""
        return iter(())

    def _entry(self, entry: BaseModel, owner: str) -> Row:
        value = entry.model_dump(exclude_none=True)
        told: Row = {"by": owner, "details": value}
        told |= _picked(value, ("incident_id", "fingerprint", "attempt", "command_id", "strategy", "trace_id"))
        told |= _picked(value, ("by", "reason", "error_count", "event_ids"))
        agent = value.get("agent")
        if isinstance(agent, dict):
            told["agent"] = _key(cast("Mapping[str, Any]", agent))
        told |= _error(value.get("error"))
        told |= _picked(value.get("classification"), ("category", "severity"))
        told |= _picked(value.get("decision"), ("reason",))
        kind = str(value["type"])
        told["kind"] = _KINDS.get(kind, kind)
        if "code" in value:
            told |= {"status": "rejected", "reason": value["code"]}
        command = value.get("command")
        if isinstance(command, dict):
            told |= self._command(cast("Mapping[str, Any]", command))
            if kind == "commanded":
                told["kind"] = told["action"]
        if kind == "attempted":
            told |= self._attempt(value)
        elif kind == "concluded":
            told |= _concluded(value["outcome"])
        elif kind == "operated":
            told["action"] = value["verb"]
            if value["verb"] in ("approve", "reject"):
                told["kind"] = "approval"
        return told

    def _command(self, command: Mapping[str, Any]) -> Row:
        told = _picked(command, ("command_id", "attempt", "action", "strategy"))
        told["agent"] = _key(command["agent"])
        self._commands[command["command_id"]] = told
        while len(self._commands) > _COMMANDS:
            self._commands.popitem(last=False)
        return told

    def _attempt(self, value: Mapping[str, Any]) -> Row:
        result = value["result"]
        told = dict(self._commands.get(value["command_id"], {}))
        told |= _picked(result, ("status", "verified"))
        told["reason"] = result.get("detail")
        return told


def _concluded(outcome: Mapping[str, Any]) -> Row:
    told = _picked(outcome, ("incident_id", "fingerprint", "outcome", "reason", "strategy", "trace_id"))
    told |= _picked(outcome, ("error_count",)) | {"agent": _key(outcome["agent"])}
    told |= _error(outcome.get("error")) | _picked(outcome.get("classification"), ("category", "severity"))
    return told


def _error(error: Mapping[str, Any] | None) -> Row:
    if not error:
        return {}
    told = _picked(error, ("severity", "category"))
    return told | {"error_type": error["exception"]["type"], "error_message": error["exception"]["message"]}


def _key(agent: Mapping[str, Any]) -> str:
    return f"{agent['kind']}/{agent['id']}"


def _picked(value: Mapping[str, Any] | None, names: Sequence[str]) -> Row:
    return {name: value[name] for name in names if value.get(name) is not None} if value else {}


def _time(unix_nano: int) -> Row:
    return {"time": rfc3339(unix_nano), "time_unix_nano": unix_nano}


class IncidentRows:
    """Turns stored outcomes into rows, one an incident, in constant memory.

    An outcome is held back until `HELD` other incidents have been told of, because a later one of the same incident
    replaces it; one that comes later still makes a further row, and the one of the highest `sequence` counts.
    """

    def __init__(self, held: int = HELD) -> None:
        self._held = held
        self._last: OrderedDict[str, tuple[RecoveryOutcome, int]] = OrderedDict()

    def of(self, message: StoredMessage) -> Iterator[Row]:
        """The rows that are due when this one has been read; what is no outcome is left out."""
        try:
            outcome = codec.decode(RecoveryOutcome, message.body, MAX_SERVICE_BODY)
        except Refused:
            return
        known = self._last.get(outcome.incident_id)
        if known is None or outcome.sequence > known[0].sequence:
            self._last[outcome.incident_id] = outcome, message.time_unix_nano
            self._last.move_to_end(outcome.incident_id)
        if len(self._last) > self._held:
            yield incident_row(*self._last.popitem(last=False)[1])

    def rest(self) -> Iterator[Row]:
        """Those held back until the end."""
        while self._last:
            yield incident_row(*self._last.popitem(last=False)[1])


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
        row |= _time(alert.time_unix_nano)
        row |= {"sequence": message.sequence, "alert_id": alert.id, "details": value}
        row |= _picked(value, ("key", "state", "severity", "summary", "hint"))
        row |= _picked(value, ("incident_id", "trace_id", "acknowledged_by"))
        yield row | ({"agent": alert.agent.key} if alert.agent else {})

    def rest(self) -> Iterator[Row]:
        """None: each alert makes its row at once."""
        return iter(())


def incident_row(outcome: RecoveryOutcome, stored_unix_nano: int) -> Row:
    """One incident as it stands with this outcome."""
    value = outcome.model_dump(exclude_none=True)
    row: Row = dict.fromkeys(INCIDENT_COLUMNS)
    row |= _time(stored_unix_nano) | _concluded(value)
    row |= _picked(value, ("sequence", "event_count", "settled", "undone"))
    row |= _picked(value.get("classification"), ("confidence",)) | _picked(value.get("decision"), ("rule", "policy"))
    row |= _picked(value.get("error"), ("operation",))
    row |= {"attempts": len(outcome.attempts), "details": value}
    times = outcome.times.model_dump()
    for stage, at in times.items():
        row |= {stage: rfc3339(at), f"{stage}_unix_nano": at}
    if times["reported"] is not None and times["verified"] is not None:
        row["recovery_ms"] = (times["verified"] - times["reported"]) / 1e6
    return row


def json_line(row: Row) -> str:
    """A row as one line of JSON, columns in their order."""
    return json.dumps(row, ensure_ascii=False, separators=(",", ":"), default=_text) + "\n"


def csv_line(values: Iterable[Any]) -> str:
    """Values as one line of CSV (RFC 4180): lists joined by blanks, maps as JSON, None as nothing.

    Text that a spreadsheet would take for a formula gets an apostrophe before it; in `details` nothing is altered.
    """
    line = StringIO()
    csv.writer(line).writerow([_cell(value) for value in values])
    return line.getvalue()


def _cell(value: Any) -> Any:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return f"'{value}" if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
        case list():
            return _cell(" ".join(str(item) for item in value))  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
        case dict():
            return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_text)
        case _:
            return value


def _text(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
