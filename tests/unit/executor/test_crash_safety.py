"""Whatever dies, stands still or comes late, at any step: a command is effective once, and ends as the truth says.

For each actuator, journal, fence and the target's memory of commands are driven together.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from tests.unit.executor.crash_targets import AgentTarget, ProgramTarget, SupervisorTarget, WorkloadTarget
from tests.unit.executor.crash_world import REST_SECONDS, World

from mendbus.contracts.vocabulary import UNDOABLE
from mendbus.sdk.commands import CommandDesk
from mendbus_executor import command_memory, kubernetes_actuator

EXAMPLES = 15
STEPS = 20
QUICK = st.sampled_from((0.0005, 0.001, 0.002, 0.004, 0.006, 0.01, 0.03))


class Crashes(RuleBasedStateMachine):
    """Two kinds of replicas and a target; what happens to them, in any order."""

    def __init__(self, target: AgentTarget) -> None:
        super().__init__()
        self.target = target
        self._stack = ExitStack()
        folder = Path(self._stack.enter_context(TemporaryDirectory(prefix="mendbus-crashes-")))
        self.world = World(folder, self.target.table)
        self._stack.callback(self.world.close)
        self.target.enter(self.world)
        for _ in range(2):
            self.world.start_executor()
        self.world.start_owner()
        self.world.pass_seconds(0.05)
        self.asked = 0

    @rule(data=st.data(), seconds=QUICK)
    def order(self, data: st.DataObject, seconds: float) -> None:
        """The owner is to do something to the target, as soon as it is free."""
        strategy = data.draw(st.sampled_from(self.target.strategies))
        action = data.draw(st.sampled_from(("apply", "undo", "restore") if strategy in UNDOABLE else ("apply",)))
        self.world.orders.append((action, strategy))
        self.world.pass_seconds(seconds)

    @rule(seconds=st.sampled_from((0.001, 0.01, 0.1, 0.5)))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.world.pass_seconds(seconds)

    @rule(data=st.data(), kind=st.sampled_from(("executor", "executor", "owner")), steps=st.integers(1, 40))
    def kill(self, data: st.DataObject, kind: str, steps: int) -> None:
        """A replica dies, some steps from now."""
        alive = self.world.alive(kind)
        if alive:
            self.world.loop.fuses[data.draw(st.sampled_from(alive))] = steps

    @rule(data=st.data(), kind=st.sampled_from(("executor", "owner")))
    def stand_still(self, data: st.DataObject, kind: str) -> None:
        """A replica stands still."""
        alive = self.world.alive(kind)
        if alive:
            self.world.loop.stop_process(data.draw(st.sampled_from(alive)))

    @rule(data=st.data())
    def go_on(self, data: st.DataObject) -> None:
        """A replica that stood still goes on."""
        stopped = sorted(self.world.running & self.world.loop._stopped.keys())
        if stopped:
            self.world.loop.continue_process(data.draw(st.sampled_from(stopped)))

    @rule(data=st.data(), kind=st.sampled_from(("executor", "owner")), seconds=QUICK)
    def sleep_through(self, data: st.DataObject, kind: str, seconds: float) -> None:
        """Replicas stand still until what they were asked for has been given up and another thing is done instead."""
        first = data.draw(st.booleans())
        if not first:
            self.order(data, seconds)
        asleep = self.world.alive(kind)
        for process in asleep:
            self.world.loop.stop_process(process)
        if first:
            self.order(data, seconds)
        self.world.pass_seconds(1.0)
        self.start(kind)
        self.order(data, data.draw(st.sampled_from((seconds, 0.7))))
        for process in asleep:
            self.world.loop.continue_process(process)
        self.world.pass_seconds(seconds)

    @rule(kind=st.sampled_from(("executor", "owner")))
    def start(self, kind: str) -> None:
        """One more replica; an owner takes over from one that may live."""
        if len(self.world.alive(kind)) < 3:
            _ = self.world.start_executor() if kind == "executor" else self.world.start_owner()

    @rule(number=st.integers(0, 50))
    @precondition(lambda self: self.world.sent)
    def come_again(self, number: int) -> None:
        """Something that was sent before arrives once more."""
        self.world.send_again(number)

    @rule(cures=st.booleans(), fails=st.booleans(), survives=st.booleans())
    def fall_ill(self, cures: bool, fails: bool, survives: bool) -> None:
        """The target breaks; what is done to it may not help, fail after its effect, or survive who began it."""
        self.world.truth.cures, self.target.fails, self.target.survives = cures, fails, survives
        self.target.fall_ill()

    @rule()
    def restart_target(self) -> None:
        """The target's process is another one from now on."""
        self.target.restart()

    @invariant()
    def once_and_in_order(self) -> None:
        """No command took effect twice, nor after a newer one."""
        truth = self.world.truth
        twice = [command_id for command_id, times in truth.effects.items() if times > 1]
        assert not twice, f"took effect twice: {twice}"
        assert truth.order == sorted(truth.order), "an older command took effect after a newer one"
        assert not self.world.said, self.world.said

    def teardown(self) -> None:
        """All faults over, everything that is on disk is finished; what comes late after that changes nothing."""
        try:
            self._rest()
        finally:
            self._stack.close()

    def _rest(self) -> None:
        world = self.world
        world.loop.fuses.clear()
        for process in list(world.loop._stopped):
            world.loop.continue_process(process)
        world.start_executor()
        world.start_owner()
        end = world.loop.time() + REST_SECONDS
        unfinished: set[str] | None = None
        while world.orders or unfinished != set():
            assert world.loop.time() < end, f"not finished: {unfinished}"
            world.pass_seconds(0.5)
            intents, results = world.journal()
            unfinished = intents.keys() - results.keys()
        for number in range(len(world.sent)):
            world.send_again(number)
        world.pass_seconds(1.0)
        self.once_and_in_order()
        intents, results = world.journal()
        truth = world.truth
        assert truth.effects.keys() <= intents.keys(), "something was done that is not on disk"
        for command_id, (ended, attempted) in results.items():
            begun, command = intents[command_id]
            if attempted.result.verified:
                assert any(begun <= at <= ended for at in truth.found_well), f"no probe found it well: {attempted}"
            if attempted.result.status == "done" or (attempted.result.verified and command.strategy == "restart"):
                assert truth.effects[command_id] or attempted.result.status == "misaddressed", attempted


