"""What counts as avoided, as foretold in time and as done for nothing, and what lies between the two arms."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.lab import preventing, record
from tests.lab.faults.drift import DRIFTS
from tests.lab.prevented import ARMS, Acted, Tale, arm, content, table
from tests.lab.preventing import planned, policy_of
from tests.lab.recording import Run
from tests.support import tell

from mendbus.bus import Bus
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.errors import SettingsError
from mendbus.contracts.messages import AgentRef, FailurePredicted, RecoveryOutcome
from mendbus.contracts.subjects import Subjects
from mendbus.contracts.summaries import AttemptSummary
from mendbus_strategy_selector.foreseen import error_of, summary_of
from mendbus_strategy_selector.policy import read_policy

DONE = Acted(20.0, "runtime", 0.6, "restart", verified=True)
LEFT = Acted(20.0, "runtime", 0.6)


def tale(*foretold: Acted, what: str = "fault", failed: float | None = 30.0, **changes: object) -> Tale:
    """A run in which something began in the runtime at 10."""
    run = Run(1, 1, what, "drift_memory_leak", "runtime", began=10.0, failed=failed)
    for name, value in changes.items():
        setattr(run, name, value)
    return Tale("on", run, list(foretold))


def test_what_was_foretold_in_time_is_of_the_agent_and_between_the_beginning_and_the_failure() -> None:
    """Neither what was told before, nor after, nor of another agent counts."""
    early, late, other = (Acted(9.0, "runtime", 0.6), Acted(31.0, "runtime", 0.6), Acted(20.0, "versioning", 0.6))
    assert tale(early, LEFT, late, other).mine() == [LEFT]
    assert tale(late, failed=None).mine() == [late]


@pytest.mark.parametrize(
    ("one", "count"),
    [
        (tale(DONE), 0),
        (tale(Acted(9.0, "runtime", 0.6, "restart")), 1),
        (tale(Acted(20.0, "versioning", 0.6, "restart")), 1),
        (tale(DONE, what="look_alike", failed=None), 1),
        (tale(LEFT, what="look_alike", failed=None), 0),
    ],
)
def test_what_is_done_to_an_agent_that_would_not_have_failed_is_for_nothing(one: Tale, count: int) -> None:
    """Before anything began, to an agent with nothing wrong, or to one that only looks like it."""
    assert len(one.for_nothing()) == count


def test_a_toolchain_s_predictions_are_told_of_once() -> None:
    """What concerns an agent with a fault of its own is left to its tale."""
    one = tale(Acted(20.0, "versioning", 0.6, "restart"))
    one.others = frozenset(("versioning",))
    assert one.for_nothing() == []
    assert content([one], {}, {})["tales"][0]["foretold"] == []


def test_arms_are_summed_and_set_against_each_other() -> None:
    """Hand-counted: of two faults one was avoided, of two look-alikes one was noticed, a busy one is not judged."""
    on = arm(
        [
            tale(DONE, failed=None),
            tale(LEFT),
            tale(DONE, what="look_alike"),
            tale(what="look_alike", failed=None),
            tale(DONE, disturbed=["runtime"]),
        ]
    )
    assert (on.failed.hits, on.failed.of) == (1, 2)
    assert (on.foretold.hits, on.acted.hits, on.acted.of) == (2, 1, 2)
    assert (on.alike_felt.hits, on.alike_acted.hits, on.alike_felt.of) == (1, 1, 2)
    assert (on.for_nothing, on.busy) == (1, 1)
    assert (on.strategies["restart"].hits, on.strategies["restart"].of) == (3, 3)
    off = arm([tale(), tale()])
    assert (off.failed.hits, off.failed.of) == (2, 2)
    shown = table({"off": off, "on": on})
    assert "failures, acting against not:    -50 points" in shown
    assert "look-alikes, acting against not: not comparable" in shown
    assert content([], {"off": off, "on": on}, {})["between"]["failures"].startswith("-50 points")


def test_the_plan_is_of_what_grows_and_what_looks_like_it() -> None:
    """Every toolchain has at least one, no two in one agent, and the seed says which."""
    worlds = planned(40, 60.0, 1)
    runs = [run for world in worlds for run in world]
    assert {run.name for run in runs} <= set(DRIFTS)
    assert {run.what for run in runs} == {"fault", "look_alike"}
    assert all(len({run.agent for run in world}) == len(world) for world in worlds)
    assert {len(world) for world in planned(40, 60.0, 1, alone=True)} == {1}
    assert [run.name for run in runs] == [run.name for world in planned(40, 60.0, 1) for run in world]


class Stage:
    """A stand-in for installation and toolchain: a bus on which what became of predictions is told."""

    def __init__(self) -> None:
        self.server = MemoryServer()
        self.subjects = Subjects()
        self.url = ""
        self.members: dict[str, Any] = {}
        self.policies: list[str] = []

    async def connect(self, name: str) -> Bus:
        return self.server.connect(name)

    @asynccontextmanager
    async def installed(self, _: Path, *, policy: str) -> AsyncGenerator[SimpleNamespace]:
        self.policies.append(policy)
        yield SimpleNamespace(server=self, subjects=self.subjects, connect=self.connect)

    @asynccontextmanager
    async def toolchain(self, *_: Any, **__: Any) -> AsyncGenerator["Stage"]:
        yield self

    async def live(self, run: Run, toolchain: object, begun: float, end: float) -> None:
        """What a run would be: something is foretold of its agent, acted upon in one arm, and of another agent."""
        assert toolchain is self
        assert end - begun == run.seconds
        acts = "preventive" in self.policies[-1]
        run.failed = None if acts and run.what == "fault" else 50.0
        bus = await self.connect("selector")
        for kind in (run.agent, "versioning"):
            told = recovered(f"{run.number}-{kind}", kind, acts=acts)
            await tell(bus, self.subjects.outcome(kind, "lab"), told)
        await bus.barrier()


def recovered(incident_id: str, kind: str, *, acts: bool) -> RecoveryOutcome:
    """The outcome of a prediction, restarted where that was done."""
    agent = AgentRef(kind=kind, id="lab")
    predicted = FailurePredicted(
        id="p1", time_unix_nano=time.time_ns(), agent=agent, probability=0.6, confidence=0.0, horizon_ms=1, model="m"
    )
    attempt = AttemptSummary(
        attempt=1,
        command_id="c",
        strategy="restart",
        status="done",
        verified=True,
        started_unix_nano=1,
        ended_unix_nano=2,
    )
    return RecoveryOutcome(
        incident_id=incident_id,
        sequence=0,
        agent=agent,
        fingerprint="f",
        outcome="recovered" if acts else "no_action",
        attempts=[attempt] if acts else [],
        error_count=1,
        event_count=1,
        error=error_of(predicted),
        prediction=summary_of(error_of(predicted)),
        trace_id="",
    )


async def test_each_toolchain_is_played_in_both_arms_and_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same runs twice, first one arm, then the other; predictions about other agents are with the first tale."""
    stage = Stage()
    monkeypatch.setattr(preventing, "installation", stage.installed)
    monkeypatch.setattr(preventing, "world", stage.toolchain)
    monkeypatch.setattr(record, "live", stage.live)
    monkeypatch.setattr(preventing, "WARM_SECONDS", 0.0)
    runs = [
        Run(1, 1, "fault", "drift_memory_leak", "runtime", seconds=60.0, began=0.0),
        Run(2, 1, "look_alike", "drift_cpu_hog", "orchestrator", seconds=60.0, began=0.0),
    ]
    policies = {name: policy_of(name, ["restart"], 0.0) for name in ARMS}
    tales: list[Tale] = []
    broken: list[str] = []
    await preventing.play_all([runs, runs[:1]], policies, tmp_path, tales, broken)
    assert broken == []
    assert [tale.arm for tale in tales] == ["off", "off", "on", "on", "on", "off"]
    assert [stage.policies[place] for place in (0, 3)] == [policies["off"]] * 2
    assert runs[0].failed is None
    found = {name: arm([tale for tale in tales if tale.arm == name]) for name in ARMS}
    assert (found["off"].failed.hits, found["on"].failed.hits, found["on"].failed.of) == (2, 0, 2)
    assert (found["off"].acted.hits, found["on"].acted.hits) == (0, 2)
    assert (found["off"].for_nothing, found["on"].for_nothing, found["on"].alike_acted.hits) == (0, 4, 1)


