"""The server's certificate: made at first start, a small CA, an intermediate and a P-256 leaf."""

import datetime
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID_FOR = datetime.timedelta(days=365)
BEGINS = datetime.timedelta(days=30)  # before today, for clocks that are slow


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


class CertificateError(Exception):
    """The certificate or key that the configuration names cannot be used; the text says which and why."""


def own_certificate(state: Path, names: tuple[str, ...], flaws: Flaws = SOUND) -> tuple[Path, Path]:
    """Chain and key of a certificate for `names`, kept in `state` beside the `ca.pem` that vouches for it.

    Made anew when there is none, when it is for other names or runs out within a day, and always with flaws.
    """
    chain, key = state / "chain.pem", state / "key.pem"
    if flaws != SOUND or not (key.exists() and _serves(chain, names)):
        _make(state, names, flaws)
    return chain, key


def server_context(chain: Path, key: Path) -> ssl.SSLContext:
    """TLS for the server; raises `CertificateError` when the files do not fit."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(chain, key)
    except (OSError, ssl.SSLError) as error:
        raise CertificateError(
            f"tls.certificate {chain} with tls.key {key}: {error}; "
            "give a readable PEM chain, leaf first, and its unencrypted key"
        ) from error
    return context


def _serves(chain: Path, names: tuple[str, ...]) -> bool:
    try:
        links = x509.load_pem_x509_certificates(chain.read_bytes())
        covered = links[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (FileNotFoundError, ValueError, x509.ExtensionNotFound):
        return False
    tomorrow = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    fits = covered.get_values_for_type(x509.DNSName) == list(names)
    return fits and len(links) > 1 and links[0].not_valid_after_utc > tomorrow


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
    begin = now - BEGINS
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(now - datetime.timedelta(days=1) if expired else now + VALID_FOR)
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
        ).add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
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
    file.touch(mode=0o600)  # before there is anything to read
    file.write_bytes(content)
