"""How good learned strategy choice is, judged by the oracle: `python -m tests.lab.choice`.

Every case is judged by what was learned of all the other kinds of fault. Printed are the shares of choices that are
optimal, regret, lift over the default policy with intervals (bootstrap over kinds of fault), how fast it is learned
from nothing, and what a decision costs. `--fit DIR` writes the model that comes with the strategy-selector. Ends with
status 1 when a must is missed.
"""

import argparse
import json
import random
import re
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from tests.lab import choosing, folding, nested, trials
from tests.lab.choosing import SUPPORTED, Judged, Situation, chosen_by, expected, judge, mean
from tests.lab.faults.catalogue import FAULTS
from tests.lab.tables import grid

from mendbus import models
from mendbus.contracts.vocabulary import Strategy
from mendbus_classifier import model as classifier
from mendbus_classifier.features import Text
from mendbus_strategy_selector import choice_model, experience
from mendbus_strategy_selector.choosing import drawn, worth
from mendbus_strategy_selector.decide import decide
from mendbus_strategy_selector.experience import Experience
from mendbus_strategy_selector.policy import Policy

OPTIMAL_AT_LEAST = 0.897
CONVERGED_WITHIN = 247
NEAR = 0.02
"""Converged: from here on never further below where it ends."""
POINTS = (0, 25, 50, 100, 150, 200, 247, 400, 600)
RUNS = 20
DRAWS = 2000
MICROSECONDS = 187.0
SURE = Policy(learned_explore_share=0.0, learned_holdout_share=0.0)
"""The default policy with nothing left to chance, so that a choice can be judged."""
_NUMBER = re.compile(r"\d+|'[^']*'|\"[^\"]*\"")


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The middle 95 % of values."""
    ordered = sorted(values)
    return ordered[int(0.025 * len(ordered))], ordered[min(len(ordered) - 1, int(0.975 * len(ordered)))]


def bootstrap(
    pairs: Sequence[tuple[Judged, Judged]], of: Callable[[Judged], float], seed: int = 1
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Intervals of a mean, and of its difference from the one beside it; kinds of fault are drawn, not cases."""
    faults: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for mine, other in pairs:
        faults[mine.fault].append((of(mine), of(other)))
    names, chance = sorted(faults), random.Random(seed)
    means: list[float] = []
    differences: list[float] = []
    for _ in range(DRAWS):
        drawn = [pair for name in chance.choices(names, k=len(names)) for pair in faults[name]]
        means.append(fmean(mine for mine, _ in drawn))
        differences.append(fmean(mine - other for mine, other in drawn))
    return interval(means), interval(differences)


def _unless_isolated(situation: Situation, strategy: str) -> str:
    """A constant that is bound like what was learned: what contains is not traded."""
    default = chosen_by(SURE, situation, None)
    return default if default == "isolate" else strategy


def best_of(found: Experience, situation: Situation) -> Strategy:
    """What is expected to be best, sure or not, whatever the policy says; nobody is cut off or called."""
    learned = expected(found, situation)
    among: list[Strategy] = [name for name in SUPPORTED if name != "isolate"]
    return max(among, key=lambda name: worth(learned, name))


