"""Values of options: agents and lengths of time."""

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from mendbus.cli.options import agent_of, seconds_of

TOKENS = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)


@given(TOKENS, TOKENS)
def test_an_agent_is_kind_and_id(kind: str, agent: str) -> None:
    """Any two tokens around a slash are an agent."""
    assert agent_of(f"{kind}/{agent}") == (kind, agent)


@pytest.mark.parametrize("text", ["", "runtime", "/", "a/", "/b", "a/b/c", "a.b/c", "a/*", "a/b c", "a/" + "x" * 65])
def test_anything_else_is_no_agent(text: str) -> None:
    """What could not stand in a subject is refused, with what is expected."""
    with pytest.raises(typer.BadParameter, match="KIND/ID"):
        agent_of(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("1h", 3600), ("7d", 604800), ("1.5h", 5400), (" 2 m ", 120)]
)
def test_a_length_of_time_has_a_unit(text: str, seconds: float) -> None:
    """Seconds, minutes, hours and days are understood, fractions too."""
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "h", "-1h", "1w", "1h30m", "1e3s"])
def test_anything_else_is_no_length_of_time(text: str) -> None:
    """What is not a number and a unit is refused, with an example."""
    with pytest.raises(typer.BadParameter, match="such as 30m"):
        seconds_of(text)
