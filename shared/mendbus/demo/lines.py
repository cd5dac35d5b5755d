"""JSON lines on the standard streams of an agent: questions come in, answers and events go out."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

Question = Callable[..., Awaitable[Any]]

_WATCH_SECONDS: Final = 0.02
_LINE_BYTES: Final = 1 << 20


class Lines:
    """The agent's side. Nothing else in the process gets through to its standard output."""

    def __init__(self) -> None:
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def tell(self, event: str, **facts: object) -> None:
        """Says that something happened."""
        self._write({"event": event} | facts)

    async def serve(self, questions: Mapping[str, Question]) -> None:
        """Answers questions, one after the other, until standard input ends or SIGTERM comes."""
        reader = asyncio.StreamReader(_LINE_BYTES)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        loop.add_signal_handler(signal.SIGTERM, reader.feed_eof)
        try:
            async for line in reader:
                question: dict[str, Any] = json.loads(line)
                number, asked = question.pop("id"), questions[question.pop("do")]
                try:
                    self._write({"id": number, "value": await asked(**question)})
                except Exception as error:
                    self._write({"id": number, "failed": f"{type(error).__name__}: {error}"})
        finally:
            transport.close()

    def _write(self, value: Mapping[str, object]) -> None:
        self._out.write(json.dumps(value) + "\n")
        self._out.flush()


async def changes(*paths: Path) -> AsyncIterator[None]:
    """Yields at once, and then whenever a file, or a file of a folder, is another than before; for ever."""
    known: object = None
    while True:
        seen = [_seen(file) for path in paths for file in (sorted(path.glob("*.py")) if path.is_dir() else (path,))]
        if seen != known:
            known = seen
            yield
        # There is no event of the file system that Python can wait for everywhere.
        await asyncio.sleep(_WATCH_SECONDS)


def _seen(file: Path) -> tuple[str, int, int, int]:
    try:
        status = file.stat()
    except FileNotFoundError:
        return str(file), 0, 0, 0
    return str(file), status.st_ino, status.st_mtime_ns, status.st_size
