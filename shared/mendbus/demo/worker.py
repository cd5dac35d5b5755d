"""The process that holds the loaded modules: loads and reloads them with importlib, and calls what is in them.

`python -m mendbus.demo.worker OBJECTS`: one request a line on standard input, one answer a line on standard output, as
JSON. It ends with its standard input, so that it never outlives whoever started it.
"""

import importlib
import json
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourcelessFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any


class Finder(MetaPathFinder):
    """Finds modules among built objects; `files` says which file is the present object of each."""

    def __init__(self, objects: Path) -> None:
        self._objects = objects
        self.files: dict[str, str] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """See `importlib`."""
        file = self.files.get(fullname)
        if file is None:
            return None
        location = str(self._objects / file)
        is_package = any(name.startswith(f"{fullname}.") for name in self.files)
        return spec_from_file_location(
            fullname,
            location,
            loader=SourcelessFileLoader(fullname, location),
            submodule_search_locations=[] if is_package else None,
        )


class Holder:
    """What is loaded, and from which object."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder
        self._loaded: dict[str, str] = {}

    def load(self, modules: Sequence[Mapping[str, Any]], changed: Sequence[str]) -> list[str]:
        """Brings all modules, given in load order, to their objects; the names of those that were (re)loaded.

        Reloaded is what changed, what failed to load before, and whatever imports such a module.
        """
        self._finder.files = {module["name"]: module["object"] for module in modules}
        importlib.invalidate_caches()
        done: list[str] = []
        for module in modules:
            name, file = str(module["name"]), str(module["object"])
            fresh = self._loaded.get(name) == file and name not in changed
            if fresh and not any(needed in done for needed in module["imports"]):
                continue
            # Until it is through, a module is half old and half new.
            self._loaded.pop(name, None)
            known = sys.modules.get(name)
            _ = importlib.import_module(name) if known is None else importlib.reload(known)
            self._loaded[name] = file
            done.append(name)
        return done

    @staticmethod
    def call(function: str, arguments: Sequence[Any]) -> Any:
        """Calls `module:function`."""
        module, _, name = function.partition(":")
        return getattr(importlib.import_module(module), name)(*arguments)


def answer(holder: Holder, request: Mapping[str, Any]) -> dict[str, Any]:
    """What comes of a request, be it good or bad."""
    try:
        if request["do"] == "load":
            return {"value": holder.load(request["modules"], request["changed"])}
        return {"value": holder.call(request["function"], request["arguments"])}
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        return {
            "failed": f"{type(error).__name__}: {error} ({Path(last.filename).name}, line {last.lineno})",
            "trace": "".join(traceback.format_exception(error)),
        }


def main() -> None:
    """Serves until standard input ends."""
    finder = Finder(Path(sys.argv[1]))
    sys.meta_path.insert(0, finder)
    holder = Holder(finder)
    # What the modules print must not get among the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        answers.write(json.dumps(answer(holder, json.loads(line))) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
