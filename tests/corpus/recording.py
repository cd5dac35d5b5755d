"""What a provoked failure leaves behind: its text as the software printed it, the label of what provoked it."""

import os
import re
import subprocess
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

DEADLINE_SECONDS: Final = 60.0
_MOST_CHARS: Final = 700
_STACK_LINES: Final = 5
_NOISE: Final = re.compile(
    r"\x1b\[[0-9;]*m|^\[eval\]:\d+\n|^.*require\('fs'\).*\n?|^==\d+== (?:Memcheck|Copyright|Using|Command:).*\n?"
    r"|^npm warn Unknown user config.*\n?|^npm error A complete log.*\n?",
    re.MULTILINE,
)
"""Colours, the source that a runtime shows before it says what is wrong, and banners."""
_LIBRARY: Final = f"{Path(os.__file__).parent}"
_HERE: Final = str(Path(__file__).parents[2])
_PLACES: Final = re.compile(r"/tmp/app\w+")


@dataclass(frozen=True, slots=True)
class Provocation:
    """What was done to make something fail, which decides the labels.

    `name` is also the group: all that comes from one provocation stands on one side of a split.
    """

    name: str
    category: str
    severity: str = "error"


@dataclass(frozen=True, slots=True)
class Record:
    """One harvested text."""

    group: str
    kind: str
    message: str
    stack: str
    category: str
    severity: str


def called(what: Provocation, action: Callable[[], object]) -> Iterator[Record]:
    """The exception that an action raises, as an agent written in Python would report it."""
    try:
        action()
    except Exception as error:
        yield of_exception(what, error)


def of_exception(what: Provocation, error: BaseException) -> Record:
    """An exception with its causes and the tail of its stack."""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f"{frame.filename} in {frame.name}" for frame in frames if not frame.filename.startswith(_HERE)]
    message = str(error)
    cause = error.__cause__ or error.__context__
    if cause is not None:
        message += f"\ncaused by: {type(cause).__name__}: {cause}"
    kind = type(error).__name__
    if type(error).__module__ != "builtins":
        kind = f"{type(error).__module__}.{kind}"
    return _record(what, kind, message, lines[-_STACK_LINES:])


def ran(
    what: Provocation,
    command: Sequence[str],
    *,
    text: str = "",
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    shell: bool = False,
    keep: Callable[[str], str] | None = None,
    **popen: Any,
) -> Iterator[Record]:
    """What a command prints when it fails: standard error, or standard output where that is empty."""
    try:
        done = subprocess.run(
            " ".join(command) if shell else list(command),
            input=text,
            capture_output=True,
            text=True,
            errors="replace",
            cwd=folder,
            env=environment,
            timeout=DEADLINE_SECONDS,
            shell=shell,
            start_new_session=True,
            check=False,
            **popen,
        )
    except FileNotFoundError:
        return  # the tool is not on this machine
    except subprocess.TimeoutExpired:
        return
    output = done.stderr.strip() or done.stdout.strip()
    if keep is not None:
        output = keep(output)
    if output and (done.returncode or what.severity == "warning"):
        yield _record(what, "", output, [])


def printed(what: Provocation, *texts: str) -> Iterator[Record]:
    """Texts that a library hands out, such as those of error codes."""
    for text in texts:
        if text.strip():
            yield _record(what, "", text, [])


def _record(what: Provocation, kind: str, message: str, stack: Sequence[str]) -> Record:
    message = _tidy(message)
    frames = "\n".join(_tidy(line) for line in stack)
    return Record(what.name, kind, message, frames, what.category, what.severity)


def _tidy(text: str) -> str:
    """Without the places of this machine, and no longer than a message is."""
    text = _NOISE.sub("", text).replace(_LIBRARY, "/usr/lib/python3").replace(_HERE, "/srv/app")
    text = _PLACES.sub("/srv/app", text.replace(str(Path.home()), "/home/user")).strip()
    return text if len(text) <= _MOST_CHARS else f"{text[:_MOST_CHARS]}..."
