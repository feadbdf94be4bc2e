"""A small IMAP server for tests: enough of RFC 3501 for reading mail, in memory."""

import re
import socketserver
import ssl
import threading
from types import TracebackType
from typing import Self


class ImapServer:
    """Listens on loopback, under TLS when it has a context; its folders may change meanwhile."""

    def __init__(self, context: ssl.SSLContext | None, users: dict[str, str]) -> None:
        self.folders: dict[str, list[bytes]] = {"INBOX": []}
        self.uses: dict[str, str] = {}  # by folder, which are told only to who asks
        self.namespaces = ""  # as RFC 2342 has them; none are told while it is empty
        self.heard: list[bytes] = []
        self.boasts = 0  # bytes that a message is said to have
        server = self

        class Dialogue(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                server._talk(self, users)

        class Listener(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True

            def get_request(self) -> tuple[object, object]:  # type: ignore[override]
                connection, address = super().get_request()
                connection.settimeout(5)
                return (context.wrap_socket(connection, server_side=True) if context else connection), address

            def handle_error(self, request: object, client_address: object) -> None:
                """A client that does not like us may go."""

        self._server = Listener(("127.0.0.1", 0), Dialogue)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _talk(self, line: socketserver.StreamRequestHandler, users: dict[str, str]) -> None:
        line.wfile.write(b"* OK ready\r\n")
        chosen: list[bytes] = []
        while heard := line.rfile.readline(1 << 16):
            self.heard.append(heard)
            tag, command, *rest = heard.decode().strip().split(" ", 2)
            told, chosen = self._answer(command.upper(), rest[0] if rest else "", chosen, users)
            end = next((word for word in told if word.startswith((b"NO", b"OK"))), b"OK done")
            for word in told:
                if word is not end:
                    line.wfile.write(word + b"\r\n")
            line.wfile.write(tag.encode() + b" " + end + b"\r\n")
            if command.upper() == "LOGOUT":
                return

    def _answer(
        self, command: str, rest: str, chosen: list[bytes], users: dict[str, str]
    ) -> tuple[list[bytes], list[bytes]]:
        if command == "CAPABILITY":
            namespace = b" NAMESPACE" if self.namespaces else b""
            return [b"* CAPABILITY IMAP4rev1 LIST-EXTENDED SPECIAL-USE" + namespace], chosen
        if command == "NAMESPACE":
            return [f"* NAMESPACE {self.namespaces}".encode()], chosen
        if command == "LOGIN":
            user, password = (word.strip('"') for word in rest.split(" "))
            return [b"OK in" if users.get(user) == password else b"NO no such user"], chosen
        if command == "LIST":
            uses = self.uses if "SPECIAL-USE" in rest else {}
            folders = ((uses.get(name, ""), name.replace('"', '\\"')) for name in self.folders)
            return [f'* LIST (\\HasNoChildren {use}) "." "{name}"'.encode() for use, name in folders], chosen
        if command in ("SELECT", "EXAMINE"):
            name = rest.strip('"').replace('\\"', '"')
            return [b"* 1 EXISTS"], self.folders[name]
        if command == "UID" and rest.startswith("SEARCH"):
            token = re.findall(r'"([^"]*)"', rest)[-1].encode()
            numbers = [str(n).encode() for n, text in enumerate(chosen, 1) if token in text]
            return [b" ".join([b"* SEARCH", *numbers])], chosen
        if command == "UID" and rest.startswith("FETCH"):
            number = int(rest.split(" ")[1])
            text = chosen[number - 1]
            size = self.boasts or len(text)
            head = b"* %d FETCH (UID %d BODY[] {%d}\r\n" % (number, number, size)
            return [head + text + b")"], chosen
        return [], chosen
