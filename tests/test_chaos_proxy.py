"""The chaos proxy: each kind of trouble as a client meets it; nothing else changes, nothing is left."""

import contextlib
import re
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import chaos_trouble
from tests.chaos_proxy import ChaosProxy
from tests.chaos_trouble import CLOSING, REPLIES, Chaos, Kind, Trouble, reply_end

PATIENCE = 10.0  # seconds for what must come
SILENCE = 0.3  # seconds for what must not come
GREETING = b"220 mail.castle.example ESMTP\r\n"
KEYWORDS = b"250-mail.castle.example\r\n250-8BITMIME\r\n250 STARTTLS\r\n"
REFUSAL = b"550-5.1.1 Nobody of that name\r\n550 5.1.1 lives here\r\n"
PROXY_V2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes(range(12))
ENOUGH = 2**20  # bytes of something that has no end
CALM = Chaos(0.0, 1)


@dataclass(frozen=True)
class Ends:
    """The two ends of a connection through the proxy, both in the test's hand."""

    client: socket.socket
    server: socket.socket

    def ask(self, command: bytes, reply: bytes) -> None:
        """An exchange that goes through untouched; the answer may be troubled."""
        self.client.sendall(command)
        assert read(self.server, len(command)) == command
        self.server.sendall(reply)


