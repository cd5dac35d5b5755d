"""Failures of CPython, its standard library, and the packages that the project stands on."""

# Tables of what is provoked read best one provocation after the other.
# ruff: noqa: E501, SIM905, PERF401, RUF001

import ast
import builtins
import configparser
import csv
import decimal
import errno
import json
import os
import shlex
import sqlite3
import struct
import tempfile
import tomllib
import zipfile
import zlib
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from tests.corpus.recording import Provocation, Record, called, printed

_ERRNO: Final = {
    "memory": "ENOMEM EFAULT",
    "network": (
        "ECONNREFUSED ECONNRESET ECONNABORTED EPIPE EHOSTUNREACH ENETUNREACH ENETDOWN ENETRESET EHOSTDOWN ENOTCONN "
        "ESHUTDOWN ENONET ECOMM ENOLINK EREMOTEIO ENOTUNIQ EISCONN ECONNABORTED ETIMEDOUT"
    ),
    "storage": (
        "ENOSPC EIO EROFS EDQUOT ENOENT ENOTDIR EISDIR ENOTEMPTY EXDEV EBUSY ESTALE EFBIG ENXIO ENODEV ENOMEDIUM "
        "EMEDIUMTYPE EUCLEAN EBADF ELOOP ENAMETOOLONG EEXIST EMLINK"
    ),
    "security": "EACCES EPERM EKEYEXPIRED EKEYREJECTED EKEYREVOKED ENOKEY",
    "configuration": "EADDRINUSE EADDRNOTAVAIL EAFNOSUPPORT EPROTONOSUPPORT ENOPROTOOPT ENOTBLK EDESTADDRREQ",
    "concurrency": "EDEADLK EAGAIN EALREADY EINPROGRESS EOWNERDEAD ENOTRECOVERABLE ETXTBSY ENOLCK",
    "performance": "ETIME EMFILE ENFILE EUSERS ENOBUFS",
    "runtime": "EINVAL EDOM ERANGE EILSEQ EOVERFLOW ENOTTY ESPIPE EBADMSG ENAMETOOLONG",
    "dependency": "ENOSYS ELIBACC ELIBBAD ELIBMAX ENOEXEC EOPNOTSUPP ELIBSCN",
}
_STATUS: Final = {
    "security": (401, 403, 407, 451, 495, 511),
    "performance": (408, 429, 503, 504),
    "network": (502,),
    "storage": (404, 410, 507),
    "concurrency": (409, 412, 423, 428),
    "configuration": (400, 405, 406, 413, 414, 415, 421, 431, 505),
    "runtime": (422, 500, 501),
}


def records() -> Iterator[Record]:
    """Everything of this module."""
    yield from _codes()
    yield from _expressions()
    yield from _modules()
    yield from _files()
    yield from _sources()
    yield from _data()


def _codes() -> Iterator[Record]:
    for category, names in _ERRNO.items():
        for name in names.split():
            number = getattr(errno, name, None)
            if number is None:
                continue
            what = Provocation(f"errno {name}", category)
            error = OSError(number, os.strerror(number), "/srv/app/data/journal.log")
            yield from called(what, lambda error=error: _raise(error))
            yield from printed(
                what,
                os.strerror(number),
                f"write failed: {os.strerror(number)} (os error {number})",
                f"{name}: {os.strerror(number).lower()}, open '/srv/app/data'",
                f"worker exited: errno={number} ({name})",
            )
    for category, codes in _STATUS.items():
        for code in codes:
            what = Provocation(f"http {code}", category)
            phrase = _phrase(code)
            yield from printed(
                what,
                f"HTTP {code} {phrase}",
                f"request failed with status code {code}",
                f"GET https://api.example.com/v1/orders: {code} {phrase}",
                f"{code} {phrase}: upstream answered with an error",
            )


def _phrase(code: int) -> str:
    from http import HTTPStatus

    try:
        return HTTPStatus(code).phrase
    except ValueError:
        return "Certificate Error"


def _raise(error: BaseException) -> None:
    raise error


