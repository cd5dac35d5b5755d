"""Stories as a table for people, a file for programs, and a picture."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from html import escape
from typing import Any

from tests.lab.stories import Story
from tests.lab.sums import CLOCKS, Summary, difference

HEAD = (
    "case",
    "verdict",
    "detected by",
    "classified as (is)",
    "chosen",
    "optimal?",
    "over ms",
    "undone",
    "person",
    "harmed",
    "detect",
    "decide",
    "act",
    "verified",
    "bad",
    "trace",
)
_RIGHT = frozenset(("over ms", *CLOCKS, "bad"))
_TRACE_CHARACTERS = 12
_COLOURS = {"recovered": "#2b8a5a", "person": "#e0a030", "failed": "#c0392b"}


def table(stories: Sequence[Story]) -> str:
    """One line for each story."""
    return grid([HEAD, *(_row(one) for one in stories)], _RIGHT)


def _row(one: Story) -> tuple[str, ...]:
    tried = [
        ("" if attempt.kind == one.kind else f"{attempt.kind}:")
        + attempt.strategy
        + ("" if attempt.held else "~" if attempt.verified else "-")
        for attempt in one.tried
    ]
    bad = {kind: felt for kind, felt in one.felt.items() if felt.bad}
    own = one.felt.get(one.kind)
    clocks = (getattr(one.clocks, name) for name in CLOCKS)
    return (
        one.name,
        one.verdict + ("" if one.recovered or one.verdict == "failed" else ", not over"),
        one.detected_by or "nobody",
        f"{one.classified or '-'} ({one.category})",
        _shortened(tried) or "-",
        _optimal(one),
        _number(one.over_ms) if one.noticed_ms is not None else "unfelt" if not one.control else "",
        ",".join(one.undone) or "-",
        ",".join(dict.fromkeys(called.kind for called in one.person)) or "-",
        f"{len(one.harmed)}: {one.harmed[0][:40]}" if one.harmed else "-",
        *(_number(clock) for clock in clocks),
        f"{own.bad if own else 0} of {own.asked if own else 0}"
        + (f", others {others}" if (others := sum(felt.bad for kind, felt in bad.items() if kind != one.kind)) else ""),
        one.traces[0][:_TRACE_CHARACTERS] if one.traces else "-",
    )


def _shortened(tried: Sequence[str], most: int = 6) -> str:
    more = f" and {len(tried) - most} more" if len(tried) > most else ""
    return " ".join(tried[:most]) + more


def _optimal(one: Story) -> str:
    if one.optimal is None:
        return "not measured"
    words = {True: "yes", False: "no", None: "-"}
    return f"first {words[one.first_optimal]}, helped {words[one.helped_optimal]}"


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def grid(lines: Sequence[Sequence[str]], right: frozenset[str] = frozenset()) -> str:
    """Columns; the first line is the head, `right` the heads of those aligned to the right."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    ruled = [lines[0], tuple("-" * width for width in widths), *lines[1:]]
    return "\n".join(
        "  ".join(
            text.rjust(width) if head in right else text.ljust(width)
            for text, width, head in zip(line, widths, lines[0], strict=True)
        ).rstrip()
        for line in ruled
    )


def sums(found: Summary) -> str:
    """What the stories come to, in words and figures; intervals are of 95 %, Wilson's."""
    lines = [
        f"faults recovered for their users  {found.recovered}",
        f"faults that needed a person       {found.person}",
        f"controls harmed                   {found.controls_harmed} of {found.controls}"
        f" ({found.controls_acted_on} acted upon, a person called for {found.controls_called})",
        f"faults with others harmed         {found.harmed} of {found.faults}",
        f"classified as what they are       {found.classified}",
        f"noticed by users at all           {found.felt}",
        f"first choice optimal              {found.optimal_in_all}",
        f"what helped was optimal           {found.helped_optimal}",
        *(f"  first choice optimal, {category:14}  {share}" for category, share in found.optimal.items()),
    ]
    clocks = [("clock", "median ms", "90th percentile")] + [
        (name, *(("-", "-") if spread is None else (_number(spread[0]), _number(spread[1]))))
        for name, spread in found.clocks.items()
    ]
    strategies = [("strategy", "healthy after it", "held to the end")] + [
        (name, str(verified), str(held)) for name, (verified, held) in found.strategies.items()
    ]
    return "\n\n".join(("\n".join(lines), grid(clocks, frozenset(clocks[0][1:])), grid(strategies)))


def comparison(first: Sequence[Story], second: Sequence[Story], sums_of: tuple[Summary, Summary]) -> str:
    """What differs between two runs of the same cases, one by one and in sum."""
    others = {one.name: one for one in second}
    pairs = [(one, others[one.name]) for one in first if one.name in others]
    lines = [("case", "", "first", "second")]
    for one, other in pairs:
        lines += [(one.name, what, a, b) for what, a, b in _differences(one, other)]
    a, b = sums_of
    whole = [
        ("in sum", "first", "second", "difference"),
        ("recovered", str(a.recovered), str(b.recovered), difference(a.recovered, b.recovered)),
        ("needed a person", str(a.person), str(b.person), difference(a.person, b.person)),
        (
            "first choice optimal",
            str(a.optimal_in_all),
            str(b.optimal_in_all),
            difference(a.optimal_in_all, b.optimal_in_all),
        ),
        (
            "controls harmed",
            str(a.controls_harmed),
            str(b.controls_harmed),
            f"{b.controls_harmed - a.controls_harmed:+d}",
        ),
        ("others harmed", str(a.harmed), str(b.harmed), f"{b.harmed - a.harmed:+d}"),
        *(
            (f"{name}, median ms", _number(x and x[0]), _number(y and y[0]), f"{y[0] - x[0]:+.0f}" if x and y else "-")
            for name in CLOCKS
            for x, y in ((a.clocks[name], b.clocks[name]),)
        ),
    ]
    same = len(pairs) - len({line[0] for line in lines[1:]})
    return f"{grid(lines)}\n\n{same} of {len(pairs)} cases went the same way\n\n{grid(whole)}"


