"""The live view as lines of a terminal: never wider or more than it has room for."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from mendbus.asking.board import RATE_SECONDS, STAGES, Board, LiveIncident
from mendbus.cli.output import ago, clean
from mendbus.contracts.vocabulary import AlertSeverity

_STATUS: Final = {
    "failed": "bold red",
    "critical": "red",
    "poor": "yellow",
    "fair": "yellow",
    "good": "green",
    "excellent": "green",
}
_ALERT: Final[dict[AlertSeverity, str]] = {
    "critical": "bold red",
    "major": "red",
    "minor": "yellow",
    "warning": "yellow",
    "info": "",
}
_SEVEREST: Final[tuple[AlertSeverity, ...]] = ("critical", "major", "minor", "warning", "info")
_LEAST: Final = 3

Cell = tuple[str, int, str]
"""Text, width in cells (0: the rest), style."""


def draw(board: Board, where: str, width: int, height: int) -> list[Text]:
    """The whole view, `height` lines of `width` cells at most; `where`: which installation it is."""
    lines = _head(board, where, width)
    room = max(0, height - len(lines) - 1)
    incidents, alerts, agents = _incidents(board), _alerts(board), _agents(board)
    sections = ("incidents", incidents), ("alerts", alerts), ("agents", agents)
    shares = _shares([len(rows) for _, rows in sections], max(0, room - 2 * len(sections)))
    for (title, rows), shown in zip(sections, shares, strict=True):
        more = f"  {len(rows) - shown} more" if shown < len(rows) else ""
        lines.append(Text())
        lines.append(_row([(f"{title} ({len(rows)}){more}", 0, "bold")], width))
        lines += [_row(row, width) for row in rows[:shown]]
    lines = lines[: max(0, height - 1)]
    lines += [Text()] * (height - 1 - len(lines))
    return [*lines, _row([("Ctrl-C ends", 0, "dim")], width)][:height]


def _shares(wanted: Sequence[int], room: int) -> list[int]:
    """Lines for each section: at first a few for each, then in their order what they want."""
    shares = [0] * len(wanted)
    for most in (_LEAST, max(wanted, default=0)):
        for place, want in enumerate(wanted):
            more = min(max(0, min(want, most) - shares[place]), room)
            shares[place] += more
            room -= more
    return shares


def _head(board: Board, where: str, width: int) -> list[Text]:
    at = datetime.fromtimestamp(board.now() / 1e9, UTC).strftime("%H:%M:%S UTC")
    state = (board.problem, "bold red") if board.problem else ("live", "green")
    first = _row([("mendbus", 9, "bold"), (at, 14, ""), (clean(where), 0, "")], width)
    counts = [
        (f"{count} {status}", len(f"{count} {status}") + 2, _STATUS.get(status, ""))
        for status, count in board.statuses()
    ]
    agents = _row([("agents", 9, "bold"), *(counts or [("none yet", 10, "dim")])], width)
    minute = 60 / RATE_SECONDS
    rates = (
        f"{board.rate('errors') * minute:.0f} errors/min",
        f"{board.rate('incidents') * minute:.0f} incidents/min",
        f"{board.rate('recovered') * minute:.0f} recovered/min",
        f"{board.rate('escalated') * minute:.0f} escalated/min",
    )
    last = _row([("rates", 9, "bold"), ("  ".join(rates), 0, "")], width)
    return [first, _row([("state", 9, "bold"), (state[0], 0, state[1])], width), agents, last]


def _incidents(board: Board) -> list[list[Cell]]:
    now = board.now()
    return [
        [
            (ago(one.opened_unix_nano, now), 6, ""),
            (_lights(one), 7, "red" if one.stage == "waiting" else "green"),
            (one.told, 26, "yellow" if one.stage == "waiting" else ""),
            (one.agent, 24, ""),
            (f"x{one.errors}" if one.errors > 1 else "", 7, ""),
            (one.error, 0, ""),
        ]
        for one in board.live()
    ]


def _lights(incident: LiveIncident) -> str:
    """One light for each stage, lit as far as it has come."""
    if incident.stage == "waiting":
        return "!" * len(STAGES)
    lit = STAGES.index(incident.stage) + 1
    return "●" * lit + "○" * (len(STAGES) - lit)


def _alerts(board: Board) -> list[list[Cell]]:
    now = board.now()
    ordered = sorted(board.alerts.values(), key=lambda one: (_SEVEREST.index(one.severity), -one.time_unix_nano))
    return [
        [
            (ago(one.time_unix_nano, now), 6, ""),
            (one.severity, 10, _ALERT[one.severity]),
            ("acknowledged" if one.state == "acknowledged" else "", 13, "dim"),
            (clean(one.summary), 0, ""),
        ]
        for one in ordered
    ]


def _agents(board: Board) -> list[list[Cell]]:
    now = board.now()
    return [
        [
            (ago(one.changed_unix_nano, now), 6, ""),
            (one.status, 10, _STATUS.get(one.status, "")),
            (f"{one.score:.0f} %", 6, ""),
            (one.key, 30, ""),
            (one.reason, 0, ""),
        ]
        for one in board.worst()
    ]


def _row(cells: Sequence[Cell], width: int) -> Text:
    """Cells side by side, each cut or filled to its width, the whole cut at the edge."""
    line = Text(no_wrap=True)
    for text, wide, style in cells:
        wide = wide or max(0, width - line.cell_len)
        if cell_len(text) >= wide > 2:
            text = set_cell_size(text, wide - 2) + "… "
        line.append(set_cell_size(text, wide), style)
    line.truncate(width)
    return line
