"""The row of numbers that a model reads."""

from hypothesis import example, given
from hypothesis import strategies as st

from mendbus_classifier import features, rules
from mendbus_classifier.features import LANES, NAMES, Text
from mendbus_classifier.table import TokenTable


@given(st.text(max_size=200))
@example("")
@example("Größe ٣ von Ä")
def test_shares_are_those_of_all_characters_in_any_script(message: str) -> None:
    """Digits and capitals are counted the same way in ASCII and beyond it."""
    found = dict(
        zip(NAMES, features.row(Text("E", message), rules.read("E", message), TokenTable({}, LANES)), strict=True)
    )
    size = len(message) or 1
    assert found["shape.digits_share"] == sum(character.isdigit() for character in message) / size
    assert found["shape.capitals_share"] == sum(character.isupper() for character in message) / size