def _differences(one: Story, other: Story) -> list[tuple[str, str, str]]:
    def tried(story: Story) -> str:
        return " ".join(attempt.strategy for attempt in story.tried if attempt.kind == story.kind) or "-"

    found = [("verdict", one.verdict, other.verdict), ("chosen", tried(one), tried(other))]
    found += [("optimal?", _optimal(one), _optimal(other)), ("harmed", str(len(one.harmed)), str(len(other.harmed)))]
    return [(what, a, b) for what, a, b in found if a != b]


def content(
    stories: Sequence[Story], found: Summary, conditions: Mapping[str, Any], broken: Sequence[str]
) -> dict[str, Any]:
    """Everything, for programs."""
    whole = asdict(found)
    for name in ("recovered", "person", "classified", "felt", "optimal_in_all", "helped_optimal"):
        whole[name] = getattr(found, name).values()
    whole["optimal"] = {category: share.values() for category, share in found.optimal.items()}
    whole["strategies"] = {
        name: {"verified": verified.values(), "held": held.values()}
        for name, (verified, held) in found.strategies.items()
    }
    return {
        "conditions": dict(conditions),
        "summary": whole,
        "missed": found.missed,
        "not_played": list(broken),
        "cases": [asdict(one) for one in stories],
    }


def picture(stories: Sequence[Story], found: Summary, title: str) -> str:
    """An SVG: how faults of each category ended, and the four clocks of each on a logarithmic scale."""
    categories = list(found.verdicts)
    height = 110 + max(28 * len(categories), 60 * len(CLOCKS)) + 40
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="1100" height="{height}" viewBox="0 0 1100 {height}" '
        f'font-family="sans-serif" font-size="13" role="img"><title>{escape(title)}</title>',
        f'<rect width="1100" height="{height}" fill="#ffffff"/>',
        f'<text x="20" y="28" font-size="17" font-weight="bold">{escape(title)}</text>',
        *_legend(),
        *_bars(found.verdicts),
        *_clocks(stories, found),
        "</svg>\n",
    ]
    return "\n".join(parts)


def _legend() -> list[str]:
    names = {"recovered": "recovered", "person": "needed a person", "failed": "not recovered, nobody called"}
    found: list[str] = []
    for place, (verdict, words) in enumerate(names.items()):
        x = 20 + (0, 100, 230)[place]
        found.append(f'<rect x="{x}" y="46" width="12" height="12" fill="{_COLOURS[verdict]}"/>')
        found.append(f'<text x="{x + 18}" y="57">{words}</text>')
    return found


def _bars(verdicts: Mapping[str, Mapping[str, int]]) -> list[str]:
    most = max((sum(counts.values()) for counts in verdicts.values()), default=1)
    found: list[str] = []
    for row, (category, counts) in enumerate(verdicts.items()):
        y, x = 84 + 28 * row, 140.0
        found.append(f'<text x="130" y="{y + 14}" text-anchor="end">{escape(category)}</text>')
        for verdict, count in counts.items():
            if not count:
                continue
            width = 360 * count / most
            found.append(
                f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="20" fill="{_COLOURS[verdict]}">'
                f"<title>{escape(category)}: {count} {verdict}</title></rect>"
            )
            found.append(
                f'<text x="{x + width / 2:.1f}" y="{y + 15}" text-anchor="middle" fill="#ffffff">{count}</text>'
            )
            x += width
    return found


def _clocks(stories: Sequence[Story], found: Summary) -> list[str]:
    left, width, lowest, highest = 640, 430, 0, 5
    words = {"detect": "until reported", "decide": "until decided", "act": "until done", "verified": "until verified"}

    def place(value: float) -> float:
        return left + width * (min(max(math.log10(max(value, 1.0)), lowest), highest) - lowest) / (highest - lowest)

    bottom = 84 + 60 * len(CLOCKS)
    parts: list[str] = []
    for power, label in enumerate(("1 ms", "10 ms", "100 ms", "1 s", "10 s", "100 s")):
        x = place(10.0**power)
        parts.append(f'<line x1="{x:.1f}" y1="76" x2="{x:.1f}" y2="{bottom}" stroke="#dddddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle" fill="#555555">{label}</text>')
    for row, name in enumerate(CLOCKS):
        y = 100 + 60 * row
        parts.append(f'<text x="{left - 10}" y="{y + 4}" text-anchor="end">{words[name]}</text>')
        values = [(one.name, value) for one in stories if (value := getattr(one.clocks, name)) is not None]
        for number, (case, value) in enumerate(values):
            parts.append(
                f'<circle cx="{place(value):.1f}" cy="{y + (number % 5 - 2) * 5}" r="3.5" fill="#2f6db3" '
                f'fill-opacity="0.55"><title>{escape(case)}: {value:.1f} ms</title></circle>'
            )
        spread = found.clocks[name]
        if spread is not None:
            x = place(spread[0])
            parts.append(
                f'<line x1="{x:.1f}" y1="{y - 18}" x2="{x:.1f}" y2="{y + 18}" stroke="#c0392b" stroke-width="2"/>'
            )
            parts.append(f'<text x="{x + 4:.1f}" y="{y - 12}" fill="#c0392b">{_number(spread[0])} ms</text>')
    return parts
