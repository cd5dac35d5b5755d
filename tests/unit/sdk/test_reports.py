"""From an exception to the bytes of an ErrorReported."""

import json
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mendbus import codec
from mendbus.contracts.messages import OVERTAKEN, ErrorReported
from mendbus.contracts.subjects import MAX_BODY
from mendbus.sdk import reports, stacks, texts
from mendbus.sdk.reports import MAX_ATTRIBUTES, Captured, Occurrences, Words, capture, encode

AGENT = {"kind": "runtime", "id": "r1", "instance": "boot"}
ANY_TEXT = st.text(st.characters(codec=None, categories=None), max_size=200) | st.text(min_size=1).map(
    lambda text: text * 20_000
)


def captured(error: BaseException, **words: object) -> Captured:
    return reports.capture(
        texts.type_name(type(error)),
        texts.message_of(error),
        error,
        None,
        Words(**words),  # type: ignore[arg-type]
    )


def reported(what: Captured, count: int = 1, **more: object) -> ErrorReported:
    body = reports.encode(
        what,
        id="e1",
        agent=AGENT,
        occurrences=Occurrences(count, 5, 9),
        metrics={"cpu_percent": 3.0},
        **more,  # type: ignore[arg-type]
    )
    assert len(body) <= MAX_BODY
    return codec.decode(ErrorReported, body)


def raised(function: object, *arguments: object) -> BaseException:
    try:
        function(*arguments)  # type: ignore[operator]
    except BaseException as error:
        return error
    raise AssertionError("nothing was raised")


def inner() -> None:
    raise KeyError("deep")


def outer() -> None:
    try:
        inner()
    except KeyError as error:
        raise RuntimeError("on top") from error


def test_an_exception_is_told_with_frames_causes_and_stack() -> None:
    """Type, message, frames innermost last, causes and the text Python would print are all there."""
    event = reported(captured(raised(outer), severity="critical", category="runtime", operation="reload"), 3)
    assert (event.exception.type, event.exception.message) == ("RuntimeError", "on top")
    assert [frame.function for frame in event.exception.frames][-1] == "outer"
    assert all(frame.in_app for frame in event.exception.frames)
    assert [(cause.type, cause.message) for cause in event.exception.causes] == [("KeyError", "'deep'")]
    stack = event.exception.stacktrace or ""
    assert stack.index("KeyError: 'deep'") < stack.index("direct cause") < stack.index("RuntimeError: on top")
    assert 'raise RuntimeError("on top") from error' in stack
    assert (event.severity, event.category, event.operation) == ("critical", "runtime", "reload")
    assert (event.count, event.first_time_unix_nano, event.time_unix_nano) == (3, 5, 9)
    assert event.metrics == {"cpu_percent": 3.0}


def test_library_frames_are_not_in_app() -> None:
    """Code of the standard library and of installed packages is not the user's own."""
    event = reported(captured(raised(json.loads, "{")))
    assert event.exception.type == "json.decoder.JSONDecodeError"
    assert event.exception.frames[0].in_app
    assert not event.exception.frames[-1].in_app
    assert stacks.in_app(pytest.__file__) is False
    assert stacks.in_app("<frozen importlib._bootstrap>") is False


def test_a_syntax_error_shows_the_wrong_line() -> None:
    """What a syntax error's message leaves out, the line itself, is in the stack text."""
    event = reported(captured(raised(compile, "x = = 1\n", "module.py", "exec")))
    assert "x = = 1" in (event.exception.stacktrace or "")


def test_context_and_groups_are_causes() -> None:
    """An exception that came while another was handled names it, and a group names its members."""

    def both() -> None:
        try:
            inner()
        except KeyError:
            raise ExceptionGroup("many", [ValueError("one"), TypeError("two")])  # noqa: B904 - the context is the point

    event = reported(captured(raised(both)))
    assert {cause.type for cause in event.exception.causes} == {"KeyError", "ValueError", "TypeError"}


def test_a_suppressed_context_is_left_out() -> None:
    """`raise ... from None` hides the context here as it does in Python."""

    def hidden() -> None:
        try:
            inner()
        except KeyError:
            raise ValueError("alone") from None

    assert reported(captured(raised(hidden))).exception.causes == []


def test_a_circle_of_causes_ends() -> None:
    """Exceptions that are each other's cause are told once each."""
    one, two = ValueError("one"), ValueError("two")
    one.__cause__, two.__cause__ = two, one
    assert [cause.message for cause in reported(captured(one)).exception.causes] == ["two"]


def test_deep_recursion_keeps_the_innermost_frames() -> None:
    """Of more than 64 frames the innermost ones are kept."""

    def down(depth: int) -> None:
        if depth == 0:
            raise ValueError("bottom")
        down(depth - 1)

    event = reported(captured(raised(down, 200)))
    assert len(event.exception.frames) == 64
    assert len((event.exception.stacktrace or "").encode()) <= 16 * 1024


def test_an_exception_that_cannot_speak_is_reported_all_the_same() -> None:
    """A `__str__` that raises costs the message, not the report."""

    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    event = reported(captured(MuteError()))
    assert "no words" in event.exception.message


def test_reports_of_nothing_raised_point_at_the_reporter() -> None:
    """Without a traceback the reporting line is the one frame."""
    frame = stacks.caller_frame(0)
    what = reports.capture("DiskFull", "99 %", None, frame, Words())
    assert [place.function for place in what.chain[0].places] == [
        "test_reports_of_nothing_raised_point_at_the_reporter"
    ]
    assert stacks.innermost(None, None) is None
    assert stacks.caller_frame(10_000) is None


