"""What can be told of a TLS connection."""

import ssl
import sys
from dataclasses import dataclass
from pathlib import Path

UNCHECKED = "the certificate was not checked"


@dataclass(frozen=True)
class TlsFacts:
    """A TLS handshake that succeeded, or one that failed over the certificate."""

    version: str  # such as `TLSv1.3`
    cipher: str
    bits: int  # of the cipher's key
    chain: tuple[bytes, ...]  # DER, the server's own first; before Python 3.13 no more than that one
    verified: bool  # against the authorities, and the name where the context checks it
    verify_error: str  # why it is not verified
    verify_code: int = 0  # the same as a number of OpenSSL's (X509_V_ERR_…); 0 where nothing was wrong


def established(secured: ssl.SSLSocket) -> TlsFacts:
    """The facts of a connection after its handshake."""
    cipher, _, bits = secured.cipher() or ("", "", 0)
    verified = secured.context.verify_mode is ssl.CERT_REQUIRED
    return TlsFacts(
        version=secured.version() or "",
        cipher=cipher,
        bits=bits or 0,
        chain=_chain(secured),
        verified=verified,
        verify_error="" if verified else UNCHECKED,
    )


def rejected(error: ssl.SSLCertVerificationError) -> TlsFacts:
    """The facts of a handshake that the client broke off over the certificate."""
    return TlsFacts(
        "", "", 0, (), verified=False, verify_error=error.verify_message, verify_code=error.verify_code
    )


def unverifying_context() -> ssl.SSLContext:
    """Encrypts, and takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def verifying_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Takes a certificate for the name that is asked for, of an authority in the file, or of the system's.

    It asks for the same on every Python: since 3.13 the default refuses certificates that RFC 5280 does not
    allow to the letter, which mail clients take, and takes an intermediate one for an authority.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags = ssl.VerifyFlags.VERIFY_X509_TRUSTED_FIRST
    if ca_file:
        context.load_verify_locations(ca_file)
    else:
        context.load_default_certs()
    return context


def _chain(secured: ssl.SSLSocket) -> tuple[bytes, ...]:
    if sys.version_info >= (3, 13):
        return tuple(secured.get_unverified_chain())
    leaf = secured.getpeercert(binary_form=True)
    return (leaf,) if leaf else ()
