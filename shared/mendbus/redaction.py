"""Takes secrets out of text that leaves Mendbus: logs, spans, alerts and what webhooks send. Pure, and linear in time.

Found are secrets that name themselves (`password=...`, `"api_key": "..."`, `Authorization: ...`), those in addresses,
and those that providers give a shape of their own. A secret without either cannot be told from any other word.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeVar

MARK: Final = "***"
"""Stands where a secret was."""

T = TypeVar("T")

# What begins a secret is looked for by plain search, in lower case, and the expression is tried there alone: run over
# the whole text it would take a hundred times as long. What is unbounded in it is possessive, so the time is linear.
_QUOTE = r"""\\{0,2}["']"""
_VALUE = r"""(?: \\"[^"\\\n]*+\\?"? | "(?:[^"\\\n]|\\.)*+"? | '(?:[^'\\\n]|\\.)*+'? | [^\s,;&)}\]"'<>\\]++ )"""
_IS = rf"""{_QUOTE}? \s{{0,4}} (?: => | [:=] ) \s{{0,4}}"""
_SECRET: Final = re.compile(
    rf"""
      (?P<block> -----BEGIN[ ][A-Z0-9 ]{{0,40}}PRIVATE[ ]KEY-----
                 (?: (?!-----END) . )*+ (?: -----END[ ][A-Z0-9 ]{{0,40}}----- )? )
    | (?P<at> :// [^\s/@:"'<>]{{0,128}} : ) (?: [^\s/@"'<>]++ @ )++
    | (?P<alone> :// ) [^\s/@:"'<>]{{20,256}}+ (?=@)
    | (?P<slack> hooks\.slack\.com/ (?: services | workflows ) / ) [A-Za-z0-9/_-]++
    | (?P<header> (?i: \b authorization \b {_QUOTE}? \s{{0,4}} [:=] \s{{0,4}} {_QUOTE}?
                       (?: (?: basic | bearer | digest | token | apikey | negotiate | aws4-hmac-sha256 )
                           \s{{1,4}} )? ) )
      [^\s,;"'\\]++
    | (?P<scheme> (?i: \b (?: bearer | basic ) \s{{1,4}} ) ) [A-Za-z0-9._~+/=-]{{8,}}+
    | (?P<cookie> (?i: \b cookie {_QUOTE}? \s{{0,4}} : \s{{0,4}} ) ) [^\r\n]++
    | (?P<query> (?i: (?<=[?&]) (?: sig | signature | token | key | code | x-amz-[a-z-]{{1,40}} ) = ) ) [^&\s#"'<>]++
    | (?P<named> (?i: (?: password | passwd | passphrase | secret | credential | (?<=[;_-])pwd )
                      [a-z0-9_-]{{0,32}} {_IS} ) ) {_VALUE}
    | (?P<token> (?i: (?<![a-z0-9]) token (?: = | {_QUOTE} \s{{0,4}} [:=] \s{{0,4}} ) ) ) {_VALUE}
    | (?P<compound> (?i: (?: key | token ) [a-z0-9_-]{{0,32}} {_IS} ) ) {_VALUE}
    | (?<![A-Za-z0-9_-]) (?:
        (?: AKIA | ASIA | AGPA | AIDA | AROA | ANPA ) [A-Z0-9]{{16}} (?![A-Za-z0-9])  # Amazon
      | AIza [A-Za-z0-9_-]{{35}} | ya29\. [A-Za-z0-9_-]{{20,}}+ | GOCSPX- [A-Za-z0-9_-]{{20,}}+  # Google
      | gh[pousr]_ [A-Za-z0-9]{{20,}}+ | github_pat_ [A-Za-z0-9_]{{20,}}+
      | gl(?: pat | rt | ptt )- [A-Za-z0-9_-]{{20,}}+
      | xox[abeoprs]- [A-Za-z0-9-]{{10,}}+ | xapp- [A-Za-z0-9-]{{10,}}+  # Slack
      | [srp]k_ (?: live | test ) _ [A-Za-z0-9]{{16,}}+  # Stripe
      | sk- [A-Za-z0-9_-]{{20,}}+ | hf_ [A-Za-z0-9]{{30,}}+  # model providers
      | npm_ [A-Za-z0-9]{{36,}}+ | pypi- [A-Za-z0-9_-]{{16,}}+ | dop_v1_ [a-f0-9]{{64}}
      | dckr_pat_ [A-Za-z0-9_-]{{20,}}+
      | SG\. [A-Za-z0-9_-]{{16,}}+ \. [A-Za-z0-9_-]{{16,}}+  # SendGrid
      | eyJ [A-Za-z0-9_-]{{5,}}+ \. eyJ [A-Za-z0-9_-]{{5,}}+ (?: \. [A-Za-z0-9_-]*+ ){{0,3}}  # JSON Web Token
    )
    """,
    re.VERBOSE | re.DOTALL,
)
_KEPT: Final = ("alone", "slack", "header", "scheme", "cookie", "query", "named", "token", "compound")
_BEGINNINGS: Final = (
    "-----begin", "://", "hooks.slack.com", "authorization", "bearer", "basic", "cookie", "sig=", "signature=", "code=",
    "x-amz-", "password", "passwd", "passphrase", "secret", "credential", "pwd", "key", "token", "akia", "asia", "agpa",
    "aida", "aroa", "anpa", "aiza", "ya29.", "gocspx-", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-",
    "glrt-", "glptt-", "xox", "xapp-", "k_live_", "k_test_", "sk-", "hf_", "npm_", "pypi-", "dop_v1_", "dckr_pat_",
    "sg.", "eyj",
)  # fmt: skip
_BEFORE: Final = ("k_live_", "k_test_")
"""Beginnings that stand one character after the secret's own."""
_OF_WHAT: Final = (
    "id_",
    "id-",
    *(
        word + link
        for word in (
            "api", "access", "auth", "refresh", "session", "private", "encryption", "signing", "account", "storage",
            "shared", "bearer", "csrf", "xsrf", "master", "license",
        )
        for link in ("", "_", "-")
    ),
)  # fmt: skip
"""What makes a key or a token a secret one, right before the word."""
_SEED: Final = re.compile(r"S[ACNOUX][A-Z2-7]{56}(?![A-Za-z0-9])")
_SEED_CHARACTERS: Final = 58
_BEYOND_ASCII: Final = re.compile(r"[^\x00-\x7f]")
_EMAIL: Final = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]{1,64}+@(?:[A-Za-z0-9-]{1,63}\.){1,8}[A-Za-z]{2,24}\b"
)
_NAMED: Final = re.compile(
    r"(?i)(?:password|passwd|passphrase|secret|credential|pwd|authorization|cookie|(?<![a-z0-9])token$)"
)


