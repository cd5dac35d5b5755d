"""Rows of what people say incidents really were, each with its error: labelled examples for training a classifier."""

from collections.abc import Mapping
from typing import Final

from mendbus.annotations import Relabel, read_annotations
from mendbus.bus import Bus
from mendbus.contracts.messages import RecoveryOutcome
from mendbus.contracts.subjects import Subjects
from mendbus.export import HELD, IncidentRows, Row, picked, timed

RELABEL_COLUMNS: Final = (
    "time",
    "time_unix_nano",
    "incident_id",
    "agent",
    "kind",
    "fingerprint",
    "category",
    "severity",
    "by",
    "reason",
    "was_category",
    "was_severity",
    "was_confidence",
    "was_model",
    "error_type",
    "error_message",
    "operation",
    "error",
)
"""`time`: when a person said so. `category`, `severity`: the label; `was_*`: what the classifier had found.

`error`: the whole report, as the agent sent it.
"""


class RelabelRows(IncidentRows):
    """Turns stored outcomes into rows, one a relabelled incident, in constant memory as `IncidentRows` does."""

    def __init__(self, held: int = HELD) -> None:
        super().__init__(held)
        self.relabels: Mapping[str, Relabel] = {}

    async def prepare(self, bus: Bus, subjects: Subjects) -> None:
        """Reads the relabellings that are kept. Raises `NoResponders` where there is no journal."""
        self.relabels = (await read_annotations(bus, subjects)).relabels

    def wants(self, outcome: RecoveryOutcome) -> bool:
        """Whether somebody relabelled the incident, and it can be learnt from."""
        return outcome.incident_id in self.relabels and outcome.error is not None

    def row(self, outcome: RecoveryOutcome, stored_unix_nano: int) -> Row:
        """An example: the error, and what it was."""
        relabel, found, error = self.relabels[outcome.incident_id], outcome.classification, outcome.error
        row: Row = dict.fromkeys(RELABEL_COLUMNS)
        row |= timed(relabel.time_unix_nano)
        row |= {"incident_id": outcome.incident_id, "agent": outcome.agent.key, "kind": outcome.agent.kind}
        row |= {"fingerprint": outcome.fingerprint, "category": relabel.category, "by": relabel.by}
        row |= {"severity": relabel.severity or (found.severity if found else None), "reason": relabel.reason}
        if found is not None:
            row |= {"was_category": found.category, "was_severity": found.severity}
            row |= {"was_confidence": found.confidence, "was_model": found.model}
        if error is not None:
            row |= {"error_type": error.exception.type, "error_message": error.exception.message}
            whole = error.model_dump(exclude_none=True)
            row |= picked(whole, ("operation",)) | {"error": whole}
        return row
