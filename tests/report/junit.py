"""What a test run came to, from the JUnit XML that pytest and most other runners write."""

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

_MESSAGE = 300


@dataclass(frozen=True, slots=True)
class Test:
    """One test: its name with its module, seconds, and what was wrong, "" for nothing."""

    name: str
    seconds: float
    outcome: str
    message: str = ""


@dataclass(frozen=True, slots=True)
class TestRun:
    """A whole run. `seconds` by the clock on the wall; `date` as the runner wrote it."""

    file: Path
    date: str
    seconds: float
    tests: list[Test]

    @property
    def run(self) -> list[Test]:
        """Those that were not skipped."""
        return [test for test in self.tests if test.outcome != "skipped"]

    @property
    def passed(self) -> int:
        """How many passed."""
        return sum(test.outcome == "passed" for test in self.tests)

    @property
    def failures(self) -> list[Test]:
        """Those that failed or could not be run, in the order of the run."""
        return [test for test in self.tests if test.outcome in ("failed", "error")]

    @property
    def fastest(self) -> Test | None:
        """None where nothing ran."""
        return min(self.run, key=lambda test: test.seconds, default=None)

    @property
    def slowest(self) -> Test | None:
        """None where nothing ran."""
        return max(self.run, key=lambda test: test.seconds, default=None)


def read(file: Path) -> TestRun:
    """Raises `OSError`, and `ValueError` for what is no such file."""
    try:
        root = ET.fromstring(file.read_bytes())
    except ET.ParseError as error:
        msg = f"no XML: {error}"
        raise ValueError(msg) from None
    suites = [root] if root.tag == "testsuite" else list(root.iter("testsuite"))
    if not suites:
        msg = f"<{root.tag}> holds no test suite"
        raise ValueError(msg)
    return TestRun(
        file,
        suites[0].get("timestamp", ""),
        sum(float(suite.get("time", "0")) for suite in suites),
        [_test(case) for suite in suites for case in suite.findall("testcase")],
    )


def _test(case: ET.Element) -> Test:
    name = ".".join(part for part in (case.get("classname", ""), case.get("name", "")) if part)
    seconds = float(case.get("time", "0"))
    for tag, outcome in (("failure", "failed"), ("error", "error"), ("skipped", "skipped")):
        found = case.find(tag)
        if found is not None:
            message = (found.get("message") or found.text or "").strip()
            return Test(name, seconds, outcome, message[:_MESSAGE])
    return Test(name, seconds, "passed")
