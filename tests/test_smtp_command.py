"""A server that is a command: its dialogue, the delays that it tells instead of waiting, its end."""

import sys
import threading
from pathlib import Path

import pytest

from harness.smtp.command import EXIM_DELAY, Command
from harness.smtp.ending import Ending
from harness.smtp.endpoint import Endpoint
from harness.smtp.identity import Argument
from harness.smtp.session import Session, SessionEnded
from harness.verdicts import InconclusiveError
from harness.world.conversation import Conversation

CLIENT = "198.18.0.7"
SCRIPT = """
import sys
def say(line): sys.stdout.buffer.write(line.encode() + b"\\r\\n"); sys.stdout.buffer.flush()
def trace(line): sys.stderr.write(line + "\\n"); sys.stderr.flush()
trace(">>> host is " + sys.argv[1])
sys.stdout.buffer.write(b"\\n**** SMTP testing session\\n**** This is not for real!\\n\\n")
say("220 mx.example.org for " + sys.argv[1])
for line in sys.stdin.buffer:
    word = line.split()[0].upper()
    if word == b"QUIT":
        say("221 bye")
        break
    if word == b"MAIL":
        trace(">>> delay modifier requests 20-second delay")
        trace(">>> delay modifier requests 3-second delay")
        trace(">>> delay skipped in -bh mode")
        trace("delay would be soon\\x1b[2J here")
        trace("delay would be 9 here")
    if word == b"NOOP":
        trace("x" * 300000)
    if word == b"RSET":
        break
    if word == b"RCPT" and b"dropped" in line:
        trace(">>> delay modifier requests 7-second delay")
        say("550 and gone")
        break
    say("250 fine")
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    file = tmp_path / "server.py"
    file.write_text(SCRIPT, "utf-8")
    return file


def session(script: Path, delay: str = EXIM_DELAY, key: str = "delays") -> Session:
    route = Command((sys.executable, str(script), "{client}"), delay, key)
    return Session(Endpoint(route, Argument()), CLIENT, reply_timeout=10.0)


def test_the_command_gets_the_client_and_speaks(script: Path) -> None:
    with session(script) as talk:
        assert talk.open().text == f"mx.example.org for {CLIENT}"
        assert talk.command("EHLO x.example").code == 250
    assert talk.ending is Ending.QUIT


def test_told_delays_count_as_waiting(script: Path) -> None:
    talk = session(script)
    conversation = Conversation(talk, CLIENT, lambda since, until: 0.0)
    assert conversation.connect().seconds < 20
    assert conversation.ehlo("x.example").seconds < 20
    mail = conversation.mail("a@x.example")
    assert 23 <= mail.seconds < 40
    assert mail.silence >= 23
    assert conversation.rcpt("b@example.org").seconds < 20
    conversation.quit()


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("delay would be (.*) here", "holds «soon\\x1b[2J»"),
        (r"delay (x)?skipped", "holds nothing"),
        ("(-)bh", "holds «-»"),
        (r"(inf|nan|delay) skipped", "holds «delay»"),
    ],
)
def test_a_delay_that_cannot_be_read_proves_nothing(script: Path, pattern: str, told: str) -> None:
    talk = session(script, delay=pattern, key="clients.delays")
    conversation = Conversation(talk, CLIENT, lambda since, until: 0.0)
    conversation.connect()
    conversation.ehlo("x.example")
    with pytest.raises(InconclusiveError) as caught:
        conversation.mail("a@x.example")
    said = f"clients.delays: the command told of a delay, and the group {told}, which is no number of seconds"
    assert str(caught.value).startswith(said)
    assert conversation.steps[-1].code == 250
    with pytest.raises(InconclusiveError):  # what came after it is not known either
        conversation.rcpt("b@example.org")
    talk.close()
    for thread in [one for one in threading.enumerate() if one.name == "trace"]:
        thread.join(10.0)
        assert not thread.is_alive()


@pytest.mark.parametrize("told", ["inf", "nan", "-1", "1e999"])
def test_a_time_that_cannot_pass_is_none(tmp_path: Path, told: str) -> None:
    file = tmp_path / "server.py"
    file.write_text(SCRIPT.replace("20-second", f"{told} second"), "utf-8")
    conversation = Conversation(
        session(file, delay=r"requests (\S+)[ -]second"), CLIENT, lambda since, until: 0.0
    )
    conversation.connect()
    with pytest.raises(InconclusiveError, match=f"delays: .*«{told}»"):
        conversation.mail("a@x.example")
    conversation.session.close()


def test_the_last_words_of_a_command_count_too(script: Path) -> None:
    talk = session(script)
    conversation = Conversation(talk, CLIENT, lambda since, until: 0.0)
    conversation.connect()
    conversation.ehlo("x.example")
    assert 7 <= conversation.rcpt("dropped@example.org").seconds < 20
    assert talk.closed_by_server(10.0)
    assert conversation.quit().rcpt.code == 550


def test_a_long_trace_does_not_stop_the_command(script: Path) -> None:
    with session(script) as talk:
        talk.open()
        for _ in range(5):
            assert talk.command("NOOP").code == 250


def test_a_command_that_ends_ends_the_session(script: Path) -> None:
    talk = session(script)
    talk.open()
    with pytest.raises(SessionEnded, match="closed the connection at RSET"):
        talk.command("RSET")


def test_a_command_that_is_not_there_is_told() -> None:
    talk = Session(Endpoint(Command(("/no/such", "{client}")), Argument()), CLIENT, reply_timeout=5.0)
    with pytest.raises(SessionEnded, match=r"no way to .* by route command"):
        talk.open()


def test_no_command_outlives_its_route(script: Path) -> None:
    route = Command((sys.executable, str(script), "{client}"))
    talk = Session(Endpoint(route, Argument()), CLIENT, reply_timeout=10.0)
    talk.open()
    route.close()
    with pytest.raises(SessionEnded):
        talk.command("EHLO x.example")
    followers = [thread for thread in threading.enumerate() if thread.name == "trace"]
    for thread in followers:
        thread.join(10.0)
        assert not thread.is_alive()
    talk.close()