def _expressions() -> Iterator[Record]:
    """Every builtin and common method, called with what it cannot take."""
    wrong: list[Any] = [None, "text", -1, [], {}, b"\xff\xfe", 3.5, object(), (1, 2, 3), float("nan")]
    targets: list[tuple[str, Callable[..., object]]] = []
    for name in (
        "abs bin bytearray bytes chr complex dict divmod enumerate float format frozenset getattr hash hex int isinstance "
        "issubclass iter len list map max memoryview min next oct ord pow range reversed round set setattr slice sorted "
        "sum tuple zip"
    ).split():
        targets.append((name, getattr(builtins, name)))
    for owner in ("", b"", [], {}, set[int](), (), 0, 1.0):
        for name in dir(owner):
            if not name.startswith("_"):
                targets.append((f"{type(owner).__name__}.{name}", getattr(owner, name)))
    for module in (
        "math",
        "struct",
        "json",
        "base64",
        "datetime",
        "statistics",
        "re",
        "itertools",
        "functools",
        "string",
    ):
        loaded = import_module(module)
        for name in dir(loaded):
            function = getattr(loaded, name)
            if not name.startswith("_") and callable(function) and name not in {"purge", "template"}:
                targets.append((f"{module}.{name}", function))
    for name, function in targets:
        what = Provocation(f"misuse {name}", "runtime")
        for value in wrong:
            yield from called(what, lambda function=function, value=value: _bounded(function, value))
        yield from called(what, lambda function=function: _bounded(function, 1, "a", None))


def _bounded(function: Callable[..., object], *arguments: object) -> object:
    result = function(*arguments)
    # Generators fail only when they are asked.
    if hasattr(result, "__next__"):
        for _, _item in zip(range(3), result, strict=False):  # pyright: ignore[reportArgumentType]
            pass
    return None


def _modules() -> Iterator[Record]:
    for name in (
        "yaml_core pandas_lite torchx django_lite flaskish requests_plus sklearnish celeryd redisx kafkapy psycopg3x grpcx "
        "boto9 PILx cv9 matplotlibx aiohttpx httpz sqlalchemyx pydantic_v9 fastapix uvicornx lxmlx bs9 jwtx cryptox"
    ).split():
        what = Provocation(f"missing module {name}", "dependency")
        yield from called(what, lambda name=name: import_module(name))
        yield from called(what, lambda name=name: import_module(f"{name}.core"))
    for module in (
        "json os asyncio socket re typing collections sqlite3 http.client email logging numpy pydantic msgpack".split()
    ):
        for name in ("missing_thing", "OldName", "removed_function"):
            what = Provocation(f"missing name {module}", "dependency")
            code = f"from {module} import {name}"
            yield from called(what, lambda code=code: exec(code, {}))
    for library in "foo acme vulkan-compat ssl3 cudart-11 stdc++legacy".split():
        what = Provocation(f"missing library {library}", "dependency")
        import ctypes

        yield from called(what, lambda library=library: ctypes.CDLL(f"lib{library}.so.9"))


def _files() -> Iterator[Record]:
    with tempfile.TemporaryDirectory(prefix="app") as folder:
        place = Path(folder)
        (place / "plain.txt").write_text("text")
        (place / "full").mkdir()
        (place / "full" / "x").write_text("x")
        storage = Provocation("missing file", "storage")
        for action in (
            (place / "gone.json").read_text,
            lambda: os.listdir(place / "nowhere"),
            lambda: os.rename(place / "a", place / "b"),
            lambda: os.remove(place / "absent.db"),
            lambda: os.rmdir(place / "full"),
            (place / "plain.txt" / "below").read_text,
            (place / "full").read_text,
            lambda: os.mkdir(place / "full"),
            lambda: os.symlink("x", place / "plain.txt"),
            lambda: (place / ("n" * 300)).write_text("x"),
            lambda: os.chdir(place / "nowhere"),
            lambda: zipfile.ZipFile(place / "gone.zip"),
        ):
            yield from called(storage, action)
        broken = Provocation("broken archive", "storage")
        for suffix, content in ((".zip", b"no zip"), (".gz", b"no gzip"), (".tar", b"x" * 700), (".db", b"x" * 4096)):
            path = place / f"bad{suffix}"
            path.write_bytes(content)
            for module, call in (
                ("zipfile", "ZipFile"),
                ("gzip", "open"),
                ("tarfile", "open"),
                ("lzma", "open"),
                ("bz2", "open"),
            ):
                opened = getattr(import_module(module), call)
                yield from called(broken, lambda opened=opened, path=path: opened(path).read())
            yield from called(broken, lambda path=path: sqlite3.connect(path).execute("select * from t"))
        for size in (1, 5, 20):
            yield from called(broken, lambda size=size: zlib.decompress(zlib.compress(b"abc" * 50)[:size]))
        cut = zlib.compress(b"some text" * 100)
        for at in range(2, len(cut), 3):
            damaged = cut[:at] + bytes([cut[at] ^ 0xFF]) + cut[at + 1 :]
            yield from called(broken, lambda damaged=damaged: zlib.decompress(damaged))
        full = Provocation("full device", "storage")
        yield from called(full, lambda: open("/dev/full", "w").write("x" * 100_000))  # noqa: SIM115
        for path in ("/proc/version", "/sys/kernel/notes"):
            yield from called(Provocation("read-only place", "security"), lambda path=path: Path(path).write_text("x"))


