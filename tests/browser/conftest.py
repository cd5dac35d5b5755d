"""A running `mendbus up` and a headless browser, for tests that are asked for with `-m browser`."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mendbus.bus import Bus
from mendbus.bus.nats import connect
from mendbus.contracts.subjects import Subjects

HERE = Path(__file__).parent
MENDBUS = (sys.executable, "-c", "from mendbus.cli import main; main()")
TOKEN = "browser-test-token-of-enough-length"
PATIENCE_MS = 60_000


def pytest_configure(config: pytest.Config) -> None:
    """The marker, so that these tests need no line elsewhere."""
    config.addinivalue_line("markers", "browser: drives a headless browser, for `make test-browser`")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """They run only when they are asked for."""
    if "browser" in str(config.option.markexpr).replace("not browser", ""):
        return
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="needs a browser: ask for it with -m browser"))


def find_browser() -> str:
    """The browser's program; skips where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    pytest.skip("there is no chromium on this machine")


@dataclass
class Up:
    """A running installation."""

    folder: Path
    nats_url: str = ""
    dashboard: str = ""
    """Address of the page, without the token."""
    subjects: Subjects = field(default_factory=Subjects)

    async def tell(self, *words: str) -> Any:
        """What a command prints with `--json`."""
        return json.loads(await asyncio.to_thread(self._run, *words))

    async def lines(self, *words: str) -> list[dict[str, Any]]:
        """The same of a command that prints a document a line."""
        return [json.loads(line) for line in (await asyncio.to_thread(self._run, *words)).splitlines()]

    def _run(self, *words: str) -> str:
        done = subprocess.run(
            [*MENDBUS, *words, "--json"],
            env={**os.environ, "NATS_URL": self.nats_url, "MENDBUS_DATA_DIR": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout


@pytest.fixture(scope="session")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """Everything on this machine, the dashboard with it, in one process."""
    find_browser()
    folder = tmp_path_factory.mktemp("up")
    policy = folder / "policy.toml"
    policy.write_text('require_approval = ["isolate"]\nsettle_seconds = 2.0\nask_timeout_ms = 5000\n')
    names = {
        "MENDBUS_POLICY_FILE": str(policy),
        "MENDBUS_DASHBOARD_PORT": "0",
        "MENDBUS_DASHBOARD_TOKEN": TOKEN,
        "MENDBUS_CANARY_SECONDS": "0",
        "MENDBUS_DATA_DIR": str(folder),
    }
    command = [*MENDBUS, "up", "--single-process", "--nats-port", "0", "--http-port", "0"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--data-dir", str(folder), "--json"],
            env={**os.environ, **names},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    found = Up(folder)
    try:
        assert process.stdout is not None
        for line in process.stdout:
            told = json.loads(line)
            if told["event"] == "nats":
                found.nats_url = told["url"]
            elif told["event"] == "dashboard":
                found.dashboard = told["url"]
            if found.nats_url and found.dashboard:
                break
        assert found.dashboard, f"no dashboard was told of:\n{(folder / 'log').read_text()[-3000:]}"
        yield found
    finally:
        process.terminate()
        if process.stdout is not None:
            process.stdout.close()
        process.wait(40)


@pytest.fixture
async def bus(up: Up) -> AsyncIterator[Bus]:
    """A connection of the test's own."""
    connected = await connect(up.nats_url, name="test")
    yield connected
    await connected.close()


@pytest.fixture
async def browser() -> AsyncIterator[Any]:
    """A headless browser."""
    playwright = pytest.importorskip("playwright.async_api")
    async with playwright.async_playwright() as driver:
        # Without its sandbox: tests run as root in containers, and only our own page is opened.
        opened = await driver.chromium.launch(executable_path=find_browser(), args=["--no-sandbox", "--disable-gpu"])
        yield opened
        await opened.close()


@dataclass
class Tab:
    """One page in the browser, and what it complained of."""

    page: Any
    base: str
    complaints: list[str] = field(default_factory=list[str])

    async def open(self, place: str = "", *, token: str = TOKEN) -> None:
        """Goes to a page of the dashboard, as `mendbus up` prints the address, and waits until it is live."""
        await self.page.goto(f"{self.base}#token={token}" if token else self.base)
        await self.page.wait_for_selector("text=Live >> visible=true")
        if place:
            await self.page.evaluate("place => { location.hash = place }", f"#/{place}")
        await self.page.wait_for_selector("h1")


@pytest.fixture
async def tab(up: Up, browser: Any) -> AsyncIterator[Tab]:
    """A tab of a desktop's size; a test in which it complains of anything fails."""
    context = await browser.new_context(viewport={"width": 1440, "height": 900})
    page = await context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    found = Tab(page, up.dashboard)
    page.on("console", lambda said: found.complaints.append(said.text) if said.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: found.complaints.append(str(error)))
    yield found
    await context.close()
    assert not found.complaints, found.complaints
