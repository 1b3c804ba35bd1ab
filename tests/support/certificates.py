"""Certificates for tests, made when they are needed."""

import datetime as dt
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY = dt.timedelta(days=1)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ) + certificate.public_bytes(serialization.Encoding.PEM)


def _for_host(host: str) -> x509.SubjectAlternativeName:
    try:
        return x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(host))])
    except ValueError:
        return x509.SubjectAlternativeName([x509.DNSName(host)])


def _begin(subject: str, issuer: str, days: tuple[int, int]) -> tuple:
    now = dt.datetime.now(dt.UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + days[0] * _DAY)
        .not_valid_after(now + days[1] * _DAY)
    )
    return key, builder


def self_signed(folder: Path) -> Path:
    """Write a key and its own certificate for 127.0.0.1 into one PEM file."""
    key, builder = _begin("test", "test", (-1, 1))
    builder = builder.add_extension(_for_host("127.0.0.1"), critical=False)
    path = folder / "server.pem"
    path.write_bytes(_pem(key, builder.sign(key, hashes.SHA256())))
    return path


class Authority:
    """Vouch for certificates, for whoever trusts `path`."""

    def __init__(self, folder: Path) -> None:
        self._key, builder = _begin("authority", "authority", (-1, 1))
        constraint = x509.BasicConstraints(ca=True, path_length=None)
        own = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        usage = x509.KeyUsage(
            *(name == "key_cert_sign" for name in _USAGES)  # and nothing else
        )
        for extension in (constraint, usage):
            builder = builder.add_extension(extension, critical=True)
        builder = builder.add_extension(own, critical=False)
        self.certificate_of_its_own = builder.sign(self._key, hashes.SHA256())
        self.path = folder / "authority.pem"
        self.path.write_bytes(
            self.certificate_of_its_own.public_bytes(serialization.Encoding.PEM)
        )

    def certificate(
        self, folder: Path, host: str, days: tuple[int, int] = (-1, 1)
    ) -> Path:
        """Write a key and its certificate for a host into one PEM file."""
        key, builder = _begin(host, "authority", days)
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(
            self._key.public_key()
        )
        builder = builder.add_extension(_for_host(host), critical=False)
        builder = builder.add_extension(signer, critical=False)
        path = folder / f"{host}{days[0]}{days[1]}.pem"
        path.write_bytes(_pem(key, builder.sign(self._key, hashes.SHA256())))
        return path


_USAGES = (
    "digital_signature",
    "content_commitment",
    "key_encipherment",
    "data_encipherment",
    "key_agreement",
    "key_cert_sign",
    "crl_sign",
    "encipher_only",
    "decipher_only",
)
