"""The local trace store and the waterfall."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mendbus.traces import (
    MAX_FILES,
    Node,
    SpanRow,
    TraceFile,
    durations,
    line_of,
    read_trace,
    recent_traces,
    row_of,
    summary,
    tree,
    waterfall,
)

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
OTHER = "4bf9000000000000000000000000000a"
EPOCH = 1_700_000_000_000_000_000


def span(number, parent=0, name="step", start=0.0, end=1.0, **fields):
    values = {
        "trace_id": TRACE,
        "span_id": f"{number:016x}",
        "parent_id": f"{parent:016x}" if parent else "",
        "name": name,
        "kind": "internal",
        "service": "executor",
        "start": EPOCH + int(start * 1e6),
        "end": EPOCH + int(end * 1e6),
        "attributes": {},
        "status": "unset",
        "error": None,
    }
    return SpanRow(**{**values, **fields})


hexes = st.text("0123456789abcdef", min_size=16, max_size=16)
values = st.one_of(st.text(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False))
rows = st.builds(
    SpanRow,
    trace_id=st.text("0123456789abcdef", min_size=32, max_size=32),
    span_id=hexes,
    parent_id=st.one_of(st.just(""), hexes),
    name=st.text(),
    kind=st.sampled_from(["internal", "client", "server", "producer", "consumer"]),
    service=st.text(),
    start=st.integers(0, 2**62),
    end=st.integers(0, 2**62),
    attributes=st.dictionaries(st.text(), values, max_size=4),
    status=st.sampled_from(["unset", "ok", "error"]),
    error=st.one_of(st.none(), st.text()),
)


@given(rows)
def test_a_line_of_the_store_is_read_back_as_the_same_span(row):
    """Whatever a span holds, its line is one line and gives the span back."""
    line = line_of(row)
    assert "\n" not in line
    assert row_of(line.encode()) == row


@given(st.one_of(st.binary(), rows.map(lambda row: line_of(row).encode()[:-3])))
def test_a_torn_or_foreign_line_is_no_span(line):
    """Bytes that are no span give None, never an exception."""
    assert row_of(line) is None


@pytest.mark.parametrize(
    "change",
    [{"trace_id": 7}, {"attributes": []}, {"start": "now"}, {"kind": "cloud"}, {"status": "so-so"}, {"more": 1}],
)
def test_a_line_with_a_wrong_field_is_no_span(change):
    """JSON that has the shape of a span but not its types is passed over."""
    assert row_of(json.dumps({**span(1)._asdict(), **change}).encode()) is None


def test_a_trace_is_gathered_from_all_files_by_the_beginning_of_its_id(tmp_path):
    """Spans of one trace that several processes wrote come back together, by start time, each once."""
    TraceFile(tmp_path, "a-1").append([span(2, 1, start=3), span(9, trace_id=OTHER)])
    TraceFile(tmp_path, "b-2").append([span(1, start=1), span(2, 1, start=3)])
    assert [row.span_id[-1] for row in read_trace(tmp_path, "4BF92F")] == ["1", "2"]
    assert {row.trace_id for row in read_trace(tmp_path, "4bf9")} == {TRACE, OTHER}
    assert read_trace(tmp_path, "ffff") == []


def test_a_folder_that_is_not_there_holds_no_traces(tmp_path):
    """Reading before anything was written is no error."""
    assert read_trace(tmp_path / "none", "4b") == []
    assert recent_traces(tmp_path / "none") == []


def test_a_torn_line_costs_only_its_own_span(tmp_path):
    """A process that was killed while it wrote, and one of the same id that went on, lose one span and no more."""
    TraceFile(tmp_path, "a-1").append([span(1), span(2)])
    path = tmp_path / "a-1.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    TraceFile(tmp_path, "a-1").append([span(3)])
    assert [row.span_id[-1] for row in read_trace(tmp_path, TRACE)] == ["1", "3"]


def test_a_full_file_is_put_aside_and_one_old_file_is_kept(tmp_path):
    """A process keeps at most its current file and the one before, each near the limit, and the newest spans."""
    file = TraceFile(tmp_path, "a/b c-1", max_bytes=1000)
    for number in range(1, 43):
        file.append([span(number)])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a_b_c-1.1.jsonl", "a_b_c-1.jsonl"]
    assert all(path.stat().st_size < 1500 for path in tmp_path.iterdir())
    assert read_trace(tmp_path, TRACE)[-1].span_id == f"{42:016x}"


def test_the_oldest_files_beyond_the_limit_go_but_not_those_at_work(tmp_path):
    """The folder is bounded, and a file written within the last minute is never taken from its process."""
    for number in range(MAX_FILES + 8):
        path = tmp_path / f"old-{number:02}.jsonl"
        path.touch()
        os.utime(path, (1000 + number, 1000 + number))
    TraceFile(tmp_path, "early", clock=lambda: 1030.0).append([span(1)])
    assert len(list(tmp_path.iterdir())) == MAX_FILES + 9
    TraceFile(tmp_path, "late", clock=lambda: 5000.0).append([span(1)])
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == MAX_FILES
    assert names[:3] == ["early.jsonl", "late.jsonl", "old-10.jsonl"]


def test_a_store_that_cannot_be_written_says_so(tmp_path):
    """A path in the way raises OSError to the exporter, which counts it."""
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        TraceFile(tmp_path / "file", "a-1").append([span(1)])


def test_recent_traces_are_summed_up_newest_first(tmp_path):
    """Each trace has its root, incident, services in order, spans, errors and length; the list keeps its limit."""
    TraceFile(tmp_path, "a-1").append(
        [
            span(1, name="publish error.error", service="agent", attributes={"mendbus.incident.id": "inc-1"}),
            span(2, 1, name="process error", start=1, end=9, service="strategy-selector"),
            span(3, 2, name="apply", start=2, end=8, service="agent", status="error", error="no"),
            span(4, trace_id=OTHER, start=-50, end=-40),
        ]
    )
    first, second = recent_traces(tmp_path)
    assert (first.trace_id, first.name, first.incident_id) == (TRACE, "publish error.error", "inc-1")
    assert (first.services, first.spans, first.errors, first.ms) == (("agent", "strategy-selector"), 3, 1, 9.0)
    assert (second.trace_id, second.incident_id) == (OTHER, "")
    assert recent_traces(tmp_path, 1) == [first]


def test_recent_traces_look_at_the_end_of_a_large_file(tmp_path):
    """Only the last mebibyte is read, and the line that it cuts is passed over."""
    old = span(1, trace_id=OTHER)
    TraceFile(tmp_path, "a-1").append([old, *(span(n, attributes={"pad": "x" * 1000}) for n in range(2, 1100))])
    assert [item.trace_id for item in recent_traces(tmp_path)] == [TRACE]


def test_no_spans_have_no_summary():
    """Summing up nothing is the caller's error."""
    with pytest.raises(ValueError, match="without spans"):
        summary([])


