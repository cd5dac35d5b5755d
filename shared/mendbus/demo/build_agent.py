"""The build agent: builds a package whenever a file of it changes, and can take its sources back to the last good ones.

`python -m mendbus.demo.build_agent PACKAGE OUT`.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mendbus import Agent
from mendbus.demo.builds import Build, Builder, path_of, replace_file, sources_of
from mendbus.demo.lines import Lines, changes

KIND: Final = "build_pipeline"
ID: Final = "demo-build"
READY_SECONDS: Final = 10.0


class BuildAgent:
    """Builds into `out`; failures go to Mendbus through `agent`, and what came of each change to `lines`."""

    def __init__(self, agent: Agent, package: Path, out: Path, lines: Lines) -> None:
        self._agent = agent
        self._package = package
        self._builder = Builder(package, out)
        self._lines = lines
        self._seen: dict[str, str] = {}
        self._built: dict[str, str] = {}
        self._failed: dict[str, str] | None = None
        self._build: Build | None = None
        # A compiler knows what its failures are; what an import is missing is left to the classifier.
        compiling = agent.operation("compile", probe=self._probe_compile, category="build")
        self._compile = compiling(self._compile_changed)
        self._link = agent.operation("link", probe=self._probe_link)(self._link_all)
        agent.state(snapshot=self._snapshot, restore=self._restore)

    async def watch(self) -> None:
        """Builds now, and after each change, for ever."""
        async for _ in changes(self._package):
            self._seen = sources_of(self._package)
            if self._seen not in (self._built, self._failed):
                # What failed has been reported by then; there is nothing to do but wait for a change.
                with contextlib.suppress(SyntaxError, ImportError):
                    await self._compile()
                    await self._link()

    async def status(self) -> dict[str, object]:
        """Of the newest good build, for those who ask."""
        return {"number": self._build.number if self._build else 0, "build": self._build.id if self._build else ""}

    # -- operations

    async def _compile_changed(self) -> None:
        """Compiles what changed since the last good build. Raises `SyntaxError`."""
        self._read()
        self._failed = self._seen
        _ = self._builder.compile({name: self._seen[name] for name in self._changed()})
        self._failed = None

    async def _link_all(self) -> None:
        """Checks all imports and makes it the newest good build. Raises `ImportError`."""
        self._read()
        build = self._publish(self._changed())
        _ = self._agent.checkpoint(build.id)

    def _publish(self, changed: Sequence[str]) -> Build:
        self._failed = self._seen
        number = self._build.number + 1 if self._build else 1
        self._build = self._builder.link(self._seen, changed, number)
        self._built, self._failed = self._seen, None
        self._lines.tell("built", number=number, build=self._build.id)
        return self._build

    def _read(self) -> None:
        # A call that is made again must see what is there now, not what failed then.
        self._seen = sources_of(self._package)

    def _changed(self) -> list[str]:
        return [name for name, text in self._seen.items() if self._built.get(name) != text]

    # -- what recovery needs

    def _snapshot(self) -> bytes:
        return json.dumps(self._seen).encode()

    async def _restore(self, content: bytes, _version: str | None) -> None:
        """Takes the sources back to a checkpoint, and builds what that changes. Raises what building raises."""
        sources: dict[str, str] = json.loads(content)
        present = sources_of(self._package)
        changed = [name for name in sources if present.get(name) != sources[name]]
        for name in changed:
            replace_file(path_of(self._package, name), sources[name].encode())
        for name in present.keys() - sources.keys():
            path_of(self._package, name).unlink()
        self._seen = sources
        self._publish(changed)

    async def _probe_compile(self) -> None:
        _ = self._builder.compile(sources_of(self._package))

    async def _probe_link(self) -> None:
        sources = sources_of(self._package)
        _ = self._builder.compile(sources), self._builder.check(sources)


async def run(package: Path, out: Path) -> None:
    """Runs until standard input ends."""
    lines = Lines()
    agent = Agent(KIND, ID)
    build = BuildAgent(agent, package, out, lines)
    async with agent:
        if not await asyncio.to_thread(agent.wait_ready, READY_SECONDS):
            msg = f"the hello of {KIND}/{ID} was not answered within {READY_SECONDS:g} s"
            raise TimeoutError(msg)
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(build.watch(), name="watch")
            lines.tell("ready")
            await lines.serve({"status": build.status})
            _ = watching.cancel()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), Path(sys.argv[2])))
