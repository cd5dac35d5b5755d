"""The page tells what was measured and never what was not."""

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from tests.bench.figures import FIGURES, Bound
from tests.report.__main__ import write
from tests.report.page import bound, number
from tests.report.results import Found, Run, read
from tests.report.rows import ROWS, Line, Part, Row, lines

from mendbus.contracts.vocabulary import SERVICES

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MACHINE = {"cores": 2, "machine": "x86_64", "python": "3.11.7"}


def bench(folder: Path, date: str, rows: list[str], value: float, runs: int = 5, noise: float = 0.0) -> None:
    """A run of the bench in which every figure of these rows has the same value."""
    figures = [
        {"key": figure.key, "traced": {"median": value, "noise": noise, "runs": [value] * runs}}
        for figure in FIGURES
        if figure.row in rows
    ]
    content = {"conditions": {"date": date, "plan": {"runs": runs}, **MACHINE}, "rows": rows, "figures": figures}
    (folder / f"bench-{date.replace(':', '-')}.json").write_text(json.dumps(content))


def share(hits: int, of: int) -> dict[str, Any]:
    return {"hits": hits, "of": of, "share": hits / of if of else None, "interval": [0.5, 1.0] if of else None}


def fault_lab(folder: Path, date: str, *, command: str = "python -m tests.lab.faultlab", **summary: Any) -> None:
    """A run of the fault lab."""
    total = {
        "faults": 50,
        "controls": 5,
        "recovered": share(48, 50),
        "person": share(2, 50),
        "classified": share(40, 50),
        "controls_harmed": 0,
        "optimal": {"memory": share(0, 0), "network": share(9, 10)},
        "optimal_in_all": share(9, 10),
        "verdicts": {
            "memory": {"recovered": 20, "person": 1, "failed": 0},
            "network": {"recovered": 28, "person": 1, "failed": 0},
        },
        "clocks": {"detect": [4.0, 9.0], "decide": None},
        "strategies": {"restart": {"verified": share(9, 10), "held": share(8, 10)}},
    }
    conditions = {"date": date, "command": command, "policy_file": "default", "seed": 7, "cases": 55, **MACHINE}
    content = {"conditions": conditions, "summary": total | summary, "missed": [], "not_played": [], "cases": [{}] * 55}
    (folder / f"fault-lab-{date.replace(':', '-')}.json").write_text(json.dumps(content))


def soak(folder: Path, date: str, minutes: float, low: float = -1.0) -> None:
    """A soak in which every process grows alike."""
    slope = {"slope": low + 1, "low": low, "high": low + 2}
    use = {
        "memory_kib_per_minute": slope,
        "rises": low > 0,
        "memory_mib": [20.0, 21.0, 21.5],
        "descriptors": [14, 14],
    }
    content = {
        "minutes": minutes,
        "conditions": {"date": date, **MACHINE},
        "processes": dict.fromkeys((*SERVICES, "nats-server"), use),
        "rising": [],
        "lost": [],
        "errors": {"counted": 100, "incidents": 10},
        "faults": [{}],
    }
    (folder / f"soak-{date.replace(':', '-')}.json").write_text(json.dumps(content))


def found(folder: Path, row: str, part: str) -> Line:
    return next(line for line in lines(read(folder)) if line.row.what.startswith(row) and line.part.what == part)


def test_with_no_results_every_row_is_there_and_nothing_is_measured(tmp_path: Path) -> None:
    """The page of an empty folder names every promise and holds no figure for any."""
    page = write(tmp_path, tmp_path / "report", NOW)[0].read_text()
    for row in ROWS:
        assert row.what.replace(">", "&gt;") in page
    assert {line.verdict for line in lines(read(tmp_path))} == {"not measured"}
    assert page.count("| not measured |") == len(lines(read(tmp_path)))
    assert " 0 are kept" in page


def test_every_key_of_the_bench_that_a_row_names_exists(tmp_path: Path) -> None:
    """With a whole run of the bench there, every figure that comes from it is found."""
    from tests.bench.figures import ROWS as BENCH_ROWS

    bench(tmp_path, "2026-11-01T10:00:00+0000", list(BENCH_ROWS), 1.0)
    known = {line.row.what for line in lines(read(tmp_path)) if line.found}
    assert len(known) == 10
    assert all(line.found for line in lines(read(tmp_path)) if line.row.what in known)


def test_limits_of_the_bench_and_of_the_report_agree() -> None:
    """What the bench judges by is what the page shows: no promise is told in two ways."""
    judged = {str(figure.must) for figure in FIGURES if figure.must}
    of_the_model = {"< 187", "< 342"}
    assert {str(part.must) for row in ROWS[:11] for part in row.parts if part.must} - of_the_model <= judged


