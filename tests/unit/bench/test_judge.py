"""How a figure is judged: what its must is, and how much of a shortfall the machine's noise excuses."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.bench import __main__ as bench
from tests.bench.figures import BY_KEY, Book
from tests.bench.judge import judge, spread
from tests.bench.plan import Plan

MEAN = BY_KEY["recovery.6.mean"]  # must be < 37.2 ms
RATE = BY_KEY["sustained.long.rate"]  # must be >= 1000/s
WRONG = BY_KEY["sustained.long.wrong"]  # must be 0
STEADY = [2.0, 2.0, 2.0, 2.0, 2.0]
RESTLESS = [1.0, 1.8, 2.0, 2.2, 3.0]  # spread 0.15


def test_the_spread_is_the_scaled_median_deviation_as_a_share() -> None:
    """One wild run does not move the spread; fewer than three runs have none."""
    assert spread(RESTLESS) == pytest.approx(1.4826 * 0.2 / 2.0)
    assert spread([1.0, 1.8, 2.0, 2.2, 300.0]) == spread(RESTLESS)
    assert spread([2.0, 3.0]) is None
    assert spread([0.0, 0.0, 0.0]) == 0.0


@pytest.mark.parametrize(
    ("runs", "floor", "verdict"),
    [
        ([37.0] * 5, STEADY, ""),
        ([37.3] * 5, STEADY, "MISSED"),
        ([37.3] * 5, RESTLESS, "MISSED"),  # steady itself: the machine did not disturb it
        ([20.0, 35.0, 38.0, 41.0, 60.0], STEADY, "MISSED"),  # the floor is steady: the scatter is our own
        ([20.0, 35.0, 38.0, 41.0, 60.0], RESTLESS, "in noise"),
        ([20.0, 39.0, 45.0, 51.0, 60.0], RESTLESS, "MISSED"),  # further off than noise explains
        ([38.0], RESTLESS, "in noise"),  # too few runs for a spread of its own: the floor's
        ([42.0], RESTLESS, "MISSED"),  # more than a tenth is no noise
        ([38.0], [1.0, 3.0], "MISSED"),  # nor has the floor one
        ([], RESTLESS, "MISSED"),
    ],
)
def test_a_must_may_fall_short_by_the_noise_and_no_more(
    runs: Sequence[float], floor: Sequence[float], verdict: str
) -> None:
    """What excuses a shortfall is a scatter that both the figure and the floor show."""
    assert judge(MEAN, runs, floor).verdict == verdict


def test_a_rate_falls_short_downwards_and_a_count_has_no_noise() -> None:
    """A lower bound is judged the other way round; an error that is lost is never noise."""
    assert judge(RATE, [950.0], RESTLESS).verdict == "in noise"
    assert judge(RATE, [800.0], RESTLESS).verdict == "MISSED"
    assert judge(RATE, [1000.0], RESTLESS).verdict == ""
    assert WRONG.floor is None
    assert judge(WRONG, [1.0], ()).verdict == "MISSED"


@pytest.mark.parametrize(
    ("arguments", "off", "status"),
    [
        (["--validate", "recovery-time"], 0.98, 0),
        (["--validate", "recovery-time"], 1.05, 0),
        (["--validate", "recovery-time"], 1.5, 1),
        (["--only", "floor,selection,recovery,burst"], 0.98, 0),
        (["--only", "floor,selection,recovery,burst"], 1.05, 1),
    ],
)
def test_the_exit_status_follows_the_judgement(
    arguments: list[str], off: float, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A validation ends with 1 when a must falls short by more than noise and with 0 within it; a bench is strict."""

    async def measure(rows: Sequence[str], _modes: Any, _plan: Plan, book: Book, _folder: Path) -> None:
        scatter = (0.8, 0.9, 1.0, 1.1, 1.2)
        for name in ("mean", "p50", "p99", "rate"):
            for share in scatter:
                book.note(f"floor.{name}", "untraced", 2.0 * share)
        for figure in BY_KEY.values():
            if figure.row in rows and figure.must:
                for share in scatter if figure.floor else (0.98,):
                    book.note(figure.key, "traced", figure.must.value * (off if figure.floor else 1.0) * share)

    monkeypatch.setattr(bench, "measure", measure)
    monkeypatch.setattr(bench.report, "conditions", lambda *_: {})
    monkeypatch.setattr(sys, "argv", ["bench", "--json", *arguments])
    monkeypatch.setattr(os, "environ", dict(os.environ))  # the bench clears it of settings
    assert bench.main() == status
    assert capsys.readouterr().out.startswith("{")
