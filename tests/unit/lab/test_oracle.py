"""The oracle: which cases, what is done again and what is not, what becomes of a world that fails, and the sums."""

import asyncio
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tests.lab import folding, oracle, trial
from tests.lab.faultlab import make_plans
from tests.lab.faults import Case, Fault
from tests.lab.trial import STATES, TRIED, Trial
from tests.lab.users import Use

from mendbus.testing import eventually

FOUND: dict[str, Any] = {
    "noticed": 0.1,
    "recovered": True,
    "seconds": 0.2,
    "others": 0.0,
    "lost": 0,
    "isolated": False,
    "lowered": 0.0,
    "features": 0.0,
    "other_way": False,
}
PLACE = """
import json, os, sys, time
(folder,) = sys.argv[1:]
os.makedirs(folder)
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    trial = json.loads(line)
    %s
    print(json.dumps(found), flush=True)
"""


async def _inject(_: Case) -> None:
    return


def _fault(name: str, kinds: tuple[str, ...] = ("runtime",), **more: Any) -> Fault:
    return Fault(name, "It breaks.", "runtime", kinds, _inject, **more)


FAULTS = {
    fault.name: fault
    for fault in (
        _fault("one", ("runtime", "versioning"), parameters={"much": (1, 2)}),
        _fault("two"),
        _fault("calm", success="undisturbed"),
    )
}


def _place(tmp_path: Path, body: str) -> tuple[str, ...]:
    script = tmp_path / "place.py"
    script.write_text(PLACE % body)
    return sys.executable, str(script)


def _record(trial_: Trial, **more: Any) -> dict[str, Any]:
    circumstances = {"at": "2026-01-01T00:00:00+00:00", "load": 1.0, "worlds": 2, "commit": "abc"}
    parts = {name: getattr(trial_, name) for name in Trial.__slots__}
    return {"key": trial_.key, "case": trial_.case} | parts | FOUND | circumstances | more


def test_every_case() -> None:
    """A case is each fault with each of its parameters on each of its kinds in each state, and they differ by key."""
    cases = oracle.situations(FAULTS)
    assert len(cases) == (2 * 2 + 1 + 1) * len(STATES)
    assert len({case.key for case in cases}) == len(cases)
    assert {case.fault for case in oracle.situations(FAULTS, names=["two"])} == {"two"}
    assert {case.kind for case in oracle.situations(FAULTS, kinds=["versioning"])} == {"versioning"}


@pytest.mark.parametrize("number", [0, 3, 8, 1000])
def test_some_cases_are_spread(number: int) -> None:
    """So many cases are the same ones each time, of each fault as many as of any other that has more, most of them
    calm, and those that the pipeline meets first.
    """
    every = oracle.situations(FAULTS)
    chosen = oracle.some(every, FAULTS, number)
    assert len(chosen) == min(number, len(every))
    assert chosen == oracle.some(every[::-1], FAULTS, number)
    assert len({case.key for case in chosen}) == len(chosen)
    calm = [(case.fault, case.kind, case.parameters) for case in chosen if case.state == "calm"]
    plans = make_plans(list(FAULTS.values()), max(len(calm), len(FAULTS)), 1)
    assert calm == [(plan.fault.name, plan.kind, plan.parameters) for plan in plans][: len(calm)]
    if number == 3:
        assert {case.fault for case in chosen} == set(FAULTS)
    if number == 8:
        assert Counter(case.state for case in chosen) == {"calm": 6, "busy": 2}


def test_seeds() -> None:
    """All strategies of a case meet the same chance in a repetition, and another one in the next."""
    tried = oracle.trials(oracle.situations(FAULTS, names=["two"], states=["calm"]), 2)
    assert len(tried) == 2 * len(TRIED)
    assert len({one.seed for one in tried}) == 2


