"""What must hold of every version of the shop: asked after each reload, and whenever somebody wants to know."""

from .catalog import PRODUCTS
from .invoice import quote
from .money import share, shown


class SelfCheckError(Exception):
    """The shop does not work as every version of it must."""


def run() -> list[object]:
    """The totals of some orders, checked for what must hold of them. Raises `SelfCheckError`, or what breaks."""
    if (share(1_005, 100), share(-1_005, 100), shown(-1_205)) != (101, -101, "-12.05"):
        raise SelfCheckError("rounding is wrong")
    totals: list[object] = []
    for quantity in (1, 12, 60):
        for name, product in PRODUCTS.items():
            found = quote({name: quantity})
            if found["net"] != product.price * quantity - int(str(found["discount"])):
                raise SelfCheckError(f"{quantity} x {name}: net and discount do not add up to the price")
            if int(str(found["total"])) <= int(str(found["net"])):
                raise SelfCheckError(f"{quantity} x {name}: a total without tax or shipping")
            totals.append(found["total"])
    return totals