def _sources() -> Iterator[Record]:
    """Source text that does not compile."""
    broken = Provocation("python syntax", "build")
    for source in (
        "def f(:", "x = = 1", "if True print(1)", "for in x:", "class 1A: pass", "return 5", "a b", "f(1 2)", "x = [1, 2",
        "'unterminated", "\"\"\"open", "  x = 1\n y = 2", "def f():\nreturn 1", "yield", "await x", "lambda: (yield",
        "import", "from x import", "else: pass", "try: pass", "with open(): as f", "print 'x'", "exec 'x'", "a++", "0777",
        "f'{'", "del f()", "f() = 1", "1 = x", "def f(a, a): pass", "global x; x = 1; global x", "break", "continue",
        "nonlocal x", "from __future__ import nope", "x: int: str", "async def f(): yield from g()", "match x:\ncase 1: pass",
        "@", "a if b", "*a", "def f(**k, *a): pass", "f(a=1, 2)", "f(**a, *b)", "{1:2, 3}", "u'' b''", "\x00", "é = €",
    ):  # fmt: skip
        yield from called(broken, lambda source=source: compile(source, "/srv/app/module.py", "exec"))
        yield from called(broken, lambda source=source: ast.parse(source, "/srv/app/plugin.py"))


def _data() -> Iterator[Record]:
    parse = Provocation("bad input", "runtime")
    for text in (
        "{",
        "[1,",
        "nul",
        "{'a': 1}",
        "<html></html>",
        "",
        '{"a" 1}',
        "[1 2]",
        '"x',
        '{"a": }',
        "01",
        "NaN1",
        "[}",
    ):
        yield from called(parse, lambda text=text: json.loads(text))
    for text in ("abc", "", "1.2.3", "0x", "--5", "1e", "12a", "١x"):
        yield from called(parse, lambda text=text: int(text))
        yield from called(parse, lambda text=text: float(text))
        yield from called(parse, lambda text=text: decimal.Decimal(text))
    for coding in "ascii utf-8 utf-16 cp1252 latin-1 shift_jis gbk big5 euc_jp koi8_r idna punycode".split():
        for raw in (b"\xff\xfe\x00", b"\x80abc", b"\xc3\x28", b"\xed\xa0\x80"):
            yield from called(parse, lambda coding=coding, raw=raw: raw.decode(coding))
        yield from called(parse, lambda coding=coding: "naïve €10 日本 \ud800".encode(coding))
    for text in ("a=1\n", "[s\na=1", "[s]\n[s]\n", "[s]\na\n", "[s]\na=1\na=2\n", "[s]\na=%(b)s\n"):
        what = Provocation("bad ini", "configuration", "critical")
        yield from called(what, lambda text=text: dict(_ini(text)["s"]))
    for text in (
        "a =",
        "[a\nb=1",
        "a = 1\na = 2",
        "a = 'x",
        "= 1",
        "a = 01",
        "[a]\n[a]",
        "a = [1, 2",
        "a.b = 1\na = 2",
        "x y = 1",
    ):
        what = Provocation("bad toml", "configuration", "critical")
        yield from called(what, lambda text=text: tomllib.loads(text))
    for name in "DATABASE_URL SECRET_KEY API_TOKEN REDIS_HOST PORT AWS_REGION LICENSE_FILE".split():
        what = Provocation("missing variable", "configuration", "critical")
        yield from called(what, lambda name=name: os.environ[f"APP_{name}"])
        yield from called(what, lambda name=name: _need(name))
    for text in ("'a", '"b', "a\\"):
        yield from called(parse, lambda text=text: shlex.split(text))
    for layout in ("<I", ">Q", "hh", "5s", "d"):
        yield from called(parse, lambda layout=layout: struct.unpack(layout, b"x"))
    yield from called(parse, lambda: list(csv.reader(["a\0b", '"x'], strict=True)))
    import xml.etree.ElementTree as ET

    for text in ("", "<a>", "<a></b>", "<a b=1/>", "text", "<a>&x;</a>", "<a/><b/>"):
        yield from called(parse, lambda text=text: ET.fromstring(text))


def _ini(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read_string(text, "/etc/app/settings.ini")
    return parser


def _need(name: str) -> None:
    raise RuntimeError(f"environment variable {name} is not set")
