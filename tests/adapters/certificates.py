"""Certificate authorities of the tests' own, and servers' contexts with what they issue."""

import datetime as dt
import ipaddress
import itertools
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HERE = "127.0.0.1"
DAY = dt.timedelta(days=1)


@dataclass
class Authority:
    """An authority whose certificate is `file`; its other files stand beside."""

    folder: Path
    name: str
    _key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.file = self.folder / f"{self.name}.pem"
        self.file.write_bytes(self._signed(self.name, self._key, dt.datetime.now(dt.UTC) - DAY, 30 * DAY, None))

    def server(self, host: str = HERE, *, begins: dt.timedelta = -DAY, lasts: dt.timedelta = 2 * DAY) -> ssl.SSLContext:
        """A server's context with a certificate for `host`, valid from `begins` after now."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._signed(host, key, dt.datetime.now(dt.UTC) + begins, lasts, host)
        file = self.folder / f"{self.name}-{next(self._numbers)}.pem"
        pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
        file.write_bytes(certificate + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _signed(
        self, name: str, key: ec.EllipticCurvePrivateKey, begins: dt.datetime, lasts: dt.timedelta, host: str | None
    ) -> bytes:
        """A server's certificate for `host`, or the authority's own."""
        names: x509.GeneralName = x509.DNSName(host or name)
        if host == HERE:
            names = x509.IPAddress(ipaddress.ip_address(host))
        built = (
            x509.CertificateBuilder()
            .subject_name(_name(name))
            .issuer_name(_name(self.name))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins)
            .not_valid_after(begins + lasts)
            .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if host is not None:
            built = built.add_extension(x509.SubjectAlternativeName([names]), critical=False)
        return built.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
