"""Counts the steps of a regular expression by walking its syntax tree as a backtracking matcher does.

Python's own engine does not tell its steps, and time says little on a busy machine. What this matcher finds is what
the engine finds (a test holds the one against the other), and the engine's short cuts only leave steps out.
"""

import re
from collections.abc import Callable, Iterator
from re import _constants as ops  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

Ends = Iterator[int]


class Counted:
    """Stands in for a compiled pattern: the same answers, and how many steps they took."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.pattern = pattern
        self.steps = 0
        self._tree = list(parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE))
        self._fold = bool(pattern.flags & re.IGNORECASE)
        self._text = ""

    def match(self, text: str, begin: int = 0) -> re.Match[str] | None:
        """As the pattern's own."""
        found = self.pattern.match(text, begin)
        assert self.end(text, begin) == (found.end() if found else None), (text, begin)
        return found

    def sub(self, replacement: str | Callable[[re.Match[str]], str], text: str) -> str:
        """As the pattern's own."""
        place = 0
        while place <= len(text):
            found = self.match(text, place)
            place = max(place + 1, found.end() if found else 0)
        return self.pattern.sub(replacement, text)

    def end(self, text: str, begin: int) -> int | None:
        """Where a match that begins there ends."""
        self._text = text
        return next(self._all(self._tree, begin, self._fold), None)

    def _all(self, nodes: list[Any], place: int, fold: bool) -> Ends:
        if not nodes:
            yield place
            return
        for end in self._one(nodes[0], place, fold):
            yield from self._all(nodes[1:], end, fold)

    def _one(self, node: Any, place: int, fold: bool) -> Ends:
        self.steps += 1
        op, arg = node
        if op in (ops.LITERAL, ops.NOT_LITERAL, ops.ANY, ops.IN):
            if place < len(self._text) and _fits(op, arg, self._text[place], fold):
                yield place + 1
        elif op is ops.BRANCH:
            for branch in arg[1]:
                yield from self._all(list(branch), place, fold)
        elif op is ops.SUBPATTERN:
            _, added, _, inner = arg
            yield from self._all(list(inner), place, fold or bool(added & re.IGNORECASE))
        elif op is ops.MAX_REPEAT:
            yield from self._repeat(*arg, place, fold, 0)
        elif op is ops.POSSESSIVE_REPEAT:
            yield from self._possessive(*arg, place, fold)
        elif op in (ops.ASSERT, ops.ASSERT_NOT):
            direction, inner = arg
            begin = place if direction > 0 else place - inner.getwidth()[0]
            found = begin >= 0 and next(self._all(list(inner), begin, fold), None) is not None
            if found == (op is ops.ASSERT):
                yield place
        elif op is ops.AT and arg is ops.AT_BOUNDARY:
            if _is_word(self._text, place - 1) != _is_word(self._text, place):
                yield place
        else:
            raise NotImplementedError(op, arg)

    def _repeat(self, least: int, most: int, inner: Any, place: int, fold: bool, count: int) -> Ends:
        if count < most:
            for end in self._all(list(inner), place, fold):
                if end > place:
                    yield from self._repeat(least, most, inner, end, fold, count + 1)
        if count >= least:
            yield place

    def _possessive(self, least: int, most: int, inner: Any, place: int, fold: bool) -> Ends:
        count = 0
        while count < most:
            end = next(self._all(list(inner), place, fold), None)
            if end is None or end == place:
                break
            place, count = end, count + 1
        if count >= least:
            yield place


def unbounded_backtracking(pattern: re.Pattern[str]) -> list[str]:
    """The repeats of a pattern that have no limit and could give back what they took: each is a danger."""
    found: list[str] = []
    rest: list[Any] = list(parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE))
    while rest:
        item = rest.pop()
        repeats = isinstance(item, tuple) and len(item) == 2 and item[0] in (ops.MAX_REPEAT, ops.MIN_REPEAT)
        if repeats and item[1][1] is ops.MAXREPEAT:
            found.append(str(item[1]))
        if isinstance(item, list | tuple | parser.SubPattern):
            rest.extend(item)
    return found


def _fits(op: Any, arg: Any, character: str, fold: bool) -> bool:
    if op is ops.ANY:
        return True
    spellings = {character, character.lower(), character.upper()} if fold else {character}
    if op is ops.IN:
        negated = arg[0][0] is ops.NEGATE
        return negated != any(_in_set(item, one) for item in arg for one in spellings)
    return (op is ops.LITERAL) == (chr(arg) in spellings)


def _in_set(item: Any, character: str) -> bool:
    op, arg = item
    if op is ops.LITERAL:
        return ord(character) == arg if len(character) == 1 else False
    if op is ops.RANGE:
        return len(character) == 1 and arg[0] <= ord(character) <= arg[1]
    if op is ops.CATEGORY:
        kinds = {ops.CATEGORY_SPACE: r"\s", ops.CATEGORY_NOT_SPACE: r"\S", ops.CATEGORY_DIGIT: r"\d"}
        return re.fullmatch(kinds[arg], character) is not None
    return False


def _is_word(text: str, place: int) -> bool:
    return 0 <= place < len(text) and re.fullmatch(r"\w", text[place]) is not None
