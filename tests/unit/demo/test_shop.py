"""The demo's sample project: real functions, with the errors that such functions have."""

import pytest

from mendbus.demo.shop import money, rates, selfcheck
from mendbus.demo.shop.invoice import quote


def test_an_order_adds_up() -> None:
    """Discount, tax and shipping of a known order, calculated by hand."""
    # 12 x 39.90 = 478.80, less 5 % = 454.86, 19 % tax = 86.42; 14.4 kg are sent for 12.90 and 2.45 tax.
    found = quote({"lamp": 12})
    assert (found["net"], found["discount"], found["tax"], found["shipping"]) == (45486, 2394, 8642, 1535)
    assert found["total_text"] == "556.63"


def test_an_order_that_makes_no_sense_is_refused() -> None:
    """Unknown products and quantities below one are named."""
    with pytest.raises(LookupError, match="no product 'sofa'"):
        quote({"sofa": 1})
    with pytest.raises(ValueError, match="0 of 'desk' cannot be sold"):
        quote({"desk": 0})


@pytest.mark.parametrize(
    ("module", "name", "wrong"),
    [
        (money, "share", lambda cents, permille: cents * permille // 1000),
        (rates, "TAX_PERMILLE", {"standard": 0, "reduced": -500}),
    ],
)
def test_the_self_check_finds_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, module: object, name: str, wrong: object
) -> None:
    """Wrong rounding and missing taxes do not pass."""
    monkeypatch.setattr(module, name, wrong)
    if module is money:
        monkeypatch.setattr(selfcheck, "share", wrong)
    with pytest.raises(selfcheck.SelfCheckError):
        selfcheck.run()