def redact(text: str, *, emails: bool = False) -> str:
    """The text with each secret replaced by `MARK`; with `emails`, e-mail addresses too. Twice is the same as once."""
    lower = text.lower()
    if len(lower) != len(text):
        lower = _BEYOND_ASCII.sub("?", text).lower()
    begins = [place for word in _BEGINNINGS if word in lower for place in _places(lower, word)]
    if begins:
        text = _without(text, lower, sorted(begins))
    if len(text) >= _SEED_CHARACTERS:
        text = _SEED.sub(MARK, text)
    return _EMAIL.sub(MARK, text) if emails and "@" in text else text


def _places(lower: str, word: str) -> Iterator[int]:
    place = lower.find(word)
    while place >= 0:
        yield place - (word in _BEFORE)
        place = lower.find(word, place + 1)


def _without(text: str, lower: str, begins: Sequence[int]) -> str:
    kept: list[str] = []
    end = 0
    for begin in begins:
        match = _SECRET.match(text, begin) if begin >= end else None
        if match is None or (match["compound"] is not None and not lower.endswith(_OF_WHAT, 0, begin)):
            continue
        kept += [text[end:begin], _hidden(match)]
        end = match.end()
    return "".join((*kept, text[end:])) if kept else text


def _hidden(match: re.Match[str]) -> str:
    if (before := match["at"]) is not None:
        return f"{before}{MARK}@"
    for name in _KEPT:
        if (before := match[name]) is not None:
            return before + MARK
    return MARK


def names_secret(name: str) -> bool:
    """Whether what goes by this name is a secret whatever it looks like, as `password` or `api_key` are."""
    lower = name.lower()
    compound = any(lower.endswith(word) and lower.removesuffix(word).endswith(_OF_WHAT) for word in ("key", "token"))
    return compound or _NAMED.search(name) is not None


def redact_values(values: Mapping[str, T], *, emails: bool = False) -> dict[str, T | str]:
    """The same map with its texts redacted, and hidden whole where their names say that they are secrets."""
    return {
        name: MARK
        if isinstance(value, str) and names_secret(name)
        else redact(value, emails=emails)
        if isinstance(value, str)
        else value
        for name, value in values.items()
    }
