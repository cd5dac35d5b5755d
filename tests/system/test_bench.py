"""The bench runs and writes what programs read; what it measures is judged by it alone, never here."""

import asyncio
import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(120)
async def test_a_quick_bench_measures_and_writes_json() -> None:
    """A quick run of two rows fills their figures, traced and untraced, states its conditions and judges each must."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "tests.bench", "--quick", "--only", "floor,selection"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, complaints = (part.decode() for part in await process.communicate())
    written = re.search(r"^written to (.+)$", printed, re.MULTILINE)
    assert written, printed + complaints
    file = Path(written[1])
    found = json.loads(file.read_text("utf-8"))
    file.unlink()
    assert not found["failures"], complaints
    assert process.returncode == (1 if found["missed"] else 0)
    assert found["conditions"]["sync_always"] is True
    figures = {figure["key"]: figure for figure in found["figures"]}
    assert len(figures["floor.p50"]["untraced"]["runs"]) == 1
    for key in ("selection.mean", "selection.p50", "selection.p99", "selection.ratio"):
        for mode in ("traced", "untraced"):
            assert figures[key][mode]["median"] > 0.0
