"""The mail host of everybody else: takes any dialogue, notes what callers say, keeps nothing."""

import socketserver
import threading
from types import TracebackType
from typing import Self

LONGEST = 2048  # bytes of a line that are looked at
MOST_LINES = 100  # of one dialogue
IDLE = 10.0  # seconds without a line


class CalloutHost:
    """A mail host on loopback that says yes to everything, so that a caller tells what it wants."""

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        """Binds at once; raises `OSError` when the port is taken."""
        self._said: list[str] = []
        host = self

        class Dialogue(socketserver.StreamRequestHandler):
            timeout = IDLE

            def handle(self) -> None:
                self.wfile.write(b"220 mx.example ESMTP\r\n")
                for _ in range(MOST_LINES):
                    line = self.rfile.readline(LONGEST)
                    if not line:
                        return
                    host._said.append(line.decode("latin-1").lower())
                    quitting = line[:4].upper() == b"QUIT"
                    self.wfile.write(b"221 bye\r\n" if quitting else b"250 ok\r\n")
                    if quitting:
                        return

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """A caller that breaks off has said what it said."""

        self._server = Server((address, port), Dialogue)
        self._thread = threading.Thread(target=self._server.serve_forever, name="callout-host", daemon=True)

    @property
    def address(self) -> str:
        """The address to publish as the host of an MX."""
        return str(self._server.server_address[0])

    @property
    def port(self) -> int:
        """The port that callers must be told."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        """Start to listen."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def mentions(self, word: str) -> bool:
        """Whether a caller has said `word`, such as the domain of a scenario's sender."""
        return any(word.lower() in line for line in tuple(self._said))
