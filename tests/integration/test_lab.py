"""The lab's toolchain at work: six agents, their links, and the users of each."""

import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from tests.harness import installation
from tests.lab.judging import over
from tests.lab.kinds import KINDS, LEFT_OUT, ORDER
from tests.lab.world import world

from mendbus.testing import eventually

_SERVED = 4
_SECONDS = 60.0


@pytest.mark.timeout(240)
async def test_a_user_of_each_kind_is_served_and_served_again_after_its_worker_was_killed(tmp_path: Path) -> None:
    """Every agent that can work here gives its users right answers; one that loses its worker does so again."""
    async with installation(tmp_path / "system") as system, world(tmp_path / "world", system.server.url) as lab:
        assert set(lab.users) == set(lab.members) == set(ORDER)
        begun = time.monotonic()
        for kind, user in lab.users.items():

            async def served(kind=kind, user=user) -> bool:
                uses = user.since(begun)
                assert sum(not use.wrong for use in uses) >= _SERVED, f"{kind}: {uses[-_SERVED:]}"
                return True

            await eventually(served, _SECONDS)
            assert not lab.wrong(kind, begun), kind
        victim = lab.members["runtime"]
        before = await victim.worker()
        killed = time.monotonic()
        os.kill(before, signal.SIGKILL)

        async def recovered() -> bool:
            return over(lab.users["runtime"].since(killed), "runtime") is not None and await victim.worker() != before

        await eventually(recovered, _SECONDS)


@pytest.mark.skipif("shader_pipeline" not in LEFT_OUT, reason="the shader compiler is installed here")
def test_without_a_shader_compiler_only_the_shader_pipeline_is_left_out() -> None:
    """The others do not need it: they are all there."""
    assert set(KINDS) - set(ORDER) == {"shader_pipeline"}


@pytest.mark.skipif("shader_pipeline" in LEFT_OUT, reason="needs glslangValidator (Debian package glslang-tools)")
def test_with_a_shader_compiler_every_kind_is_there() -> None:
    """Nobody is left out."""
    assert shutil.which("glslangValidator")
    assert set(ORDER) == set(KINDS)
