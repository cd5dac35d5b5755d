"""A certificate authority of this installation's own, by the command `openssl` (Debian package openssl)."""

import shutil
import subprocess
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from mendbus.contracts.errors import CredentialsError

_SECONDS: Final = 30.0
_AUTHORITY_DAYS: Final = 3650
SERVER_DAYS: Final = 365
"""How long a server's certificate holds; `mendbus nats-config certificate` makes the next one."""


def make_authority(folder: Path) -> None:
    """Makes `ca.pem` and `ca.key`. Raises `CredentialsError`."""
    _openssl(
        *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-days", str(_AUTHORITY_DAYS), "-subj", "/CN=Mendbus authority"),
        *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        *("-keyout", str(folder / "ca.key"), "-out", str(folder / "ca.pem")),
    )
    (folder / "ca.key").chmod(0o600)


def make_certificate(folder: Path, hosts: Sequence[str], days: int = SERVER_DAYS) -> None:
    """Makes `server.pem` and `server.key` for a server reached under these names. Raises `CredentialsError`."""
    extensions, request = folder / ".server.ext", folder / ".server.csr"
    names = ",".join(f"{'IP' if _is_address(host) else 'DNS'}:{host}" for host in hosts)
    _ = extensions.write_text(f"subjectAltName={names}\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n")
    _openssl(
        *("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-subj", "/CN=Mendbus NATS server", "-keyout", str(folder / "server.key"), "-out", str(request)),
    )
    _openssl(
        *("x509", "-req", "-in", str(request), "-CA", str(folder / "ca.pem"), "-CAkey", str(folder / "ca.key")),
        *("-CAcreateserial", "-days", str(days), "-extfile", str(extensions), "-out", str(folder / "server.pem")),
    )
    (folder / "server.key").chmod(0o600)
    for passing in (extensions, request):
        passing.unlink()


def _is_address(host: str) -> bool:
    try:
        _ = ip_address(host)
    except ValueError:
        return False
    return True


def _openssl(*arguments: str) -> None:
    program = shutil.which("openssl")
    if program is None:
        raise CredentialsError("certificates need the command openssl: apt-get install openssl")
    try:
        done = subprocess.run([program, *arguments], capture_output=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise CredentialsError(f"openssl {arguments[0]} did not end within {_SECONDS:g} s") from None
    if done.returncode:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise CredentialsError(f"openssl {arguments[0]} failed: {''.join(words)}")
