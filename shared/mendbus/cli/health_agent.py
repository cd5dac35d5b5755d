"""One agent in detail: its metrics over ten minutes and a day, its limits, and what was found out about them."""

import shutil
import time
from typing import TYPE_CHECKING, Any, Final, cast

from mendbus.asking import health
from mendbus.asking.health import FURTHER, Data
from mendbus.cli.connect import connected
from mendbus.cli.health_words import counted, written
from mendbus.cli.output import ago, clean, document, say, table
from mendbus.cli.sparkline import sparkline
from mendbus.contracts.vocabulary import METRICS

if TYPE_CHECKING:
    from mendbus.settings import Settings

COLUMNS: Final = ("metric", "now>", "ten minutes", "24 hours", "least>", "mean>", "most>")

_SCORE: Final = "score"
_WIDTHS: Final = ((130, 30, 48), (105, 20, 24), (0, 10, 12))
"""Columns of the terminal from which on the two lines of bars are so long."""
_WIDE: Final = 200
_NANO: Final = 1_000_000_000
_TEN_MINUTES: Final = 600 * _NANO
_DAY: Final = 86_400 * _NANO
_SENTENCE: Final = ("sentence", "summary", "detail")


async def show(settings: "Settings", agent: tuple[str, str], *, as_json: bool) -> None:
    """Prints one agent. Raises `MendbusError` when the health-monitor does not know it."""
    async with connected(settings) as bus:
        row = await health.agent(bus, settings.subjects, agent)
    if as_json:
        document(row)
        return
    _print(row, row["seconds"], row["minutes"], time.time_ns())
    for verb in FURTHER:
        if verb in row:
            _print_further(verb, row[verb])


def _print(row: Data, seconds: list[Data], minutes: list[Data], now: int) -> None:
    key = f"{row['agent']['kind']}/{row['agent']['id']}"
    score = f", score {row['score']:.1f}" if "score" in row else ""
    say(f"{key}: {row['status']}{score} - {clean(row.get('reason', ''))}")
    samples = counted(row.get("samples", {}))
    if "last_seen_unix_nano" in row:
        say(f"heard {ago(row['last_seen_unix_nano'], now)} ago" + (f"; samples: {samples}" if samples else ""))
    limits: Data = row.get("limits") or row.get("hello", {}).get("limits", {})
    if limits:
        say("limits: " + ", ".join(f"{name} {written(name, value)}" for name, value in limits.items()))
    say()
    names = [_SCORE, *METRICS]
    told = {name for rows in (seconds, minutes) for one in rows for name in one["metrics"]} | set(row["metrics"])
    if not told:
        say("nothing was told of its metrics yet")
        return
    told.add(_SCORE)
    table(COLUMNS, [_line(name, row, seconds, minutes, now) for name in names if name in told])
    missing = [name for name in names if name not in told]
    if missing:
        say(f"\nnot told by it: {', '.join(missing)}")


def _line(name: str, row: Data, seconds: list[Data], minutes: list[Data], now: int) -> tuple[str, ...]:
    lately = [(one["time_unix_nano"], one["metrics"][name]) for one in seconds if name in one["metrics"]]
    day = [(one["time_unix_nano"], one["metrics"][name]) for one in minutes if name in one["metrics"]]
    columns = shutil.get_terminal_size((_WIDE, 0)).columns
    short, long = next((short, long) for least, short, long in _WIDTHS if columns >= least)
    newest: float | None = row.get("score") if name == _SCORE else row["metrics"].get(name)
    count = sum(numbers[3] for _, numbers in day)
    if day:
        mean = sum(numbers[1] * numbers[3] for _, numbers in day) / count
        reach = (min(numbers[0] for _, numbers in day), mean, max(numbers[2] for _, numbers in day))
    elif lately:
        values = [value for _, value in lately]
        reach = (min(values), sum(values) / len(values), max(values))
    else:
        reach = ()
    return (
        name,
        "-" if newest is None else written(name, newest),
        sparkline(lately, now - _TEN_MINUTES, now, short),
        sparkline([(at, numbers[1]) for at, numbers in day], now - _DAY, now, long),
        *(written(name, value) for value in reach),
        *("-" for _ in range(3 - len(reach))),
    )


def _print_further(verb: str, told: Data) -> None:
    """Rows whose columns are not known here: a sentence where there is one, else all that is plain."""
    for name, rows in told.items():
        if not isinstance(rows, list) or not rows:
            continue
        heading = verb if name in (verb, "rows", "findings") else f"{verb}: {name}"
        say(f"\n{heading}")
        for row in cast("list[Any]", rows):
            say(f"  {clean(_words(row))}")


def _words(row: Any) -> str:
    if not isinstance(row, dict):
        return str(row)
    facts = cast("Data", row)
    for name in _SENTENCE:
        if isinstance(facts.get(name), str):
            return facts[name]
    plain = {name: value for name, value in facts.items() if isinstance(value, str | int | float)}
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in plain.items()
    )
