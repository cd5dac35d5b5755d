"""orchestrator: takes a change through the others: store it, build it, reload it, and call what was reloaded."""

import threading
from typing import Any

from tests.lab.sample import changed, expected, factor_of
from tests.lab.site import Site
from tests.lab.work import Work, WrongAnswerError

CYCLES = "cycles.json"


class Cycles:
    """Build-reload cycles, one after the other."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._turn = threading.Lock()
        self.features = {"verify": True}
        if not (site.state / CYCLES).exists():
            site.write(CYCLES, {"done": 0})
        self._done = int(site.read(CYCLES)["done"])

    def cycle(self, module: str) -> dict[str, Any]:
        """Changes a module and sees it through. Raises what the others raise, `WrongAnswerError`."""
        with self._turn:
            versions, builds, runtime = (
                self._site.upstream(kind) for kind in ("versioning", "build_pipeline", "runtime")
            )
            text: str = versions.ask("get", module)
            text = changed(text, factor_of(text) % 997 + 1)
            _ = versions.ask("put", {module: text})
            build = builds.ask("build")
            reloaded = runtime.ask("reload")
            if self.features["verify"] and (got := runtime.ask("call", module, 11)) != expected(text, 11):
                msg = f"{module} answers {got}, not {expected(text, 11)}, after build {build['number']}"
                raise WrongAnswerError(msg)
            self._done += 1
            self._site.write(CYCLES, {"done": self._done})
            return {"cycles": self._done, "build": build["number"], "reloaded": reloaded["reloaded"]}

    def status(self) -> dict[str, Any]:
        """How many cycles are done."""
        return {"cycles": int(self._site.read(CYCLES)["done"])}

    def cycle_stored(self, module: str) -> dict[str, Any]:
        """Without a new version: builds and reloads what is stored."""
        _ = module
        builds, runtime = self._site.upstream("build_pipeline"), self._site.upstream("runtime")
        build = builds.ask("build")
        reloaded = runtime.ask("reload")
        return {"cycles": self._done, "build": build["number"], "reloaded": reloaded["reloaded"]}

    def probe(self) -> None:
        """Takes the first module through."""
        _ = self.cycle("part_00000")


def make(site: Site) -> Work:
    """See the module."""
    cycles = Cycles(site)
    return Work(
        site,
        {"cycle": cycles.cycle, "status": cycles.status},
        {"cycle": cycles.probe, "status": cycles.status},
        {("cycle", "stored"): cycles.cycle_stored},
        cycles.features,
    )
