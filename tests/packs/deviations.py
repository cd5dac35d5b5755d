"""How far a machine is from its own reference: the features of packs that have one, and three baselines of them.

Nothing here knows what a metric means or what another machine looked like, so that it carries over to unseen machines.
Beside the reference stands a slowly fading mean of the machine itself: after a lasting shift of its level the first is
of no use, the second is (re-baselining).
"""

from dataclasses import dataclass

import numpy as np
from tests.packs import windows

_LIMIT = 30.0
_RIDGE = 0.01
_EXPLAINED = 0.9
_SEVERAL = 5
_RANKS = (0, 1, 2, 4, 8)


@dataclass(frozen=True)
class Reach:
    """Widths in rows: the short windows, and the half-life of the machine's own fading mean."""

    short: tuple[int, ...]
    long: int
    sudden: bool = False
    """Whether to look at each metric's jumps too: for faults that begin at once and last a few rows."""


@dataclass(frozen=True)
class Deviations:
    """What is known at each row of one machine."""

    static: np.ndarray
    ewma_z: np.ndarray
    pca: np.ndarray
    distance: np.ndarray
    several: np.ndarray
    """The fifth largest deviation: several metrics must have left their usual range."""
    plain: np.ndarray
    rich: np.ndarray


def of_machine(x: np.ndarray, reference: np.ndarray, reach: Reach) -> Deviations:
    """`x`: the rows in order of time; `reference`: the rows that count as normal."""
    middle = _nanmean(reference)
    reference, x = np.where(np.isnan(reference), middle, reference), np.where(np.isnan(x), middle, x)
    scale = _scale(reference)
    z = np.clip((x - middle) / scale, -_LIMIT, _LIMIT)
    normal = np.clip((reference - middle) / scale, -_LIMIT, _LIMIT)
    slow = windows.before(windows.faded(z, reach.long))
    spread = windows.before(windows.faded((z - slow) ** 2, reach.long, normal.var(axis=0)))
    drift = np.clip((z - slow) / np.sqrt(spread + 0.02), -_LIMIT, _LIMIT)
    space = _Space.of(normal)
    columns: list[np.ndarray] = []
    columns += _ordered(z) + _ordered(drift)
    for score, usual in (
        (space.distance(z), space.distance(normal)),
        (space.distance(z - slow), space.distance(normal - normal.mean(axis=0))),
        (space.distance(z, 0.2), space.distance(normal, 0.2)),
        (space.residual(z), space.residual(normal)),
        (space.residual(z - slow), space.residual(normal)),
    ):
        columns += _against(np.log1p(score), np.log1p(usual), reach)
    for width in reach.short:
        level, usual_spread = windows.mean(z, width), windows.deviation(normal, width).mean(axis=0)
        columns += _ordered(level - slow) + _ordered(windows.moved(level, width))
        noise = np.sort(np.log((windows.deviation(z, width) + 0.02) / (usual_spread + 0.02)), axis=1)
        columns += [noise.mean(axis=1), noise[:, 0], noise[:, -1], noise[:, max(-3, -noise.shape[1])]]
    if reach.sudden:
        columns += _jumps(x, reference)
    low, high = np.quantile(reference, (0.001, 0.999), axis=0)
    plain = [z, *(f(z, width) for width in reach.short[:1] for f in (windows.mean, windows.deviation))]
    return Deviations(
        static=(np.maximum(0, np.maximum(x - high, low - x)) / scale).max(axis=1),
        ewma_z=_ewma_z(z),
        pca=space.residual(z),
        distance=windows.faded(np.log1p(space.distance(z))[:, None], reach.short[0])[:, 0],
        several=np.sort(np.abs(z), axis=1)[:, -min(_SEVERAL, z.shape[1])],
        plain=np.hstack(plain).astype(np.float32),
        rich=np.column_stack([*columns, *np.hstack(plain).T]).astype(np.float32),
    )


@dataclass(frozen=True)
class _Space:
    """The axes along which the reference varies, most variable last."""

    axes: np.ndarray
    variance: np.ndarray
    kept: int

    @classmethod
    def of(cls, normal: np.ndarray) -> "_Space":
        variance, axes = np.linalg.eigh(np.cov(normal.T))
        explained = np.cumsum(variance[::-1]) / max(1e-12, variance.sum())
        return cls(axes, np.maximum(variance, 0.0), int(np.searchsorted(explained, _EXPLAINED)) + 1)

    def distance(self, z: np.ndarray, ridge: float = _RIDGE) -> np.ndarray:
        """Squared Mahalanobis distance; the ridge keeps directions without variance from deciding alone."""
        return ((z @ self.axes) ** 2 / (self.variance + ridge)).sum(axis=1)

    def residual(self, z: np.ndarray) -> np.ndarray:
        """What the main axes do not explain."""
        main = self.axes[:, ::-1][:, : self.kept]
        return ((z - z @ main @ main.T) ** 2).sum(axis=1)


def _nanmean(x: np.ndarray) -> np.ndarray:
    known = ~np.isnan(x)
    return np.where(known, x, 0.0).sum(axis=0) / np.maximum(1, known.sum(axis=0))


def _scale(reference: np.ndarray) -> np.ndarray:
    low, high = np.quantile(reference, (0.001, 0.999), axis=0)
    smallest = 1e-3 * np.maximum(1.0, np.abs(reference).mean(axis=0))
    return np.maximum(np.maximum(reference.std(axis=0), 0.05 * (high - low)), smallest)


def _ordered(z: np.ndarray) -> list[np.ndarray]:
    """The largest deviations whichever metric they belong to, their mean, and how many metrics deviate."""
    falling = -np.sort(-np.abs(z), axis=1)
    largest = [falling[:, rank] for rank in _RANKS if rank < falling.shape[1]]
    return [*largest, falling.mean(axis=1), (falling > 3).mean(axis=1)]


def _jumps(x: np.ndarray, reference: np.ndarray) -> list[np.ndarray]:
    """Each metric as a ratio (logarithm) to the reference's median, to the last rows' and to the last half hour's."""
    usual = np.abs(np.median(reference, axis=0))
    ratio = np.log((np.abs(x) + 0.01 * usual + 1e-6) / (1.01 * usual + 1e-6))
    now = np.arange(len(x))
    lately = [
        np.median([ratio[np.maximum(0, now - rows)] for rows in back], axis=0)
        for back in (range(1, 9), range(4, 34, 2))
    ]
    return [*ratio.T, *(ratio - lately[0]).T, *(ratio - lately[1]).T]


def _against(score: np.ndarray, usual: np.ndarray, reach: Reach) -> list[np.ndarray]:
    """A score as it is, ranked among the reference's, and in units of its spread, also smoothed and re-baselined."""
    known = np.sort(usual)
    rank = -np.log10(1 - np.searchsorted(known, score) / (len(known) + 1))
    unit = ((score - np.median(known)) / (known.std() + 1e-6))[:, None]
    faded = [windows.faded(unit, width)[:, 0] for width in reach.short]
    return [score, rank, unit[:, 0], *faded, (unit - windows.before(windows.faded(unit, reach.long)))[:, 0]]


def _ewma_z(z: np.ndarray) -> np.ndarray:
    level = windows.before(windows.faded(z, 19))
    spread = windows.before(windows.faded((z - level) ** 2, 39))
    return (np.abs(z - level) / np.sqrt(spread + 1e-2)).max(axis=1)
