"""A real Jaeger for tests: its program, run with its store in memory, asked over `/api/v3`.

`python -m tests.system.jaeger FOLDER` installs it with Go, unless JAEGER names one, and prints where it is.
"""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from mendbus.otlp import KINDS
from mendbus.testing import eventually
from mendbus.traces import AttributeValue, Kind, SpanRow

MODULE = "github.com/jaegertracing/jaeger@v1.76.0"
"""The newest release that Go can name, with the code of Jaeger 2.13: tags of version 2 cannot be named, since the
module's path has no version."""
_INSTALL_SECONDS = 3000
_KINDS: dict[object, Kind] = {**dict(enumerate(KINDS)), **{f"SPAN_KIND_{kind.upper()}": kind for kind in KINDS}}


def install(folder: Path) -> Path:
    """Jaeger's program: the one that JAEGER names, else installed with Go. Raises `SystemExit` where neither can be."""
    named = os.environ.get("JAEGER")
    if named:
        return Path(named)
    go = shutil.which("go")
    if go is None:
        raise SystemExit("Jaeger is installed with Go, which is not on the PATH; or name its program in JAEGER")
    program = folder.absolute() / "jaeger"
    if program.exists():
        return program
    # Built where Go unpacked it: by its own list of checksums, and `go install` refuses what replaces a dependency.
    source = json.loads(_go(go, "mod", "download", "-json", MODULE))["Dir"]
    _ = _go(go, "build", "-C", source, "-o", str(program), "./cmd/jaeger")
    return program


def _go(go: str, *arguments: str) -> bytes:
    done = subprocess.run([go, *arguments], stdout=subprocess.PIPE, timeout=_INSTALL_SECONDS, check=False)
    if done.returncode:
        raise SystemExit(f"Go cannot build {MODULE}; name a program in JAEGER instead")
    return done.stdout


class Jaeger:
    """A running Jaeger. `endpoint`: where spans go; `api`: where they are asked for."""

    def __init__(self, endpoint: str, api: str) -> None:
        self.endpoint = endpoint
        self.api = api

    async def spans(self, trace_id: str) -> list[SpanRow]:
        """The spans of a trace that are there by now."""
        return rows(await asyncio.to_thread(_get, f"{self.api}/api/v3/traces/{trace_id}"))


@asynccontextmanager
async def jaeger(program: Path, folder: Path) -> AsyncIterator[Jaeger]:
    """Jaeger on ports of its own, with everything in memory."""
    otlp, api, health = _free_ports(3)
    config = folder / "jaeger.yaml"
    config.write_text(json.dumps(_config(otlp, api, health)))  # JSON is YAML
    with (folder / "jaeger.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            program,
            "--config",
            str(config),
            # It traces itself, and would end ten seconds later for the spans that nobody takes.
            env={**os.environ, "OTEL_TRACES_SAMPLER": "always_off"},
            stdout=log,
            stderr=log,
        )
    try:
        await eventually(
            lambda: asyncio.to_thread(_answers, f"http://127.0.0.1:{api}/api/v3/services"), 30.0, every=0.1
        )
        yield Jaeger(f"http://127.0.0.1:{otlp}", f"http://127.0.0.1:{api}")
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), 20.0)


def rows(answer: dict[str, Any]) -> list[SpanRow]:
    """The spans in an answer of `/api/v3`: OTLP as JSON, in one `result` or none."""
    found: list[SpanRow] = []
    for resource in answer.get("result", answer).get("resourceSpans", ()):
        service = str(_attributes(resource["resource"]).get("service.name", ""))
        for span in (span for scope in resource["scopeSpans"] for span in scope["spans"]):
            status = span.get("status", {})
            failed = status.get("code") in (2, "STATUS_CODE_ERROR")
            found.append(
                SpanRow(
                    span["traceId"],
                    span["spanId"],
                    span.get("parentSpanId", ""),
                    span["name"],
                    _KINDS[span["kind"]],
                    service,
                    int(span["startTimeUnixNano"]),
                    int(span["endTimeUnixNano"]),
                    _attributes(span),
                    "error" if failed else "unset",
                    status.get("message") if failed else None,
                )
            )
    return found


def _attributes(holder: dict[str, Any]) -> dict[str, AttributeValue]:
    read: dict[str, AttributeValue] = {}
    for item in holder.get("attributes", ()):
        [(kind, value)] = item["value"].items()
        read[item["key"]] = int(value) if kind == "intValue" else value
    return read


def _get(url: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return cast("dict[str, Any]", json.load(answer))
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 404:  # no such trace, or not yet
            return {}
        raise


def _answers(url: str) -> bool:
    try:
        return _get(url) is not None
    except OSError:
        return False


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _config(otlp: int, api: int, health: int) -> dict[str, Any]:
    return {
        "extensions": {
            "jaeger_storage": {"backends": {"memory": {"memory": {"max_traces": 10000}}}},
            "jaeger_query": {
                "storage": {"traces": "memory"},
                "http": {"endpoint": f"127.0.0.1:{api}"},
                "grpc": {"endpoint": "127.0.0.1:0"},
            },
            "healthcheckv2": {"use_v2": True, "http": {"endpoint": f"127.0.0.1:{health}"}},
        },
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{otlp}"}}}},
        "exporters": {"jaeger_storage_exporter": {"trace_storage": "memory"}},
        "service": {
            "extensions": ["jaeger_storage", "jaeger_query", "healthcheckv2"],
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["jaeger_storage_exporter"]}},
            "telemetry": {"metrics": {"level": "none"}},
        },
    }


if __name__ == "__main__":
    sys.stdout.write(f"{install(Path(sys.argv[1]))}\n")