def test_asked_of_some(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command says how many cases and trials it is asked for, and does none when it is only to list them."""
    asked = ["--list", "--results", str(tmp_path), "--fault", "killed", "--kind", "runtime", "--strategy", "restart"]
    assert oracle.main([*asked, "--repetitions", "2"]) == 0
    head, *listed = capsys.readouterr().out.splitlines()
    assert head == f"{len(STATES)} cases of 1 faults, {2 * len(STATES)} trials, {2 * len(STATES)} to do"
    assert len(listed) == len(STATES)


async def test_run_is_resumed(tmp_path: Path) -> None:
    """What is recorded is not done again, though the last line of it was cut off."""
    command = _place(tmp_path, f"found = {FOUND!r}")
    wanted = oracle.trials(oracle.situations(FAULTS, names=["two"], states=["calm"]), 1)
    results = tmp_path / "results"
    first = oracle.Run(wanted[:4], results, 2, command)
    await first.run()
    assert first.done == 4
    with (results / "world-0.jsonl").open("a") as file:
        file.write('{"key": "cut o')
    second = oracle.Run(wanted, results, 1, command)
    assert second.planned == len(wanted) - 4
    await second.run()
    assert set(oracle.recorded(results)) == {one.key for one in wanted}


async def test_world_that_fails_is_put_up_anew(tmp_path: Path) -> None:
    """A process that ends in the middle costs a try; a trial that never comes about is left out, and said to be."""
    once = f"""
    mark = os.path.join({str(tmp_path)!r}, "died")
    if trial["strategy"] == "retry":
        found = {{"error": "it cannot be injected"}}
    elif not os.path.exists(mark):
        open(mark, "w").close()
        os._exit(9)
    else:
        found = {FOUND!r}
    """
    wanted = oracle.trials(oracle.situations(FAULTS, names=["two"], states=["calm"]), 1)
    run = oracle.Run(wanted, tmp_path / "results", 1, _place(tmp_path, once))
    await run.run()
    assert run.done == len(wanted) - 1
    assert list(run.failed.values()) == ["it cannot be injected"]


async def test_stop(tmp_path: Path) -> None:
    """A run that is stopped ends its processes, and what was done by then is recorded."""
    body = f"""
    if trial["strategy"] != "none":
        time.sleep(60)
    found = {FOUND!r} | {{"pid": os.getpid()}}
    """
    results = tmp_path / "results"
    wanted = oracle.trials(oracle.situations(FAULTS, names=["two"], states=["calm"]), 1)
    run = oracle.Run(wanted, results, 1, _place(tmp_path, body))
    task = asyncio.create_task(run.run())
    await eventually(lambda: run.done == 1, 10.0)
    _ = task.cancel()
    _ = await asyncio.wait((task,))
    assert task.cancelled()
    (record,) = oracle.recorded(results).values()
    with pytest.raises(ProcessLookupError):
        os.kill(record["pid"], 0)


def test_folded(tmp_path: Path) -> None:
    """A case has the means over its repetitions, and the best strategies of it; a control wants nothing done."""
    case = oracle.situations(FAULTS, names=["two"], states=["calm"])
    control = oracle.situations(FAULTS, names=["calm"], states=["calm"])
    records = [
        _record(one, recovered=one.strategy == "restart" or (one.strategy == "retry" and one.repetition == 1))
        for one in oracle.trials(case, 2)
    ] + [_record(one, recovered=one.strategy == "none", noticed=None) for one in oracle.trials(control, 2)]
    folded = folding.fold(records, FAULTS, 2)
    quiet, broken = folded["cases"]
    assert broken["optimal"] == ["restart"]
    assert broken["strategies"]["restart"] == [0.98, 1.0, 0.2, 2]
    assert broken["strategies"]["retry"][1] == 0.5
    assert broken["strategies"]["escalate"][0] == pytest.approx(0.305, abs=0.001)
    assert quiet["optimal"] == ["none"]
    assert quiet["counts"]
    folding.write(folded, tmp_path / "oracle.json")
    assert json.loads((tmp_path / "oracle.json").read_text())["cases"] == folded["cases"]


def test_unnoticed_fault_does_not_count() -> None:
    """A case whose fault users did not notice says nothing of strategies."""
    case = oracle.situations(FAULTS, names=["two"], states=["calm"])
    folded = folding.fold([_record(one, noticed=None) for one in oracle.trials(case, 1)], FAULTS, 1)
    assert not folded["cases"][0]["counts"]


def test_contained_is_over_when_nothing_wrong_gets_out() -> None:
    """For a fault that must be contained no answer is fine and a wrong one is not; for any other neither is."""
    wrong = [Use(number / 10, 0.01, "part_1 answers 3, not 4") for number in range(4)]
    none = [Use(1 + number / 10, 0.01, "AgentRefused: Isolated: by command") for number in range(8)]
    late = [Use(2 + number / 10, 5.0, "TimeoutError: ") for number in range(2)]
    assert trial.over_for_all({"runtime": wrong + none + late}, "contained") == 1.0
    assert trial.over_for_all({"runtime": wrong + none}, "served") is None
    assert trial.over_for_all({"runtime": none + wrong}, "contained") is None


def test_harm_to_others() -> None:
    """Harm is what users of other agents suffer beyond what they suffered before anything was done about it."""
    fine, bad = [Use(0.5, 0.01, "")] * 4, [Use(0.5, 0.01, "AgentRefused: no")] * 4
    later_fine, later_bad = [Use(2.0, 0.01, "")] * 4, [Use(2.0, 0.01, "AgentRefused: no")] * 4

    def share(other: list[Use]) -> float:
        return trial.harmed({"runtime": bad + later_bad, "versioning": other}, ("runtime",), 0.0, 1.0)[0]

    assert share(fine + later_fine) == 0
    assert share(fine + later_bad) == 1
    assert share(bad + later_bad) == 0
    assert share(later_bad + later_fine) == 0.5
    assert trial.harmed({"runtime": bad + later_bad, "versioning": later_bad}, ("runtime",), 0.0, 1.0)[1] == 8


def test_held_versions(tmp_path: Path) -> None:
    """A version is held when it is listed, in index or history, and its text is there and whole."""
    objects = tmp_path / "state" / "objects"
    objects.mkdir(parents=True)
    texts = {name: f"{name} = 1\n" for name in ("a", "b", "c")}
    digests = {name: trial.hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
    for name, text in texts.items():
        (objects / digests[name]).write_text(text)
    (objects / digests["c"]).write_text("something else")
    (tmp_path / "state" / "index.json").write_text(json.dumps({"head": 2, "names": {"a": digests["a"]}}))
    lines = [json.dumps({"head": 1, "names": {name: digests[name]}}) for name in ("b", "c")]
    (tmp_path / "state" / "history.jsonl").write_text("\n".join(lines) + '\n{"head": 3, "na')
    assert trial.held(tmp_path) == {("a", digests["a"]), ("b", digests["b"])}
    assert trial.held(tmp_path / "nowhere") == set()


def test_parameters_of_every_strategy() -> None:
    """Every strategy is tried but a person's, and doing nothing as well."""
    from mendbus.contracts.vocabulary import STRATEGIES

    assert set(TRIED) == {*STRATEGIES, "none"} - {"escalate"}
