"""What an installation recorded becomes a model: learnt from, tried, promoted, turned back, without a lost request."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.support import ask, memory_runtime
from tests.unit.classifier.test_handlers import question
from tests.unit.cli.samples import REPORTED, error, outcome
from tests.unit.shared.test_export import stored

from mendbus import modellife
from mendbus.annotations import Relabel
from mendbus.contracts.asks import Classification
from mendbus.contracts.errors import MendbusError
from mendbus.contracts.messages import ExceptionInfo, RecoveryOutcome
from mendbus.contracts.subjects import Subjects
from mendbus.contracts.vocabulary import Category
from mendbus.export import json_line
from mendbus.export_relabels import RelabelRows
from mendbus.exports import EXPORTS
from mendbus.models import read_folder
from mendbus.modelstore import PACKAGED, ModelStore
from mendbus.settings import Settings
from mendbus.testing import eventually
from mendbus_classifier import build
from mendbus_classifier.offline import commands, samples

WHERE = Subjects().outcome("runtime", "r1")


def said(number: int) -> str:
    """What errors of this house say; general knowledge takes the first kind for a matter of the network."""
    if number % 2:
        return f"silo gate {number} jammed: the tray said connection refused"
    return f"ratchet {number} overtook the pawl after {number * 7} turns"


def incident(number: int, **named: Any) -> RecoveryOutcome:
    told = error(exception=ExceptionInfo(type="HouseError", message=said(number)), **named)
    return outcome(incident_id=f"i{number}", fingerprint=f"v1:{number}", error=told)


def exported(path: Path, what: str, incidents: list[RecoveryOutcome], labels: dict[str, Relabel]) -> Path:
    rows = EXPORTS[what].rows()
    if isinstance(rows, RelabelRows):
        rows.relabels = labels
    found = [row for one in incidents for row in rows.of(stored(one, WHERE))]
    path.write_text("".join(map(json_line, [*found, *rows.rest()])))
    return path


def test_only_what_somebody_knew_is_learnt_from(tmp_path: Path) -> None:
    """A relabelling counts before what the agent named, and what the classifier guessed is no truth."""
    incidents = [incident(1), incident(2, category="build"), incident(3, category="memory", severity="fatal")]
    labels = {"i2": Relabel(REPORTED, "kim", "concurrency", None, "seen")}
    history = exported(tmp_path / "incidents.jsonl", "incidents", incidents, {})
    relabels = exported(tmp_path / "relabels.jsonl", "relabels", incidents, labels)
    recorded, corrected = samples.merged([samples.read(history), samples.read(relabels)])
    assert [(s.incident, s.category, s.severity, s.group) for s in recorded] == [("i3", "memory", "fatal", "v1:3")]
    assert [(s.incident, s.category, s.severity) for s in corrected] == [("i2", "concurrency", "error")]
    assert (corrected[0].kind, corrected[0].message) == ("HouseError", said(2))
    assert [s.severity for s in samples.read(history)] == ["", "fatal"]
    history.write_text(json.dumps({"incident_id": "i", "details": 3}) + "\n")
    with pytest.raises(MendbusError, match="line 1"):
        samples.read(history)


def test_too_few_groups_train_nothing(tmp_path: Path) -> None:
    """Sixty errors that are all alike cannot be learnt from and measured by at once."""
    alike = [incident(1, category="storage").model_copy(update={"incident_id": f"i{n}"}) for n in range(60)]
    file = exported(tmp_path / "incidents.jsonl", "incidents", alike, {})
    with pytest.raises(MendbusError, match="60 labelled errors of 1 groups"):
        commands.train([file], tmp_path / "m", "errors-9", 1, lambda _: None)


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A model that learnt on from the packaged one by sixty relabelled incidents, and what was told meanwhile."""
    folder = tmp_path_factory.mktemp("learnt")
    told: list[str] = []
    incidents = [incident(number) for number in range(60)]
    truth: tuple[Category, Category] = ("concurrency", "storage")
    labels = {f"i{n}": Relabel(REPORTED, "kim", truth[n % 2], None, "seen") for n in range(60)}
    file = exported(folder / "relabels.jsonl", "relabels", incidents, labels)
    commands.train([file], folder / "model", "errors-9", 1, told.append)
    return folder / "model", told


def test_a_house_teaches_its_own_words(learnt: tuple[Path, list[str]]) -> None:
    """The new model is right where the packaged one is not, on errors it was not fitted on; progress is told."""
    card, _ = read_folder(learnt[0])
    before, _ = read_folder(commands.packaged())
    assert card.samples == before.samples + 60
    assert f"learnt before: {before.name}" in card.data
    assert card.figures["strict"] > 0.9
    assert len(learnt[1]) >= 3


async def test_it_is_tried_promoted_and_turned_back_and_no_request_is_lost(
    learnt: tuple[Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Agents that name their errors decide; requests go on through every change, and each gets its answer."""
    monkeypatch.setattr(modellife, "LOOK_SECONDS", 0.01)
    settings = Settings(trace=False, canary_seconds=0, data_dir=tmp_path)
    packaged = read_folder(commands.packaged())[0].name
    async with memory_runtime(build(), settings=settings) as runtime:
        store = ModelStore(runtime.bus, runtime.subjects, "classifier")
        bus, subject = runtime.bus, runtime.subjects.classify
        answers: list[Classification] = []

        async def steadily() -> None:
            while True:
                answers.append(await ask(bus, subject, question("connection refused"), Classification))
                await asyncio.sleep(0)

        async def named(category: str) -> None:
            # One by one: an agent that went on to confirm the winner would end the trial of the loser.
            await ask(bus, subject, question(said(1), category=category), Classification)

        async with asyncio.TaskGroup() as tasks:
            asking = tasks.create_task(steadily())
            _ = await store.add(learnt[0], "t", "me")
            # Those that come before the trial has begun tell nothing.
            async with asyncio.timeout(60.0):
                while (await store.state()).active == PACKAGED:
                    await named("storage")
            await eventually(lambda: answers[-1].model == "errors-9", timeout=60.0)
            async with asyncio.timeout(60.0):
                while (await store.state()).active != PACKAGED:
                    await named("network")
            await eventually(lambda: answers[-1].model == packaged, timeout=60.0)
            assert not asking.done()
            asking.cancel()
        assert {answer.model for answer in answers} == {packaged, "errors-9"}
        _ = await store.promote("errors-9", "t", "me")
        assert await store.rollback("t", "me") == PACKAGED
        changes = [change["change"] for change in (await store.state()).changes]
    assert (changes[:3], changes[-2:]) == (["trial", "promoted", "promoted"], ["promoted", "rolled back"])
