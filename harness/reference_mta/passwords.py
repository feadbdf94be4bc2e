"""Password hashes: salted scrypt, checked in constant time (RFC 7914)."""

import base64
import hashlib
import hmac
import secrets

COST = 2**14  # scrypt's n; r and p are fixed
BLOCK, LANES, SIZE = 8, 1, 32


def hash_password(password: str, *, cost: int = COST) -> str:
    """`scrypt$cost$salt$hash`, for the configuration's [auth.users]."""
    salt = secrets.token_bytes(16)
    return "$".join(("scrypt", str(cost), _spell(salt), _spell(_derive(password, salt, cost))))


def verify_password(password: str, hashed: str) -> bool:
    """Whether a password has that hash."""
    _, cost, salt, expected = hashed.split("$")
    derived = _derive(password, base64.b64decode(salt), int(cost))
    return hmac.compare_digest(derived, base64.b64decode(expected))


def _derive(password: str, salt: bytes, cost: int) -> bytes:
    return hashlib.scrypt(
        password.encode("utf-8", "surrogateescape"),
        salt=salt,
        n=cost,
        r=BLOCK,
        p=LANES,
        dklen=SIZE,
        maxmem=2**28,
    )


def _spell(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
