"""Models on a real server: one command from anywhere reaches every replica, and who may give it."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from tests.integration import secured
from tests.integration.secured import Secured
from tests.support import ask
from tests.unit.shared.test_modelstore import made
from typer.testing import CliRunner

import mendbus_classifier
from mendbus import modellife, models
from mendbus.bus import Bus
from mendbus.bus.nats import connect
from mendbus.cli import app
from mendbus.contracts.asks import Classification, Classify
from mendbus.contracts.errors import Forbidden
from mendbus.modelstore import PACKAGED, ModelStore
from mendbus.server import NatsServer
from mendbus.service import run_services
from mendbus.settings import Settings
from mendbus.testing import eventually
from mendbus_classifier.model import packaged

REPLICAS = 2
QUESTION = Classify.model_validate(
    {
        "error": {
            "id": "e",
            "time_unix_nano": 1,
            "agent": {"kind": "runtime", "id": "a"},
            "exception": {"type": "Error", "message": "no space left on device"},
        },
        "fingerprint": "v1:0",
    }
)


@asynccontextmanager
async def replica(settings: Settings) -> AsyncGenerator[None]:
    """A classifier as a process of its own has it, for the length of a block."""
    ready, stop = asyncio.Event(), asyncio.Event()
    running = run_services([mendbus_classifier.build()], settings, stop=stop, on_ready=lambda _: ready.set())
    task = asyncio.create_task(running)
    async with asyncio.timeout(30.0):
        await ready.wait()
    yield
    stop.set()
    await task


async def command(*words: str) -> str:
    """What `mendbus models` says, as on another machine: in a thread with an event loop of its own."""
    shown = await asyncio.to_thread(CliRunner().invoke, app.build(), ["models", *words])
    assert shown.exit_code == 0, shown.output
    return shown.stdout


async def test_a_promotion_reaches_every_replica_and_so_does_going_back(
    nats_server: NatsServer, root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Added, promoted, answered with by all, found again after a restart, rolled back; no folder is shared."""
    monkeypatch.setattr(modellife, "LOOK_SECONDS", 0.05)
    monkeypatch.setenv("NATS_URL", nats_server.url)
    monkeypatch.setenv("MENDBUS_ROOT", root)
    card, files = models.read(packaged())
    models.write_folder(tmp_path / "new", card.model_copy(update={"name": "errors-9"}), files)
    settings = Settings(
        nats_url=nats_server.url, root=root, stream_max_bytes=1 << 24, http_port=-1, trace=False, drain_seconds=1
    )
    bus: Bus = await connect(nats_server.url, name="test")

    async def answers() -> set[str]:
        """The models that answer; each replica is asked by turns of chance."""
        said = [await ask(bus, settings.subjects.classify, QUESTION, Classification) for _ in range(16)]
        return {one.model for one in said}

    async def all_answer(name: str) -> None:
        async def asked() -> bool:
            return await answers() == {name}

        await eventually(asked, timeout=30.0)

    async with AsyncExitStack() as replicas:
        for number in range(REPLICAS):
            own = settings.model_copy(update={"data_dir": tmp_path / str(number)})
            await replicas.enter_async_context(replica(own))
        await all_answer(card.name)
        assert await command("add", str(tmp_path / "new")) == "errors-9 is in trial\n"
        assert await answers() == {card.name}
        _ = await command("promote", "errors-9")
        await all_answer("errors-9")
    async with replica(settings.model_copy(update={"data_dir": tmp_path / "other"})):
        await all_answer("errors-9")
        assert await command("rollback") == "packaged is in use\n"
        await all_answer(card.name)
    assert not list(tmp_path.glob("*/models"))
    await bus.close()


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Secured]:
    """A server with users."""
    found = await secured.start(tmp_path)
    yield found
    await found.stop()


async def test_operators_change_models_and_each_service_its_own_verdict_only(site: Secured, tmp_path: Path) -> None:
    """Who may only look sees them; a service reads all of its own, and writes no model and no other service's key."""

    async def models_of(user: str, service: str = "classifier") -> ModelStore:
        return ModelStore(await site.connect(user), site.subjects, service)

    operator = await models_of("operator/orders")
    name = await operator.add(made(tmp_path, "errors-2"), "t", "me")
    state = await operator.promote(name, "t", "me")
    for user in ("operator/looks", "service/classifier"):
        reader = await models_of(user)
        assert (await reader.state(), await reader.names()) == (state, [name])
        assert await reader.content(name)
        with pytest.raises(Forbidden):
            _ = await reader.put(made(tmp_path, "errors-3"))
    with pytest.raises(Forbidden):
        _ = await (await models_of("operator/looks")).rollback("t", "me")
    for service in ("classifier", "predictor", "strategy-selector"):
        verdict = await (await models_of(f"service/{service}", service)).shadow(None, "t", "trial")
        assert (verdict.shadow, verdict.changes[-1]["change"]) == (None, "trial ended")
    with pytest.raises(Forbidden):
        _ = await (await models_of("service/predictor")).shadow(None, "t", "trial")
    # The strategy-selector keeps the model of its package when that is promoted.
    selector = await models_of("service/strategy-selector", "strategy-selector")
    kept = await selector.put(made(tmp_path, "choice-2", "strategy-selector"))
    assert await (await models_of("operator/admin", "strategy-selector")).promote(kept, "t", "me")
    with pytest.raises(Forbidden):
        _ = await (await models_of("service/executor")).state()
    assert await operator.rollback("t", "me") == PACKAGED
