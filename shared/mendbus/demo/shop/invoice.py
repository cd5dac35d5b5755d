"""The shop's face: an order goes in, a quote comes out."""

from .catalog import find
from .money import shown
from .pricing import price_line
from .shipping import shipping_for


def quote(order: dict[str, int]) -> dict[str, object]:
    """What an order (product: quantity) costs; amounts in cents, `total` also as people read it."""
    lines = [price_line(find(name), quantity) for name, quantity in order.items()]
    shipping = shipping_for(sum(find(name).weight * quantity for name, quantity in order.items()))
    net, tax = sum(line.net for line in lines), sum(line.tax for line in lines)
    return {
        "lines": [list(line) for line in lines],
        "net": net,
        "discount": sum(line.discount for line in lines),
        "tax": tax,
        "shipping": shipping,
        "total": net + tax + shipping,
        "total_text": shown(net + tax + shipping),
    }
