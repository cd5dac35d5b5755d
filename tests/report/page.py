"""What the page says, as blocks that are written as Markdown and as HTML alike."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from tests.bench.figures import Bound
from tests.report import pictures
from tests.report.junit import TestRun
from tests.report.results import SOAK_MINUTES, Results, Run, between
from tests.report.rows import Line, lines

NOT_MEASURED = "not measured"


@dataclass(frozen=True, slots=True)
class Heading:
    """Of a section."""

    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph, or the entries of a list."""

    entries: Sequence[str]
    listed: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Plain text in cells; an empty first cell continues the row above."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Picture:
    """An SVG."""

    name: str
    says: str
    svg: str


Block = Heading | Text | Table | Picture


class _Numbers:
    """Numbers the runs in the order in which they are named."""

    def __init__(self) -> None:
        self.runs: list[Run] = []

    def __call__(self, run: Run) -> str:
        if run not in self.runs:
            self.runs.append(run)
        return f"{run.date} [{self.runs.index(run) + 1}]"


def blocks(results: Results, now: datetime) -> list[Block]:
    """The whole page."""
    found = lines(results)
    number = _Numbers()
    table = _figures(found, number)
    body: list[Block] = [
        Text([_verdicts(found)]),
        *([Text(_short(found), listed=True)] if _short(found) else []),
        table,
        *_pictures(results),
        *_lab(results, number),
        *_soak(results, number),
        *_tests(results.tests),
        *_scale(results, number),
    ]
    made = now.astimezone(UTC).strftime("%Y-%m-%d %H:%M")
    return [
        Text(
            [
                f"Put together on {made} UTC by `make benchmark-report`, from the newest run of each kind. Nothing is "
                "measured by it: each figure has the date of its own run, and the number of that run in the list at "
                f"the end; a figure that no run measured says “{NOT_MEASURED}”. *Must*: falling short is a defect; "
                "*aim*: where the project wants to get. Times are in UTC."
            ]
        ),
        *body,
        *_runs(number.runs, results.unread),
    ]


def _verdicts(found: Sequence[Line]) -> str:
    counts = Counter(line.verdict for line in found if line.part.must)
    kept = counts["must kept"] + counts["aim reached"]
    noise = f", {counts['within noise']} short by no more than the machine's noise" if counts["within noise"] else ""
    return (
        f"Of {counts.total()} musts {kept} are kept, {counts['aim reached']} of them reach their aim; "
        f"{counts['falls short']} fall short{noise}, {counts['not measured']} are not measured."
    )


def _short(found: Sequence[Line]) -> list[str]:
    return [
        f"{line.verdict}: {line.row.what}, {line.part.what}: {number(line.found.value, line.part.unit)}, "
        f"must be {bound(line.part.must, line.part.unit)}"
        for line in found
        if line.verdict in ("falls short", "within noise") and line.found
    ]


def _figures(found: Sequence[Line], when: _Numbers) -> Table:
    rows: list[tuple[str, ...]] = []
    before = None
    for line in found:
        part, one = line.part, line.found
        rows.append(
            (
                "" if line.row is before else line.row.what,
                part.what,
                bound(part.must, part.unit),
                bound(part.aim, part.unit),
                NOT_MEASURED
                if one is None
                else number(one.value, part.unit) + (f" ({one.detail})" if one.detail else ""),
                "" if one is None else line.verdict,
                "" if one is None else when(one.run),
            )
        )
        before = line.row
    return Table(("what", "figure", "must", "aim", "measured", "verdict", "run"), rows)


def _pictures(results: Results) -> list[Block]:
    found = (
        Picture("latency", "p50 and p99 of every way through the system, logarithmic", pictures.latency(results)),
        Picture("fault-lab", "how the faults of each category ended", pictures.categories(results)),
        Picture("memory", "private memory of each service, idle and loaded", pictures.memory(results)),
    )
    return [
        Heading("Pictures"),
        *(one if one.svg else Text([f"{one.says}: {NOT_MEASURED}."]) for one in found),
    ]


def _lab(results: Results, when: _Numbers) -> list[Block]:
    run = results.lab
    if run is None:
        return [Heading("Fault lab"), Text([f"{NOT_MEASURED.capitalize()} under the default policy with all faults."])]
    total: Mapping[str, Any] = run.data["summary"]
    rows = [
        (
            category,
            *(str(counts.get(verdict, 0)) for verdict in ("recovered", "person", "failed")),
            _share(total["optimal"].get(category)),
        )
        for category, counts in total["verdicts"].items()
    ]
    strategies = [(name, _share(one["verified"]), _share(one["held"])) for name, one in total["strategies"].items()]
    clocks = "; ".join(
        f"{name} {spread[0]:.0f} / {spread[1]:.0f} ms" for name, spread in total["clocks"].items() if spread
    )
    return [
        Heading("Fault lab"),
        Text(
            [
                f"{when(run)}: {total['faults']} faults and {total['controls']} controls through the whole pipeline, "
                f"seed {run.data['conditions'].get('seed', '?')}. The category came out right for "
                f"{_share(total['classified'])}. Clocks, median / 90th percentile: {clocks or NOT_MEASURED}."
            ]
        ),
        Table(("category of the fault", "recovered", "needed a person", "neither", "first choice optimal"), rows),
        Table(("strategy", "attempts verified", "held to the end"), strategies),
    ]