async def test_a_toolchain_that_does_not_come_to_work_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The others are played all the same, and the reason is told."""

    @asynccontextmanager
    async def none(_: Path, *, policy: str) -> AsyncGenerator[None]:
        raise TimeoutError(f"not ready, policy {len(policy)}")
        yield

    monkeypatch.setattr(preventing, "installation", none)
    tales: list[Tale] = []
    run = Run(1, 1, "fault", "drift_memory_leak", "runtime", seconds=60.0)
    policies = {name: policy_of(name, ["restart"], 0.0) for name in ARMS}
    broken: list[str] = []
    await preventing.play_all([[run]], policies, tmp_path, tales, broken)
    assert tales == []
    assert [sentence.split("(")[0] for sentence in broken] == [
        "toolchain 0, off: TimeoutError",
        "toolchain 0, on: TimeoutError",
    ]
    assert "NOT PLAYED toolchain 0, on: TimeoutError('not ready" in capsys.readouterr().err


def test_the_policies_of_the_arms_are_policies() -> None:
    """One does nothing before a failure, the other what is asked for, with nothing held out."""
    on = read_policy(policy_of("on", ["restart"], 0.2), "on").preventive
    assert (on.strategies["runtime"], on.least_probability, on.holdout_share) == (["restart"], 0.2, 0.0)
    assert read_policy(policy_of("off", ["restart"], 0.2), "off").preventive.strategies == {}
    with pytest.raises(SettingsError):
        _ = policy_of("on", ["retry"], 0.2)
