"""Tokens of a text and the table that adds up what they speak for."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mendbus.contracts.errors import ModelRefused
from mendbus_classifier import table, tokens

WEIGHTS = st.integers(-32767, 32767)


@settings(deadline=None)
@given(st.text(max_size=300), st.text(max_size=300), st.data())
def test_the_sum_of_a_text_is_the_sum_of_its_known_tokens(kind: str, message: str, data: st.DataObject) -> None:
    """Packed addition of rows that were written and read gives what adding each lane by itself gives."""
    every = sorted(table.TokenTable.tokens(kind, message, ""))
    known = data.draw(st.lists(st.sampled_from(every), unique=True, max_size=30))
    rows = {token: data.draw(st.tuples(WEIGHTS, WEIGHTS)) for token in known}
    found = table.read(table.write(rows.items(), 2), "t")
    assert (len(found), found.lanes) == (len(rows), 2)
    sums, count = found.read(kind, message, "")
    assert sums == [sum(row[lane] for row in rows.values()) for lane in range(2)]
    assert count == len(rows)


@pytest.mark.parametrize("content", [b"", b"MBTT1\n", b"nonsense", b"MBTT1\n\xff\xff\xff\xff\x01\x00\x00\x00"])
def test_bytes_that_are_no_table_are_refused(content: bytes) -> None:
    """Cut, foreign and lying bytes are refused with a sentence, never read."""
    with pytest.raises(ModelRefused):
        table.read(content, "t")


def test_a_compound_name_is_known_by_its_parts() -> None:
    """A class name holds the tokens of its words, so that an unseen name is not an unknown one."""
    name = set(tokens.of_word("ConnectionRefusedError"))
    assert {next(tokens.of_word(word)) for word in ("connection", "refused", "error")} < name


def test_an_endless_text_is_cut() -> None:
    """The number of tokens is bounded, whatever the length is, and head and tail both count."""
    text = " ".join(f"w{chr(97 + i % 26)}{chr(97 + i // 26 % 26)}{chr(97 + i // 676)}x" for i in range(9000))
    found = table.TokenTable.tokens("", text, text)
    assert len(found) < 8 * tokens.MAX_WORDS


def test_the_weights_of_a_table_come_back_as_they_were_written() -> None:
    """What a model learns on from is what the table holds."""
    rows = {7: [5, -3, 32767], 4_000_000_000: [1, 0, -32767]}
    assert table.weights_of(table.write(rows.items(), 3), "t") == rows