def test_each_figure_is_from_the_newest_run_of_its_row_and_has_that_run_s_date(tmp_path: Path) -> None:
    """A newer run of other rows does not hide an older one, nor lend it its date."""
    bench(tmp_path, "2026-11-01T10:00:00+0000", ["selection", "storm"], 1.0)
    bench(tmp_path, "2026-11-02T10:00:00+0000", ["selection"], 2.0)
    selection = found(tmp_path, "error acknowledged", "mean").found
    storm = found(tmp_path, "storm", "reported").found
    assert selection is not None
    assert storm is not None
    assert (selection.value, selection.run.date) == (2.0, "2026-11-02 10:00")
    assert (storm.value, storm.run.date) == (1.0, "2026-11-01 10:00")


def test_a_run_of_too_few_repetitions_does_not_count(tmp_path: Path) -> None:
    """Figures are medians of five runs: a quick look is none, be it the newest."""
    bench(tmp_path, "2026-11-01T10:00:00+0000", ["storm"], 1.0)
    bench(tmp_path, "2026-11-02T10:00:00+0000", ["storm"], 2.0, runs=1)
    one = found(tmp_path, "storm", "reported").found
    assert one is not None
    assert one.value == 1.0


def test_growth_is_of_one_run(tmp_path: Path) -> None:
    """A ratio of two figures is not taken where one of them is missing from the run."""
    bench(tmp_path, "2026-11-01T10:00:00+0000", ["recovery"], 3.0)
    one = found(tmp_path, "the same, one at a time", "p99 at 100 agents over that at 6").found
    assert one is not None
    assert one.value == 1.0


@pytest.mark.parametrize(
    ("must", "aim", "value", "noise", "verdict"),
    [
        (Bound("<", 10), Bound("<", 5), 4, 0, "aim reached"),
        (Bound("<", 10), Bound("<", 5), 7, 0, "must kept"),
        (Bound("<", 10), None, 7, 0, "must kept"),
        (Bound("<", 10), None, 10, 0, "falls short"),
        (Bound("<", 10), None, 10, 1, "within noise"),
        (Bound(">=", 10), None, 8, 1, "falls short"),
        (Bound(">=", 10), None, 9, 1, "within noise"),
        (None, Bound("<", 5), 7, 0, "below the aim"),
        (None, Bound("<", 5), 4, 0, "aim reached"),
        (None, None, 4, 0, "told"),
    ],
)
def test_verdicts(must: Bound | None, aim: Bound | None, value: float, noise: float, verdict: str) -> None:
    """Each figure is judged by its own limits, and by the noise that its own run measured."""
    run = Run("bench", Path("x"), NOW, "", "", {})
    line = Line(Row("row", ()), Part("part", "ms", lambda _: None, must, aim), Found(value, run, "", noise))
    assert line.verdict == verdict


def test_a_fault_lab_of_some_faults_or_of_another_policy_is_not_the_fault_lab(tmp_path: Path) -> None:
    """Only a run of all faults counts; the newest of those."""
    fault_lab(tmp_path, "2026-11-02T10:00:00+0000", command="python -m tests.lab.faultlab --fault killed")
    assert found(tmp_path, "fault lab", "recovered").verdict == "not measured"
    fault_lab(tmp_path, "2026-11-01T10:00:00+0000")
    line = found(tmp_path, "fault lab", "recovered")
    assert line.found is not None
    assert (line.found.value, line.verdict) == (96.0, "aim reached")
    assert found(tmp_path, "strategy choice", "first choice optimal").verdict == "must kept"
    assert found(tmp_path, "fault lab", "cases that were not played").verdict == "must kept"


def test_without_an_oracle_no_choice_is_optimal_or_not(tmp_path: Path) -> None:
    """A share of nothing is not a figure."""
    fault_lab(tmp_path, "2026-11-01T10:00:00+0000", optimal_in_all=share(0, 0), controls=0)
    assert found(tmp_path, "strategy choice", "first choice optimal").verdict == "not measured"
    assert found(tmp_path, "fault lab", "controls harmed").verdict == "not measured"


def test_a_short_soak_is_told_and_does_not_count(tmp_path: Path) -> None:
    """Half an hour is promised: a minute proves nothing, and the page says that there was one."""
    soak(tmp_path, "2026-11-02T10:00:00+0000", 1.0)
    assert found(tmp_path, "soak", "length").verdict == "not measured"
    assert "took 1 minutes" in write(tmp_path, tmp_path / "report", NOW)[0].read_text()
    soak(tmp_path, "2026-11-01T10:00:00+0000", 30.0)
    assert found(tmp_path, "soak", "services whose memory slope is above zero").verdict == "must kept"


