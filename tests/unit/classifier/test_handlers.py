"""The classifier service: the agent's own words win, the rules decide otherwise, and no text makes it fail."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support import ask, memory_runtime

from mendbus import codec
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.asks import Classification, Classify
from mendbus.contracts.errors import ModelRefused, ServiceFailed
from mendbus.contracts.vocabulary import CATEGORIES, SEVERITIES
from mendbus_classifier import build
from mendbus_classifier.handlers import RULES, Classifier, start, text_of, texts
from mendbus_classifier.life import Pair
from mendbus_classifier.model import Model, load


def question(message: str = "connection refused", **error: object) -> Classify:
    exception = {"type": "E", "message": message}
    known = {"id": "e1", "time_unix_nano": 1, "agent": {"kind": "runtime", "id": "a1"}, "exception": exception}
    return Classify.model_validate({"error": {**known, **error}, "fingerprint": "v1:0"})


@pytest.fixture(scope="module")
def learned() -> Iterator[Classifier]:
    pair = Pair(used=load())
    yield Classifier(pair)
    pair.close()


@pytest.fixture(params=["model", "rules"])
def classifier(request: pytest.FixtureRequest, learned: Classifier) -> Classifier:
    return learned if request.param == "model" else Classifier(Pair())


def test_the_text_decides_where_the_agent_says_nothing(classifier: Classifier) -> None:
    """A known text gets its category, a confidence below certainty, and the rule that spoke."""
    found = classifier.classify(question())
    assert (found.category, found.model, found.rule) == ("network", classifier.name, "connection refused")
    assert 0.0 < found.confidence <= 1.0


def test_the_agents_own_words_win(classifier: Classifier) -> None:
    """Category and severity of the agent stand whatever the text says; each alone, too."""
    both = classifier.classify(question(category="security", severity="warning"))
    assert (both.category, both.severity, both.confidence, both.model) == ("security", "warning", 1.0, "agent")
    severity_only = classifier.classify(question(severity="fatal"))
    assert (severity_only.category, severity_only.severity) == ("network", "fatal")
    assert severity_only.model == classifier.name


def test_an_agent_that_says_unknown_says_nothing(classifier: Classifier) -> None:
    """The category `unknown` leaves the text to decide."""
    found = classifier.classify(question(category="unknown"))
    assert (found.category, found.model) == ("network", classifier.name)


def test_too_little_evidence_is_unknown(classifier: Classifier) -> None:
    """A text without evidence is `unknown` with confidence 0, never a guess."""
    found = classifier.classify(question("xyzzyq"))
    assert (found.category, found.confidence) == ("unknown", 0.0)


def test_causes_and_frames_are_read_too(classifier: Classifier) -> None:
    """What an error was caused by decides when its own message says nothing."""
    cause = {"type": "OSError", "message": "no space left on device"}
    exception = {"type": "E", "message": "xyzzyq", "causes": [cause]}
    found = classifier.classify(question(exception=exception))
    assert found.category == "storage"
    request = question(exception={"type": "E", "message": "m", "frames": [{"file": "a.py", "function": "f"}]})
    assert texts(request.error.exception) == ("m", "a.py in f")
    hinted = text_of(question(category="memory", severity="fatal", metrics={"queue_depth": 3}).error)
    assert (hinted.hints, hinted.metrics["queue_depth"]) == (frozenset(("memory", "fatal")), 3)


@settings(deadline=None)
@given(
    st.text(max_size=60),
    st.text(max_size=2000),
    st.text(max_size=2000) | st.none(),
    st.sampled_from(CATEGORIES) | st.none(),
    st.sampled_from(SEVERITIES) | st.none(),
)
def test_no_text_makes_it_fail(
    learned: Classifier, kind: str, message: str, stack: str | None, category: str | None, severity: str | None
) -> None:
    """Any text has a classification, which the wire takes."""
    exception = {"type": kind, "message": message, "stacktrace": stack}
    found = learned.classify(question(exception=exception, category=category, severity=severity))
    assert codec.decode(Classification, codec.encode(found)) == found


async def test_it_answers_on_the_bus_and_refuses_what_is_no_question() -> None:
    """A request is answered; bytes that are none get error 400 and become a dead letter."""
    server = MemoryServer()
    async with memory_runtime(build(), server) as runtime:
        bus, subjects = runtime.bus, runtime.subjects
        found = await ask(bus, subjects.classify, question(), Classification)
        assert found.category == "network"
        with pytest.raises(ServiceFailed) as refused:
            await bus.request(subjects.classify, b"\xc1", timeout=5.0)
        assert refused.value.code == 400
        dead = await bus.last(subjects.stream("DEAD"), subjects.dead("classifier"))
        assert dead is not None
        assert dead.body == b"\xc1"


async def test_a_refused_model_leaves_it_to_the_rules() -> None:
    """The service is ready and says why its answers come from the rules."""

    def refuse(_: bytes | None) -> Model:
        raise ModelRefused("errors-9", ["made for other features"])

    service = replace(build(), start=lambda runtime: start(runtime, refuse))
    async with memory_runtime(service) as runtime:
        found = await ask(runtime.bus, runtime.subjects.classify, question(), Classification)
        assert (found.category, found.model) == ("network", RULES)
        assert "made for other features" in runtime.readiness.report()["conditions"]["model"]["detail"]