def curve(
    every: Sequence[Situation],
    records: Mapping[str, Sequence[Mapping[str, Any]]],
    folded: Mapping[str, Mapping[str, Any]],
    runs: int,
    *,
    from_nothing: bool,
) -> dict[int, float]:
    """Share optimal after so many outcomes, mean of runs: each meets errors by chance and draws what it tries.

    A new installation starts from what another half of the kinds of fault taught, and meets only the rest; or, from
    nothing, all.
    """
    shares: dict[int, list[float]] = defaultdict(list)
    faults = sorted({one.fault for one in every})
    for run in range(runs):
        chance = random.Random(run)
        familiar = chance.sample(faults, 0 if from_nothing else len(faults) // 2)
        found = choosing.fit((one for one in every if one.fault in familiar), records)
        chosen = [one for one in every if one.fault not in familiar]
        for number in range(POINTS[-1] + 1):
            if number in POINTS:
                shares[number].append(mean(judge(chosen, folded, lambda one, e=found: best_of(e, one)), _optimal))
            situation = chance.choices(chosen, [one.share for one in chosen])[0]
            strategy = drawn(expected(found, situation), SUPPORTED, chance)
            tried = [r for r in records[situation.case] if r["strategy"] == strategy]
            if tried:
                record = chance.choice(tried)
                found.learn(experience.Lesson(situation.seen, strategy, record["recovered"], record["seconds"]))
    return {point: fmean(values) for point, values in shares.items()}


def converged(shares: Mapping[int, float]) -> int | None:
    """The first point from which on the curve is never further than `NEAR` below its end."""
    end = shares[POINTS[-1]]
    for point in POINTS:
        if all(shares[later] >= end - NEAR for later in POINTS if later >= point):
            return point
    return None


def _optimal(one: Judged) -> float:
    return one.optimal


def _regret(one: Judged) -> float:
    return one.regret


def microseconds(found: Experience, chosen: Sequence[Situation]) -> float:
    """Time of this process for one decision: what is expected, and the decision that looks at it."""
    begun = time.process_time()
    for _ in range(5):
        for one in chosen:
            _ = decide(SURE, choosing.state_of(one, expected(found, one)))
    return (time.process_time() - begun) / (5 * len(chosen)) * 1e6


def fitted(found: Experience, name: str, digest: str, samples: int, figures: Mapping[str, float], note: str) -> None:
    """Writes the learned model and, beside it, what the policy was measured at. Figures of both in `figures`."""
    files = {choice_model.CELLS: choice_model.packed(found)}
    common: dict[str, Any] = {
        "service": choice_model.SERVICE,
        "created": time.strftime("%Y-%m-%d", time.gmtime()),
        "inputs": choice_model.INPUTS,
        "features": experience.LEVELS,
        "labels": choice_model.LABELS,
        "data": {"fault lab, trials of the oracle": digest},
        "samples": samples,
        "seed": 0,
        "note": note,
    }
    mine = {key: value for key, value in figures.items() if not key.startswith("policy_")}
    card = models.Card(name=name, files=_digests(files), library="counts", figures=mine, **common)
    models.write_folder(choice_model.included(), card, files)
    theirs = {key.removeprefix("policy_"): value for key, value in figures.items() if key.startswith("policy_")}
    card = models.Card(name=f"policy-{Policy().digest[:8]}", files={}, library="none", figures=theirs, **common)
    models.write_folder(choice_model.packaged(), card, {})
    _ = choice_model.load()


def _digests(files: Mapping[str, bytes]) -> dict[str, str]:
    return {name: models.digest(content) for name, content in files.items()}


def _classifier() -> choosing.Classify:
    used = classifier.load()

    def classify(type_: str, message: str) -> tuple[str, float]:
        guess = used.classify(Text(type_, message, "", 0, frozenset(), {}))
        return guess.category, guess.confidence

    return classify


def _arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.lab.choice", description="judges learned strategy choice")
    parser.add_argument("--trials", type=Path, default=trials.FILE, help="the oracle's trials, by tests.lab.trials")
    parser.add_argument("--runs", type=int, default=RUNS, help="runs that the curve is the mean of")
    parser.add_argument("--nested", action="store_true", help="also judge with constants set without what is judged")
    parser.add_argument("--fit", metavar="NAME", help="also write the model of the package, under this name")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    """Judges, prints and, if asked, writes the model; the exit status."""
    options = _arguments(given)
    measured = trials.read(options.trials)
    records: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for record in measured.records:
        records[record["case"]].append(record)
    cases = folding.fold_cases(measured.records, FAULTS)
    folded = {str(case["case"]): case for case in cases}
    chosen = choosing.situations(cases, records, measured.known, _classifier())
    told = len({one.case for one in chosen})
    counted = sum(bool(case["counts"]) for case in cases)
    print(f"{len(measured.records)} trials of {len(cases)} cases; {len(cases) - counted} not noticed often enough")
    print(
        f"to count, {counted - told} without a reported error (nothing is decided), {told} judged, {len(chosen)} errors"
    )
    figures = judged_all(chosen, records, folded)
    if options.nested:
        tell_nested(chosen, records, folded)
    shares = curve(chosen, records, folded, options.runs, from_nothing=False)
    bare = curve(chosen, records, folded, options.runs, from_nothing=True)
    rows = [(str(p), _per_cent(shares[p]), _per_cent(bare[p])) for p in POINTS]
    print(grid([("outcomes", "from a model, faults new to it", "from nothing"), *rows]))
    where, late = converged(shares), converged(bare)
    print(f"within {100 * NEAR:.0f} points of the end after {where} outcomes; from nothing after {late}")
    whole = choosing.fit(chosen, records)
    cost = microseconds(whole, chosen)
    print(f"a decision with what was learned: {cost:.0f} us of processor time in the mean, must be < {MICROSECONDS:g}")
    figures |= {"converged": float(where if where is not None else -1)}
    missed: list[str] = []
    if figures["optimal"] < OPTIMAL_AT_LEAST:
        missed.append(f"optimal {_per_cent(figures['optimal'])}, must be at least {_per_cent(OPTIMAL_AT_LEAST)}")
    if where is None or where > CONVERGED_WITHIN:
        missed.append(f"converged after {where} outcomes, must be {CONVERGED_WITHIN} at most")
    if options.fit:
        note = "optimal and regret: first choices on cases of the fault lab, kinds of fault left out one at a time"
        fitted(whole, options.fit, measured.digest, len(measured.records), figures, note)
        print(f"{options.fit} is written to {choice_model.included()}")
    if options.json:
        options.json.write_text(json.dumps(figures | {"curve": shares, "microseconds": cost}, indent=1) + "\n")
    print(
        f"choice: {_per_cent(figures['optimal'])} optimal, lift {_points(figures['lift'])}; missed: {missed or 'none'}"
    )
    return 1 if missed else 0


def judged_all(
    chosen: Sequence[Situation],
    records: Mapping[str, Sequence[Mapping[str, Any]]],
    folded: Mapping[str, Mapping[str, Any]],
) -> dict[str, float]:
    """Judges every way of choosing and prints them beside each other; the figures for a card."""
    others = choosing.without_each(chosen, records, lambda one: one.fault)
    whole = choosing.fit(chosen, records)
    strange = {
        (fault, kind): choosing.fit((o for o in chosen if o.fault != fault and o.seen.kind != kind), records)
        for fault, kind in sorted({(one.fault, one.seen.kind) for one in chosen})
    }
    free = SURE.model_copy(update={"learned_leaves": []})
    ways: dict[str, Callable[[Situation], str]] = {
        "default policy": lambda one: chosen_by(SURE, one, None),
        "learned, as it decides": lambda one: chosen_by(SURE, one, expected(others[one.fault], one)),
        "and isolate not left alone": lambda one: chosen_by(free, one, expected(others[one.fault], one)),
        "and sure or not": lambda one: best_of(others[one.fault], one),
        "as it decides, kind of agent unseen too": lambda one: chosen_by(
            SURE, one, expected(strange[one.fault, one.seen.kind], one)
        ),
        "always failover": lambda _: "failover",
        "the same, isolate left alone": lambda one: _unless_isolated(one, "failover"),
        "always rollback": lambda _: "rollback",
        "learned of the same faults": lambda one: best_of(whole, one),
    }
    found = {name: judge(chosen, folded, way) for name, way in ways.items()}
    default = found["default policy"]
    rows = [("leaving one kind of fault out", "optimal", "", "lift over the policy", "regret", "")]
    for name, judged in found.items():
        pairs = [(judged[case], default[case]) for case in judged]
        (low, high), (less, more) = bootstrap(pairs, _optimal)
        (least, most), _ = bootstrap(pairs, _regret)
        share, lift = mean(judged, _optimal), mean(judged, _optimal) - mean(default, _optimal)
        rows.append(
            (
                name,
                _per_cent(share),
                f"{100 * low:.0f} to {100 * high:.0f}",
                f"{_points(lift)} ({100 * less:+.0f} to {100 * more:+.0f})",
                f"{mean(judged, _regret):.3f}",
                f"{least:.3f} to {most:.3f}",
            )
        )
    print(grid(rows))
    facts: dict[str, Callable[[Situation], object]] = {
        "kind, category, severity and type": lambda one: one.seen,
        "and the message": lambda one: (one.seen, _NUMBER.sub("#", one.message)),
    }
    for name, of in facts.items():
        print(f"no choice by {name} could be better than {_per_cent(choosing.ceiling(chosen, folded, of))}")
    mine = found["learned, as it decides"]
    return {
        "optimal": mean(mine, _optimal),
        "lift": mean(mine, _optimal) - mean(default, _optimal),
        "regret": mean(mine, _regret),
        "sure_or_not_optimal": mean(found["and sure or not"], _optimal),
        "policy_optimal": mean(default, _optimal),
        "policy_regret": mean(default, _regret),
    }


def tell_nested(
    chosen: Sequence[Situation],
    records: Mapping[str, Sequence[Mapping[str, Any]]],
    folded: Mapping[str, Mapping[str, Any]],
) -> None:
    """Prints what is left when the constants, too, are set without the kind of fault that is judged."""
    ways: dict[str, nested.Chosen] = {
        "learned, as it decides": lambda found, one: chosen_by(SURE, one, expected(found, one)),
        "and sure or not": best_of,
    }
    rows = [("constants set on the other kinds", "optimal", "", "regret", "settings")]
    for name, way in ways.items():
        judged, used = nested.nested(chosen, records, folded, way)
        pairs = [(one, one) for one in judged.values()]
        (low, high), _ = bootstrap(pairs, _optimal)
        often = ", ".join(f"{number}x {setting.name}" for setting, number in used.most_common(2))
        share, interval_ = _per_cent(mean(judged, _optimal)), f"{100 * low:.0f} to {100 * high:.0f}"
        rows.append((name, share, interval_, f"{mean(judged, _regret):.3f}", often))
    print(grid(rows))


def _per_cent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _points(difference: float) -> str:
    return f"{100 * difference:+.1f} points"


if __name__ == "__main__":
    sys.exit(main())
