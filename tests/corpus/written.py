"""Texts written by hand for ecosystems that cannot be made to fail here: one file a category, one text a line."""

# One wrapper after the other reads best unbroken.
# ruff: noqa: E501

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mendbus_classifier.features import CATEGORIES
from mendbus_classifier.offline.samples import Sample

FOLDER: Final = Path(__file__).parent / "written"
_LINE: Final = re.compile(r"([wecf])(?:/(\w+))?: (.+)")
_SEVERITIES: Final = {"w": "warning", "e": "error", "c": "critical", "f": "fatal"}
_TYPE: Final = re.compile(r"((?:[A-Za-z_][\w$]*[.:\\]+)*[A-Z]\w*(?:Error|Exception|Fault|Timeout|Refused|Denied)): ")
_HOLE: Final = re.compile(r"\{(\w+)\}")

_WRAPPERS: Final = {
    "warning": (
        '[WARN] %s|WARNING: %s|level=warning msg="%s"|%s, retrying in {n} s|%s; falling back to the default|Warning: %s|'
        "W0{n} {i}.go:{n}] %s|%s (ignored)|{v} WARN {c} - %s|%s, trying again (attempt {n} of {n})|%s; continuing without it|"
        "could not refresh {i}, using the stale copy: %s|WARN  [{i}] skipped: %s"
    ),
    "error": (
        'ERROR %s|[error] %s|level=error msg="%s"|Error: %s|failed to run {i}: %s|'
        'Traceback (most recent call last):\n  File "{p}", line {n}, in {i}\n%s|{i}: command failed: %s\nexit status 1|'
        "E0{n} {i}.go:{n}] %s|{v} ERROR {c} - request failed: %s|Error while processing {i}: %s|could not {i}: %s|"
        "job {i} failed after {n} s: %s|org.acme.{c}Exception: operation failed\nCaused by: %s|npm ERR! %s"
    ),
    "critical": (
        "[CRITICAL] %s|failed to start {svc}: %s|{svc} cannot start: %s|"
        "Back-off restarting failed container {svc}\n%s|systemd[1]: {svc}.service: Failed with result 'exit-code'.\n%s|"
        "Unable to start server: %s|startup failed, giving up: %s|restarting {svc} for the {n}th time: %s|"
        "nginx: [emerg] %s|initialization of {c} failed: %s\nApplication run failed|FATAL: could not start: %s|"
        "all requests fail since {n} minutes: %s|[{svc}] exited with code 1 (restarting)\n%s|data at risk: %s"
    ),
    "fatal": (
        "panic: %s\n\ngoroutine 1 [running]:|%s\nAborted (core dumped)|Uncaught exception, exiting: %s|"
        "thread 'main' panicked at '%s', src/{f}.rs:{n}:{n}|Fatal error: %s\nProcess exited with signal 6|"
        "libc++abi: terminating due to uncaught exception: %s|FATAL EXCEPTION: main\n%s|"
        "The application crashed: %s|Unhandled exception. %s\n   at {c}.Main()|*** Terminating app due to uncaught exception: %s|"
        "Kernel panic - not syncing: %s|[{svc}] terminated by signal 9: %s|Process {n} died: %s"
    ),
}
_DRAWN: Final = (*(("warning",) * 5), *(("error",) * 6), *(("critical",) * 5), *(("fatal",) * 4))

_NAMES: Final = [
    "worker",
    "session",
    "orders",
    "cache",
    "index",
    "render",
    "upload",
    "parser",
    "gateway",
    "profile",
    "scheduler",
    "billing",
    "search",
    "router",
    "stream",
    "asset",
    "widget",
    "invoice",
    "report",
    "player",
    "engine",
    "storage",
    "mesh",
    "config",
    "monitor",
    "handler",
    "catalog",
    "bridge",
]
_HOSTS: Final = [
    "db01.internal",
    "api.example.com",
    "registry.example.org",
    "10-0-3-7.node",
    "queue.local",
    "cdn.example.net",
]
_ROOTS: Final = [
    "/srv/app",
    "/home/user/project",
    "/opt/service",
    "/var/lib/data",
    "C:\\\\Users\\\\user\\\\app",
    "/usr/local/lib",
]
_PACKAGES: Final = ["left-lib", "libfoo", "acme-core", "pyfoo", "@scope/tool", "example-sdk", "foo-client", "barlib"]


def _fill(hole: str, chance: random.Random) -> str:
    name = chance.choice(_NAMES)
    values = {
        "n": str(chance.choice((chance.randrange(2, 10), chance.randrange(10, 1000), chance.randrange(1000, 10**7)))),
        "x": f"0x{chance.getrandbits(40):010x}",
        "i": chance.choice((name, f"{name}_{chance.choice(_NAMES)}", f"{name}-{chance.randrange(9)}")),
        "c": name.capitalize() + chance.choice(("Service", "Manager", "Handler", "Controller", "Impl", "")),
        "p": f"{chance.choice(_ROOTS)}/{name}/{chance.choice(_NAMES)}.{chance.choice(('py', 'js', 'so', 'cpp', 'json'))}",
        "f": name,
        "h": chance.choice(_HOSTS),
        "ip": f"{chance.randrange(10, 200)}.{chance.randrange(256)}.{chance.randrange(256)}.{chance.randrange(1, 255)}",
        "port": str(chance.choice((3000, 5000, 8000, 8080, 8443, 9090, chance.randrange(1024, 65536)))),
        "v": f"{chance.randrange(1, 20)}.{chance.randrange(30)}.{chance.randrange(10)}",
        "pkg": chance.choice(_PACKAGES),
        "svc": name,
        "env": f"{name.upper()}_{chance.choice(('URL', 'KEY', 'TOKEN', 'PATH', 'HOST'))}",
    }
    return values[hole]


def samples(copies: int = 1, seed: int = 7) -> Iterator[Sample]:
    """All written texts as they are, and each in `copies` more ways: filled anew and wrapped as logs and launchers do.

    The wrapper decides the severity of a copy. Raises `ValueError` with the place of a line that is wrong.
    """
    for path in sorted(FOLDER.glob("*.txt")):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            if line and not line.startswith("#"):
                yield from _of_line(line, path.stem, f"{path.name}:{number}", copies, seed)


def _of_line(line: str, category: str, place: str, copies: int, seed: int) -> Iterator[Sample]:
    match = _LINE.fullmatch(line)
    if match is None or category not in CATEGORIES or (match[2] or category) not in CATEGORIES:
        raise ValueError(f"{place}: expected 'severity[/category]: text'")
    chance = random.Random(f"{seed} {place}")
    yield _sample(match[3], category, _SEVERITIES[match[1]], match[2] or "", place, chance)
    for _ in range(copies):
        severity = chance.choice(_DRAWN)
        wrapper = chance.choice(_WRAPPERS[severity].split("|")).replace("\n", "\\n")
        yield _sample(wrapper.replace("%s", match[3]), category, severity, match[2] or "", place, chance)


def _sample(text: str, category: str, severity: str, second: str, place: str, chance: random.Random) -> Sample:
    text = _HOLE.sub(lambda hole: _fill(hole[1], chance), text.replace("\\n", "\n"))
    kind = _TYPE.match(text)
    # Half of the texts name their class apart, as an SDK reports it.
    apart = kind is not None and chance.random() < 0.5
    return Sample(
        kind=kind[1] if kind and apart else "",
        message=text[kind.end() :] if kind and apart else text,
        stack="",
        category=category,
        severity=severity,
        alternative=second,
        group=f"written {place}",
    )
