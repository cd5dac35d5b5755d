"""The bench runs and says what programs read; what it measures is judged by it alone, never here."""

import asyncio
import json
import sys
from pathlib import Path

import pytest
from tests.harness import unmeasured

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(120)
async def test_a_quick_bench_measures_and_prints_json() -> None:
    """`mendbus bench --json` fills the figures of two rows, traced and untraced, and judges each must."""
    process = await asyncio.create_subprocess_exec(
        str(Path(sys.executable).parent / "mendbus"),
        *("bench", "--quick", "--only", "floor,selection", "--json"),
        cwd=ROOT,
        env=unmeasured(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, complaints = (part.decode() for part in await process.communicate())
    assert printed.startswith("{"), printed + complaints
    found = json.loads(printed)
    assert not found["failures"], complaints
    assert process.returncode == (1 if found["missed"] else 0)
    assert found["conditions"]["sync_always"] is True
    figures = {figure["key"]: figure for figure in found["figures"]}
    assert len(figures["floor.p50"]["untraced"]["runs"]) == 2
    for key in ("selection.mean", "selection.p50", "selection.p99", "selection.ratio"):
        for mode in ("traced", "untraced"):
            assert figures[key][mode]["median"] > 0.0
