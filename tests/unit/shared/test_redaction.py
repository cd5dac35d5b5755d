"""Secrets do not get out: in messages, stacks, addresses and headers; what is none stays as it was."""

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mendbus.redaction import MARK, Redaction, names_secret, redact, redact_values

ALNUM = string.ascii_letters + string.digits
secrets = st.text(ALNUM + "._~+-", min_size=12, max_size=40).filter(
    lambda text: text[0].isdigit() and text[-1].isalnum()
)
words = st.text(string.ascii_lowercase + " ", max_size=30)


@given(
    words,
    st.sampled_from(
        [
            "password={}", "PGPASSWORD='{}'", '"password": "{}"', "db_passwd: {}", "client_secret={}&x=1",
            "api_key={}", "apiKey: '{}'", "X-Api-Key: {}", "accessToken => {}", '\\"auth_token\\": \\"{}\\"',
            "Authorization: Bearer {}", "authorization='Basic {}'", "Bearer {}", "Cookie: session={}; a=b",
            "https://user:{}@host/path", "postgres://u:{}@db:5432/x", "redis://:{}@cache/0", "?sig={}&se=2030",
            "token={}", '{{"token": "{}"}}', "AccountKey={};EndpointSuffix=x", ";Pwd={};", "aws_secret_access_key = {}",
            "-----BEGIN RSA PRIVATE KEY-----\n{}\n-----END RSA PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\n{}",
            "GET /x?X-Amz-Signature={}&y", "hooks.slack.com/services/T0/B0/{}",
        ]
    ),
    secrets,
    words,
)  # fmt: skip
def test_a_secret_that_names_itself_is_gone_and_the_rest_stays(before: str, form: str, secret: str, after: str) -> None:
    """Whatever stands around it, on the lines before and after."""
    found = redact(f"{before}\n{form.format(secret)}\n{after}")
    assert secret not in found
    assert MARK in found
    assert found.startswith(f"{before}\n")
    if "BEGIN PRIVATE" not in form:
        assert found.endswith(f"\n{after}")


SHAPED = [
    "AKIAIOSFODNN7EXAMPLE", "AIza" + "a" * 35, "ghp_" + "b" * 36, "github_pat_" + "c" * 40, "glpat-" + "d" * 20,
    "xoxb-1234567890-abcdef", "sk_live_" + "e" * 24, "sk-" + "f" * 40, "npm_" + "g" * 36, "pypi-" + "h" * 40,
    "hf_" + "i" * 34, "SUA" + "B" * 55, "SG." + "j" * 22 + "." + "k" * 43,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "dop_v1_" + "0" * 64,
]  # fmt: skip


@pytest.mark.parametrize("secret", SHAPED)
@pytest.mark.parametrize("form", ["{}", "cannot use {}: refused", "({})", "a='{}'", "https://{}@github.com/x"])
def test_a_secret_with_a_shape_of_its_own_is_gone(form: str, secret: str) -> None:
    """Keys and tokens of providers need no name."""
    found = redact(form.format(secret))
    assert secret not in found
    assert found == form.format(MARK)


