"""The server's certificate: made at first start, a small CA, an intermediate and a P-256 leaf."""

import datetime
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

YEARS = datetime.timedelta(days=825)


@dataclass(frozen=True)
class Flaws:
    """What is deliberately wrong with a certificate."""

    expired: bool = False
    other_name: bool = False
    without_intermediate: bool = False


SOUND = Flaws()


@dataclass(frozen=True)
class _Issuer:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


def server_context(state: Path, names: tuple[str, ...], flaws: Flaws = SOUND) -> ssl.SSLContext:
    """TLS for the server; writes `ca.pem`, `chain.pem` and `key.pem` into `state` where they are missing."""
    chain, key = state / "chain.pem", state / "key.pem"
    if not (chain.exists() and key.exists()):
        _make(state, names, flaws)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(chain, key)
    return context


def _make(state: Path, names: tuple[str, ...], flaws: Flaws) -> None:
    root = _issue("smtp-harness reference CA", None, authority=True)
    middle = _issue("smtp-harness intermediate CA", root, authority=True)
    shown = ("elsewhere.example",) if flaws.other_name else names
    leaf = _issue(shown[0], middle, names=shown, expired=flaws.expired)
    links = [leaf] if flaws.without_intermediate else [leaf, middle]
    _write(state / "ca.pem", _pem(root.certificate))
    _write(state / "key.pem", _key_pem(leaf.key))
    _write(state / "chain.pem", b"".join(_pem(link.certificate) for link in links))


def _issue(
    common_name: str,
    issuer: _Issuer | None,
    *,
    names: tuple[str, ...] = (),
    authority: bool = False,
    expired: bool = False,
) -> _Issuer:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    now = datetime.datetime.now(datetime.UTC)
    begin = now - datetime.timedelta(days=30)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(now - datetime.timedelta(days=1) if expired else now + YEARS)
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_usage(authority=authority), critical=True)
    )
    signer = issuer.key if issuer else key
    builder = builder.add_extension(
        x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
    )
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), critical=False
        )
    return _Issuer(builder.sign(signer, hashes.SHA256()), key)


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=authority,
        crl_sign=authority,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write(file: Path, content: bytes) -> None:
    file.touch(mode=0o600)
    file.write_bytes(content)
