"""Secrets do not get out: in messages, stacks, addresses and headers; what is none stays as it was."""

import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mendbus.redaction import MARK, names_secret, redact, redact_values

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
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    """Error messages keep what an operator needs."""
    assert redact(text) == text


@given(st.text(max_size=300))
def test_it_never_fails_and_done_twice_changes_no_more(text: str) -> None:
    """Idempotent on any text."""
    once = redact(text, emails=True)
    assert redact(once, emails=True) == once


fragments = st.sampled_from(
    ["password", "=", ":", " ", '"', "'", "\\", "Bearer ", "://", "@", "token", "eyJ", ".", "a1b2c3d4e5f6", "&", "?",
     "-----BEGIN PRIVATE KEY-----", "-----END", "Cookie:", "\n", "sk-", "***", "api_key", "Authorization"]
)  # fmt: skip


@given(st.lists(fragments, max_size=30))
def test_pieces_of_secrets_in_any_order_are_redacted_once(pieces: list[str]) -> None:
    """Idempotent, too, on text made of what the rules look for."""
    once = redact("".join(pieces))
    assert redact(once) == once


@given(st.text(ALNUM + " .,:/_-", max_size=100).filter(lambda text: "@" not in text))
def test_addresses_go_only_where_asked(text: str) -> None:
    """E-mail addresses are hidden on demand, and then wherever they stand."""
    line = f"{text} anna.b+c@mail.example.org"
    assert "anna.b+c@mail.example.org" in redact(line)
    assert "example.org" not in redact(line, emails=True)


@pytest.mark.parametrize(
    "part",
    ["a", "password", "password=", '"', "eyJ", "://a:", "@", "Bearer ", "-----BEGIN PRIVATE KEY-----", "sk-a", "_-"],
)
def test_the_time_grows_with_the_text_and_no_faster(part: str) -> None:
    """A hundred thousand repeats of what the rules look for end at once: no text makes them search for ever."""
    begun = time.process_time()
    redact(part * (400_000 // len(part)))
    assert time.process_time() - begun < 5.0


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
