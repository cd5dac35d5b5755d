"""The README is executed: every block of it but `make test`."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.harness import unmeasured

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```$", (ROOT / "README.md").read_text("utf-8"), re.DOTALL | re.MULTILINE)
SHELL = [text for language, text in BLOCKS if language == "sh"]
PYTHON = [text for language, text in BLOCKS if language == "python"]

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What a reader's shell has after set-up, in an empty folder, with the README's own `mendbus up` running."""
    folder = tmp_path_factory.mktemp("readme")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    values = {**unmeasured(), "PATH": path, "NO_COLOR": "1", "PWD": str(folder)}
    (up,) = (text for text in SHELL if text.startswith("mendbus up"))
    # Ports of our own: the defaults may be taken on this machine.
    command = [*up.strip().removesuffix("&").split(), "--nats-port", "0", "--http-port", "0"]
    process = subprocess.Popen(command, cwd=folder, env=values, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("NATS"):
            values["NATS_URL"] = line.split()[1]
        if line.startswith("HTTP"):
            break
    yield values
    process.send_signal(signal.SIGINT)
    process.stdout.close()
    assert process.wait(30) == 0


def test_nothing_in_the_readme_is_left_unexecuted() -> None:
    """Every block is run by a test here, but `make test` itself."""
    run_here = [text for text in SHELL if text.startswith(("make demo", "make test", "mendbus up", "mendbus doctor"))]
    assert run_here == SHELL
    assert len(PYTHON) == 1


def test_the_commands_work(environment: dict[str, str]) -> None:
    """The operating commands run as they stand and show what was reported."""
    (commands,) = (text for text in SHELL if text.startswith("mendbus doctor"))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands],
        cwd=environment["PWD"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "runtime/r1" in done.stdout


async def test_the_python_agent_is_recovered(environment: dict[str, str], tmp_path: Path) -> None:
    """The agent of the README reports its error and is recovered by the pipeline."""
    script = tmp_path / "agent.py"
    script.write_text(PYTHON[0])
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), env=environment, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    assert output.decode().splitlines() == [
        "reported: left-pad: connection reset by peer",
        "calls: ['left-pad', 'left-pad']",
    ]
    listed = await asyncio.create_subprocess_exec(
        "mendbus",
        "incidents",
        "--agent",
        "build_pipeline/readme",
        cwd=environment["PWD"],
        env=environment,
        stdout=asyncio.subprocess.PIPE,
    )
    shown, _ = await asyncio.wait_for(listed.communicate(), 30)
    assert b"retry" in shown


def test_the_demo_works(tmp_path: Path) -> None:
    """`make demo` recovers its four faults and ends with status 0."""
    done = subprocess.run(
        ["make", "demo"], cwd=ROOT, capture_output=True, text=True, timeout=150, check=False, env=unmeasured()
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 of 4 faults recovered" in done.stdout
