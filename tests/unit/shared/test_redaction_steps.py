"""No text makes redaction search for ever: its steps are counted, not its time."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.shared.regex_steps import Counted, unbounded_backtracking

from mendbus import redaction
from mendbus.redaction import Redaction, redact

PATTERNS = ("_SECRET", "_OTHER", "_EMAIL", "_CARD", "_ADDRESS", "_SEED")
ALL = Redaction(addresses=True, names=("customer",))
PER_CHARACTER = 300
"""More steps than any text takes for each of its characters."""

pieces = st.sampled_from(
    ["password", "=", ": ", " ", '"', "'", "\\", '\\"', "Bearer ", "://", "@", "token", "eyJ", ".", "a1b2c3d4e5f6", "&",
     "?", "-----BEGIN PRIVATE KEY-----", "-----END", "Cookie:", "\n", "sk-", "api_key", "Authorization", "customer",
     "--token ", "4", "4111 ", "10.", "ab:", "a.", "-", "a", "A", "SG.", "hooks.slack.com/services/", "x-amz-", "é"]
)  # fmt: skip


def steps(monkeypatch: pytest.MonkeyPatch, text: str) -> int:
    """How many steps all expressions take over a text, each held against what the engine finds."""
    counted = [Counted(getattr(redaction, name)) for name in PATTERNS]
    with monkeypatch.context() as patch:
        for name, pattern in zip(PATTERNS, counted, strict=True):
            patch.setattr(redaction, name, pattern)
        redact(text, ALL)
    return sum(pattern.steps for pattern in counted)


@pytest.mark.parametrize("name", [*PATTERNS, "_NAMED", "_BEYOND_ASCII"])
def test_what_repeats_without_a_limit_gives_nothing_back(name: str) -> None:
    """No expression can try a text of any length in more than one way."""
    assert unbounded_backtracking(getattr(redaction, name)) == []


def test_the_danger_is_seen_where_there_is_one() -> None:
    """The two looks above find what they are for: an expression that backtracks without a limit."""
    evil = re.compile(r"(?:a+)+b")
    assert unbounded_backtracking(evil)
    short, long = Counted(evil), Counted(evil)
    assert short.match("a" * 8) is None
    assert long.match("a" * 16) is None
    assert long.steps > 50 * short.steps


@pytest.mark.timeout(120)
@settings(max_examples=40, deadline=None)
@given(part=st.lists(pieces, min_size=1, max_size=6).map("".join))
def test_steps_grow_with_the_text_and_no_faster(part: str) -> None:
    """Whatever is repeated, twice the text takes about twice the steps, and so many for a character at most."""
    with pytest.MonkeyPatch.context() as patch:
        text = part * max(2, 300 // len(part))
        once, twice = steps(patch, text), steps(patch, text * 2)
    assert twice <= 2.2 * once + 20 * PER_CHARACTER
    assert twice <= PER_CHARACTER * len(text) * 2
