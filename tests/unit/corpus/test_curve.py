"""The training curve: what is asked about was never learnt from, and every provocation comes before any comes twice."""

from tests.corpus import curve, reading

from mendbus_classifier.offline.samples import Sample


def text(group: str, message: str) -> Sample:
    return Sample("", message, "", "build", "error", group=group)


def test_no_provocation_is_on_both_sides() -> None:
    """What is asked about shares no text with what is learnt from, and one part of it no provocation."""
    found = list(reading.harvested())
    learnt, other, further = curve.parts(found)
    assert len(learnt) + len(other) + len(further) == len(found)
    assert not {s.group for s in learnt} & {s.group for s in other}
    assert not {(s.kind, s.message) for s in learnt} & {(s.kind, s.message) for s in further}
    assert min(len(other), len(further)) > len(found) / 10


def test_one_of_each_provocation_comes_first() -> None:
    """Another draw is another order of the same texts."""
    found = [text(group, f"{group}{number}") for group in "abc" for number in range(3)]
    first, second = curve.ordered(found, 0), curve.ordered(found, 1)
    assert [len({s.group for s in first[i : i + 3]}) for i in (0, 3, 6)] == [3, 3, 3]
    assert first != second
    assert sorted(s.message for s in first) == sorted(s.message for s in second)
    assert curve.ordered(found, 0) == first
