"""A line of little bars for a series in time."""

import math
from collections.abc import Iterable

BARS = "▁▂▃▄▅▆▇█"
NONE = " "


def sparkline(points: Iterable[tuple[int, float]], first: int, end: int, width: int) -> str:
    """`width` bars for the time from `first` to `end`; each the mean of the points in it, between least and most.

    Where there is no point there is no bar. A series that does not change is a line of lowest bars.
    """
    sums, counts = [0.0] * width, [0] * width
    for at, value in points:
        place = (at - first) * width // max(1, end - first)
        if 0 <= place < width and math.isfinite(value):
            sums[place] += value
            counts[place] += 1
    means = [total / count if count else math.nan for total, count in zip(sums, counts, strict=True)]
    there = [mean for mean in means if not math.isnan(mean)]
    if not there:
        return NONE * width
    least, reach = min(there), max(there) - min(there)
    return "".join(NONE if math.isnan(mean) else BARS[_step(mean - least, reach)] for mean in means)


def _step(above: float, reach: float) -> int:
    return min(len(BARS) - 1, int(above / reach * len(BARS))) if reach > 0 else 0
