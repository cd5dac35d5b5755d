"""What is secret in an error gets neither out of an agent nor into what a service keeps."""

import pytest
from tests.unit.shared.leaks import LEAKS, Leak

from mendbus import codec
from mendbus.contracts.messages import AgentRef, Cause, ErrorReported, ExceptionInfo
from mendbus.redacted import redact_detail, redact_error, redact_plain
from mendbus.redaction import Redaction
from mendbus.sdk.reports import Occurrences, Words, capture, encode

NOTHING = Redaction(secrets=False, emails=False, cards=False)


def leaking(text: str) -> ErrorReported:
    said = ExceptionInfo(type="E", message=text, stacktrace=f"in f\n{text}", causes=[Cause(type="C", message=text)])
    agent = AgentRef(kind="runtime", id="a1")
    return ErrorReported(id="e", time_unix_nano=1, agent=agent, exception=said, attributes={"said": text, "n": 3})


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.text[:30])
def test_no_service_keeps_a_secret(leak: Leak) -> None:
    """Message, stack, causes and attributes of an error that is kept hold none of it, and the rest is as it was."""
    body = codec.encode(redact_error(leaking(leak.text)))
    for secret in leak.secrets:
        assert secret.encode() in codec.encode(leaking(leak.text))
        assert secret.encode() not in body
    kept = codec.decode(ErrorReported, body)
    assert kept.attributes["n"] == 3
    assert (kept.exception.type, kept.id) == ("E", "e")


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: leak.text[:30])
def test_no_agent_lets_a_secret_out(leak: Leak) -> None:
    """What an agent sends, and keeps in its file until then, holds none of it: neither does the stack's text."""
    try:
        try:
            raise ValueError(leak.text)
        except ValueError as cause:
            raise RuntimeError(leak.text) from cause
    except RuntimeError as error:
        words = Words(attributes={"said": leak.text, "db_password": "plain", "n": 3})
        captured = capture("RuntimeError", str(error), error, None, words)
    agent = {"kind": "runtime", "id": "a1"}
    for rules, hidden in ((Redaction(), True), (NOTHING, False)):
        body = encode(captured, id="e", agent=agent, occurrences=Occurrences(1, 5, 5), metrics={}, redaction=rules)
        sent = codec.decode(ErrorReported, body)
        assert (sent.attributes["db_password"] == "***") == hidden
        for secret in leak.secrets:
            assert (secret.encode() not in body) == hidden


def test_an_error_without_secrets_is_left_alone() -> None:
    """It is the very same object, so that nothing is made anew for each of many errors."""
    error = leaking("connection refused by 10.0.0.7:5432 after 3 tries")
    assert redact_error(error) is error


def test_a_text_at_its_limit_stays_within_it() -> None:
    """A mark may be longer than what it hides; what is kept must still be valid for those who read it."""
    error = leaking("pwd=a; " * 1170)
    body = codec.encode(redact_error(error.model_copy(update={"attributes": {}})))
    assert codec.decode(ErrorReported, body).exception.message.startswith("pwd=")
    detail = redact_detail("é;pwd=a" * 128)
    assert detail is not None
    assert len(detail.encode()) <= 1024
    assert redact_detail(None) is None


def test_a_message_is_redacted_however_deep() -> None:
    """What has the name of a secret is hidden whole, texts and bytes lose theirs, numbers and everything else stays."""
    message = {
        "said": ["password=hunter22", {"api_key": ["a", "b"], "n": 3}],
        "raw": b"\xffpassword=hunter22\xff",
        "token": {"any": 1},
        "customer_number": 7,
    }
    rules = Redaction(names=("customer_number",))
    assert redact_plain(message, rules) == {
        "said": ["password=***", {"api_key": "***", "n": 3}],
        "raw": b"\xffpassword=***",
        "token": "***",
        "customer_number": "***",
    }
    assert redact_plain(message, NOTHING) == message