@contextlib.contextmanager
def proxied(chaos: Chaos) -> Iterator[tuple[ChaosProxy, socket.socket]]:
    """A proxy, and the server's listening socket behind it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE)
        with ChaosProxy(listening.getsockname(), chaos) as proxy:
            yield proxy, listening


@contextlib.contextmanager
def connected(proxy: ChaosProxy, listening: socket.socket) -> Iterator[Ends]:
    """One connection through the proxy."""
    with socket.create_connection(proxy.address, PATIENCE) as client:
        server, _ = listening.accept()
        with server:
            server.settimeout(PATIENCE)
            yield Ends(client, server)


@contextlib.contextmanager
def troubled(kind: Kind, reply: int = 0) -> Iterator[tuple[ChaosProxy, Ends]]:
    """A connection that meets a kind of trouble at one of its replies."""
    with proxied(chaos_with(kind, reply)) as (proxy, listening), connected(proxy, listening) as ends:
        yield proxy, ends


def chaos_with(kind: Kind, reply: int, *, cut: int | None = None) -> Chaos:
    """What troubles the first connection so, at a reply, and perhaps cuts the greeting at a byte."""
    return next(
        chaos
        for chaos in (Chaos(1.0, seed, [kind]) for seed in range(10000))
        if trouble_of(chaos).reply == reply
        and (cut is None or len(trouble_of(chaos).beginning(GREETING)) == cut)
    )


def trouble_of(chaos: Chaos) -> Trouble:
    trouble = chaos.trouble_of(1)
    assert trouble is not None
    return trouble


def read(source: socket.socket, count: int) -> bytes:
    """So many bytes, or fewer where they end."""
    data = b""
    while len(data) < count and (more := source.recv(count - len(data))):
        data += more
    return data


def rest_of(source: socket.socket) -> tuple[bytes, str]:
    """All that still comes, and how it ends."""
    data = b""
    source.settimeout(SILENCE)
    try:
        while more := source.recv(65536):
            data += more
    except TimeoutError:
        return data, "silence"
    except ConnectionResetError:
        return data, "reset"
    return data, "fin"


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


# Untroubled connections


def test_untroubled_bytes_are_carried_as_they_are() -> None:
    blob = bytes(range(256)) * 4096
    with proxied(CALM) as (proxy, listening), connected(proxy, listening) as ends:
        sending = threading.Thread(target=ends.client.sendall, args=(PROXY_V2 + blob,))
        sending.start()
        assert read(ends.server, len(PROXY_V2 + blob)) == PROXY_V2 + blob
        sending.join()
        sending = threading.Thread(target=ends.server.sendall, args=(blob,))
        sending.start()
        assert read(ends.client, len(blob)) == blob
        sending.join()
    assert proxy.connections == 1
    assert not proxy.drawn


def test_a_client_that_has_said_all_still_hears() -> None:
    with proxied(CALM) as (proxy, listening), connected(proxy, listening) as ends:
        ends.client.sendall(b"QUIT\r\n")
        ends.client.shutdown(socket.SHUT_WR)
        assert rest_of(ends.server) == (b"QUIT\r\n", "fin")
        ends.server.sendall(b"221 Bye\r\n")
        assert read(ends.client, 9) == b"221 Bye\r\n"
        ends.server.shutdown(socket.SHUT_WR)
        assert rest_of(ends.client) == (b"", "fin")


def test_a_server_that_has_said_all_still_hears() -> None:
    with proxied(CALM) as (proxy, listening), connected(proxy, listening) as ends:
        ends.server.sendall(CLOSING)
        ends.server.shutdown(socket.SHUT_WR)
        assert rest_of(ends.client) == (CLOSING, "fin")
        ends.client.sendall(b"QUIT\r\n")
        assert read(ends.server, 6) == b"QUIT\r\n"


@pytest.mark.parametrize("by_server", [True, False])
def test_a_reset_is_passed_on(by_server: bool) -> None:
    with proxied(CALM) as (proxy, listening), connected(proxy, listening) as ends:
        ends.ask(b"NOOP\r\n", b"250 Ok\r\n")  # so that the whole way stands
        assert read(ends.client, 8) == b"250 Ok\r\n"
        one, other = (ends.server, ends.client) if by_server else (ends.client, ends.server)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.close()
        assert rest_of(other) == (b"", "reset")


def test_a_server_that_is_not_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        nobody = listening.getsockname()
    with ChaosProxy(nobody, CALM) as proxy:
        try:
            client = socket.create_connection(proxy.address, PATIENCE)
        except ConnectionResetError:
            return  # so soon that it shows while the client connects
        with client:
            assert rest_of(client) == (b"", "reset")


# Each kind of trouble


@pytest.mark.parametrize("cut", [0, 7, len(GREETING)])
@pytest.mark.parametrize(
    ("kind", "ending"), [(Kind.CLOSE, "fin"), (Kind.RESET, "reset"), (Kind.HANG, "silence")]
)
def test_a_connection_ends_before_amid_or_behind_a_reply(kind: Kind, ending: str, cut: int) -> None:
    chaos = chaos_with(kind, 0, cut=cut)
    with proxied(chaos) as (proxy, listening), connected(proxy, listening) as ends:
        ends.server.sendall(GREETING)
        if kind is not Kind.RESET:  # which may overtake what was sent before it
            assert read(ends.client, cut) == GREETING[:cut]
            assert rest_of(ends.client) == (b"", ending)
        else:
            said, how = rest_of(ends.client)
            assert GREETING[:cut].startswith(said)
            assert how == "reset"
        assert proxy.done == {kind: 1}


def test_a_hung_connection_lasts_until_the_client_goes() -> None:
    with troubled(Kind.HANG) as (_, ends):
        ends.server.sendall(GREETING)
        ends.server.shutdown(socket.SHUT_WR)
        assert rest_of(ends.client)[1] == "silence"
        ends.client.close()
        assert rest_of(ends.server)[1] in ("fin", "reset")


@pytest.mark.parametrize("kind", [Kind.CLOSE, Kind.CLOSING, Kind.FLOOD])
def test_the_server_of_a_dialogue_that_was_ended_learns_so(kind: Kind) -> None:
    with troubled(kind) as (_, ends):
        ends.server.sendall(GREETING)
        assert rest_of(ends.server) == (b"", "fin")


def test_earlier_replies_go_through() -> None:
    with troubled(Kind.CLOSING, reply=2) as (proxy, ends):
        ends.server.sendall(GREETING)
        assert read(ends.client, len(GREETING)) == GREETING
        ends.ask(b"EHLO client.example\r\n", KEYWORDS)
        assert read(ends.client, len(KEYWORDS)) == KEYWORDS
        assert not proxy.done
        ends.ask(b"RCPT TO:<nobody@castle.example>\r\n", REFUSAL)
        assert rest_of(ends.client) == (CLOSING, "fin")


def test_parts_of_a_reply_that_is_to_go_through_are_not_held_back() -> None:
    with troubled(Kind.CLOSING, reply=1) as (_, ends):
        for byte in GREETING:
            ends.server.sendall(bytes([byte]))
            assert read(ends.client, 1) == bytes([byte])


def test_replies_to_several_commands_at_once_are_told_apart() -> None:
    with troubled(Kind.GARBAGE, reply=2) as (_, ends):
        ends.server.sendall(GREETING + KEYWORDS + REFUSAL + b"221 Bye\r\n")
        assert read(ends.client, len(GREETING + KEYWORDS)) == GREETING + KEYWORDS
        ends.server.shutdown(socket.SHUT_WR)
        said, how = rest_of(ends.client)
        assert (said[:1], said[-9:], how) == (b"\x80", b"221 Bye\r\n", "fin")
        assert REFUSAL not in said


def test_a_reply_drips(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chaos_trouble, "PAUSES", (0.005, 0.01))
    with troubled(Kind.DRIP) as (_, ends):
        ends.server.sendall(GREETING)
        pieces: list[bytes] = []
        while len(b"".join(pieces)) < len(GREETING):
            pieces.append(ends.client.recv(65536))
        assert b"".join(pieces) == GREETING
        assert len(pieces) > len(GREETING) / 2
        ends.ask(b"EHLO client.example\r\n", KEYWORDS)
        assert read(ends.client, len(KEYWORDS)) == KEYWORDS


def test_garbage_comes_instead_of_a_reply_and_the_dialogue_goes_on() -> None:
    with troubled(Kind.GARBAGE) as (_, ends):
        ends.server.sendall(GREETING)
        garbage = b""
        while not garbage.endswith(b"\n"):
            garbage += ends.client.recv(1)
        assert not garbage[:1].isdigit()
        ends.ask(b"EHLO client.example\r\n", KEYWORDS)
        assert read(ends.client, len(KEYWORDS)) == KEYWORDS


def test_nul_bytes_in_a_reply() -> None:
    with troubled(Kind.NUL, reply=1) as (_, ends):
        ends.server.sendall(GREETING)
        assert read(ends.client, len(GREETING)) == GREETING
        ends.ask(b"EHLO client.example\r\n", KEYWORDS)
        said, _ = rest_of(ends.client)
        assert b"\0" in said
        assert said.replace(b"\0", b"") == KEYWORDS


@pytest.mark.parametrize("kind", [Kind.FLOOD, Kind.ENDLESS_LINE])
def test_what_has_no_end_ends_with_the_client(kind: Kind) -> None:
    with troubled(kind) as (_, ends):
        ends.server.sendall(GREETING)
        said = read(ends.client, ENOUGH)
        assert len(said) == ENOUGH
        assert (b"\n" in said) is (kind is Kind.FLOOD)


@pytest.mark.parametrize(
    "reply", [REFUSAL, b"451-4.7.1 Come\r\n451 4.7.1 again\r\n", b"250 2.1.5 Ok 554\r\n"]
)
def test_a_code_of_another_class(reply: bytes) -> None:
    classes = set()
    for seed in range(8):
        with (
            proxied(Chaos(1.0, seed_at_once(seed), [Kind.CHANGED_CODE])) as (proxy, listening),
            connected(proxy, listening) as ends,
        ):
            ends.server.sendall(reply)
            said = read(ends.client, len(reply))
        digits = {digit for pair in re.findall(rb"(?m)^(.)..[- ](.)", said) for digit in pair}
        assert len(digits) == 1
        classes |= digits
        same = re.sub(rb"(?m)^.(..[- ]).", rb"\1", reply)
        assert re.sub(rb"(?m)^.(..[- ]).", rb"\1", said) == same
        assert reply_end(said) == len(said)
    assert classes == {b"2", b"4", b"5"} - {reply[:1]}


def seed_at_once(number: int) -> int:
    """The seeds, in turn, that trouble the greeting."""
    found = [seed for seed in range(200) if trouble_of(Chaos(1.0, seed, [Kind.CHANGED_CODE])).reply == 0]
    return found[number]


def test_a_reply_that_asks_for_more_has_no_opposite() -> None:
    with troubled(Kind.CHANGED_CODE) as (_, ends):
        ends.server.sendall(b"354 Go ahead\r\n")
        assert read(ends.client, 14) == b"354 Go ahead\r\n"
        ends.ask(b"A line.\r\n.\r\n", b"250 Taken\r\n")
        assert read(ends.client, 11) in (b"450 Taken\r\n", b"550 Taken\r\n")


# Where replies cannot be read


def begin_tls(ends: Ends) -> None:
    ends.server.sendall(GREETING)
    assert read(ends.client, len(GREETING)) == GREETING
    ends.client.sendall(b"STARTT")
    assert read(ends.server, 6) == b"STARTT"
    ends.ask(b"LS\r\n", b"220 Go ahead\r\n")
    assert read(ends.client, 14) == b"220 Go ahead\r\n"


@pytest.mark.parametrize("kind", sorted(set(Kind) - chaos_trouble.FOR_ANY_BYTES))
def test_what_comes_under_tls_is_not_changed(kind: Kind) -> None:
    with troubled(kind, reply=3) as (proxy, ends):
        begin_tls(ends)
        for _ in range(REPLIES):
            ends.ask(b"\x16\x03\x01", REFUSAL)  # as if an encrypted record looked so
            assert read(ends.client, len(REFUSAL)) == REFUSAL
        assert not proxy.done


@pytest.mark.parametrize(
    ("kind", "ending"), [(Kind.CLOSE, "fin"), (Kind.RESET, "reset"), (Kind.HANG, "silence")]
)
def test_a_connection_ends_under_tls(kind: Kind, ending: str) -> None:
    with troubled(kind, reply=3) as (proxy, ends):
        begin_tls(ends)
        ends.ask(b"\x16\x03\x01", b"\x16\x03\x03")
        assert read(ends.client, 3) == b"\x16\x03\x03"
        ends.ask(b"\x14\x03\x03", b"\x17\x03\x03")
        assert rest_of(ends.client)[1] == ending
        assert proxy.done == {kind: 1}


def test_tls_from_the_start_is_not_changed() -> None:
    with troubled(Kind.NUL) as (proxy, ends):
        ends.ask(b"\x16\x03\x01", b"\x16\x03\x03\n")
        assert read(ends.client, 4) == b"\x16\x03\x03\n"
        assert not proxy.done


# Draws


def test_the_same_seed_has_the_same_in_store() -> None:
    def drawn(seed: int) -> list[tuple[int, Kind, int, bytes]]:
        chaos = Chaos(0.5, seed)
        return [
            (number, trouble.kind, trouble.reply, trouble.beginning(GREETING))
            for number in range(50)
            if (trouble := chaos.trouble_of(number))
        ]

    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)


def test_every_kind_comes_at_every_reply_and_as_often_as_asked_for() -> None:
    chaos = Chaos(0.3, 1)
    troubles = [trouble for number in range(10000) if (trouble := chaos.trouble_of(number))]
    assert 2700 < len(troubles) < 3300
    places = Counter((trouble.kind, trouble.reply) for trouble in troubles)
    assert places.keys() == {(kind, reply) for kind in Kind for reply in range(REPLIES)}
    assert min(places.values()) > 20


# What is left behind


def test_nothing_is_left_behind() -> None:
    threads, before = threading.active_count(), descriptors()
    with contextlib.ExitStack() as clients:
        for kind in Kind:
            with proxied(chaos_with(kind, 0)) as (proxy, listening):
                ends = [clients.enter_context(connected(proxy, listening)) for _ in range(5)]
                for one in ends:  # some are cut off at once, others amid what the kind does to them
                    one.server.sendall(GREETING)
            assert proxy.connections == 5
            assert rest_of(ends[-1].client)[1] in ("fin", "reset")
    assert threading.active_count() == threads
    assert descriptors() == before


class BrokenChaos(Chaos):
    def trouble_of(self, connection: int) -> Trouble | None:
        raise ZeroDivisionError


def test_an_error_of_the_proxy_itself_is_told() -> None:
    threads, before = threading.active_count(), descriptors()
    with (
        pytest.raises(ExceptionGroup) as told,
        proxied(BrokenChaos(1.0, 1)) as (proxy, _),
        socket.create_connection(proxy.address, PATIENCE) as client,
    ):
        rest_of(client)
    assert told.group_contains(ZeroDivisionError)
    assert threading.active_count() == threads
    assert descriptors() == before
