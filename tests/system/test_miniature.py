"""The fixtures for who tests an agent: the guide's own example, run by a pytest of its own."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.harness import unmeasured

from mendbus import miniature

GUIDE = Path(__file__).parents[2] / "shared" / "README.md"

pytestmark = pytest.mark.timeout(180)


def test_the_guides_example_passes(tmp_path: Path) -> None:
    """The guide's example, and a test of the server alone, pass where nothing of this project is, without warnings."""
    (example,) = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    (tmp_path / "test_example.py").write_text(example)
    (tmp_path / "test_server.py").write_text("def test_it_runs(mendbus_server):\n    assert mendbus_server.running\n")
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\nfilterwarnings = error\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "mendbus.pytest_plugin", "-p", "no:cacheprovider", "."],
        cwd=tmp_path,
        env=unmeasured(),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_a_pipeline_that_cannot_start_says_why() -> None:
    """A policy that is none ends in an error that holds what the services said of it, and leaves no process behind."""
    with pytest.raises(RuntimeError, match="ended with status 2"), miniature.pipeline(policy="a ="):
        pytest.fail("it started")
