"""The files of the page, as they lie in the package."""

import re
from pathlib import Path
from typing import Final

from mendbus.http import Request, Response, Unfit

FOLDER: Final = Path(__file__).parent / "static"
TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
}

_STEP: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def file(request: Request, folder: Path = FOLDER) -> Response:
    """The file at a path, or that it has not changed. Raises `Unfit` where there is none."""
    path = "/index.html" if request.path == "/" else request.path
    steps = path[1:].split("/")
    kind = TYPES.get(Path(steps[-1]).suffix)
    if kind is None or not all(_STEP.fullmatch(step) for step in steps):
        raise Unfit(404, f"there is no {path[:200]}")
    found = folder.joinpath(*steps)
    try:
        about = found.stat()
        mark = f'"{about.st_mtime_ns:x}-{about.st_size:x}"'
        headers = {"ETag": mark, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == mark:
            return Response(304, kind, b"", headers)
        return Response(200, kind, found.read_bytes(), headers)
    except OSError:
        raise Unfit(404, f"there is no {path[:200]}") from None