@pytest.mark.parametrize("target", [AgentTarget, SupervisorTarget, ProgramTarget, WorkloadTarget])
def test_a_command_is_effective_once_and_finished_whatever_dies(target: type[AgentTarget]) -> None:
    """Killed or stopped at any step, asked again, overtaken, fenced: one effect, one result, and no lie."""
    run_state_machine_as_test(
        lambda: Crashes(target()),
        settings=settings(max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None),
    )


@pytest.mark.parametrize(
    ("target", "planted"),
    [
        pytest.param(AgentTarget, lambda: patch.object(CommandDesk, "_remember"), id="an-agent-that-forgets"),
        pytest.param(SupervisorTarget, lambda: patch.object(CommandDesk, "_remember"), id="a-supervisor-that-forgets"),
        pytest.param(
            ProgramTarget, lambda: patch.object(command_memory, "_read", return_value=b""), id="a-memory-that-forgets"
        ),
        pytest.param(
            ProgramTarget,
            lambda: patch.object(command_memory.os, "pread", return_value=b""),
            id="a-memory-without-fence",
        ),
        pytest.param(
            WorkloadTarget, lambda: patch.object(kubernetes_actuator, "_fenced"), id="a-workload-without-fence"
        ),
        pytest.param(
            WorkloadTarget,
            lambda: patch.object(kubernetes_actuator, "COMMAND", "x/other"),
            id="a-workload-that-forgets",
        ),
    ],
)
def test_it_would_be_noticed(target: type[AgentTarget], planted: Callable[[], AbstractContextManager[object]]) -> None:
    """Without the memory of commands, or without the fence, the same search finds an effect too many."""
    noticed = settings(
        max_examples=60, stateful_step_count=STEPS, deadline=None, derandomize=True, phases=[Phase.generate]
    )
    with planted(), pytest.raises(AssertionError, match="took effect"):
        run_state_machine_as_test(lambda: Crashes(target()), settings=noticed)
