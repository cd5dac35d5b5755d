"""runtime: loads the newest build into its own process, reloads what changed, and serves calls of it."""

import base64
import marshal
import sys
import threading
import time
from contextlib import suppress
from types import ModuleType
from typing import Any

from tests.lab.site import Site, UpstreamError, replace
from tests.lab.work import UnknownNameError, Work, WrongAnswerError

LOADED = "loaded.json"
_CANARY = 7
_COMPLAINT_SECONDS = 0.5


class Runtime:
    """The modules that are loaded."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._turn = threading.Lock()
        self._modules: dict[str, ModuleType] = {}
        self._digests: dict[str, str] = {}
        self._before: dict[str, ModuleType] = {}
        self.features = {"statistics": True}
        self.calls: dict[str, int] = {}
        self._complained: dict[str, float] = {}
        if (site.state / LOADED).exists():
            self._load(site.read(LOADED))

    def reload(self) -> dict[str, Any]:
        """Loads what changed in the newest build. Raises what importing and asking build_pipeline raise."""
        upstream = self._site.upstream("build_pipeline")
        with self._turn:
            wanted: dict[str, str] = upstream.ask("manifest")["modules"]
            missing = [digest for digest in wanted.values() if not (self._site.objects / digest).exists()]
            for start in range(0, len(missing), 200):
                for digest, code in upstream.ask("objects", missing[start : start + 200]).items():
                    replace(self._site.objects / digest, base64.b64decode(code))
            fresh = self._load(wanted)
            self._site.write(LOADED, wanted)
        return {"loaded": len(wanted), "reloaded": len(fresh)}

    def call(self, module: str, value: int) -> int:
        """Calls `answer` of a module. Raises `UnknownNameError`, `WrongAnswerError`, and what the module raises."""
        if self._modules and module not in self._modules:
            msg = f"no module {module} is in the build that is loaded"
            raise UnknownNameError(msg)
        if self.features["statistics"]:
            self.calls[module] = self.calls.get(module, 0) + 1
        loaded = self._modules[module]
        try:
            return _answer(loaded, value)
        except Exception:
            self._suspect(module, loaded)
            raise

    def call_before(self, module: str, value: int) -> int:
        """Calls the module as it was before it was last reloaded."""
        found: int = self._before.get(module, self._modules[module]).__dict__["answer"](value)
        return found

    def probe_call(self) -> None:
        """Calls modules that are loaded, twice: the answers must be numbers, and the same."""
        for module in list(self._modules)[-3:]:
            once, again = self.call(module, 7), self.call(module, 7)
            if not isinstance(once, int) or once != again:
                msg = f"{module} answers {once!r}, then {again!r}"
                raise WrongAnswerError(msg)
        if not self._modules:
            raise WrongAnswerError("nothing is loaded")

    def probe_before(self) -> None:
        """Calls modules as they were before."""
        for module in list(self._modules)[-3:]:
            if not isinstance(self.call_before(module, 7), int):
                raise WrongAnswerError(f"{module} gave no number before")

    def probe_reload(self) -> None:
        """Reloads, and calls."""
        _ = self.reload()
        self.probe_call()

    def _load(self, wanted: dict[str, str]) -> list[str]:
        """Loads what is not loaded yet, in the order of the names: a module imports only those before it."""
        fresh: list[str] = []
        for name in sorted(wanted):
            digest = wanted[name]
            if self._digests.get(name) == digest or name.startswith("_"):
                continue
            module = ModuleType(name)
            code = marshal.loads((self._site.objects / digest).read_bytes())
            try:
                exec(code, module.__dict__)
            except Exception as error:
                self._complain(name, digest, "does not load", error)
                raise
            if name in self._modules:
                self._before[name] = self._modules[name]
            self._modules[name] = sys.modules[name] = module
            self._digests[name] = digest
            fresh.append(name)
        return fresh

    def _suspect(self, name: str, module: ModuleType) -> None:
        """Complains of a module when it fails at what any module can do: it was not what it was called with."""
        try:
            _ = _answer(module, _CANARY)
        except Exception as error:
            if self._modules.get(name) is module:
                self._complain(name, self._digests[name], "does not work", error)

    def _complain(self, name: str, digest: str, what: str, error: Exception) -> None:
        """Lets build_pipeline know, now and then, that a module is of no use."""
        now = time.monotonic()
        # What this process lacks itself says nothing of the module.
        if isinstance(error, MemoryError | OSError) or now - self._complained.get(digest, 0.0) < _COMPLAINT_SECONDS:
            return
        self._complained[digest] = now
        with suppress(OSError, UpstreamError):
            wrong = f"{what}: {type(error).__name__}: {error}"
            self._site.upstream("build_pipeline").ask("complain", name, digest, wrong)


def _answer(module: ModuleType, value: int) -> int:
    found = module.__dict__["answer"](value)
    if not isinstance(found, int):
        msg = f"{module.__name__} answers {found!r}, which is no number"
        raise WrongAnswerError(msg)
    return found


def make(site: Site) -> Work:
    """See the module."""
    runtime = Runtime(site)
    return Work(
        site,
        {"reload": runtime.reload, "call": runtime.call},
        {"reload": runtime.probe_reload, "call": runtime.probe_call},
        {("call", "before"): (runtime.call_before, runtime.probe_before)},
        runtime.features,
    )
