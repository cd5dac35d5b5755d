"""The demo's build agent: what it restores is what was there."""

import json
from pathlib import Path

import pytest
from tests.unit.demo.recorded import Recorded

from mendbus import Agent
from mendbus.demo.build_agent import BuildAgent
from mendbus.demo.builds import MANIFEST, Build, sources_of
from mendbus.demo.faults import FAULTS, make_project


async def test_a_rollback_brings_sources_and_build_back_and_can_itself_be_taken_back(tmp_path: Path) -> None:
    """Changed modules are restored, added ones removed, the build is made anew; undo puts the broken sources back."""
    package = make_project(tmp_path / "project")
    agent, recorded = Agent("build_pipeline", "test"), Recorded()
    build = BuildAgent(agent, package, tmp_path / "out", recorded)  # pyright: ignore[reportArgumentType]
    good = sources_of(package)
    await build._restore(json.dumps(good).encode(), None)
    first = Build.from_json((tmp_path / "out" / MANIFEST).read_bytes())

    edit = FAULTS[0].edit
    assert edit is not None
    edit.save(package)
    (package / "added.py").write_text("ADDED = True\n")
    broken = sources_of(package)
    await build._restore(json.dumps(good).encode(), None)
    assert sources_of(package) == good
    second = Build.from_json((tmp_path / "out" / MANIFEST).read_bytes())
    assert (second.id, second.number, second.changed) == (first.id, first.number + 1, ("shop.pricing",))
    assert [told["number"] for told in recorded.told] == [1, 2]

    with pytest.raises(SyntaxError):
        await build._restore(json.dumps(broken).encode(), None)
    assert sources_of(package) == broken
    assert Build.from_json((tmp_path / "out" / MANIFEST).read_bytes()) == second
