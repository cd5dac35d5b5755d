"""The pictures: SVG that stands alone, light or dark as the reader's system is."""

import math
from collections.abc import Iterable, Sequence
from html import escape

from tests.bench.figures import BY_KEY
from tests.report.results import Results

_WIDTH = 860
_LEFT, _RIGHT = 270, 690
_STYLE = """
.mb{--surface:#ffffff;--ink:#1c2430;--quiet:#5f6b7a;--grid:#dfe4ea;--first:#2166c4;--second:#d98a12;--third:#b3261e}
@media (prefers-color-scheme:dark){
.mb{--surface:#14181f;--ink:#e6e9ee;--quiet:#9aa6b5;--grid:#303844;--first:#6aa7f5;--second:#f0b04a;--third:#f2847b}}
.mb{background:var(--surface);font:13px system-ui,sans-serif;max-width:100%;height:auto}
.mb text{fill:var(--ink)}.mb .quiet{fill:var(--quiet)}.mb .title{font-size:15px;font-weight:600}
.mb .grid{stroke:var(--grid);fill:none}.mb .surface{fill:var(--surface)}
.mb .first{fill:var(--first);stroke:var(--first)}.mb .second{fill:var(--second);stroke:var(--second)}
.mb .third{fill:var(--third);stroke:var(--third)}.mb .hollow{fill:var(--surface)}.mb rect{stroke:none}
"""

LATENCIES = (
    ("acknowledged -> selected, 6 agents", "selection"),
    ("error -> verified, 6 agents", "recovery.6"),
    ("error -> verified, 25 agents", "recovery.25"),
    ("error -> verified, 100 agents", "recovery.100"),
    ("50 errors at once, lean agents", "burst"),
    ("50 errors at once, SDK agents", "burst.sdk"),
    ("distinct recoveries, full load", "distinct"),
    ("warm restart", "warm"),
    ("rollback of 1 MiB", "rollback"),
    ("health status after a sample", "start.status"),
)


def latency(results: Results) -> str:
    """p50 and p99 of every way through the system on one logarithmic scale; "" when none was measured."""
    rows: list[tuple[str, float, float, float | None]] = []
    for what, key in LATENCIES:
        middle, high = results.bench(f"{key}.p50"), results.bench(f"{key}.p99")
        if middle is not None and high is not None:
            must = BY_KEY[f"{key}.p99"].must
            rows.append((what, middle.value, high.value, must.value if must else None))
    if not rows:
        return ""
    scale = _Log([value for row in rows for value in row[1:] if value is not None])
    bottom = 70 + 28 * len(rows)
    parts = [*_grid(scale, bottom, "ms")]
    for place, (what, middle, high, must) in enumerate(rows):
        y = 84 + 28 * place
        a, b = scale(middle), scale(high)
        told = f"{_short(middle)} / {_short(high)} ms"
        parts += [
            f"<g><title>{escape(what)}: p50 {_short(middle)} ms, p99 {_short(high)} ms</title>{_label(what, y)}",
            f'<line class="first" x1="{a:.1f}" x2="{b:.1f}" y1="{y}" y2="{y}" stroke-width="2"/>',
            f'<circle class="first hollow" cx="{a:.1f}" cy="{y}" r="5" stroke-width="2"/>',
            f'<circle class="first" cx="{b:.1f}" cy="{y}" r="5"/>',
            _limit(scale(must), y) if must else "",
            f'<text x="{_RIGHT + 20}" y="{y + 4}">{told}</text></g>',
        ]
    legend = [
        '<circle class="first hollow" cx="28" cy="44" r="5" stroke-width="2"/>',
        '<text x="40" y="48">p50</text>',
        '<circle class="first" cx="88" cy="44" r="5"/>',
        '<text x="100" y="48">p99</text>',
        _limit(148, 44),
        '<text x="158" y="48">what p99 must stay below</text>',
    ]
    return _svg("Latency", bottom + 40, [*legend, *parts])


