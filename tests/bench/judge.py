"""Judges figures: whether a must holds, and whether what falls short does so by more than the machine's noise.

The spread of a figure is the median absolute deviation of its runs, times 1.4826 (which makes it the standard deviation
where the runs are normally distributed), as a share of their median. The machine's noise in a figure is

    noise = median of the figure's runs * min(spread of the figure, spread of the floor, 0.1)

The floor is bare nats-py, measured first and last in the same session: none of its spread is ours. That of the figure
may be: where we scatter more than the machine does, the excess is no excuse, and where the figure is steadier than the
floor, neither is the floor. A figure of fewer than three runs has no spread of its own, and the floor's alone counts; a
floor of fewer than three excuses nothing. Beyond a tenth nothing is excused either: a machine that scatters more is too
busy to be judged on, and the session is to be repeated on a quieter one. A figure that is not measured beside the floor
(a count, memory, a ratio) has no noise.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tests.bench.figures import FIGURES, Book, Figure, Mode

Verdict = Literal["", "aim", "in noise", "MISSED"]

_FEWEST_RUNS = 3
_MOST = 0.1
_MAD_TO_SIGMA = 1.4826


def spread(runs: Sequence[float]) -> float | None:
    """The spread of the runs as a share of their median; None where they are too few to have one."""
    if len(runs) < _FEWEST_RUNS:
        return None
    middle = statistics.median(runs)
    return _MAD_TO_SIGMA * statistics.median(abs(run - middle) for run in runs) / middle if middle else 0.0


@dataclass(frozen=True, slots=True)
class Judged:
    """A figure, what was measured, and how much of that may be the machine's noise, in the figure's unit."""

    figure: Figure
    value: float | None
    noise: float

    @property
    def verdict(self) -> Verdict:
        """`in noise`: the must falls short, but by no more than the noise."""
        must, aim, value = self.figure.must, self.figure.aim, self.value
        if must and value is None:
            return "MISSED"
        if must and value is not None and not must.holds(value):
            within = must.holds(value - self.noise) or must.holds(value + self.noise)
            return "in noise" if within else "MISSED"
        return "aim" if aim and value is not None and aim.holds(value) else ""

    def __str__(self) -> str:
        must = f"must be {self.figure.must} {self.figure.unit}".strip()
        if self.value is None:
            return f"{self.figure.what}: not measured, {must}"
        return f"{self.figure.what}: {self.value:.4g}, {must}, noise {self.noise:.2g}"


def judge(figure: Figure, runs: Sequence[float], floor: Sequence[float]) -> Judged:
    """What the runs of a figure say, beside those of its floor."""
    if not runs:
        return Judged(figure, None, 0.0)
    value = statistics.median(runs)
    below, own = spread(floor), spread(runs)
    share = 0.0 if below is None else min(below, below if own is None else own, _MOST)
    return Judged(figure, value, abs(value) * share)


def judged(book: Book, figure: Figure, mode: Mode = "traced") -> Judged:
    """What the book says of a figure."""
    floor = book.runs(figure.floor, "untraced") if figure.floor else ()
    return judge(figure, book.runs(figure.key, mode), floor)


def missed(book: Book, rows: Sequence[str], *, excuse_noise: bool) -> list[str]:
    """One sentence for each must of these rows that was missed; what was not measured is missed too.

    One that falls short by no more than the noise counts as missed unless noise is an excuse.
    """
    short = ("MISSED",) if excuse_noise else ("MISSED", "in noise")
    found = (judged(book, figure) for figure in FIGURES if figure.row in rows)
    return [str(one) for one in found if one.verdict in short]
