"""Takes secrets and personal data out of text that leaves an agent or Mendbus, or is kept: errors, logs, spans, alerts.

Found are secrets that name themselves (`password=...`, `"api_key": "..."`, `Authorization: ...`), those in addresses,
and those that providers give a shape of their own. A secret without either cannot be told from any other word. Pure,
and linear in time: what an operator adds are plain names, never expressions of their own.
"""

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Annotated, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field

MARK: Final = "***"
"""Stands where a secret was."""

T = TypeVar("T")


class Redaction(BaseModel):
    """What is taken out: `[redaction]` of the policy file for services, an argument of `Agent` for agents."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    secrets: bool = True
    """Passwords, keys, tokens, cookies. Off: only where every reader of errors, journal and traces may know them."""
    emails: bool = True
    """E-mail addresses."""
    cards: bool = True
    """Numbers of payment cards: right length and prefix, and their check digit is right."""
    addresses: bool = False
    """IP addresses, but for those of the machine itself. Off, since who looks into a network failure needs them."""
    names: Annotated[tuple[Annotated[str, Field(pattern="^[A-Za-z0-9_.-]{3,64}$")], ...], Field(max_length=64)] = ()
    """More names of values that nobody shall see, such as `customer_number`; in any letter case."""


DEFAULT: Final = Redaction()

# What begins a secret is looked for by plain search, in lower case, and the expression is tried there alone: run over
# the whole text it would take a hundred times as long. What is unbounded in it is possessive, so the time is linear.
_QUOTE = r"""\\{0,2}["']"""
_PLAIN = r"""[^\s,;&)}\]"'<>\\]"""
# What follows a closing quote at once belongs to the value, as it does in a shell.
_VALUE = rf"""(?: (?: \\"[^"\\\n]*+\\?"? | "(?:[^"\\\n]|\\.)*+"? | '(?:[^'\\\n]|\\.)*+'? ) {_PLAIN}*+ | {_PLAIN}++ )"""
_IS = rf"""{_QUOTE}? \s{{0,4}} (?: => | [:=] ) \s{{0,4}}"""
# Words that follow such a name where no value does: `(using password: NO)`, `API_KEY: must be set`.
_PROSE = r"""
    (?! (?i: yes | no | not | none | null | nil | true | false | is | are | must | unbound | parameter | required
           | missing | invalid | incorrect | wrong | empty | undefined | expired ) (?! [^\s,;:.!)\]}"'] ) )"""
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
    | (?P<option> (?i: (?<=--) (?: password | passwd | passphrase | secret | token ) [ ] (?= [a-z]*+ [^a-z\s] ) ) )
      [^\s]++
    | (?P<scheme> (?i: \b (?: bearer | basic ) \s{{1,4}} ) ) [A-Za-z0-9._~+/=-]{{8,}}+
    | (?P<cookie> (?i: \b cookie {_QUOTE}? \s{{0,4}} : \s{{0,4}} ) ) [^\r\n]++
    | (?P<query> (?i: (?<=[?&]) (?: sig | signature | token | key | code | x-amz-[a-z-]{{1,40}} ) = ) ) [^&\s#"'<>]++
    | (?P<named> (?i: (?: password | passwd | passphrase | secret | credential | (?<=[;_-])pwd )
                      [a-z0-9_-]{{0,32}} (?<! error ) (?<! exception ) {_IS} ) ) {_PROSE} {_VALUE}
    | (?P<token> (?i: (?<![a-z0-9]) token (?: = | {_QUOTE} \s{{0,4}} [:=] \s{{0,4}} ) ) ) {_PROSE} {_VALUE}
    | (?P<compound> (?i: (?: key | token ) [a-z0-9_-]{{0,32}} (?<! error ) {_IS} ) ) {_PROSE} {_VALUE}
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
_KEPT: Final = ("alone", "slack", "header", "option", "scheme", "cookie", "query", "named", "token", "compound")
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
_CARD_DIGITS: Final = 12
_NETWORKS: Final = (
    (2221, 2720, (16,)), (3000, 3059, (14,)), (3400, 3499, (15,)), (3528, 3589, (16, 17, 18, 19)), (3600, 3699, (14,)),
    (3700, 3799, (15,)), (3800, 3999, (14,)), (4000, 4999, (13, 16, 19)), (5000, 5099, (16,)),
    (5100, 5599, (16,)), (5600, 5899, (16,)), (6000, 6999, (16, 17, 18, 19)),
)  # fmt: skip
"""First four digits from and to, and how many digits follow with them."""
_BEYOND_ASCII: Final = re.compile(r"[^\x00-\x7f]")
_OTHER: Final = re.compile(rf"(?P<other> [A-Za-z0-9_.-]{{1,96}}+ {_IS} ) {_VALUE}", re.VERBOSE)
# What tools write with an `@` of its own is none: versions (`left-pad@1.3.0.tgz`), units (`getty@tty1.service`), places
# in a stack (`render@app.js:10`), and the user that every Git server has.
_EMAIL: Final = re.compile(
    r"""(?<![A-Za-z0-9._%+-]) (?! git@ ) [A-Za-z0-9._%+-]{1,64}+ @ (?! v?[0-9]++\.[0-9] )
        (?: [A-Za-z0-9-]{1,63} \. ){1,8}
        (?! (?: service | socket | timer | mount | target | slice | scope | [cm]?[jt]sx? | py | tgz ) \b )
        [A-Za-z]{2,24} \b""",
    re.VERBOSE,
)
# What is before it is looked at after its first digit, so that the engine skips whatever is none.
_CARD: Final = re.compile(r"[2-6](?<![A-Za-z0-9_.+-].)[0-9]{3}(?:[ -]?[0-9]){8,15}+(?![A-Za-z0-9_]|[.-][0-9])")
_ADDRESS: Final = re.compile(
    r"""(?<![A-Za-z0-9_.:-]) (?: (?: [0-9]{1,3} \. ){3} [0-9]{1,3} (?! [A-Za-z0-9_-] | \.[0-9] )
        | (?: [0-9A-Fa-f]{0,4} : ){2,7} [0-9A-Fa-f]{0,4} (?! [A-Za-z0-9_:] ) )""",
    re.VERBOSE,
)
_NAMED: Final = re.compile(
    r"(?i)(?:password|passwd|passphrase|secret|credential|pwd|authorization|cookie|(?<![a-z0-9])token$)"
)


def redact(text: str, rules: Redaction = DEFAULT) -> str:
    """The text with everything that is not to be seen replaced by `MARK`. Twice is the same as once."""
    if rules.secrets or rules.names:
        text = _without_secrets(text, rules)
    if rules.emails and "@" in text:
        text = _EMAIL.sub(MARK, text)
    if rules.cards and len(text) >= _CARD_DIGITS:
        text = _CARD.sub(_unless_card, text)
    if rules.addresses:
        text = _ADDRESS.sub(_unless_address, text)
    return text


def _without_secrets(text: str, rules: Redaction) -> str:
    lower = text.lower()
    if len(lower) != len(text):
        lower = _BEYOND_ASCII.sub("?", text).lower()
    ours = _BEGINNINGS if rules.secrets else ()
    begins = [place for word in ours if word in lower for place in _places(lower, word)]
    others = {place for word in rules.names for place in _places(lower, word.lower())}
    if begins or others:
        text = _without(text, lower, sorted({*begins, *others}), others)
    if rules.secrets and len(text) >= _SEED_CHARACTERS:
        text = _SEED.sub(MARK, text)
    return text


def _unless_card(match: re.Match[str]) -> str:
    text = match[0]
    return MARK if _is_card([int(character) for character in text if character.isdigit()]) else text


def _is_card(digits: Sequence[int]) -> bool:
    """Whether a payment network gives out numbers of this length and beginning, and the check digit is right."""
    first = digits[0] * 1000 + digits[1] * 100 + digits[2] * 10 + digits[3]
    lengths = next((lengths for low, high, lengths in _NETWORKS if low <= first <= high), ())
    doubled = sum(digits[-1::-2]) + sum(2 * digit - 9 * (digit > 4) for digit in digits[-2::-2])
    return len(digits) in lengths and doubled % 10 == 0


def _unless_address(match: re.Match[str]) -> str:
    import ipaddress

    try:
        address = ipaddress.ip_address(match[0])
    except ValueError:
        return match[0]
    return match[0] if address.is_loopback or address.is_unspecified else MARK


def _places(lower: str, word: str) -> Iterator[int]:
    place = lower.find(word)
    while place >= 0:
        yield place - (word in _BEFORE)
        place = lower.find(word, place + 1)


def _without(text: str, lower: str, begins: Sequence[int], others: Set[int]) -> str:
    kept: list[str] = []
    end = 0
    for begin in begins:
        if begin < end:
            continue
        match = _SECRET.match(text, begin)
        if match is not None and match["compound"] is not None and not lower.endswith(_OF_WHAT, 0, begin):
            match = None
        if match is not None:
            hidden = _hidden(match)
        elif begin in others and (match := _OTHER.match(text, begin)) is not None:
            hidden = match["other"] + MARK
        else:
            continue
        kept += [text[end:begin], hidden]
        end = match.end()
    return "".join((*kept, text[end:])) if kept else text


def _hidden(match: re.Match[str]) -> str:
    if (before := match["at"]) is not None:
        return f"{before}{MARK}@"
    for name in _KEPT:
        if (before := match[name]) is not None:
            return before + MARK
    return MARK


def names_secret(name: str, rules: Redaction = DEFAULT) -> bool:
    """Whether what goes by this name is a secret whatever it looks like, as `password` or `api_key` are."""
    lower = name.lower()
    if any(word.lower() in lower for word in rules.names):
        return True
    compound = any(lower.endswith(word) and lower.removesuffix(word).endswith(_OF_WHAT) for word in ("key", "token"))
    return rules.secrets and (compound or _NAMED.search(name) is not None)


def redact_values(values: Mapping[str, T], rules: Redaction = DEFAULT) -> dict[str, T | str]:
    """The same map with its texts redacted, and hidden whole where their names say that they are secrets.

    Numbers stay, but for those that go by one of `rules.names`.
    """
    return {name: _value(name, value, rules) for name, value in values.items()}


def _value(name: str, value: T, rules: Redaction) -> T | str:
    if isinstance(value, str):
        return MARK if names_secret(name, rules) else redact(value, rules)
    return MARK if rules.names and any(word.lower() in name.lower() for word in rules.names) else value
