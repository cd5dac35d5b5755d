"""Fingerprints: the same failure is the same, another one is another, for ever, in bounded time."""

import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mendbus.contracts.messages import ErrorReported
from mendbus.fingerprint import MAX_NORMALISED, Fingerprints, fingerprint, normalise

words = st.text(alphabet="GHIJKLMNOPQRSTUVWXYZghijklmnopqrsuvwxyz", min_size=1, max_size=12)
variable = st.one_of(
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False, width=32).map(lambda x: f"{x:.3f}"),
    st.uuids().map(str),
    st.integers(min_value=0, max_value=2**64).map(hex),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda ip: ip.exploded),
    st.datetimes().map(lambda moment: moment.isoformat()),
    st.binary(min_size=20, max_size=20).map(bytes.hex).filter(lambda h: not h.isdigit() and not h.isalpha()),
)


def reported(
    message: str = "boom", exception: str = "ValueError", frames: list[tuple[str, str]] | None = None
) -> ErrorReported:
    return ErrorReported.model_validate(
        {
            "id": "e1",
            "time_unix_nano": 1,
            "agent": {"kind": "runtime", "id": "a"},
            "exception": {
                "type": exception,
                "message": message,
                "frames": [
                    {"file": file, "function": function, "line": n} for n, (file, function) in enumerate(frames or [])
                ],
            },
        }
    )


@given(st.lists(st.tuples(words, variable, variable), min_size=1, max_size=6))
def test_what_varies_does_not_count(parts: list[tuple[str, str, str]]) -> None:
    """Numbers, hex, UUIDs, addresses, times and hashes between words may be any others."""
    one = " ".join(f"{word} {first}" for word, first, _ in parts)
    other = " ".join(f"{word} {second}" for word, _, second in parts)
    assert fingerprint(reported(one)) == fingerprint(reported(other))


@given(st.text(max_size=40), st.text(max_size=40))
def test_another_type_is_another_failure(one: str, other: str) -> None:
    """Errors of different types never share a fingerprint, the same types always do."""
    assert (fingerprint(reported(exception=one)) == fingerprint(reported(exception=other))) == (one == other)


@given(words, words)
def test_other_words_are_another_failure(one: str, other: str) -> None:
    """Two messages of one word each are the same failure only if the words are the same."""
    assert (fingerprint(reported(one)) == fingerprint(reported(other))) == (one == other)


def test_folders_do_not_count_but_file_names_do() -> None:
    """The same file below another folder is the same failure, another file is another."""
    one = fingerprint(reported("no such file: '/home/ada/work/7/app.ts'"))
    assert fingerprint(reported("no such file: '/srv/build/app.ts'")) == one
    assert fingerprint(reported("no such file: '/srv/build/main.ts'")) != one
    assert normalise(r"cannot open C:\Users\ada\app.ts") == normalise(r"cannot open D:\app.ts")
    assert normalise("at file:///home/ada/a.mjs:1:2") == "at <path>a.mjs:<n>"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("connect to 10.0.0.1:5432 failed after 30.5ms", "connect to <n> failed after <n>ms"),
        ("<Foo at 0x7f3a2b>  gone\n\tnow", "<Foo at <n>> gone now"),
        (f"user {uuid.UUID(int=5)} left", "user <n> left"),
        ("Thu, 05 Jan 2024 10:00:00 GMT: -5 and +5 and 1e-9", "<n> <n> GMT: <n> and <n> and <n>"),
        ("http://host:8080/a/b refused", "http://host:<n>/a/b refused"),
        ("worker12 used 4096b of std::vector", "worker<n> used <n>b of std::vector"),
        ("/tmp/tmpab12cd34/x", "<path>x"),
        ("tmpab_2cd34 gone", "<n> gone"),
    ],
)
def test_normalised_messages_read_well(text: str, expected: str) -> None:
    """Known messages become these texts."""
    assert normalise(text) == expected