@pytest.mark.parametrize(
    "text",
    [
        "SyntaxError: Unexpected token ':' in JSON at position 5",
        "KeyError: 'user_id'",
        "invalid password for user 'mendbus'",
        "connection to http://127.0.0.1:4318/v1/traces refused",
        "nats://127.0.0.1:4222, nats://b:4222 are out of reach",
        "the key 'a.b' of bucket agents has no value; keys: none",
        "incident 018f7a10-7000-7000-8000-00000000000a of runtime/a1 token-ring",
        "PWD=/home/build primary_key: 7 keyboard=qwerty basic auth",
        "ModuleNotFoundError: No module named 'secrets'",
        'File "/srv/app/tokens.py", line 12, in basic',
        "fatal: unable to access 'git@github.com:shop/web.git': not found",
        "render@app.js:10:3 in left-pad@1.3.0-beta.tgz of getty@tty1.service",
        "Access denied for user 'root'@'localhost' (using password: YES)",
        "botocore.exceptions.NoCredentialsError: Unable to locate credentials",
        "bash: API_KEY: must be set",
        "secret: not found, token: undefined",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    """Error messages keep what an operator needs."""
    assert redact(text) == text


@given(st.text(max_size=300))
def test_it_never_fails_and_done_twice_changes_no_more(text: str) -> None:
    """Idempotent on any text."""
    once = redact(text)
    assert redact(once) == once


fragments = st.sampled_from(
    ["password", "=", ":", " ", '"', "'", "\\", "Bearer ", "://", "@", "token", "eyJ", ".", "a1b2c3d4e5f6", "&", "?",
     "-----BEGIN PRIVATE KEY-----", "-----END", "Cookie:", "\n", "sk-", "***", "api_key", "Authorization"]
)  # fmt: skip


@given(st.lists(fragments, max_size=30))
@example(["password", "=", '"', '"', "password"])
def test_pieces_of_secrets_in_any_order_are_redacted_once(pieces: list[str]) -> None:
    """Idempotent, too, on text made of what the rules look for."""
    once = redact("".join(pieces))
    assert redact(once) == once


@given(st.text(ALNUM + " .,:/_-", max_size=100).filter(lambda text: "@" not in text))
def test_addresses_go_unless_they_may_be_seen(text: str) -> None:
    """E-mail addresses are hidden wherever they stand, and are left where the rules say so."""
    line = f"{text} anna.b+c@mail.example.org"
    assert "example.org" not in redact(line)
    assert "anna.b+c@mail.example.org" in redact(line, Redaction(emails=False))


@pytest.mark.parametrize(
    "number",
    [
        "4111111111111111", "4111 1111 1111 1111", "5500-0000-0000-0004", "2221000000000009", "378282246310005",
        "3714 496353 98431", "6011111111111117", "3566002020360505", "30569309025904", "4222222222222",
    ],
)  # fmt: skip
def test_card_numbers_are_hidden(number: str) -> None:
    """A number that a network could have given out, with its check digit right, however it is spaced."""
    assert redact(f"charge of {number} was declined") == f"charge of {MARK} was declined"
    assert redact(f"pan={number}, then", Redaction(cards=False)) == f"pan={number}, then"


@given(st.integers(0, 10**19), st.sampled_from(["{}", "at {} ns", "id-{}", "0x{}", "{}.5", "1.{}", "v{}"]))
def test_other_numbers_stay(number: int, form: str) -> None:
    """A digit wrong, or letters and points beside it: it is no card."""
    digits = str(number)
    wrong = "4111111111111112" if len(digits) % 2 else "1700000000000000000"
    assert redact(form.format(wrong)) == form.format(wrong)
    if form[0] in "i01v" or form.endswith(".5"):
        assert redact(form.format(digits)) == form.format(digits)


@pytest.mark.parametrize("address", ["10.0.3.7", "192.168.1.254", "2001:db8::1", "fe80::1ff:fe23:4567:890a"])
def test_network_addresses_go_only_where_asked(address: str) -> None:
    """Who looks into a network failure needs them; those of the machine itself tell nothing and stay."""
    text = f"connect to {address} failed, 127.0.0.1 and ::1 did not, at 12:30:45 in std::vector"
    assert redact(text) == text
    assert redact(text, Redaction(addresses=True)) == text.replace(address, MARK)


def test_names_of_ones_own_are_hidden_as_well() -> None:
    """What an operator names is hidden as text and as attribute, in any letter case, beside all else."""
    rules = Redaction(names=("customer_number", "X-Tenant"))
    text = 'Customer_Number=4711, {"customer_number": "47 11"} x-tenant-id: acme; password=p4ss rest'
    assert redact(text, rules) == (
        f'Customer_Number={MARK}, {{"customer_number": {MARK}}} x-tenant-id: {MARK}; password={MARK} rest'
    )
    assert redact_values({"customer_number": 4711, "n": 1}, rules) == {"customer_number": MARK, "n": 1}
    assert redact("password=p4ss customer_number=1", Redaction(secrets=False, names=("customer_number",))) == (
        f"password=p4ss customer_number={MARK}"
    )


def test_maps_are_redacted_by_name_and_by_value() -> None:
    """What is called a secret is hidden whole; numbers stay; other texts lose what is secret in them."""
    values = {"db.password": "x", "API_KEY": "y", "n": 3, "why": "token=abcdef12", "key": "plain", "auth_token": "z"}
    assert redact_values(values) == {
        "db.password": MARK,
        "API_KEY": MARK,
        "n": 3,
        "why": f"token={MARK}",
        "key": "plain",
        "auth_token": MARK,
    }
    assert not names_secret("primary_key")
    assert not names_secret("tokens_used")
