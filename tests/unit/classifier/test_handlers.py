"""The classifier service: the agent's own words win, the rules decide otherwise, and no text makes it fail."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import ask, memory_runtime

from mendbus import codec
from mendbus.bus.memory import MemoryServer
from mendbus.contracts.asks import Classification, Classify
from mendbus.contracts.errors import ServiceFailed
from mendbus.contracts.vocabulary import CATEGORIES, SEVERITIES
from mendbus_classifier import build
from mendbus_classifier.handlers import classify, texts


def question(message: str = "connection refused", **error: object) -> Classify:
    exception = {"type": "E", "message": message}
    known = {"id": "e1", "time_unix_nano": 1, "agent": {"kind": "runtime", "id": "a1"}, "exception": exception}
    return Classify.model_validate({"error": {**known, **error}, "fingerprint": "v1:0"})


def test_the_rules_decide_where_the_agent_says_nothing() -> None:
    """A known text gets its category, a confidence below certainty, and the rule that spoke."""
    found = classify(question())
    assert (found.category, found.model, found.rule) == ("network", "rules-v1", "connection refused")
    assert 0.0 < found.confidence <= 1.0


def test_the_agents_own_words_win() -> None:
    """Category and severity of the agent stand whatever the text says; each alone, too."""
    both = classify(question(category="security", severity="warning"))
    assert (both.category, both.severity, both.confidence, both.model) == ("security", "warning", 1.0, "agent")
    severity_only = classify(question(severity="fatal"))
    assert (severity_only.category, severity_only.severity, severity_only.model) == ("network", "fatal", "rules-v1")


def test_an_agent_that_says_unknown_says_nothing() -> None:
    """The category `unknown` leaves the rules to decide."""
    assert classify(question(category="unknown")) == classify(question())


def test_too_little_evidence_is_unknown() -> None:
    """A text without evidence is `unknown` with confidence 0, never a guess."""
    found = classify(question("xyzzy"))
    assert (found.category, found.confidence) == ("unknown", 0.0)


def test_causes_and_frames_are_read_too() -> None:
    """What an error was caused by decides when its own message says nothing."""
    exception = {"type": "E", "message": "xyzzy", "causes": [{"type": "OSError", "message": "no space left on device"}]}
    found = classify(question(exception=exception))
    assert found.category == "storage"
    request = question(exception={"type": "E", "message": "m", "frames": [{"file": "a.py", "function": "f"}]})
    assert texts(request.error.exception) == ("m", "a.py in f")


@given(
    st.text(max_size=60),
    st.text(max_size=2000),
    st.text(max_size=2000) | st.none(),
    st.sampled_from(CATEGORIES) | st.none(),
    st.sampled_from(SEVERITIES) | st.none(),
)
def test_no_text_makes_it_fail(
    kind: str, message: str, stack: str | None, category: str | None, severity: str | None
) -> None:
    """Any text has a classification, which the wire takes."""
    exception = {"type": kind, "message": message, "stacktrace": stack}
    found = classify(question(exception=exception, category=category, severity=severity))
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