def test_a_slope_that_is_surely_above_zero_falls_short(tmp_path: Path) -> None:
    """The whole interval above zero is growth; the server's own memory is not a service's."""
    soak(tmp_path, "2026-11-01T10:00:00+0000", 30.0, low=0.5)
    line = found(tmp_path, "soak", "services whose memory slope is above zero")
    assert line.found is not None
    assert (line.found.value, line.verdict) == (len(SERVICES), "falls short")


def test_figures_of_others_are_read_by_their_key(tmp_path: Path) -> None:
    """The newest file that has the key tells; an interval is shown beside the figure."""
    for day, recall in ((1, 88.0), (2, 80.0)):
        content = {
            "conditions": {"date": f"2026-11-0{day}T10:00:00+0000", "command": "make score"},
            "figures": {"prediction.recall_percent": {"value": recall, "interval": [recall - 1, recall + 1]}},
        }
        (tmp_path / f"figures-{day}.json").write_text(json.dumps(content))
    line = found(tmp_path, "failure prediction", "recall")
    assert line.found is not None
    assert (line.found.value, line.found.detail, line.verdict) == (80.0, "79 to 81", "falls short")


def test_coverage_of_branches_is_told_only_where_branches_were_looked_at(tmp_path: Path) -> None:
    """Lines alone say nothing of branches."""
    totals = {"covered_lines": 975, "num_statements": 1000}
    file = tmp_path / "coverage.json"
    file.write_text(json.dumps({"meta": {"timestamp": "2026-11-01T10:00:00"}, "totals": totals}))
    assert found(tmp_path, "coverage", "lines").verdict == "must kept"
    assert found(tmp_path, "coverage", "lines and branches").verdict == "not measured"
    totals |= {"covered_branches": 90, "num_branches": 100}
    file.write_text(json.dumps({"meta": {"timestamp": "2026-11-01T10:00:00"}, "totals": totals}))
    line = found(tmp_path, "coverage", "lines and branches")
    assert line.found is not None
    assert line.found.value == pytest.approx(96.82, abs=0.01)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"conditions": {}}'])
def test_a_broken_file_is_named_and_counts_as_nothing(tmp_path: Path, text: str) -> None:
    """The page is made all the same."""
    (tmp_path / "soak-1.json").write_text(text)
    (tmp_path / "junit.xml").write_text(text)
    page = write(tmp_path, tmp_path / "report", NOW)[0].read_text()
    assert "Not read: soak-1.json" in page
    assert "Not read: junit.xml" in page


class _Tags(HTMLParser):
    """Notes addresses, and whether what is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_else_and_is_whole(tmp_path: Path) -> None:
    """Every element is closed, no address leads anywhere, pictures are inline and are XML of their own."""
    bench(tmp_path, "2026-11-01T10:00:00+0000", ["selection", "recovery", "burst", "memory"], 12.5)
    fault_lab(tmp_path, "2026-11-01T10:00:00+0000")
    soak(tmp_path, "2026-11-01T10:00:00+0000", 30.0)
    files = write(tmp_path, tmp_path / "report", NOW)
    assert [file.name for file in files] == [
        "report.md",
        "report.html",
        "report-latency.svg",
        "report-fault-lab.svg",
        "report-memory.svg",
    ]
    page = files[1].read_text()
    tags = _Tags()
    tags.feed(page)
    tags.close()
    assert (tags.open, tags.addresses) == ([], [])
    assert page.count("<svg ") == 3
    assert "prefers-color-scheme:dark" in page
    for picture in files[2:]:
        assert ET.fromstring(picture.read_text()).tag.endswith("svg")
    for name in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", files[0].read_text()):
        assert (tmp_path / name).exists()


def test_what_a_run_wrote_is_never_markup(tmp_path: Path) -> None:
    """A test's name or message with angle brackets or bars shows as it is."""
    (tmp_path / "junit.xml").write_text(
        '<testsuite tests="1" time="1"><testcase name="t[a|b]" time="1"><failure message="&lt;script&gt; a | b"/>'
        "</testcase></testsuite>"
    )
    text, page = (file.read_text() for file in write(tmp_path, tmp_path / "report", NOW)[:2])
    assert "<script" not in text + page
    assert "&lt;script&gt;" in page
    assert "a \\| b" in text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, "", "0"),
        (3.9123, "ms", "3.91 ms"),
        (200770.88, "/s", "200,771/s"),
        (99.97, "%", "99.97 %"),
        (100.0, "%", "100 %"),
        (1.5, "x", "1.5x"),
    ],
)
def test_figures_are_told_to_what_they_are_good_for(value: float, unit: str, text: str) -> None:
    """Three digits, more where they are what counts."""
    assert number(value, unit) == text
    assert bound(Bound("<=", value), unit) == f"≤ {text}"