def _share(share: Mapping[str, Any] | None) -> str:
    if not share or share["share"] is None:
        return NOT_MEASURED
    return f"{100 * share['share']:.0f} % ({share['hits']} of {share['of']}; {between(share['interval'], 100)} %)"


def _soak(results: Results, when: _Numbers) -> list[Block]:
    run = results.soak
    if run is None:
        newest = results.of("soak")
        short = f" The newest run took {newest.data['minutes']:g} minutes: too short to count." if newest else ""
        return [Heading("Soak"), Text([f"{NOT_MEASURED.capitalize()} for {SOAK_MINUTES:g} minutes or more.{short}"])]
    rows = []
    for name, use in run.data["processes"].items():
        slope = use["memory_kib_per_minute"]
        rows.append(
            (
                name,
                " / ".join(f"{mebibytes:.1f}" for mebibytes in use["memory_mib"]),
                f"{slope['slope']:,.1f} ({slope['low']:,.1f} to {slope['high']:,.1f})",
                "yes" if use["rises"] else "no",
                " -> ".join(str(count) for count in use["descriptors"]),
            )
        )
    errors = run.data["errors"]
    return [
        Heading("Soak"),
        Text(
            [
                f"{when(run)}: {run.data['minutes']:g} minutes, {errors['counted']} errors in {errors['incidents']} "
                f"incidents, {len(run.data['faults'])} faults. Slopes after warm-up, with 95 % intervals."
            ]
        ),
        Table(("process", "MiB first / warm / last", "KiB per minute", "rises", "descriptors"), rows),
    ]


def _tests(runs: Sequence[TestRun]) -> list[Block]:
    if not runs:
        return [Heading("Tests"), Text([f"{NOT_MEASURED.capitalize()}: no run left a `junit*.xml` in the results."])]
    newest = runs[0]
    failed = next((run for run in runs if run.failures), None)
    last = "none in the runs that are kept"
    if failed is not None:
        test = failed.failures[-1]
        last = f"{test.name} ({failed.date[:16].replace('T', ' ')}): {test.message}"
    rows = [
        ("run", str(len(newest.run))),
        ("passed", str(newest.passed)),
        ("failed", str(len(newest.failures))),
        ("skipped", str(len(newest.tests) - len(newest.run))),
        ("total time", f"{newest.seconds:.1f} s"),
        *(
            (what, f"{one.name}, {one.seconds:.3f} s")
            for what, one in (("fastest", newest.fastest), ("slowest", newest.slowest))
            if one
        ),
        ("last failure", last),
    ]
    return [Heading("Tests"), Table((f"run of {newest.date[:16].replace('T', ' ') or 'an unknown date'}", ""), rows)]


def _scale(results: Results, when: _Numbers) -> list[Block]:
    run = results.of("scale", lambda run: bool(run.data["sizes"]))
    if run is None:
        return [Heading("The lab's work at size"), Text([f"{NOT_MEASURED.capitalize()}."])]
    sizes = run.data["sizes"]
    rows = [
        (
            step,
            *(
                f"{size['milliseconds'][step]:,.3g}"
                if size["milliseconds"][step] < 100
                else f"{size['milliseconds'][step]:,.0f}"
                for size in sizes
            ),
        )
        for step in sizes[0]["milliseconds"]
    ]
    return [
        Heading("The lab's work at size"),
        Text([f"{when(run)}: milliseconds by lines of the sample project; {run.data['conditions'].get('how', '')}."]),
        Table(("step", *(f"{size['lines']:,} lines" for size in sizes)), rows),
    ]


def _runs(runs: Sequence[Run], unread: Sequence[str]) -> list[Block]:
    rows = [
        (str(place), run.date, f"`{run.command}`", run.machine, f"`{run.file.name}`")
        for place, run in enumerate(runs, 1)
    ]
    broken: list[Block] = [Text([f"Not read: {one}" for one in unread], listed=True)] if unread else []
    return [Heading("Runs"), Table(("", "date", "command", "machine", "file"), rows), *broken]


_SIGNS = {"<=": "≤", ">=": "≥", "==": "="}


def bound(limit: Bound | None, unit: str) -> str:
    """A limit in words, "" for none."""
    return "" if limit is None else f"{_SIGNS.get(limit.relation, limit.relation)} {number(limit.value, unit)}"


def number(value: float, unit: str) -> str:
    """A figure with its unit, to three digits."""
    whole = abs(value) >= 1000 or value == int(value)
    text = f"{value:,.0f}" if whole else f"{value:.3g}"
    # 99.96 and 99.97 per cent are not the same.
    if unit == "%" and not whole:
        text = f"{value:.2f}".rstrip("0").rstrip(".")
    return f"{text}{unit}" if unit in ("/s", "x") else f"{text} {unit}".rstrip()
