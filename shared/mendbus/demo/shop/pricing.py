"""What one line of an order costs."""

from typing import NamedTuple

from .catalog import Product
from .money import share
from .rates import discount_for, tax_of


class Line(NamedTuple):
    """One priced line, in cents."""

    product: str
    quantity: int
    net: int
    discount: int
    tax: int


def price_line(product: Product, quantity: int) -> Line:
    """The line for so many of a product. Raises `ValueError` for less than one."""
    if quantity < 1:
        msg = f"{quantity} of {product.name!r} cannot be sold"
        raise ValueError(msg)
    full = product.price * quantity
    discount = share(full, discount_for(quantity))
    net = full - discount
    return Line(product.name, quantity, net, discount, share(net, tax_of(product.tax_class)))