def categories(results: Results) -> str:
    """How the faults of each category ended; "" when the fault lab was not run."""
    run = results.lab
    if run is None or not run.data["summary"]["verdicts"]:
        return ""
    verdicts = run.data["summary"]["verdicts"]
    most = max(sum(counts.values()) for counts in verdicts.values()) or 1
    parts = _legend(
        (("first", "recovered"), ("second", "needed a person"), ("third", "not recovered, nobody called")),
    )
    for place, (category, counts) in enumerate(verdicts.items()):
        y, x = 80 + 28 * place, float(_LEFT)
        parts.append(_label(category, y))
        for verdict, colour in (("recovered", "first"), ("person", "second"), ("failed", "third")):
            count = counts.get(verdict, 0)
            width = (_RIGHT - _LEFT) * count / most
            if count:
                parts.append(
                    f'<rect class="{colour}" x="{x + 1:.1f}" y="{y - 9}" width="{max(1, width - 2):.1f}" height="18" '
                    f'rx="2"><title>{escape(category)}: {count} {verdict}</title></rect>'
                )
            x += width
        told = f"{counts.get('recovered', 0)} of {sum(counts.values())} recovered"
        parts.append(f'<text x="{_RIGHT + 20}" y="{y + 4}">{told}</text>')
    return _svg("Fault lab, by category of the fault", 90 + 28 * len(verdicts), parts)


def memory(results: Results) -> str:
    """Private memory of each service, idle and loaded, with what it must stay below; "" when not measured."""
    services = [key.rpartition(".")[2] for key in BY_KEY if key.startswith("memory.loaded.")]
    rows: list[tuple[str, float, float, float]] = []
    for service in services:
        idle, loaded = results.bench(f"memory.idle.{service}"), results.bench(f"memory.loaded.{service}")
        must = BY_KEY[f"memory.loaded.{service}"].must
        if idle is not None and loaded is not None and must is not None:
            rows.append((service, idle.value, loaded.value, must.value))
    if not rows:
        return ""
    most = max(value for row in rows for value in row[1:]) * 1.05
    parts = [
        *_legend((("first", "idle"), ("second", "after a load of distinct recoveries"))),
        _limit(330, 44),
        '<text x="340" y="48">must stay below</text>',
    ]
    for place, (service, idle, loaded, must) in enumerate(rows):
        y = 84 + 40 * place
        parts += [f"<g><title>{service}: {idle:.1f} MB idle, {loaded:.1f} MB loaded, must be below {must:g} MB</title>"]
        parts.append(_label(service, y))
        for offset, colour, value in ((-12, "first", idle), (1, "second", loaded)):
            width = (_RIGHT - _LEFT) * value / most
            parts.append(
                f'<rect class="{colour}" rx="2" x="{_LEFT}" y="{y + offset}" width="{width:.1f}" height="11"/>'
            )
        parts.append(_limit(_LEFT + (_RIGHT - _LEFT) * must / most, y, 14))
        parts.append(f'<text x="{_RIGHT + 20}" y="{y + 4}">{idle:.1f} / {loaded:.1f} MB</text></g>')
    return _svg("Private memory of each service", 80 + 40 * len(rows), parts)


class _Log:
    """Places on a logarithmic scale that whole powers of ten bound."""

    def __init__(self, values: Iterable[float]) -> None:
        known = [max(value, 1e-6) for value in values]
        self.low = math.floor(math.log10(min(known)))
        self.high = max(self.low + 1, math.ceil(math.log10(max(known))))

    def __call__(self, value: float) -> float:
        share = (math.log10(max(value, 10.0**self.low)) - self.low) / (self.high - self.low)
        return _LEFT + (_RIGHT - _LEFT) * share


def _grid(scale: _Log, bottom: int, unit: str) -> Iterable[str]:
    for power in range(scale.low, scale.high + 1):
        x = scale(10.0**power)
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="66" y2="{bottom}"/>'
        yield f'<text class="quiet" x="{x:.1f}" y="{bottom + 18}" text-anchor="middle">{10.0**power:g} {unit}</text>'


def _legend(entries: Sequence[tuple[str, str]]) -> list[str]:
    parts: list[str] = []
    x = 20
    for colour, words in entries:
        parts.append(f'<rect class="{colour}" rx="2" x="{x}" y="38" width="12" height="12"/>')
        parts.append(f'<text x="{x + 18}" y="48">{words}</text>')
        x += 44 + 7 * len(words)
    return parts


def _label(text: str, y: int) -> str:
    return f'<text x="{_LEFT - 14}" y="{y + 4}" text-anchor="end">{escape(text)}</text>'


def _limit(x: float, y: int, reach: int = 9) -> str:
    return f'<line class="third" x1="{x:.1f}" x2="{x:.1f}" y1="{y - reach}" y2="{y + reach}" stroke-width="2"/>'


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def _svg(title: str, height: int, parts: Iterable[str]) -> str:
    inside = "\n".join(part for part in parts if part)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="mb" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" '
        f'height="{height}" role="img" aria-label="{escape(title)}"><style>{_STYLE}</style>\n'
        f'<rect class="surface" width="{_WIDTH}" height="{height}"/>\n'
        f'<text class="title" x="20" y="24">{escape(title)}</text>\n{inside}\n</svg>\n'
    )
