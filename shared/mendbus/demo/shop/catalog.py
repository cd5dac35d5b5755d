"""What the shop sells."""

from typing import NamedTuple


class Product(NamedTuple):
    """A product: price in cents, weight in grams, and its class of tax."""

    name: str
    price: int
    weight: int
    tax_class: str


PRODUCTS = {
    product.name: product
    for product in (
        Product("desk", 24_900, 31_000, "standard"),
        Product("lamp", 3_990, 1_200, "standard"),
        Product("chair", 12_950, 9_500, "standard"),
        Product("atlas", 4_500, 2_100, "reduced"),
        Product("novel", 1_299, 380, "reduced"),
    )
}


def find(name: str) -> Product:
    """A product by name. Raises `LookupError` with the names there are."""
    product = PRODUCTS.get(name)
    if product is None:
        msg = f"there is no product {name!r}, there are {', '.join(PRODUCTS)}"
        raise LookupError(msg)
    return product
