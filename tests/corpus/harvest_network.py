"""Failures of clients and of the servers they want: links, certificates, databases."""

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

from tests.corpus.recording import Provocation, Record, ran


def network(folder: Path) -> Iterator[Record]:
    """Peers that refuse, are not known, or stay silent; addresses and certificates."""
    refused, unknown = Provocation("refused", "network"), Provocation("unknown host", "network")
    for scheme in (
        "http",
        "https",
        "ftp",
        "ftps",
        "smtp",
        "imap",
        "ldap",
        "telnet",
        "gopher",
        "mqtt",
        "sftp",
        "tftp",
        "ws",
    ):
        yield from ran(refused, ["curl", "-sS", "-m", "3", f"{scheme}://127.0.0.1:1/"])
        yield from ran(unknown, ["curl", "-sS", "-m", "3", f"{scheme}://none.invalid/"])
    for tool in (["wget", "-q", "-O-", "-T2", "-t1"], ["wget", "-O-", "-T2", "-t1"]):
        yield from ran(refused, [*tool, "http://127.0.0.1:1/"])
        yield from ran(unknown, [*tool, "http://none.invalid/"])
    for command in (
        "ssh -o BatchMode=yes -p 1 127.0.0.1 true",
        "scp -P 1 127.0.0.1:/x .",
        "sftp -P 1 127.0.0.1",
        "rsync rsync://127.0.0.1:1/x .",
        "nc -z -v 127.0.0.1 1",
        "psql -h 127.0.0.1 -p 1",
        "kubectl --server=http://127.0.0.1:1 get pods",
        "docker -H tcp://127.0.0.1:1 ps",
        "openssl s_client -connect 127.0.0.1:1",
        "npm view left-lib --registry=http://127.0.0.1:1 --fetch-retries=0",
        "pip download left-lib --index-url http://127.0.0.1:1 --retries 0 --disable-pip-version-check",
        "pip download left-lib --index-url http://none.invalid --retries 0 --disable-pip-version-check",
        "terraform init -backend-config=http://127.0.0.1:1",
        "redis-cli -p 1 ping",
        "nats-server -c /dev/null --routes nats://127.0.0.1:1 --nope",
    ):
        yield from ran(refused, command.split(), folder=folder)
    for command in (
        "ssh -o BatchMode=yes none.invalid true",
        "psql -h none.invalid",
        "kubectl --server=https://none.invalid get pods",
        "openssl s_client -connect none.invalid:443",
        "rsync none.invalid::x .",
        "getent hosts none.invalid",
        "ping -c1 none.invalid",
    ):
        yield from ran(unknown, command.split(), folder=folder)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        late = Provocation("silent server", "performance")
        yield from ran(late, ["curl", "-sS", "-m", "0.3", f"http://127.0.0.1:{port}/"])
        yield from ran(late, ["wget", "-q", "-O-", "-T0.3", "-t1", f"http://127.0.0.1:{port}/"])
        yield from ran(
            Provocation("tls handshake", "network"), ["curl", "-sS", "-m", "0.3", f"https://127.0.0.1:{port}/"]
        )
    bad = Provocation("bad address", "configuration")
    for url in ("htp://x", "http://[::1", "http://x:99999/", "http://a b/", "://x", "file//x"):
        yield from ran(bad, ["curl", "-sS", "-m", "2", url])
    yield from _certificates(folder)


def _certificates(folder: Path) -> Iterator[Record]:
    trust = Provocation("certificate", "security")
    make = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        "key.pem",
        "-out",
        "cert.pem",
        "-days",
        "1",
        "-subj",
        "/CN=shop.internal",
    ]
    list(ran(trust, make, folder=folder))
    yield from ran(trust, ["openssl", "verify", "cert.pem"], folder=folder)
    for words in (
        "x509 -in none.pem",
        "rsa -in cert.pem",
        "pkcs12 -in cert.pem -passin pass:x",
        "verify none.pem",
        "dgst -verify cert.pem -signature key.pem cert.pem",
        "enc -d -aes-256-cbc -k x -in cert.pem",
        "asn1parse -in /etc/hostname",
        "pkey -in cert.pem",
        "ecparam -name nope",
        "ciphers NOPE",
        "s_client -cipher NOPE",
        "x509 -in key.pem",
        "cms -decrypt -in cert.pem",
        "nope",
    ):
        yield from ran(trust, ["openssl", *words.split()], folder=folder)


def databases(folder: Path) -> Iterator[Record]:
    """SQLite, PostgreSQL's client, and a server's settings."""
    logic = Provocation("bad statement", "runtime")
    for statement in (
        "selec 1;",
        "select * from nope;",
        "create table t(a int); insert into t values(1,2);",
        "drop table x;",
        "select nope();",
        "insert into sqlite_master values(1);",
        "pragma nope=;",
        "create table t(a unique); insert into t values(1),(1);",
        ".nope",
        "select 1 from",
        "attach 'none/x' as y;",
    ):
        yield from ran(logic, ["sqlite3", "base.db", statement], folder=folder)
    (folder / "bad.db").write_bytes(b"x" * 5000)
    for statement in ("select * from t;", ".tables", "pragma integrity_check;", "vacuum;"):
        yield from ran(
            Provocation("damaged database", "storage", "critical"), ["sqlite3", "bad.db", statement], folder=folder
        )
    yield from ran(
        Provocation("missing folder", "storage"), ["sqlite3", "none/x.db", "create table t(a);"], folder=folder
    )
    for options in ("-h 127.0.0.1 -p 1", "-h none.invalid", "-h /srv/none"):
        yield from ran(Provocation("database away", "network"), ["psql", *options.split(), "-c", "select 1"])
    server = shutil.which("nats-server")
    if server:
        for number, text in enumerate(
            (
                "port: x",
                "nope: 1\n{",
                "jetstream { store_dir: /proc/none }",
                "tls { cert_file: none }",
                "authorization { users = 1 }",
                "port: 99999",
                "cluster { routes: [x] }",
                "accounts { A: { users: [ { nope } ] } }",
                "max_payload: -1",
                "include none.conf",
            )
        ):
            (folder / f"n{number}.conf").write_text(text)
            yield from ran(
                Provocation("server settings", "configuration", "critical"),
                [server, "-t", "-c", f"n{number}.conf"],
                folder=folder,
            )
