"""The local trace store: spans as JSON lines in a folder, written, read back and drawn."""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

AttributeValue = str | bool | int | float
Kind = Literal["internal", "client", "server", "producer", "consumer"]
SpanStatus = Literal["unset", "ok", "error"]

MAX_FILE_BYTES = 8 << 20
"""A file that has reached this size is put aside; one such old file is kept a process."""
MAX_FILES = 32
"""Files kept in the folder, by all processes together."""
_SPARED_SECONDS = 60.0
_RECENT_BYTES = 1 << 20

_INCIDENT = "mendbus.incident.id"
_KINDS = frozenset(get_args(Kind))
_STATUSES = frozenset(get_args(SpanStatus))


class SpanRow(NamedTuple):
    """An ended span. Ids are lower-case hex, `parent_id` "" for a root; times are nanoseconds since 1970."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: Kind
    service: str
    start: int
    end: int
    attributes: dict[str, AttributeValue]
    status: SpanStatus
    error: str | None

    @property
    def ms(self) -> float:
        """How long the span took, in milliseconds."""
        return (self.end - self.start) / 1e6


class TraceSummary(NamedTuple):
    """A trace in one line; `name` is its root's, `start` in nanoseconds since 1970."""

    trace_id: str
    start: int
    ms: float
    name: str
    incident_id: str
    services: tuple[str, ...]
    spans: int
    errors: int


class Node(NamedTuple):
    """A span's place in the tree; an orphan names a parent that is not there."""

    row: SpanRow
    depth: int
    orphan: bool


# one span, one line: `trace_id` comes first, so that a reader finds a trace without parsing every line
_encode = json.JSONEncoder(separators=(",", ":"), default=str).encode


def line_of(row: SpanRow) -> str:
    """A span as one line of the store, without its end of line."""
    return _encode(row._asdict())


def row_of(line: bytes) -> SpanRow | None:
    """The span of a line, or None where the line is torn or is no span."""
    try:
        value: Any = json.loads(line)
        row = SpanRow(**value)
    except (ValueError, TypeError, RecursionError):
        return None
    texts = (row.trace_id, row.span_id, row.parent_id, row.name, row.service, row.error or "")
    fits = (
        all(type(text) is str for text in texts)
        and type(row.start) is type(row.end) is int
        and type(row.attributes) is dict
        and row.kind in _KINDS
        and row.status in _STATUSES
    )
    return row if fits else None


class TraceFile:
    """Appends spans to `<folder>/<name>.jsonl`, from one thread; both the file and the folder are bounded.

    The file is opened for each append: another process may prune it, and none has to keep a descriptor.
    """

    def __init__(
        self, folder: Path, name: str, *, max_bytes: int = MAX_FILE_BYTES, clock: Callable[[], float] = time.time
    ) -> None:
        safe = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in name)
        self._path = folder / f"{safe}.jsonl"
        self._old = folder / f"{safe}.1.jsonl"
        self._max_bytes = max_bytes
        self._clock = clock
        self._begun = False

    def append(self, rows: Iterable[SpanRow]) -> None:
        """Writes the spans, in one write. Raises `OSError`."""
        block = "".join([line_of(row) + "\n" for row in rows]).encode()
        if not self._begun:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # a process of the same id, killed while it wrote, may have left a line without its end
            block = b"\n" + block
        with self._path.open("ab", buffering=0) as file:
            file.write(block)
            size = file.tell()
        if size >= self._max_bytes:
            self._path.replace(self._old)
        if not self._begun or size >= self._max_bytes:
            self._begun = True
            _prune(self._path.parent, self._clock())


def _prune(folder: Path, now: float) -> None:
    ages = _files(folder)
    for path, written in ages[: max(0, len(ages) - MAX_FILES)]:
        # more than MAX_FILES processes at work would otherwise remove each other's spans all the time
        if now - written > _SPARED_SECONDS:
            path.unlink(missing_ok=True)


def _files(folder: Path) -> list[tuple[Path, float]]:
    """The files of the store and when each was written, oldest first."""
    found: list[tuple[Path, float]] = []
    for path in folder.glob("*.jsonl"):
        with suppress(FileNotFoundError):
            found.append((path, path.stat().st_mtime))
    return sorted(found, key=lambda item: item[1])


def _lines(path: Path, last_bytes: int | None = None) -> Iterator[bytes]:
    with suppress(FileNotFoundError), path.open("rb") as file:
        if last_bytes is not None and file.seek(0, os.SEEK_END) > last_bytes:
            file.seek(-last_bytes, os.SEEK_END)
            file.readline()
        else:
            file.seek(0)
        yield from file


def read_trace(folder: Path, trace_id_prefix: str) -> list[SpanRow]:
    """All spans whose trace id begins so, by start time; those of several traces when the prefix is too short."""
    needle = b'{"trace_id":"' + trace_id_prefix.lower().encode()
    rows = [row_of(line) for path, _ in _files(folder) for line in _lines(path) if line.startswith(needle)]
    return sorted({row.span_id: row for row in rows if row}.values(), key=_when)


def recent_traces(folder: Path, limit: int = 20) -> list[TraceSummary]:
    """The newest traces, newest first, judged by the last mebibyte of each file."""
    traces: dict[str, dict[str, SpanRow]] = {}
    for path, _ in _files(folder):
        for line in _lines(path, _RECENT_BYTES):
            if row := row_of(line):
                traces.setdefault(row.trace_id, {})[row.span_id] = row
    newest = sorted(traces.values(), key=lambda spans: min(row.start for row in spans.values()), reverse=True)
    return [summary(list(spans.values())) for spans in newest[:limit]]


