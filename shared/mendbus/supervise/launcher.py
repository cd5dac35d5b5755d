"""Waits warm in place of a Python program: imports what it imports, connects, blocks before its first line, becomes it.

Run by path, `python LAUNCHER -m package ARGS` or `python LAUNCHER script.py ARGS`, so that the interpreter of the
program need not have Mendbus: nothing but the standard library here. A byte on the descriptor in `MENDBUS_STANDBY_FD`
lets it go; the end of it means that the supervisor is gone, and ends it.
"""

import ast
import contextlib
import gc
import importlib
import importlib.util
import os
import runpy
import sys
from collections.abc import Iterator
from types import ModuleType

_STANDBY = "MENDBUS_STANDBY_FD"
_PRELOAD = "MENDBUS_STANDBY_PRELOAD"


def imports_of(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Imports that running a module makes at once: those of function bodies wait for their call."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from imports_of(node)


def _load(name: str) -> ModuleType | None:
    # What cannot be imported is for the program itself to fail on, in its own words.
    with contextlib.suppress(Exception):
        return importlib.import_module(name)
    return None


def warm(source: str | bytes, package: str) -> None:
    """Imports what this source imports."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    for node in imports_of(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                _ = _load(alias.name)
            continue
        name = "." * node.level + (node.module or "")
        if node.level:
            try:
                name = importlib.util.resolve_name(name, package)
            except ImportError:
                continue
        module = _load(name)
        for alias in node.names if module is not None else ():
            # `hasattr` also makes a package load what it loads only when it is asked for.
            with contextlib.suppress(Exception):
                if alias.name != "*" and not hasattr(module, alias.name):
                    _ = _load(f"{name}.{alias.name}")


def warm_module(name: str) -> None:
    """Imports what `python -m NAME` imports, NAME's packages included."""
    with contextlib.suppress(Exception):
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            name = f"{name}.__main__"
            spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            # Loaders without source raise, and so end the warming.
            source: object = getattr(spec.loader, "get_source")(name)  # noqa: B009
            warm(source if isinstance(source, str) else "", name.rpartition(".")[0])


def wait(descriptor: int) -> None:
    """Returns when it is let go, and ends the process when the supervisor is gone."""
    os.write(descriptor, b"w")
    if os.read(descriptor, 1) != b"g":
        os._exit(0)
    os.close(descriptor)


def main() -> None:
    """Waits warm, then is the program."""
    arguments = sys.argv[1:]
    is_module = arguments[0] == "-m"
    target = arguments[1] if is_module else arguments[0]
    sys.argv = arguments[1:] if is_module else arguments
    if not sys.flags.safe_path:
        sys.path[0] = os.getcwd() if is_module else os.path.dirname(os.path.realpath(target))
    # Taken out of the environment, which is the program's own, before anything of it is imported.
    descriptor, preload = int(os.environ.pop(_STANDBY)), os.environ.pop(_PRELOAD, "")
    if is_module:
        warm_module(target)
    else:
        with contextlib.suppress(OSError), open(target, "rb") as file:
            warm(file.read(), "")
    for name in filter(None, preload.split(",")):
        _ = _load(name)
    if "mendbus" in sys.modules:
        # What an agent imports no sooner than it connects would be waited for after the takeover; so would connecting.
        _ = _load("mendbus.sdk.agent"), _load("mendbus.bus.nats")
        ahead = _load("mendbus.sdk.ahead")
        if ahead is not None:
            ahead.prepare()
    # A collection during the takeover would look through all that was imported.
    gc.collect()
    gc.freeze()
    wait(descriptor)
    if is_module:
        _ = runpy.run_module(target, run_name="__main__", alter_sys=True)
    else:
        _ = runpy.run_path(target, run_name="__main__")


if __name__ == "__main__":
    main()
