"""The words of known error texts: which category each speaks for, and how severe it sounds.

A phrase is lower case.  Its longest word must stand in the text as a whole word (so that a word index can find it);
its ends may run on into longer words.  `a + b` asks for both.  All phrases of one rule are one piece of evidence:
further ones only confirm it.
"""

from typing import Final

from . import build, concurrency, configuration, dependency, memory, network, performance, runtime, security, storage
from .evidence import Rule

CATEGORY_RULES: Final[tuple[Rule, ...]] = (
    memory.RULES
    + network.RULES
    + storage.RULES
    + build.RULES
    + dependency.RULES
    + configuration.RULES
    + runtime.RULES
    + performance.RULES
    + concurrency.RULES
    + security.RULES
)
