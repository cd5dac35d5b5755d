"""The corpus: readable, labelled with known words, free of this machine's traces, and nobody else's text."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from tests.corpus import reading, written
from tests.corpus.__main__ import distinct
from tests.corpus.reading import runs
from tests.corpus.recording import Provocation, called, ran

from mendbus_classifier.features import CATEGORIES, SEVERITIES
from mendbus_classifier.offline.samples import Sample

_ABSOLUTE = re.compile(r"(?<![\w.~/:<>\-])/([\w.\-]+)")
"""The first part of an absolute path; not of one within an address, nor of a closing tag."""
_ANYWHERE = frozenset(("bin", "dev", "etc", "home", "mnt", "opt", "proc", "srv", "sys", "tmp", "usr", "var"))
_LABELLED = Path(__file__).parents[4] / "shared" / "data" / "errors" / "dev.jsonl"


def corpus() -> list[Sample]:
    return [*written.samples(), *reading.harvested()]


def test_every_text_has_known_labels_and_all_categories_are_there() -> None:
    """Thousands of distinct texts, each category and severity among them."""
    found = corpus()
    assert len({(sample.kind, sample.message) for sample in found}) > 4000
    assert set(Counter(sample.category for sample in found)) == set(CATEGORIES)
    assert set(Counter(sample.severity for sample in found)) == set(SEVERITIES)


def test_nothing_harvested_tells_of_the_machine() -> None:
    """Absolute paths begin where they do on any machine, and neither somebody's home nor a temporary place is in it."""
    found: dict[str, Sample] = {}
    for sample in reading.harvested():
        text = f"{sample.message}\n{sample.stack}"
        found |= {path[1]: sample for path in _ABSOLUTE.finditer(text)}
        for trace in ("/tmp/app", "pyenv", "tests/corpus"):
            assert trace not in text, sample
        assert set(re.findall(r"/home/(\w+)", text)) <= {"user"}, sample
    assert not {first: sample for first, sample in found.items() if first not in _ANYWHERE}


@pytest.mark.skipif(not _LABELLED.exists(), reason="the labelled errors are not here")
def test_no_text_is_taken_from_the_labelled_errors() -> None:
    """No eight words in a row of the corpus stand in the errors that the classifier is judged by."""
    theirs: set[tuple[str, ...]] = set()
    for line in _LABELLED.read_text("utf-8").splitlines():
        entry = json.loads(line)
        theirs |= runs(" ".join((entry["exception_type"] or "", entry["message"], *entry["stack"])))
    shared = [s.message for s in corpus() if runs(f"{s.kind} {s.message} {s.stack}") & theirs]
    assert not shared, shared


def test_a_provoked_failure_is_recorded_with_its_label() -> None:
    """An exception with its cause, and what a command prints; what does not fail leaves nothing."""
    what = Provocation("try", "runtime")
    (found,) = called(what, lambda: int("x"))
    assert (found.kind, found.category, found.severity) == ("ValueError", "runtime", "error")
    (said,) = ran(what, ["sh", "-c", "echo broken >&2; exit 3"])
    assert said.message == "broken"
    assert not list(called(what, lambda: 1))
    assert not list(ran(what, ["true"]))
    assert not list(ran(what, ["no-such-tool-here"]))
    assert len(distinct([found, found, said])) == 2


def test_written_texts_are_filled_the_same_way_each_time() -> None:
    """The same seed gives the same texts, without a hole left."""
    first, second = list(written.samples()), list(written.samples())
    assert first == second
    assert not [s.message for s in first if re.search(r"\{(n|x|i|c|p|f|h|ip|port|v|pkg|svc|env)\}", s.message)]
