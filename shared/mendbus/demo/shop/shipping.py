"""What sending an order costs."""

from .money import share
from .rates import SHIPPING_TAX

STEPS = ((1_000, 390), (5_000, 690), (20_000, 1_290))
PALLET = 4_900


def shipping_for(grams: int) -> int:
    """Shipping of a weight, in cents, tax included."""
    net = next((cents for most, cents in STEPS if grams <= most), PALLET)
    return net + share(net, SHIPPING_TAX)
