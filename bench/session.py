"""What recording costs: CPU of a dialogue with a message of 1 kB, beside bare smtplib in the same run."""

import multiprocessing
import smtplib
import socket
import statistics
import time
from collections.abc import Callable
from multiprocessing.connection import Connection

from table import Row, show

from harness.smtp.endpoint import Endpoint
from harness.smtp.session import Session, parse_keywords
from harness.smtp.transport import Tcp

DIALOGUES = 2500  # of each kind
TIMEOUT = 30.0  # seconds
CLIENT = "client.example"
SENDER = "sender@client.example"
RECIPIENT = "recipient@example.org"
HEADER = b"From: <sender@client.example>\r\nTo: <recipient@example.org>\r\nSubject: bench\r\n\r\n"
MESSAGE = HEADER + (b"x" * 70 + b"\r\n") * ((1024 - len(HEADER)) // 72)
EHLO = b"250-mx.example.org\r\n250-SIZE 52428800\r\n250-8BITMIME\r\n250-PIPELINING\r\n250 HELP\r\n"
ANSWERS = {b"EHLO": EHLO, b"DATA": b"354 go ahead\r\n", b"QUIT": b"221 closing\r\n"}

Dialogue = Callable[[tuple[str, int]], None]


def main() -> None:
    """Print CPU times per dialogue and their ratios."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    server = context.Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    try:
        address = ours.recv()
        kinds: dict[str, Dialogue] = {
            "bare smtplib": lambda server: bare(server, None),
            "bare smtplib with a time-out": lambda server: bare(server, TIMEOUT),
            "Session": lambda server: recorded(server, read=False),
            "Session, transcript read": lambda server: recorded(server, read=True),
        }
        seconds = measure(kinds, address)
    finally:
        server.terminate()
        server.join()
    report(seconds)


def report(seconds: dict[str, list[float]]) -> None:
    """Print the table: medians, and the ratio of medians."""
    medians = {kind: statistics.median(taken) for kind, taken in seconds.items()}
    print(f"CPU per dialogue, median of {DIALOGUES}")
    for kind, median in medians.items():
        print(f"  {kind:30} {median * 1e6:8.1f} µs")
    base = medians["bare smtplib"]
    show(
        "recorded session over bare smtplib",
        [
            Row("Session", medians["Session"] / base, "≤ 1.3"),
            Row(
                "Session, transcript read",
                medians["Session, transcript read"] / base,
                "none: a report's part",
            ),
        ],
    )


def measure(kinds: dict[str, Dialogue], address: tuple[str, int]) -> dict[str, list[float]]:
    """CPU seconds of each dialogue; the kinds take turns, so that a change of the machine's pace hits all."""
    seconds: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(DIALOGUES):
        for kind, dialogue in kinds.items():
            before = time.process_time()
            dialogue(address)
            seconds[kind].append(time.process_time() - before)
    return seconds


def bare(server: tuple[str, int], timeout: float | None) -> None:
    """The dialogue as smtplib has it."""
    smtp = smtplib.SMTP(local_hostname=CLIENT)
    if timeout is not None:
        smtp.timeout = timeout
    smtp.connect(*server)
    smtp.ehlo()
    smtp.mail(SENDER)
    smtp.rcpt(RECIPIENT)
    code, _ = smtp.data(MESSAGE)
    smtp.quit()
    expect(code)


def recorded(server: tuple[str, int], *, read: bool) -> None:
    """The same dialogue, recorded."""
    session = Session(Endpoint(Tcp(*server)), "127.0.0.1", reply_timeout=TIMEOUT, secrets=["not to be seen"])
    session.open()
    parse_keywords(session.command(f"EHLO {CLIENT}"))
    session.command(f"MAIL FROM:<{SENDER}>")
    session.command(f"RCPT TO:<{RECIPIENT}>")
    session.command("DATA")
    reply = session.send_content(MESSAGE)
    session.quit_politely()
    expect(reply.code)
    if read and session.transcript.lines[-2].data != ANSWERS[b"QUIT"]:
        raise SystemExit("the transcript does not end with the answer to QUIT")


def expect(code: int) -> None:
    """A dialogue that failed must not be measured as a quick one."""
    if code != 250:
        raise SystemExit(f"the dialogue did not go through: {code}")


def serve(told: Connection) -> None:
    """Answer one client after the other with canned replies."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        told.send(listening.getsockname())
        while True:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(b"220 mx.example.org ESMTP\r\n")
                converse(connection)


def converse(connection: socket.socket) -> None:
    """One dialogue, until QUIT or the end of the stream."""
    while line := connection.recv(65536):
        connection.sendall(ANSWERS.get(line[:4].upper(), b"250 OK\r\n"))
        if line[:4].upper() == b"QUIT":
            return


if __name__ == "__main__":
    main()
