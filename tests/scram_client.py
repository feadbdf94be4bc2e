"""The client's side of SCRAM-SHA-256 (RFC 5802), by itself: nothing of the server is used."""

import base64
import hashlib
import hmac
from dataclasses import dataclass, field


@dataclass
class ScramClient:
    """One dialogue; `extensions` stand in its first message and in its last."""

    user: str
    password: str
    acts_for: str = ""
    flag: str = "n"
    nonce: str = "fyko+d2lbbFgONRv9qkxdawL"
    extensions: tuple[str, str] = ("", "")
    expected: bytes = field(default=b"", init=False)  # the server's last challenge, if it knows the password

    def first(self) -> bytes:
        """The first message."""
        return (self._header + self._bare).encode()

    def final(self, answer: bytes, *, nonce: str = "") -> bytes:
        """The last one, to the server's answer; with another nonce it is one that the server did not give."""
        given = dict(part.split("=", 1) for part in answer.decode().split(","))
        salt = base64.b64decode(given["s"])
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), salt, int(given["i"]))
        header = base64.b64encode(self._header.encode()).decode()
        said = f"c={header},r={nonce or given['r']}{self.extensions[1]}"
        everything = f"{self._bare},{answer.decode()},{said}".encode()
        key = hmac.digest(salted, b"Client Key", "sha256")
        signature = hmac.digest(hashlib.sha256(key).digest(), everything, "sha256")
        proof = bytes(one ^ other for one, other in zip(key, signature, strict=True))
        server_key = hmac.digest(salted, b"Server Key", "sha256")
        self.expected = b"v=" + base64.b64encode(hmac.digest(server_key, everything, "sha256"))
        return f"{said},p={base64.b64encode(proof).decode()}".encode()

    @property
    def _header(self) -> str:
        return f"{self.flag},{'a=' if self.acts_for else ''}{_spelt(self.acts_for)},"

    @property
    def _bare(self) -> str:
        return f"n={_spelt(self.user)},r={self.nonce}{self.extensions[0]}"


def _spelt(name: str) -> str:
    return name.replace("=", "=3D").replace(",", "=2C")
