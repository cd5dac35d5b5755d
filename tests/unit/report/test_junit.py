"""What a test run came to is read from JUnit XML, whoever wrote it."""

from pathlib import Path

import pytest
from tests.report.junit import read

PYTEST = """<?xml version="1.0" encoding="utf-8"?>
<testsuites name="pytest tests"><testsuite name="pytest" errors="1" failures="1" skipped="1" tests="5" time="7.5"
timestamp="2026-11-23T10:00:00.5+00:00" hostname="somewhere">
<testcase classname="tests.a" name="test_quick" time="0.001"/>
<testcase classname="tests.a" name="test_slow[1 &lt; 2]" time="5.25"/>
<testcase classname="tests.b" name="test_wrong" time="0.5"><failure message="assert 1 == 2">trace</failure></testcase>
<testcase classname="tests.b" name="test_broken" time="0.1"><error message="no such fixture">trace</error></testcase>
<testcase classname="tests.b" name="test_left" time="0.0"><skipped message="no tool"/></testcase>
</testsuite></testsuites>"""


def written(folder: Path, text: str) -> Path:
    file = folder / "junit.xml"
    file.write_text(text)
    return file


def test_counts_times_and_the_last_failure(tmp_path: Path) -> None:
    """Skipped tests did not run: they are neither passed nor the fastest."""
    found = read(written(tmp_path, PYTEST))
    assert (len(found.tests), len(found.run), found.passed, len(found.failures)) == (5, 4, 2, 2)
    assert found.seconds == 7.5
    assert found.date == "2026-11-23T10:00:00.5+00:00"
    assert found.fastest is not None
    assert found.fastest.name == "tests.a.test_quick"
    assert found.slowest is not None
    assert found.slowest.name == "tests.a.test_slow[1 < 2]"
    assert (found.failures[-1].name, found.failures[-1].message) == ("tests.b.test_broken", "no such fixture")


def test_a_single_suite_at_the_root_is_read_too(tmp_path: Path) -> None:
    """Other runners write no `testsuites` around it; a message may be in the text alone."""
    found = read(
        written(
            tmp_path,
            '<testsuite tests="1" time="0.2"><testcase name="one" time="0.2"><failure>why</failure></testcase>'
            "</testsuite>",
        )
    )
    assert [(test.name, test.outcome, test.message) for test in found.tests] == [("one", "failed", "why")]


def test_a_run_of_nothing_has_no_fastest(tmp_path: Path) -> None:
    """No test, no figure."""
    found = read(written(tmp_path, '<testsuites><testsuite tests="0" time="0"/></testsuites>'))
    assert (found.fastest, found.slowest, found.failures) == (None, None, [])


@pytest.mark.parametrize("text", ["", "not xml", "<html/>", "<testsuites>"])
def test_what_is_no_such_file_is_refused(tmp_path: Path, text: str) -> None:
    """It raises `ValueError` with a reason."""
    with pytest.raises(ValueError, match=r"XML|suite"):
        read(written(tmp_path, text))
