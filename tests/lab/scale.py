"""How the lab's work scales with the sample project: `python -m tests.lab.scale [LINES ...]`.

The work of versioning and of build_pipeline is called directly, both in this one process; the builder asks the store
over a TCP connection on loopback for each question, as agents do. What agents add is not in the figures: the worker's
pipe, the agent process, the links of the lab. Writes are not synced to the disk, neither here nor in the lab. Prints a
table and writes `results/scale-<date>.json`.
"""

import argparse
import gc
import json
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from statistics import median
from typing import Any

from tests import results
from tests.lab import site as sites
from tests.lab.sample import Project, changed, factor_of, make_project
from tests.lab.site import CONFIG, Site
from tests.lab.work.build_pipeline import Builder
from tests.lab.work.versioning import Store

LINES = (1_000, 10_000, 100_000, 1_000_000)
_REPEATS = 5
_SECONDS = 60.0


class Served:
    """Serves operations on a port of loopback as an agent's work port does: `with Served(operations) as port`."""

    def __init__(self, operations: Mapping[str, Callable[..., Any]]) -> None:
        class Handler(StreamRequestHandler):
            """One connection."""

            def setup(self) -> None:
                self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                super().setup()

            def handle(self) -> None:
                for line in self.rfile:
                    asked = json.loads(line)
                    try:
                        answer = {"value": operations[asked["operation"]](*asked["arguments"])}
                    except Exception as error:
                        answer = {"error": type(error).__name__, "message": str(error)}
                    self.wfile.write(json.dumps(answer).encode() + b"\n")

        self._server = ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=lambda: self._server.serve_forever(0.02), daemon=True)

    def __enter__(self) -> int:
        self._thread.start()
        return int(self._server.server_address[1])

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Stopwatch:
    """Milliseconds by step, in the order of the steps."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {}

    def time(self, step: str, work: Callable[..., Any], *arguments: Any) -> Any:
        """Does a step and notes how long it took."""
        gc.collect()
        begun = time.perf_counter()
        found = work(*arguments)
        self.times.setdefault(step, []).append((time.perf_counter() - begun) * 1000)
        return found

    def medians(self) -> dict[str, float]:
        """The median of each step's times."""
        return {step: median(times) for step, times in self.times.items()}


def measure(lines: int, folder: Path) -> dict[str, Any]:
    """All steps with a project of about so many lines. Raises `AssertionError` where an answer is wrong."""
    watch = Stopwatch()
    begun = time.perf_counter()
    project = make_project(lines)
    generated = time.perf_counter() - begun
    with_sites = {kind: folder / kind for kind in ("versioning", "build_pipeline")}
    store = Store(_site(with_sites["versioning"], {}))
    _versioning(watch, store, project)
    with Served({"names": store.names, "texts": store.texts}) as port:
        upstreams = {"versioning": {"host": "127.0.0.1", "port": port, "timeout": _SECONDS}}
        _building(watch, Builder(_site(with_sites["build_pipeline"], upstreams)), store, project)
    checkpoints = {
        kind: _checkpoint(watch, kind, where, Store if kind == "versioning" else Builder)
        for kind, where in with_sites.items()
    }
    return {
        "lines": project.lines,
        "modules": len(project.modules),
        "shaders": len(project.shaders),
        "generate_ms": generated * 1000,
        "checkpoint_bytes": checkpoints,
        "repeats": {step: len(times) for step, times in watch.times.items()},
        "milliseconds": watch.medians(),
    }


def _site(folder: Path, upstreams: Mapping[str, Any]) -> Site:
    folder.mkdir(parents=True)
    (folder / CONFIG).write_text(json.dumps({"upstreams": upstreams}))
    return Site(folder)


def _versioning(watch: Stopwatch, store: Store, project: Project) -> None:
    names = sorted(project.modules)
    watch.time("put everything", store.put, {**project.modules, **project.shaders})
    for number in range(_REPEATS):
        # The store has just been written by this process: the first get after a put reads the index anew.
        name = names[number % len(names)]
        text = changed(project.modules[name], factor_of(project.modules[name]) + 1)
        watch.time("put one changed module", store.put, {name: text})
        got = watch.time("get, first after a put", store.get, name)
        assert got == text
        watch.time("get", store.get, name)
        watch.time("get from the history", store.get_from_history, name)
        watch.time("names of everything", store.names)
    whole = {name: changed(text, factor_of(text) % 997 + 2) for name, text in project.modules.items()}
    done = watch.time("put every module changed", store.put, whole)
    assert done["changed_lines"] == 2 * len(whole)


def _building(watch: Stopwatch, builder: Builder, store: Store, project: Project) -> None:
    first = watch.time("build, cold", builder.build)
    assert first["modules"] == len(project.modules)
    for number in range(_REPEATS):
        name = sorted(project.modules)[number % len(project.modules)]
        store.put({name: changed(project.modules[name], 1000 + number)})
        done = watch.time("build, one module changed", builder.build)
        assert done["number"] == number + 2
        watch.time("build, nothing changed", builder.build)


def _checkpoint(watch: Stopwatch, kind: str, folder: Path, work: Callable[[Site], Any]) -> int:
    replica = folder.with_name(f"{folder.name}-b")
    watch.time(f"{kind}: first replication", sites.replicate, folder, replica)
    content = b""
    for _ in range(_REPEATS):
        content = watch.time(f"{kind}: checkpoint", sites.snapshot, folder)
        watch.time(f"{kind}: replication, nothing new", sites.replicate, folder, replica)
        watch.time(f"{kind}: rollback and take up", _roll_back, folder, content, work)
        assert sites.snapshot(folder) == content
    return len(content)


def _roll_back(folder: Path, content: bytes, work: Callable[[Site], Any]) -> None:
    sites.restore(folder, content)
    work(Site(folder))


def table(found: Sequence[Mapping[str, Any]]) -> str:
    """Milliseconds by step and size."""
    head = [f"milliseconds, median of {_REPEATS} (* once)", *(f"{one['lines']:,} lines" for one in found)]
    rows = [
        [step + "*" * (times == 1), *(_number(one["milliseconds"][step]) for one in found)]
        for step, times in found[0]["repeats"].items()
    ]
    rows += [
        [f"{kind}: size of the checkpoint, KiB", *(f"{one['checkpoint_bytes'][kind] / 1024:,.0f}" for one in found)]
        for kind in found[0]["checkpoint_bytes"]
    ]
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in (head, ["-" * width for width in widths], *rows)
    )


def _number(milliseconds: float) -> str:
    return f"{milliseconds:,.0f}" if milliseconds >= 100 else f"{milliseconds:.3g}"


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.scale", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("lines", nargs="*", type=int, default=LINES, help="sizes of the sample project")
    found: list[dict[str, Any]] = []
    for lines in parser.parse_args().lines:
        folder = Path(tempfile.mkdtemp(prefix="mendbus-scale-"))
        try:
            found.append(measure(lines, folder))
        finally:
            shutil.rmtree(folder)
    print(table(found))
    conditions = results.conditions(
        "python -m tests.lab.scale",
        how="work called directly, both agents in one process; the builder asks the store over loopback TCP",
    )
    file = results.write("scale", {"conditions": conditions, "sizes": found})
    print(f"\n{file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file}", file=sys.stderr)


if __name__ == "__main__":
    main()
