"""What is logged: one line a record, with the ids of the span it belongs to, and without secrets."""

import json
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from mendbus.logs import configure_logging
from mendbus.settings import Settings
from mendbus.telemetry import Exporter, Tracer, open_tracer
from mendbus.traces import SpanRow


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """The root logger of the tests is put back."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = handlers, level


def said(capsys: pytest.CaptureFixture[str], form: str, **more: Any) -> str:
    configure_logging(Settings(log_format=form), "executor")
    log = logging.getLogger("mendbus.test")
    try:
        raise OSError("cannot open postgres://app:hunter2@db/x")
    except OSError:
        log.exception("refused with %s", {"api_key": "abc123", "n": 1}, extra=more)
    found = capsys.readouterr().err
    assert "hunter2" not in found
    assert "abc123" not in found
    return found


def test_json_lines_carry_the_ids_of_a_span_and_no_secrets(capsys: pytest.CaptureFixture[str]) -> None:
    """`trace_id`, `span_id` and `incident_id` where they are known; secrets are out of message and stack."""
    exporter = Exporter("nowhere", lambda _: None)
    span = Tracer("executor", exporter).start("execute")
    line = json.loads(said(capsys, "json", **span.logged, incident_id="i1"))
    exporter.stop(lambda: None)
    assert (line["trace_id"], line["span_id"], line["incident_id"]) == (span.trace_id, span.traceparent[36:52], "i1")
    assert line["service"] == "executor"
    assert line["level"] == "error"
    assert "postgres://app:***@db/x" in line["exception"]


def test_without_a_trace_there_are_no_ids(capsys: pytest.CaptureFixture[str]) -> None:
    """A span that is not recorded has none to log, and none are made up."""
    span = open_tracer("executor", Settings(trace=False)).start("execute")
    assert span.logged == {}
    assert {"trace_id", "span_id"}.isdisjoint(json.loads(said(capsys, "json", **span.logged)))


def test_text_lines_have_no_secrets_either(capsys: pytest.CaptureFixture[str]) -> None:
    """Message and stack, as people read them."""
    assert "postgres://app:***@db/x" in said(capsys, "text")
    assert sys.exc_info() == (None, None, None)


def test_spans_leave_without_secrets() -> None:
    """In the error and in free texts; ids and numbers are as they were."""
    rows: list[SpanRow] = []
    exporter = Exporter("a list", rows.extend)
    tracer = Tracer("executor", exporter)
    whole = {"mendbus.incident.id": "018f7a10-7000-7000-8000-00000000000a", "n": 3, "exception.message": "token=abcdef"}
    tracer.start("a", attributes=whole).end(error="Bearer abcdefgh1234")
    tracer.start("b", attributes={"n": 4}).end()

    done = threading.Event()
    exporter.stop(done.set)
    assert done.wait(5.0)
    first, second = rows
    assert first.error == "Bearer ***"
    assert first.attributes == whole | {"exception.message": "token=***"}
    assert (second.error, second.attributes) == (None, {"n": 4})
