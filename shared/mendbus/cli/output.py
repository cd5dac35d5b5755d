"""What commands print: JSON for programs, lines and tables for people; text from the wire cannot steer a terminal."""

import json
import os
import sys
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from mendbus.asking.text import clean as clean

_WIDTH_WITHOUT_TERMINAL = 200
_STYLES = {
    **dict.fromkeys(("recovered", "no_action", "ok", "done", "pass", "ready"), "green"),
    **dict.fromkeys(("awaiting_approval", "suppressed", "open", "warning"), "yellow"),
    **dict.fromkeys(("escalated", "failed", "rejected", "problem", "fail", "critical", "fatal"), "red"),
}


def is_screen() -> bool:
    """Whether standard output is a terminal on which text can be placed."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def say(text: str = "") -> None:
    """One line of text."""
    print(text, flush=True)


def document(value: Any) -> None:
    """One JSON document."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=_plain), flush=True)


def line(value: Any) -> None:
    """One JSON object on a line of its own."""
    print(json.dumps(value, ensure_ascii=False, default=_plain), flush=True)


def _plain(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Rows under headings; a heading that ends in `>` is set to the right. Colour only on a terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    wide = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _WIDTH_WITHOUT_TERMINAL
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in columns:
        last = name == columns[-1]
        grid.add_column(
            name.rstrip(">"), justify="right" if name.endswith(">") else "left", no_wrap=not last, overflow="ellipsis"
        )
    for row in rows:
        grid.add_row(*(Text(cell, style=_STYLES.get(cell.split(" ")[0], "")) for cell in map(clean, row)))
    Console(width=wide, highlight=False).print(grid)


def ms(nanoseconds: int | None) -> str:
    """A duration in milliseconds, or `-`."""
    return "-" if nanoseconds is None else f"{nanoseconds / 1e6:.1f} ms"


def ago(unix_nano: int | None, now: int | None = None) -> str:
    """How long ago that was, in the largest fitting unit."""
    if not unix_nano:
        return "-"
    seconds = max(0.0, ((time.time_ns() if now is None else now) - unix_nano) / 1e9)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def moment(unix_nano: int) -> str:
    """A time of day in UTC, to the millisecond."""
    return datetime.fromtimestamp(unix_nano / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"
