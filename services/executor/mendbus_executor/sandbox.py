"""Programs of the user's own, inside limits: what may be run, and what came of it."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

RUNNER: Final = Path(__file__).with_name("sandbox_runner.py")
GRACE_SECONDS: Final = 0.25
"""From SIGTERM to SIGKILL, when the time is over."""
_MARGIN_SECONDS: Final = 10.0
_SHORTEST_SECONDS: Final = 0.1
_PATH: Final = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
RUNNER_ENVIRONMENT: Final[Mapping[str, str]] = _PATH
FLAGS: Final[Sequence[str]] = ("-I", "-S")
"""Of the runner's interpreter: neither environment nor installed packages have a say in it, and it starts faster."""


class Limits(BaseModel):
    """What a program may use; memory, files and CPU time count for each of its processes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpu_seconds: Annotated[int, Field(ge=1, le=3600)] = 10
    memory_bytes: Annotated[int, Field(ge=1 << 24)] = 1 << 29
    """Address space."""
    open_files: Annotated[int, Field(ge=8)] = 64
    file_bytes: Annotated[int, Field(ge=0)] = 1 << 26
    """Largest file it may write."""
    processes: Annotated[int, Field(ge=1, le=10_000)] = 32


class Ran(BaseModel):
    """What came of a run. `status`: as `subprocess` has it; `why`: a reason for which it was cut short.

    `head` and `tail`: the first and last 4 KiB of its output. `stragglers`: processes that were left and were killed;
    `clean`: none is left.
    """

    model_config = ConfigDict(frozen=True)

    why: str | None = None
    error: str = ""
    status: int | None = None
    clean: bool = True
    stragglers: int = 0
    output_bytes: int = 0
    head: str = ""
    tail: str = ""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether it ended by itself with status 0."""
        return self.why is None and self.status == 0

    @property
    def code(self) -> str:
        """How it ended, as a stable token."""
        if self.why is not None:
            return self.why
        status = self.status or 0
        return f"exit_{status}" if status >= 0 else f"signal_{-status}"

    @property
    def last_words(self) -> str:
        """The end of what it wrote, or why it could not."""
        return self.error or (self.tail or self.head).strip()[-700:]


def seconds_within(seconds: float) -> float:
    """How long a program may take, if all of it must be over in so many seconds."""
    return max(_SHORTEST_SECONDS, seconds - 2 * GRACE_SECONDS)


async def run(
    argv: Sequence[str], environment: Mapping[str, str], limits: Limits, seconds: float, lock: int | None = None
) -> Ran:
    """Runs a program without a shell in a session and a temporary folder of its own; never raises for what it does.

    When it is over, by itself, by time or by cancellation of this, all its processes are dead and its folder is gone.
    Until then, also when this process is killed in between, the descriptor `lock` stays open.
    """
    spec = {
        "argv": list(argv),
        "environment": {**_PATH, **environment},
        "limits": limits.model_dump(),
        "times": {"wall_seconds": seconds, "grace_seconds": GRACE_SECONDS},
    }
    pipe = asyncio.subprocess.PIPE
    runner = await asyncio.create_subprocess_exec(
        *(sys.executable, *FLAGS, str(RUNNER)),
        stdin=pipe,
        stdout=pipe,
        env=RUNNER_ENVIRONMENT,
        start_new_session=True,
        pass_fds=() if lock is None else (lock,),
    )
    assert runner.stdin is not None
    assert runner.stdout is not None
    try:
        async with asyncio.timeout(seconds + GRACE_SECONDS + _MARGIN_SECONDS):
            runner.stdin.write(json.dumps(spec).encode() + b"\n")
            await runner.stdin.drain()
            said = await runner.stdout.read()
        return Ran.model_validate_json(said)
    except (TimeoutError, ConnectionError, ValidationError) as error:
        return Ran(why="sandbox_failed", error=f"the sandbox gave no answer: {type(error).__name__}")
    finally:
        # The end of its standard input is its order to kill whatever still runs.
        runner.stdin.close()
        await asyncio.shield(_ended(runner))


async def _ended(runner: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(_MARGIN_SECONDS):
            _ = await runner.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            runner.kill()
        _ = await runner.wait()
