"""Flame graphs: stacks as one line each, and as a picture in one file that needs nothing else."""

import colorsys
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import Final

_WIDTH: Final = 1200
_ROW: Final = 17
_TOP: Final = 40
_LETTER: Final = 6.6
_NARROWEST: Final = 0.4

Stacks = Mapping[tuple[str, ...], float]


@dataclass(slots=True)
class _Box:
    name: str
    value: float = 0.0
    children: "dict[str, _Box]" = field(default_factory=dict[str, "_Box"])


def collapsed(stacks: Stacks) -> str:
    """One line a stack: names joined by `;`, a blank, a whole number; what flame graph tools read."""
    lines = [f"{';'.join(name.replace(';', ',') for name in stack)} {round(n)}" for stack, n in stacks.items() if stack]
    return "".join(f"{line}\n" for line in sorted(lines))


def svg(stacks: Stacks, title: str, unit: str) -> str:
    """A picture with the outermost function at the bottom line of the page's top; widths are shares of the whole.

    The name, value and share of a box show when the pointer rests on it. Holds no script and refers to nothing.
    """
    root = _Box("all")
    for stack, value in stacks.items():
        box = root
        box.value += value
        for name in stack:
            box = box.children.setdefault(name, _Box(name))
            box.value += value
    boxes: list[str] = []
    deepest = 0
    waiting: list[tuple[_Box, float, int]] = [(root, 0.0, 0)]
    scale = (_WIDTH - 20) / root.value if root.value else 0.0
    while waiting:
        box, offset, depth = waiting.pop()
        if box.value * scale < _NARROWEST:
            continue
        deepest = max(deepest, depth)
        boxes.append(_drawn(box, 10 + offset * scale, _TOP + depth * _ROW, box.value * scale, root.value, unit))
        for child in sorted(box.children.values(), key=lambda one: one.name):
            waiting.append((child, offset, depth + 1))
            offset += child.value
    height = _TOP + (deepest + 1) * _ROW + 10
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="100%" '
        'font-family="ui-monospace,Menlo,Consolas,monospace" font-size="11">\n'
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>\n'
        f'<text x="10" y="24" font-size="15">{_safe(title)}</text>\n' + "".join(boxes) + "</svg>\n"
    )


def _drawn(box: _Box, x: float, y: float, width: float, whole: float, unit: str) -> str:
    letters = int((width - 4) / _LETTER)
    shown = box.name if len(box.name) <= letters else f"{box.name[: letters - 1]}…" if letters > 3 else ""
    about = f"{box.name}: {box.value:.6g} {unit}, {box.value / whole:.1%}"
    text = f'<text x="{x + 2:.1f}" y="{y + 12}">{_safe(shown)}</text>' if shown else ""
    return (
        f'<g><title>{_safe(about)}</title><rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_ROW - 1}" '
        f'fill="{_colour(box.name)}" rx="1"/>{text}</g>\n'
    )


def _safe(text: str) -> str:
    # Names may come from agents; XML allows no control characters at all.
    return escape("".join(letter if letter.isprintable() else "?" for letter in text))


def _colour(name: str) -> str:
    """The same name always has the same warm colour, dark text on it being readable."""
    noise = zlib.crc32(name.encode())
    red, green, blue = colorsys.hls_to_rgb(0.02 + noise % 100 / 900, 0.68 + noise // 100 % 100 / 1000, 0.85)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
