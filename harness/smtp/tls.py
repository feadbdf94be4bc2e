"""What can be told of a TLS connection."""

import ssl
import sys
from dataclasses import dataclass

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
    return TlsFacts("", "", 0, (), verified=False, verify_error=error.verify_message)


def unverifying_context() -> ssl.SSLContext:
    """Encrypts, and takes any certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _chain(secured: ssl.SSLSocket) -> tuple[bytes, ...]:
    if sys.version_info >= (3, 13):
        return tuple(secured.get_unverified_chain())
    leaf = secured.getpeercert(binary_form=True)
    return (leaf,) if leaf else ()
