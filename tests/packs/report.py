"""Tables for people, and the judgement."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.packs.running import OURS, Result
from tests.packs.scoring import Figures

_SHORT = 0.02
_BASELINES = ("static", "ewma-z", "pca", "lightgbm")
_HEAD = (
    f"{'':20} {'PR-AUC':>7} {'macro':>6} {'ROC':>6} {'prec':>6} {'recall':>6} {'F1':>6} {'FPR':>6} {'acc':>6} "
    f"{'events':>7} {'chance':>6} {'lead/delay':>10} {'FA/agent-h':>10} {'Brier':>6} {'ECE':>6}"
)


@dataclass(frozen=True)
class Summary:
    """Whether every must is kept, and the line that says so."""

    kept: bool
    within: int
    above: int
    tasks: int
    seconds: float
    cpu_seconds: float
    line: str


def lines(result: Result) -> Iterator[str]:
    """One table: ours last, each score at its operating points."""
    best, name = _best(result)
    yield f"\n{result.task} · {result.part} · {result.positives:.4f} positive · ours = {' + '.join(result.picks)}"
    yield _HEAD
    for share, figures in result.at.items():
        for one in (*_BASELINES, OURS):
            yield _row(f"{one} @ FPR {share:g}", figures[one])
    if result.part == "dev":
        yield "members alone: " + ", ".join(f"{member} {worth:.3f}" for member, worth in result.alone.items())
    ours = result.pr_auc()[OURS]
    yield f"ours {ours:.3f}, best baseline {name} {best:.3f}: {ours - best:+.3f} ({_verdict(ours - best)})"


def summary(results: Sequence[Result], seconds: float, cpu_seconds: float) -> Summary:
    """Judged on held-out data where there is some, on development data out of fold otherwise."""
    part = "holdout" if any(result.part == "holdout" for result in results) else "dev"
    judged = [result for result in results if result.part == part]
    ahead = [result.pr_auc()[OURS] - _best(result)[0] for result in judged]
    within, above = sum(one >= -_SHORT for one in ahead), sum(one > 0 for one in ahead)
    kept = within == len(judged) and above * 2 > len(judged)
    line = (
        f"{'kept' if kept else 'MISSED'}: within {_SHORT} PR-AUC of the best baseline on {within} of {len(judged)} "
        f"tasks, above it on {above} ({part}), in {seconds:.0f} s ({cpu_seconds:.0f} s of CPU)"
    )
    return Summary(kept, within, above, len(judged), round(seconds, 1), round(cpu_seconds, 1), line)


def _best(result: Result) -> tuple[float, str]:
    found = result.pr_auc()
    return max((found[name], name) for name in _BASELINES)


def _verdict(ahead: float) -> str:
    return "above" if ahead > 0 else "within" if ahead >= -_SHORT else "SHORT"


def _row(name: str, f: Figures) -> str:
    return (
        f"{name:20} {f.pr_auc:7.3f} {f.macro_ap:6.3f} {f.roc_auc:6.3f} {f.precision:6.3f} {f.recall:6.3f} {f.f1:6.3f} "
        f"{f.fpr:6.3f} {f.accuracy:6.3f} {f.event_recall:7.3f} {f.chance:6.3f} {_time(f.lead_or_delay_s):>10} "
        f"{f.false_alarms_per_hour:10.4f} {_number(f.brier)} {_number(f.ece)}"
    )


def _number(value: float) -> str:
    return f"{'-':>6}" if math.isnan(value) else f"{value:6.4f}"


def _time(seconds: float) -> str:
    if math.isnan(seconds):
        return "-"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
