"""Password hashes: salted scrypt, checked in constant time (RFC 7914)."""

import base64
import hashlib
import hmac
import secrets

COST = 2**14  # scrypt's n; r and p are fixed
DEAREST = 2**17  # what _derive has memory for
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


def is_hash(text: str) -> bool:
    """Whether a text is such a hash, so that a broken one is told at start and not at the first log-in."""
    kind, *parts = text.split("$")
    if kind != "scrypt" or len(parts) != 3 or not (parts[0].isascii() and parts[0].isdigit()):
        return False
    cost = int(parts[0])
    try:
        salt, expected = (base64.b64decode(part, validate=True) for part in parts[1:])
    except ValueError:
        return False
    return 1 < cost <= DEAREST and cost.bit_count() == 1 and bool(salt) and len(expected) == SIZE


def cost_of(hashed: str) -> int:
    """What checking a password against a hash costs (scrypt's n)."""
    return int(hashed.split("$")[1])


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
