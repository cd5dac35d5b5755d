"""Where measured figures go: a file for each run in `results/`, with what it was run on."""

import json
import os
import platform
import time
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results"


def conditions(command: str, **more: Any) -> dict[str, Any]:
    """When, by which command, and on what; `more`: what else the figures depend on."""
    return {
        "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": command,
        **more,
        "cores": len(os.sched_getaffinity(0)),
        "load_average": [round(load, 2) for load in os.getloadavg()],
        "machine": platform.machine(),
        "python": platform.python_version(),
    }


def write(kind: str, content: Any) -> Path:
    """Writes `results/KIND-<now>.json`; returns the file."""
    RESULTS.mkdir(exist_ok=True)
    file = RESULTS / time.strftime(f"{kind}-%Y-%m-%dT%H-%M-%S.json")
    _ = file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return file
