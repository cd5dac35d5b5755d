"""Logging: one line a record on standard error, as text for people or JSON for collectors, without secrets."""

import json
import logging
import sys
from typing import Any

from mendbus.redaction import redact
from mendbus.settings import Settings


class _Json(logging.Formatter):
    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "ts": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}",
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "msg": redact(record.getMessage()),
        }
        for key in ("trace_id", "span_id", "incident_id"):
            value = getattr(record, key, None)
            if value:
                line[key] = value
        if record.exc_info:
            line["exception"] = redact(self.formatException(record.exc_info))
        return json.dumps(line)


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def configure_logging(settings: Settings, service: str) -> None:
    """Sends the log of this process to standard error in the format of the settings."""
    handler = logging.StreamHandler(sys.stderr)
    if settings.log_format == "json":
        handler.setFormatter(_Json(service))
    else:
        handler.setFormatter(_Text(f"%(asctime)s %(levelname)-7s {service}: %(message)s"))
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