def summary(rows: Sequence[SpanRow]) -> TraceSummary:
    """One line on a trace. Raises `ValueError` when there are no spans."""
    if not rows:
        msg = "a trace without spans has no summary"
        raise ValueError(msg)
    root = tree(rows)[0].row
    start = min(row.start for row in rows)
    return TraceSummary(
        trace_id=root.trace_id,
        start=start,
        ms=(max(row.end for row in rows) - start) / 1e6,
        name=root.name,
        incident_id=next((str(row.attributes[_INCIDENT]) for row in rows if _INCIDENT in row.attributes), ""),
        services=tuple(dict.fromkeys(row.service for row in sorted(rows, key=_when))),
        spans=len(rows),
        errors=sum(row.status == "error" for row in rows),
    )


def _when(row: SpanRow) -> tuple[int, int]:
    return row.start, -row.end


def tree(rows: Sequence[SpanRow]) -> list[Node]:
    """Spans from root to leaf, siblings by start time.

    A span whose parent is missing, or that is its own ancestor, stands as a root and is marked an orphan.
    """
    spans = {row.span_id: row for row in sorted(rows, key=_when)}
    children: dict[str, list[SpanRow]] = {}
    roots: list[Node] = []
    for row in spans.values():
        if row.parent_id in spans:
            children.setdefault(row.parent_id, []).append(row)
        else:
            roots.append(Node(row, 0, bool(row.parent_id)))
    # true roots first: an orphan's clock may run ahead of theirs
    roots.sort(key=lambda node: node.orphan)
    placed: dict[str, Node] = {}
    for node in (*roots, *(Node(row, 0, orphan=True) for row in spans.values())):
        stack = [node]
        while stack:
            place = stack.pop()
            if place.row.span_id in placed:
                continue
            placed[place.row.span_id] = place
            below = reversed(children.get(place.row.span_id, []))
            stack += [Node(child, place.depth + 1, orphan=False) for child in below]
    return list(placed.values())


def durations(rows: Sequence[SpanRow]) -> dict[str, float]:
    """Milliseconds by span name, spans of the same name added up, in the order in which the first of each began.

    The server's side of a request, which bears the name of the client's span around it, is not added to that.
    """
    names = {row.span_id: row.name for row in rows}
    totals: dict[str, float] = {}
    for row in sorted(rows, key=_when):
        if names.get(row.parent_id) != row.name:
            totals[row.name] = totals.get(row.name, 0.0) + row.ms
    return totals


def waterfall(rows: Sequence[SpanRow], width: int = 120) -> list[str]:
    """A trace as lines of text, none longer than `width` characters: offset, bar, duration, service, name, attributes.

    `?` marks a span whose parent is missing, `!` one that failed.
    """
    if not rows:
        return ["no spans"]
    about = summary(rows)
    nodes = tree(rows)
    names = [f"{'  ' * min(node.depth, 8)}{'? ' if node.orphan else ''}{node.row.name}" for node in nodes]
    service_width = min(20, max(len(node.row.service) for node in nodes))
    name_width = min(44, max(map(len, names)))
    bar_width = max(8, min(32, width - service_width - name_width - 58))
    total = max(1.0, about.ms * 1e6)
    incident = f"  incident {about.incident_id}" if about.incident_id else ""
    lines = [f"trace {about.trace_id}{incident}  {about.spans} spans  {_time(about.ms).strip()}"]
    for node, name in zip(nodes, names, strict=True):
        row = node.row
        offset = row.start - about.start
        lines.append(
            f"{_time(offset / 1e6)} |{_bar(offset / total, (row.end - about.start) / total, bar_width)}|"
            f"{_time(row.ms)} {'!' if row.status == 'error' else ' '}{row.service[:service_width]:{service_width}}  "
            f"{name[:name_width]:{name_width}}  {_details(row)}"
        )
    return [_clean(line.rstrip(), width) for line in lines]


def _clean(line: str, width: int) -> str:
    # names and messages come from agents: no control sequence of theirs may reach the terminal
    safe = line if line.isprintable() else "".join(letter if letter.isprintable() else "�" for letter in line)
    return safe if len(safe) <= width else safe[: width - 1] + "…"


def _time(ms: float) -> str:
    if ms < 10:
        return f"{ms:6.2f} ms"
    return f"{ms:6.1f} ms" if ms < 10_000 else f"{ms / 1e3:7.1f} s"


_EIGHTHS = " ▏▎▍▌▋▊▉"


def _bar(start: float, end: float, width: int) -> str:
    """A bar between two parts of the whole: it begins at a full character, its length is true to an eighth of one."""
    first = min(width - 1, int(start * width))
    eighths = max(1, min(round((end - start) * width * 8), (width - first) * 8))
    body = "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()
    return f"{' ' * first}{body}".ljust(width)


def _details(row: SpanRow) -> str:
    own = [
        f"{key.removeprefix('mendbus.')}={_short(value)}"
        for key, value in row.attributes.items()
        if key.startswith(("mendbus.", "error.", "exception.")) and key != _INCIDENT
    ]
    return " ".join([*([f"error={_short(row.error)}"] if row.error else []), *own])


def _short(value: AttributeValue) -> str:
    text = f"{value:.4g}" if type(value) is float else str(value)
    text = " ".join(text.split())
    return text if len(text) <= 48 else text[:47] + "…"