def test_the_tree_goes_from_root_to_leaf_and_siblings_by_time():
    """Depth follows the parents, whatever the order in which spans came in."""
    scrambled = [span(4, 2, start=4), span(3, 1, start=5), span(1), span(2, 1, start=2), span(2, 1, start=2)]
    assert [(node.row.span_id[-1], node.depth) for node in tree(scrambled)] == [("1", 0), ("2", 1), ("4", 2), ("3", 1)]


def test_spans_whose_parent_is_missing_are_marked_roots():
    """An orphan keeps its children and stands behind the true root, even when its clock runs ahead."""
    nodes = tree([span(8, 7, start=-5), span(9, 8), span(1)])
    assert [(node.row.span_id[-1], node.depth, node.orphan) for node in nodes] == [
        ("1", 0, False),
        ("8", 0, True),
        ("9", 1, False),
    ]


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 12), st.integers(0, 5)), max_size=12))
def test_the_tree_holds_every_span_once_whatever_the_parents(edges):
    """Missing parents, circles and spans that are their own parents lose nothing and end."""
    spans = [span(number, parent, start=start) for number, parent, start in edges]
    nodes: list[Node] = tree(spans)
    assert sorted(node.row.span_id for node in nodes) == sorted({row.span_id for row in spans})
    assert all(node.depth < 12 for node in nodes)


def test_durations_add_up_attempts_and_count_a_request_once():
    """Stages stand in the order they began; the server's span of a request is part of the client's of the same name."""
    stages = durations(
        [
            span(5, 1, "execute retry", 6, 8),
            span(1, 0, "process error", 0, 9),
            span(2, 1, "execute retry", 1, 5),
            span(3, 2, "execute retry", 2, 4),
        ]
    )
    assert list(stages.items()) == [("process error", 9.0), ("execute retry", 6.0)]


def test_a_waterfall_shows_offset_bar_duration_service_name_and_attributes():
    """One line a span under a header; errors and orphans are marked, the incident stands in the header only."""
    lines = waterfall(
        [
            span(1, 0, "publish error.error", 0, 2.5, service="agent", attributes={"mendbus.incident.id": "inc-1"}),
            span(
                2, 1, "process error", 2.5, 20_000, attributes={"mendbus.strategy": "retry", "messaging.system": "nats"}
            ),
            span(
                3,
                2,
                "apply",
                2.5,
                10,
                status="error",
                error="no\nsuch thing",
                attributes={"mendbus.confidence": 0.51234567},
            ),
            span(4, 9, "lost", 10_000, 10_000),
        ],
        140,
    )
    assert lines[0] == f"trace {TRACE}  incident inc-1  4 spans  20.0 s"
    assert lines[1].startswith("  0.00 ms |▏ ")
    assert "agent     publish error.error" in lines[1]
    assert lines[2].endswith("strategy=retry")
    assert f"|{'█' * 32}|   20.0 s  executor    process error" in lines[2]
    assert "!executor      apply" in lines[3]
    assert lines[3].endswith("error=no such thing confidence=0.5123")
    assert "   10.0 s |                ▏" in lines[4]
    assert lines[4].endswith("? lost")
    assert len(lines) == 5


def test_a_waterfall_of_nothing_says_so():
    """No spans, one line."""
    assert waterfall([]) == ["no spans"]


@given(st.lists(rows, min_size=1, max_size=6), st.integers(40, 200))
def test_a_waterfall_keeps_to_its_width(some, width):
    """No line is longer than asked, and every span has its line, whatever its times and names."""
    lines = waterfall(some, width)
    assert all(len(line) <= width for line in lines)
    assert len(lines) == len({row.span_id for row in some}) + 1
    assert all(line.isprintable() for line in lines)


def test_the_store_is_a_folder_of_json_lines(tmp_path: Path):
    """Other tools can read it: each line is one JSON object that begins with the trace id."""
    TraceFile(tmp_path, "a-1").append([span(1, attributes={"n": 1})])
    (line,) = [text for text in (tmp_path / "a-1.jsonl").read_text().splitlines() if text]
    assert line.startswith(f'{{"trace_id":"{TRACE}"')
    assert json.loads(line)["attributes"] == {"n": 1}