def test_the_key_tells_failures_apart() -> None:
    """Another message, operation, severity or line is another failure; the same again is the same."""
    one, two = raised(inner), raised(inner)
    key = reports.key_of("T", "m", Words(operation="a"), stacks.innermost(one, None))
    assert key == reports.key_of("T", "m", Words(operation="a"), stacks.innermost(two, None))
    others = [
        reports.key_of("U", "m", Words(operation="a"), stacks.innermost(one, None)),
        reports.key_of("T", "n", Words(operation="a"), stacks.innermost(one, None)),
        reports.key_of("T", "m", Words(operation="b"), stacks.innermost(one, None)),
        reports.key_of("T", "m", Words("fatal", operation="a"), stacks.innermost(one, None)),
        reports.key_of("T", "m", Words(operation="a"), stacks.innermost(raised(outer), None)),
    ]
    assert key not in others
    assert len(set(others)) == len(others)


def test_attributes_become_what_the_wire_takes() -> None:
    """Whatever a user puts into attributes, the event is valid, and nothing of it is lost silently but the excess."""

    class Broken:
        def __str__(self) -> str:
            raise RuntimeError

    given_ = {"t": "text", "i": 3, "f": 1.5, "b": True, "big": 1 << 80, "nan": float("nan"), "list": [1], "none": None}
    event = reported(captured(ValueError(), attributes=given_ | {"broken": Broken()}))
    assert event.attributes == {
        "t": "text",
        "i": 3,
        "f": 1.5,
        "b": True,
        "big": str(1 << 80),
        "nan": "nan",
        "list": "[1]",
        "broken": "(cannot be shown: RuntimeError)",
    }
    many = reported(captured(ValueError(), attributes={f"n{number}": number for number in range(100)}))
    assert len(many.attributes) == 64


@pytest.mark.parametrize(
    ("count", "seconds", "overtaken"), [(1, 0.0, False), (1, 2.0, True), (2, 2.0, False), (1, 0.5, False)]
)
def test_what_began_before_the_last_command_is_overtaken(count: int, seconds: float, overtaken: bool) -> None:
    """A call that fails a second after a command was done, and began before that, says nothing of what was done."""
    words = Words(attributes={f"a{number}": number for number in range(MAX_ATTRIBUTES)}, seconds=seconds)
    captured = capture("Boom", "", None, None, words)
    body = encode(
        captured,
        id="e",
        agent={"kind": "app", "id": "a"},
        occurrences=Occurrences(count, 3 * 10**9, 3 * 10**9),
        metrics={},
        acted_ns=2 * 10**9,
    )
    error = codec.decode(ErrorReported, body)
    assert (error.attributes.get(OVERTAKEN) is True) == overtaken
    assert len(error.attributes) == MAX_ATTRIBUTES


def test_a_checkpoint_that_is_no_token_is_left_out() -> None:
    """The reporter's checkpoint goes before the agent's, and one that does not fit costs nothing else."""
    assert reported(captured(ValueError(), checkpoint_id="a b")).checkpoint_id is None
    assert reported(captured(ValueError(), checkpoint_id="mine"), checkpoint_id="agents").checkpoint_id == "mine"
    assert reported(captured(ValueError()), checkpoint_id="agents").checkpoint_id == "agents"


@given(text=ANY_TEXT, limit=st.integers(0, 9000))
def test_cut_text_fits_and_is_valid_utf8(text: str, limit: int) -> None:
    """Cut text is at most so many bytes of UTF-8, and short ASCII is left alone."""
    short = texts.cut(text, limit)
    assert len(short.encode("utf-8")) <= limit
    if text.isascii() and len(text) <= limit:
        assert short is text


@given(
    message=ANY_TEXT,
    operation=ANY_TEXT,
    attributes=st.dictionaries(ANY_TEXT, ANY_TEXT | st.integers() | st.floats() | st.booleans(), max_size=5),
    causes=st.integers(0, 12),
)
def test_whatever_is_reported_is_a_valid_event(
    message: str, operation: str, attributes: dict[str, object], causes: int
) -> None:
    """Any text of any length in any place gives an event within all limits."""
    error: BaseException = ValueError(message)
    for _ in range(causes):
        wrapped = RuntimeError(message)
        wrapped.__cause__ = error
        error = wrapped
    event = reported(captured(error, operation=operation, attributes=attributes, correlation_id=operation))
    assert event.exception.type in ("ValueError", "RuntimeError")


def test_the_largest_event_fits_into_a_body() -> None:
    """Everything at its limit at once is cut until the body has 64 KiB, and keeps type, message and innermost frame."""
    error: BaseException = ValueError("€" * 9000)
    for _ in range(10):
        wrapped = RuntimeError("€" * 9000)
        wrapped.__cause__ = error
        error = wrapped
    places = tuple(stacks.Place("/" + "d" * 1000, number, "f" * 250) for number in range(64))
    what = captured(error, attributes={f"{number}" * 80: "v" * 4096 for number in range(64)})
    first = what.chain[0]._replace(places=places)
    event = reported(what._replace(chain=(first, *what.chain[1:])))
    assert event.exception.frames[-1].line == 63
    assert len(event.exception.message.encode()) > 8000


def test_a_changed_source_file_is_read_again(tmp_path: object) -> None:
    """The stack text of a hot-reloaded module shows the lines that ran, not those of before."""
    import os
    import runpy
    from pathlib import Path

    script = Path(str(tmp_path)) / "module.py"
    script.write_text("raise ValueError('first')\n")
    assert "'first'" in (reported(captured(raised(runpy.run_path, str(script)))).exception.stacktrace or "")
    script.write_text("raise ValueError('second')\n# longer\n")
    os.utime(script, (1, 1))
    sys.modules.pop("module", None)
    stack = reported(captured(raised(runpy.run_path, str(script)))).exception.stacktrace or ""
    assert "raise ValueError('second')" in stack