def test_lines_depth_of_recursion_and_library_frames_do_not_count() -> None:
    """Line numbers, how deep a recursion went, and what lies outside the innermost five do not change anything."""
    base = [("/app/a.py", "main"), ("/app/b.py", "step"), ("/app/c.py", "walk")]
    one = fingerprint(reported(frames=base))
    assert fingerprint(reported(frames=[*base, ("/elsewhere/c.py", "walk")])) == one
    assert fingerprint(reported(frames=[*base, ("/app/c.py", "other")])) != one
    deep = [("/app/d.py", f"{letter}x") for letter in "pqrst"]
    assert fingerprint(reported(frames=[*base, *deep])) == fingerprint(reported(frames=deep))


def test_library_frames_count_only_where_there_are_no_others() -> None:
    """In-app frames hide those of libraries; without any the innermost ones count."""

    def with_frames(*frames: tuple[str, bool]) -> str:
        error = reported()
        listed = [{"file": "x.py", "function": function, "in_app": own} for function, own in frames]
        return fingerprint(
            ErrorReported.model_validate(
                error.model_dump() | {"exception": {"type": "E", "message": "", "frames": listed}}
            )
        )

    assert with_frames(("mine", True), ("lib", False)) == with_frames(("mine", True))
    assert with_frames(("lib", False)) != with_frames(("other", False))


GOLDEN = [
    (reported(), "v1:141e7fc4fb6988b7"),
    (reported("connect to 10.0.0.1:5432 failed after 30.5ms", "ConnectionRefusedError"), "v1:7ae769193ab8f5ec"),
    (reported("ünïcode 🙂 12", "Größe", [("/srv/app/größe.py", "laden")]), "v1:273caf090b55a987"),
    (reported("", "E", [("C:\\app\\main.3f2a1b9c.js", "f"), ("/a/b.js", "g")]), "v1:d25142303b325f09"),
]


@pytest.mark.parametrize(("error", "expected"), GOLDEN)
def test_fingerprints_never_change(error: ErrorReported, expected: str) -> None:
    """These values hold for ever: a change of the algorithm is a new version beside this one."""
    assert fingerprint(error) == expected


@given(st.text(max_size=300), st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), max_size=8))
def test_any_text_has_a_fingerprint_of_one_form(message: str, frames: list[tuple[str, str]]) -> None:
    """No text makes it fail, and the result is the version and 16 hex digits."""
    version, digits = fingerprint(reported(message, frames=frames)).split(":")
    assert (version, len(digits)) == ("v1", 16)
    assert int(digits, 16) >= 0


@given(st.text(max_size=200))
def test_normalising_is_bounded(text: str) -> None:
    """The normalised text is never longer than its bound, however long the message."""
    assert len(normalise(text * 50)) <= MAX_NORMALISED


@pytest.mark.parametrize(
    "unit",
    [
        "1",
        "a",
        "a1",
        "/a",
        ":",
        "a:",
        "/",
        " ",
        "1.",
        "-1",
        "abcdef1 ",
        "'/x",
        "12345678-1234-",
        "~/",
        "0x",
        "tmp",
        "Jan ",
        "\\",
        "é",
    ],
)
def test_hostile_messages_take_bounded_time(unit: str) -> None:
    """8 KiB of anything repetitive is normalised within a small part of a second."""
    hostile = (unit * 8192)[:8191] + "!"
    started = time.process_time()
    normalise(hostile)
    assert time.process_time() - started < 0.25


@given(st.lists(st.tuples(st.sampled_from(["one", "two 2", "three"]), st.sampled_from(["E", "F"])), max_size=30))
def test_the_cache_changes_nothing(errors: list[tuple[str, str]]) -> None:
    """Whatever is asked in whatever order, a small cache answers as the function does."""
    cache = Fingerprints(capacity=2, characters=9)
    for message, exception in errors:
        error = reported(message, exception)
        assert cache.of(error) == fingerprint(error)
        assert len(cache) <= 2


def test_the_cache_is_bounded_in_characters_and_forgets_what_was_asked_longest_ago() -> None:
    """Long messages push others out, and one that is longer than all room is not kept."""
    cache = Fingerprints(capacity=10, characters=10)
    cache.of(reported("12345"))
    cache.of(reported("abcde"))
    cache.of(reported("12345"))
    cache.of(reported("xyz"))
    assert len(cache) == 2
    cache.of(reported("x" * 11))
    assert len(cache) == 0
