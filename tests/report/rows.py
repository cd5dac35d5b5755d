"""Every row of the project's table of figures: what must be, what is aimed at, and where the figure comes from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from tests.bench.figures import Bound
from tests.report.results import Found, Results, between

from mendbus.contracts.vocabulary import SERVICES

Source = Callable[[Results], Found | None]
Verdict = Literal["aim reached", "must kept", "within noise", "falls short", "below the aim", "told", "not measured"]


@dataclass(frozen=True, slots=True)
class Part:
    """One figure of a row. `aim` without `must`: falling short of it is no defect."""

    what: str
    unit: str
    source: Source
    must: Bound | None = None
    aim: Bound | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """What the project promises, in parts."""

    what: str
    parts: Sequence[Part]


@dataclass(frozen=True, slots=True)
class Line:
    """A part, and what was found."""

    row: Row
    part: Part
    found: Found | None

    @property
    def verdict(self) -> Verdict:
        """`within noise`: the must falls short, by no more than the noise that the run itself measured."""
        if self.found is None:
            return "not measured"
        must, aim, value, noise = self.part.must, self.part.aim, self.found.value, self.found.noise
        if must and not must.holds(value):
            return "within noise" if must.holds(value - noise) or must.holds(value + noise) else "falls short"
        if aim:
            return "aim reached" if aim.holds(value) else "must kept" if must else "below the aim"
        return "must kept" if must else "told"


def lines(results: Results) -> list[Line]:
    """All parts of all rows."""
    return [Line(row, part, part.source(results)) for row in ROWS for part in row.parts]


def _less(value: float) -> Bound:
    return Bound("<", value)


def _most(value: float) -> Bound:
    return Bound("<=", value)


def _least(value: float) -> Bound:
    return Bound(">=", value)


_NONE = Bound("==", 0.0)

# -- where figures come from


def _bench(key: str) -> Source:
    return lambda results: results.bench(key)


def _noted(key: str) -> Source:
    return lambda results: results.noted(key)


def _worst(*keys: str) -> Source:
    """The largest of these figures of the bench; none when one of them is missing."""

    def source(results: Results) -> Found | None:
        found = {key: results.bench(key) for key in keys}
        known = {key: one for key, one in found.items() if one is not None}
        if len(known) < len(keys):
            return None
        key, worst = max(known.items(), key=lambda item: item[1].value)
        return Found(worst.value, worst.run, f"the most: {key.rpartition('.')[2]}")

    return source


def _growth(key: str, of: str) -> Source:
    """One figure of the bench as a multiple of another of the same run."""

    def source(results: Results) -> Found | None:
        above, below = results.bench(key), results.bench(of)
        if above is None or below is None or above.run is not below.run or not below.value:
            return None
        return Found(above.value / below.value, above.run)

    return source


def _lab_share(name: str) -> Source:
    def source(results: Results) -> Found | None:
        run = results.lab
        if run is None or run.data["summary"][name]["share"] is None:
            return None
        share = run.data["summary"][name]
        detail = f"{share['hits']} of {share['of']}; {between(share['interval'], 100)} %"
        return Found(100 * share["share"], run, detail)

    return source


def _controls_harmed(results: Results) -> Found | None:
    run = results.lab
    if run is None or not run.data["summary"]["controls"]:
        return None
    return Found(run.data["summary"]["controls_harmed"], run, f"of {run.data['summary']['controls']}")


def _not_played(results: Results) -> Found | None:
    run = results.lab
    return None if run is None else Found(run.data["conditions"]["cases"] - len(run.data["cases"]), run)


def _soak_minutes(results: Results) -> Found | None:
    run = results.soak
    return None if run is None else Found(run.data["minutes"], run)


def _soak_rising(results: Results) -> Found | None:
    run = results.soak
    if run is None:
        return None
    slopes = {name: use["memory_kib_per_minute"] for name, use in run.data["processes"].items() if name in SERVICES}
    if len(slopes) < len(SERVICES):
        return None
    name, slope = max(slopes.items(), key=lambda item: item[1]["low"])
    detail = f"steepest: {name}, {slope['slope']:,.1f} KiB/min, {slope['low']:,.1f} to {slope['high']:,.1f}"
    return Found(sum(slope["low"] > 0 for slope in slopes.values()), run, detail)


def _soak_lost(results: Results) -> Found | None:
    run = results.soak
    return None if run is None else Found(len(run.data["lost"]), run, "; ".join(run.data["lost"])[:200])


def _covered(*what: str) -> Source:
    """Per cent of lines, or of lines and branches; none when the run did not look at branches and is asked for them."""

    def source(results: Results) -> Found | None:
        run = results.of("coverage")
        if run is None:
            return None
        totals = run.data["totals"]
        if any(f"covered_{name}" not in totals for name in what):
            return None
        covered = sum(totals[f"covered_{name}"] for name in what)
        every = sum(totals["num_statements" if name == "lines" else f"num_{name}"] for name in what)
        return Found(100 * covered / every, run, f"{covered} of {every}") if every else None

    return source


# -- the table

_SMALL = ("strategy-selector", "executor", "health-monitor")
_MODEL = ("classifier", "predictor")


def _memory(services: Sequence[str]) -> Source:
    return _worst(*(f"memory.{when}.{service}" for service in services for when in ("idle", "loaded")))


ROWS: tuple[Row, ...] = (
    Row(
        "error acknowledged -> strategy selected, 6 agents",
        (
            Part("mean", "ms", _bench("selection.mean"), _less(4.7)),
            Part("p99", "ms", _bench("selection.p99"), _less(8.2)),
            Part("p50 over the bare four-stage floor's", "x", _bench("selection.ratio"), _most(3), _most(2)),
        ),
    ),
    Row(
        "error -> recovery verified, live agents in other processes",
        (
            Part("mean", "ms", _bench("recovery.6.mean"), _less(37.2)),
            Part("p50", "ms", _bench("recovery.6.p50"), None, _less(10)),
            Part("p99", "ms", _bench("recovery.6.p99"), _less(48.9), _less(25)),
        ),
    ),
    Row(
        "the same, 16 parallel, 50 errors at once",
        (
            Part("p99, lean agents", "ms", _bench("burst.p99"), _less(100), _less(48.9)),
            Part("p99, agents of the SDK", "ms", _bench("burst.sdk.p99")),
        ),
    ),
    Row(
        "the same, one at a time",
        (
            *(Part(f"p99, {n} agents", "ms", _bench(f"recovery.{n}.p99"), _less(50)) for n in (6, 25, 100)),
            # Flat: what a reader would not call growth.
            Part(
                "p99 at 100 agents over that at 6", "x", _growth("recovery.100.p99", "recovery.6.p99"), None, _most(1.1)
            ),
        ),
    ),
    Row(
        "warm restart of a real Python agent; rollback of 1 MiB",
        (
            Part("restart, p50", "ms", _bench("warm.p50"), None, _less(15)),
            Part("restart, p99", "ms", _bench("warm.p99"), _less(48.9)),
            Part("restart, p99, until the agent answers itself", "ms", _bench("warm.agent.p99"), _less(48.9)),
            Part("rollback, p50", "ms", _bench("rollback.p50"), None, _less(10)),
            Part("rollback, p99", "ms", _bench("rollback.p99"), _less(25)),
            Part("rollback from the bucket, p99", "ms", _bench("rollback.bucket.p99"), _less(25)),
        ),
    ),
    Row(
        "model inference, one row",
        (
            Part("mean", "us", _noted("inference.mean_us"), _less(187)),
            Part("p50", "us", _noted("inference.p50_us"), None, _less(20)),
            Part("p99.9", "us", _noted("inference.p999_us"), _less(342)),
        ),
    ),
    Row(
        "sustained for 60 s, 50 fingerprints, nothing lost",
        (
            Part("errors counted", "/s", _bench("sustained.long.rate"), _least(1000)),
            Part("lost or counted twice", "", _bench("sustained.long.wrong"), _NONE),
            Part("counted when 2500/s are offered for 20 s", "/s", _bench("sustained.more"), None, _least(2500)),
        ),
    ),
    Row(
        "distinct recoveries, every write synced",
        (
            Part("lean agents", "/s", _bench("distinct.rate"), _least(300), _least(1000)),
            Part("agents of the SDK", "/s", _bench("distinct.sdk.rate")),
        ),
    ),
    Row(
        "storm of one fingerprint at the agent's call",
        (
            Part("reported", "/s", _bench("storm.rate"), _least(5000), _least(20000)),
            Part("incidents", "", _bench("storm.incidents"), Bound("==", 1)),
            Part("lost or counted twice", "", _bench("storm.wrong"), _NONE),
        ),
    ),
    Row(
        "private memory (USS), idle and loaded",
        (
            Part("service without a model", "MB", _memory(_SMALL), _less(40), _less(30)),
            Part("service with a model", "MB", _memory(_MODEL), _less(55), _less(40)),
            Part("--single-process, resident", "MB", _bench("memory.single"), _less(90), _less(65)),
        ),
    ),
    Row(
        "start; SDK report call; health status",
        (
            Part(
                "start of a service to ready",
                "s",
                _worst(*(f"start.{service}" for service in (*_MODEL, *_SMALL))),
                _less(1.5),
                _less(0.7),
            ),
            Part("SDK report() call, mean", "ms", _bench("start.report.mean"), _less(1), _less(0.2)),
            Part("health status on the bus after a sample, p50", "ms", _bench("start.status.p50"), _less(20), _less(9)),
        ),
    ),
    Row(
        "recoveries while services and servers are being killed",
        (
            Part("recoveries looked at", "", _noted("chaos.recoveries"), _least(10_000)),
            Part("that succeeded", "%", _noted("chaos.succeeded_percent"), _least(99.9), _least(99.97)),
            Part("errors lost", "", _noted("chaos.lost"), _NONE),
            Part("done twice", "", _noted("chaos.twice"), _NONE),
        ),
    ),
    Row(
        "fault lab",
        (
            Part("recovered", "%", _lab_share("recovered"), _least(90), _least(95.7)),
            Part("needed a person", "%", _lab_share("person"), _most(11), _most(5)),
            Part("controls harmed", "", _controls_harmed, _NONE),
            # The shares are of those that were: a run that left some out says less.
            Part("cases that were not played", "", _not_played, _NONE),
        ),
    ),
    Row(
        "strategy choice against the measured oracle",
        (
            Part("first choice optimal", "%", _lab_share("optimal_in_all"), _least(89.7), _least(95)),
            Part("lift of the learned choice over the default policy", "points", _noted("choice.lift_points")),
        ),
    ),
    Row(
        "error category on real errors, repositories unseen (`unknown` is wrong)",
        (
            Part("strict", "%", _noted("category.strict_percent"), _least(70), _least(85)),
            Part("lenient", "%", _noted("category.lenient_percent"), _least(80), _least(92.1)),
        ),
    ),
    Row(
        "failure prediction 30 s ahead, fault kinds and rates absent from training",
        (
            Part("recall", "%", _noted("prediction.recall_percent"), _least(87.3), _least(95)),
            Part("false positives", "%", _noted("prediction.false_positive_percent"), _most(3.2)),
            Part("early warning", "%", _noted("prediction.early_percent"), _least(83.7), _least(95)),
            Part("precision", "%", _noted("prediction.precision_percent")),
            Part("PR-AUC", "", _noted("prediction.pr_auc")),
            Part("lead time, median", "s", _noted("prediction.lead_seconds")),
            Part("false alarms per agent-hour", "", _noted("prediction.false_alarms_per_agent_hour")),
        ),
    ),
    Row(
        "detected in the lab",
        (
            Part("degradation", "% of events", _noted("detection.degradation_percent"), _least(92.1), _least(97)),
            Part("exhaustion", "% of events", _noted("detection.exhaustion_percent"), _least(88.9), _least(97)),
            Part("false alarms per agent-hour", "", _noted("detection.false_alarms_per_agent_hour")),
        ),
    ),
    Row(
        "public packs of health data, out of fold",
        (
            Part(
                "PR-AUC below the best baseline, worst pack",
                "",
                _noted("packs.worst_shortfall"),
                _most(0.02),
                _less(0),
            ),
        ),
    ),
    Row(
        "training",
        (
            Part("samples until the model is 85 % accurate", "", _noted("training.samples"), _most(247), _most(150)),
            Part(
                "outcomes until strategy choice has converged", "", _noted("training.outcomes"), _most(247), _most(150)
            ),
        ),
    ),
    Row(
        "soak under real load",
        (
            Part("length", "min", _soak_minutes, _least(30), _least(24 * 60)),
            Part("services whose memory slope is above zero", "", _soak_rising, _NONE),
            Part("books that do not agree", "", _soak_lost, _NONE),
        ),
    ),
    Row(
        "coverage",
        (
            Part("lines", "%", _covered("lines"), _least(95)),
            Part("lines and branches", "%", _covered("lines", "branches"), None, _least(96.8)),
        ),
    ),
)
