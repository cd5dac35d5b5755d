"""The agent in Node, written from `proto/` alone, keeps the contract and is recovered by the real services."""

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.system.examples import EXAMPLES, conforms_and_is_recovered

pytestmark = [pytest.mark.node, pytest.mark.timeout(180)]

EXAMPLE = EXAMPLES / "node"
OLDEST = 20
LONGEST = 149


@pytest.fixture(scope="module")
def agent_folder(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """A folder of its own with the agent and its packages; skips where they cannot be had."""
    if "node" not in request.config.option.markexpr:
        pytest.skip("the Node agent needs packages from npm: run `make test-node`")
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        pytest.skip("the Node agent needs node and npm on the PATH: install Node.js 20 or newer")
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    if int(version.removeprefix("v").split(".")[0]) < OLDEST:
        pytest.skip(f"the Node agent needs Node.js {OLDEST} or newer, this is {version}")
    folder = tmp_path_factory.mktemp("node-agent")
    for name in ("agent.mjs", "access.mjs", "package.json"):
        shutil.copy(EXAMPLE / name, folder)
    install = [npm, "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        pytest.skip(f"the packages of the Node agent could not be installed: {done.stderr.strip()[-400:]}")
    return folder


def test_node_agent_is_short() -> None:
    """No file of the example is longer than what is read in one go."""
    for path in EXAMPLE.glob("*.mjs"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST, path


async def test_node_agent_conforms_and_is_recovered(agent_folder: Path, tmp_path: Path) -> None:
    """An agent in Node passes every check, is healed of an error within its own trace, and hears of it."""
    await conforms_and_is_recovered(tmp_path, ("node", "agent.mjs"), agent_folder, "node-1")


async def test_node_agent_keeps_to_its_rights(agent_folder: Path, tmp_path: Path) -> None:
    """With credentials, over TLS, it passes every check and is healed; commands count with the executor's signature."""
    await conforms_and_is_recovered(tmp_path, ("node", "agent.mjs"), agent_folder, "node-1", secure=True)
