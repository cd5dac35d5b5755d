"""The agent in Go, written from `proto/` alone, keeps the contract and is recovered by the real services."""

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.system.examples import EXAMPLES, conforms_and_is_recovered

pytestmark = [pytest.mark.go, pytest.mark.timeout(600)]

EXAMPLE = EXAMPLES / "go"
LONGEST = 149


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """The agent, built; skips where its modules cannot be had."""
    if "go" not in request.config.option.markexpr.split():
        pytest.skip("the Go agent needs modules from elsewhere: run `make test-go`")
    go = shutil.which("go")
    if go is None:
        pytest.skip("the Go agent needs go on the PATH: install the version that proto/examples/go/go.mod names")
    fetched = subprocess.run([go, "mod", "download"], cwd=EXAMPLE, capture_output=True, text=True, check=False)
    if fetched.returncode:
        pytest.skip(f"the modules of the Go agent could not be had: {fetched.stderr.strip()[-400:]}")
    built = tmp_path_factory.mktemp("go-agent") / "agent"
    subprocess.run([go, "vet", "."], cwd=EXAMPLE, check=True)
    subprocess.run([go, "build", "-mod=readonly", "-o", built, "."], cwd=EXAMPLE, check=True)
    return built


def test_go_agent_is_short() -> None:
    """No file of the example is longer than what is read in one go."""
    for path in EXAMPLE.glob("*.go"):
        assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST, path


async def test_go_agent_conforms_and_is_recovered(program: Path, tmp_path: Path) -> None:
    """An agent in Go passes every check, is healed of an error within its own trace, and hears of it."""
    await conforms_and_is_recovered(tmp_path, (str(program),), program.parent, "go-1")


async def test_go_agent_keeps_to_its_rights(program: Path, tmp_path: Path) -> None:
    """With credentials, over TLS, it passes every check and is healed; commands count with the executor's signature."""
    await conforms_and_is_recovered(tmp_path, (str(program),), program.parent, "go-1", secure=True)
