"""Sums of stories, the table, the file and the picture."""

import json
from xml.etree import ElementTree as ET

import pytest
from tests.lab import tables
from tests.lab.faultlab import make_plans
from tests.lab.faults import Case, Fault
from tests.lab.kinds import ORDER
from tests.lab.rounds import waves
from tests.lab.stories import Story, story
from tests.lab.sums import Share, difference, summary
from tests.unit.lab.test_stories import RESTARTED, attempt, outcome, seen, uses

SUFFERED = {"runtime": uses((0.1, 0.5))}
LOST = {"runtime": uses((0.1, 10.0))}


def good(number: int = 0) -> Story:
    """Recovered, by a choice that was optimal in the end."""
    return story(seen([RESTARTED], SUFFERED, parameters={"n": number}), ["restart"])


def bad(number: int = 0) -> Story:
    """A person was called, and users are not served."""
    calls = outcome("runtime", "escalated", 70, attempt("restart", 100, verified=False))
    return story(seen([calls], LOST, parameters={"n": number}), ["restart"])


def control(*, harmed: bool) -> Story:
    """Nothing was wrong."""
    acted = [outcome("runtime", "recovered", 50, attempt("isolate", 100))] if harmed else []
    return story(seen(acted, success="undisturbed", fault="quiet"))


def test_intervals_are_wilsons() -> None:
    """The interval is that of the score test, known for 8 of 10, and lies within 0 and 1 at the ends."""
    assert Share(8, 10).interval() == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert Share(0, 10).interval() == pytest.approx((0.0, 0.2775), abs=1e-4)
    assert Share(10, 10).interval() == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert Share(0, 0).interval() is None
    assert str(Share(8, 10)) == "80 % (8 of 10, 49 to 94 %)"


def test_differences_have_an_interval_too() -> None:
    """The interval of a difference is known for 56 of 70 and 48 of 80."""
    assert difference(Share(48, 80), Share(56, 70)) == "+20 points (+5 to +33)"
    assert difference(Share(0, 0), Share(1, 2)) == "not comparable"


def test_musts_hold() -> None:
    """Nine of ten recovered, one person in ten, and controls left alone: nothing is missed."""
    found = summary([*(good(n) for n in range(9)), bad(), control(harmed=False)])
    assert (found.recovered, found.person, found.missed) == (Share(9, 10), Share(1, 10), [])
    assert (found.faults, found.controls, found.controls_harmed) == (10, 1, 0)
    assert found.verdicts == {"runtime": {"recovered": 9, "person": 1, "failed": 0}}
    assert found.optimal == {"runtime": Share(1, 10)}
    assert found.helped_optimal == Share(9, 9)
    assert found.strategies == {"restart": (Share(9, 10), Share(9, 10)), "rollback": (Share(0, 9), Share(0, 9))}
    assert found.clocks["detect"] == (50.0, 50.0)


def test_musts_are_missed() -> None:
    """Too few recovered, too many persons, a control harmed, a case not played: each is said."""
    found = summary([good(), bad(), control(harmed=True)], ["killed on runtime: no reason"])
    assert [sentence.split(":")[0] for sentence in found.missed] == [
        "recovered",
        "a person was needed",
        "1 of 1 controls harmed, must be none",
        "1 cases were not played",
    ]
    assert found.controls_acted_on == 1


def test_the_table_has_a_line_for_each_story() -> None:
    """What was chosen, who was called and how it ended can be read from the line."""
    head, _, first, second, third = tables.table([good(), bad(), control(harmed=False)]).splitlines()
    assert head.split()[:3] == ["case", "verdict", "detected"]
    assert "rollback- restart" in first
    assert "first no, helped yes" in first
    assert "person, not over" in second
    assert "not measured" in third
    assert tables.sums(summary([good(), bad()])).startswith("faults recovered for their users  50 %")


def test_a_comparison_names_what_differs() -> None:
    """Cases that went the same way are counted, the others told one by one, then the sums with their differences."""
    first, second = [good(1), good(2)], [good(1), bad(2)]
    told = tables.comparison(first, second, (summary(first), summary(second)))
    assert "killed on runtime (n=2)  verdict   recovered             person" in told
    assert "n=1" not in told
    assert "1 of 2 cases went the same way" in told
    assert "-50 points" in told


def test_the_file_holds_everything_as_json() -> None:
    """The file has the stories, the shares with intervals and what was missed, and nothing that JSON lacks."""
    stories = [good(), bad()]
    written = tables.content(stories, summary(stories), {"seed": 1}, [])
    found = json.loads(json.dumps(written, allow_nan=False))
    assert found["summary"]["recovered"] == {
        "hits": 1,
        "of": 2,
        "share": 0.5,
        "interval": pytest.approx([0.0945, 0.9055], abs=1e-4),
    }
    assert found["cases"][0]["clocks"]["detect"] == 50.0
    assert len(found["missed"]) == 2


def test_the_picture_is_well_formed() -> None:
    """The picture is XML that shows each verdict's count and each clock, whatever the title holds."""
    stories = [good(), bad(), control(harmed=False)]
    root = ET.fromstring(tables.picture(stories, summary(stories), 'A < B & "C"'))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert 'A < B & "C"' in texts
    assert {"runtime", "until reported", "until verified"} <= set(texts)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 7
    assert ET.fromstring(tables.picture([], summary([]), "none")) is not None


async def _nothing(_: Case) -> None:
    return


def _fault(name: str, **parameters: tuple[int, ...]) -> Fault:
    return Fault(name, "", "runtime", ORDER, _nothing, parameters)


def test_plans_come_from_the_seed_alone() -> None:
    """The same seed meets the same agents, another seed others, and each fault is met once at least."""
    faults = [_fault("a", n=(1, 2, 3)), _fault("b"), _fault("c")]

    def met(cases: int, seed: int) -> list[tuple[str, str, str]]:
        return [(plan.fault.name, plan.kind, str(plan.parameters)) for plan in make_plans(faults, cases, seed)]

    assert met(12, 1) == met(12, 1)
    assert met(12, 1) != met(12, 2)
    assert {name for name, _, _ in met(1, 1)} == {"a", "b", "c"}
    kinds = [kind for _, kind, _ in met(2 * len(ORDER), 3)]
    assert {kind: kinds.count(kind) for kind in ORDER} == dict.fromkeys(ORDER, 2)
    every = met(1000, 1)
    assert len(every) == len(set(every)) == (3 + 1 + 1) * len(ORDER)


def test_agents_are_set_up_after_those_that_they_need() -> None:
    """Agents that do not need one another are set up at a time, the others one after the other."""
    after_versioning = [kind for kind in ("build_pipeline", "shader_pipeline") if kind in ORDER]
    assert waves(set(ORDER)) == [["versioning"], after_versioning, ["runtime"], ["developer_tools", "orchestrator"]]
    assert waves({"build_pipeline", "developer_tools"}) == [["build_pipeline", "developer_tools"]]
    assert waves(set()) == []
