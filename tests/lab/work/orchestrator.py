"""orchestrator: takes a change through the others: store it, build it, reload it, and call what was reloaded."""

import threading
from contextlib import suppress
from typing import Any

from tests.lab.sample import changed, expected, factor_of
from tests.lab.site import Site, UpstreamError
from tests.lab.work import Work, WrongAnswerError

CYCLES = "cycles.json"
_INPUT = 11
_TESTS = 16
"""Of modules that others changed, at most, in one cycle."""


class Cycles:
    """Build-reload cycles, one after the other."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._turn = threading.Lock()
        self.features = {"verify": True}
        self._tested: dict[str, str] = {}
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
            if self.features["verify"]:
                if (got := runtime.ask("call", module, _INPUT)) != expected(text, _INPUT):
                    msg = f"{module} answers {got}, not {expected(text, _INPUT)}, after build {build['number']}"
                    raise WrongAnswerError(msg)
                self._test_changed(module)
            self._done += 1
            self._site.write(CYCLES, {"done": self._done})
            return {"cycles": self._done, "build": build["number"], "reloaded": reloaded["reloaded"]}

    def _test_changed(self, own: str) -> None:
        """Tests what others have changed since the last cycle. Raises `WrongAnswerError`, and complains."""
        names: dict[str, str] = self._site.upstream("versioning").ask("names")
        if not self._tested:
            self._tested = names
        changed = [
            name
            for name, digest in names.items()
            if digest != self._tested.get(name) and name != own and not name.startswith("_") and ".frag" not in name
        ]
        for name in changed[:_TESTS]:
            # It may have been changed once more in between: then the next cycle tests it.
            wrong = self._test(name, names[name]) and self._test(name, names[name])
            if wrong:
                with suppress(OSError, UpstreamError):
                    self._site.upstream("versioning").ask("complain", name, names[name], wrong)
                raise WrongAnswerError(f"{name} {wrong}")
            self._tested[name] = names[name]

    def _test(self, name: str, digest: str) -> str:
        """What is wrong with the answer of a version, "" for nothing or when it is not the one that is in use."""
        versions, builds, runtime = (self._site.upstream(kind) for kind in ("versioning", "build_pipeline", "runtime"))
        text: str = versions.ask("texts", [digest])[digest]
        _ = builds.ask("build")
        _ = runtime.ask("reload")
        got = runtime.ask("call", name, _INPUT)
        if "FACTOR = " not in text or got == expected(text, _INPUT) or versions.ask("names").get(name) != digest:
            return ""
        return f"answers {got}, not {expected(text, _INPUT)}"

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

    def probe_stored(self) -> None:
        """Builds and reloads what is stored."""
        _ = self.cycle_stored("")

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
        {("cycle", "stored"): (cycles.cycle_stored, cycles.probe_stored)},
        cycles.features,
    )
