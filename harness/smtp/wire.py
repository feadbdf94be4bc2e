"""A socket on which everything has a deadline, plain or under TLS."""

import errno
import os
import select
import socket
import ssl
import struct
import time

# Bytes read at once: as many as a TLS record holds (RFC 8446 §5.1), so that none stay behind, decrypted,
# where poll does not see them.
CHUNK = 16384

_WANT_READ = (BlockingIOError, ssl.SSLWantReadError)


class Wire:
    """Owns a connected socket. Deadlines are moments of `time.monotonic`; past them is `TimeoutError`.

    The socket is non-blocking and waited for with poll: what drips in a byte at a time meets the same
    deadline as what comes at once.
    """

    def __init__(self, connected: socket.socket) -> None:
        """Take `connected` over, and close it if that fails. Raises `OSError`."""
        self.socket = connected
        connected.setblocking(False)
        try:
            if connected.family != socket.AF_UNIX:
                # Nagle's algorithm would let the last segment of a message wait for an acknowledgement.
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:  # some systems say so when the peer has reset the connection already
            connected.close()
            raise
        self._readable = select.poll()
        self._readable.register(connected, select.POLLIN)

    def send(self, data: bytes, deadline: float) -> None:
        """Send all of `data`. Raises `OSError`."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self.socket.send(rest) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._await(select.POLLOUT, deadline)
            except ssl.SSLWantReadError:
                self._await(select.POLLIN, deadline)

    def wait(self, deadline: float) -> bool:
        """Whether anything is there to be read before the deadline; the end of the stream is."""
        return bool(self._readable.poll(_milliseconds_until(deadline)))

    def receive(self, deadline: float) -> bytes | None:
        """What comes before the deadline; empty when the peer has closed, None if nothing does.

        Raises `OSError`.
        """
        while self.wait(deadline):
            try:
                return self.socket.recv(CHUNK)
            except ssl.SSLEOFError:  # not the end of the stream, see start_tls
                raise ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET)) from None
            except _WANT_READ:
                continue  # part of a TLS record, or something that is not for us
            except ssl.SSLWantWriteError:
                self._await(select.POLLOUT, deadline)
        return None

    def start_tls(self, context: ssl.SSLContext, server_hostname: str, deadline: float) -> ssl.SSLSocket:
        """The handshake. Raises `OSError`, or `ValueError` for a name that TLS cannot carry."""
        # wrap_socket keeps the socket, open, even where it fails: so first comes all that it may object to.
        context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=server_hostname)
        self.socket.getpeername()
        # A stream that ends without TLS's own farewell shall be an end, so that a reset can be told from it.
        context.options |= ssl.OP_IGNORE_UNEXPECTED_EOF
        secured = context.wrap_socket(
            self.socket,
            server_hostname=server_hostname,
            do_handshake_on_connect=False,
            suppress_ragged_eofs=False,
        )
        self.socket = secured
        while True:
            try:
                secured.do_handshake()
            except ssl.SSLWantReadError:
                self._await(select.POLLIN, deadline)
            except ssl.SSLWantWriteError:
                self._await(select.POLLOUT, deadline)
            else:
                return secured

    def close(self) -> None:
        """Close, at once and without a word."""
        self.socket.close()

    def reset(self) -> None:
        """Close so that the peer sees a connection that is broken (RST), as far as the socket has that."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # socket(7)
        self.close()

    def _await(self, event: int, deadline: float) -> None:
        poller = select.poll()
        poller.register(self.socket, event)
        if not poller.poll(_milliseconds_until(deadline)):
            raise TimeoutError


def _milliseconds_until(deadline: float) -> int:
    left = deadline - time.monotonic()
    return int(left * 1000) + 1 if left > 0 else 0
