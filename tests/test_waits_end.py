"""When a run is over, nobody waits any more: for mail, a mail host, a connection, a farewell."""

import ipaddress
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fake_dns import FakeDns
from harness.capabilities.mailbox import PolledMailbox
from harness.capabilities.maildir import MaildirStore
from harness.capabilities.sink import Sink
from harness.runs import noise
from harness.runs.noise import ServerProbe
from harness.smtp.endpoint import Endpoint
from harness.smtp.session import Session, SessionEnded
from harness.smtp.transport import Begun, Tcp, UnixSocket
from harness.verdicts import BrokenOffError
from tests.hostile_server import Hear, HostileServer, Say, Stall

FOREVER = 600.0  # seconds


def test_for_mail(tmp_path: Path) -> None:
    mailbox = PolledMailbox(MaildirStore(str(tmp_path / "{user}")), patience=0.1)
    mailbox.over.set()
    with pytest.raises(BrokenOffError):
        mailbox.find("ann@example.org", "token")


def test_at_a_mail_host() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with Sink(FakeDns(), [ipaddress.ip_network("127.0.0.1/32")], port) as sink:
        host = sink.open("far.example")
        with ThreadPoolExecutor(1) as pool:
            waits = pool.submit(host.reached_by, "token", 5.0)
            sink.stop()
            with pytest.raises(BrokenOffError):
                waits.result()
        with pytest.raises(BrokenOffError):
            host.dialogue(patience=0.1)


@dataclass(frozen=True)
class Watched:
    """Tells when it has begun to connect."""

    way: Tcp | UnixSocket
    has_begun: threading.Event = field(default_factory=threading.Event)
    kind: str = "watched"

    def close(self) -> None:
        self.way.close()

    def connect(self, client_address: str, source: str, timeout: float, begun: Begun) -> socket.socket:
        def both(connecting: socket.socket) -> None:
            begun(connecting)
            self.has_begun.set()

        return self.way.connect(client_address, source, timeout, both)


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="a queue that is full is silent on Linux")
def test_for_a_connection_that_is_never_made() -> None:
    with socket.socket() as full, ThreadPoolExecutor(1) as pool:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        with socket.create_connection(full.getsockname()):  # the queue's only place
            is_cut_short(Watched(Tcp(*full.getsockname())), pool)


@pytest.mark.skipif(not Path("/proc/net/unix").exists(), reason="elsewhere such a queue is refused")
def test_for_a_place_at_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "full")
    with (
        socket.socket(socket.AF_UNIX) as full,
        socket.socket(socket.AF_UNIX) as first,
        ThreadPoolExecutor(1) as pool,
    ):
        full.bind(path)
        full.listen(0)
        first.connect(path)  # the queue's only place
        is_cut_short(Watched(UnixSocket(path)), pool)


def is_cut_short(way: Watched, pool: ThreadPoolExecutor) -> None:
    session = Session(Endpoint(way), "127.0.0.1", reply_timeout=FOREVER)
    opens = pool.submit(session.open)
    assert way.has_begun.wait(60)
    session.cut_short()
    with pytest.raises(SessionEnded):
        opens.result(60)


def test_for_a_farewell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(noise, "FAREWELL", 0.05)
    with HostileServer([[Say(b"220 mx.example.org\r\n"), Hear(), Stall()]]) as server:

        def connect() -> Session:
            return Session(Endpoint(Tcp(*server.address)), "127.0.0.1", reply_timeout=FOREVER)

        one = ServerProbe(connect)
        while not one.prepare():
            threading.Event().wait(0.01)
        ended = threading.Thread(target=one.close)
        ended.start()
        ended.join(60)
        assert not ended.is_alive()
