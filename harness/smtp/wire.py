"""A socket on which everything has a deadline, plain or under TLS."""

import math
import select
import socket
import ssl
import time

CHUNK = 16384  # bytes read at once

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

    def receive(self, deadline: float) -> bytes:
        """What there is, waited for; empty when the peer has closed. Raises `OSError`."""
        while True:
            if not self.wait(deadline):
                raise TimeoutError
            try:
                return self.socket.recv(CHUNK)
            except _WANT_READ:
                continue  # part of a TLS record, or something that is not for us
            except ssl.SSLWantWriteError:
                self._await(select.POLLOUT, deadline)

    def wait(self, deadline: float) -> bool:
        """Whether there is anything to be heard before the deadline; a closed connection is."""
        return self._decrypted() or bool(self._readable.poll(_milliseconds_until(deadline)))

    def receive_now(self) -> bytes | None:
        """What is there already, None if nothing is; empty when the peer has closed. Raises `OSError`."""
        if not self.wait(0.0):
            return None
        try:
            return self.socket.recv(CHUNK)
        except (*_WANT_READ, ssl.SSLWantWriteError):
            return None

    def start_tls(self, context: ssl.SSLContext, server_hostname: str, deadline: float) -> ssl.SSLSocket:
        """The handshake. Raises `OSError`, or `ValueError` for a name that TLS cannot carry."""
        secured = context.wrap_socket(
            self.socket, server_hostname=server_hostname, do_handshake_on_connect=False
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

    def _decrypted(self) -> bool:
        return isinstance(self.socket, ssl.SSLSocket) and self.socket.pending() > 0

    def _await(self, event: int, deadline: float) -> None:
        poller = select.poll()
        poller.register(self.socket, event)
        if not poller.poll(_milliseconds_until(deadline)):
            raise TimeoutError


def _milliseconds_until(deadline: float) -> int:
    return max(0, math.ceil((deadline - time.monotonic()) * 1000))
