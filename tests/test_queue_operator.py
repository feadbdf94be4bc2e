"""The queue as its operator sees it, by the commands of the profile."""

import sys
from pathlib import Path

import pytest

from harness.capabilities.queue import CommandQueue
from harness.profile.mail_tables import Queue
from harness.verdicts import InconclusiveError

EXIM = """\
 25m  2.9K 0t5C6f-0000c8-00 <alice@here.example>
          red@far.example
          king@far.example

  3h   512 1tHxyz-000111-2A <> *** frozen ***
          lost@away.example
"""
POSTFIX = """\
-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------
4XyZ12345*      400 Mon Nov 23 03:00:00  ann@here.example
                                         ben@far.example

4XyZ6789A!      400 Mon Nov 23 03:00:00  ann@here.example
                                         eva@away.example

-- 2 Kbytes in 2 Requests.
"""
OPENSMTPD = (
    "1fa4|inet4|mta|auth|ann@here.example|ben@far.example|ben@far.example|1|2|3|0|pending|5|connect\n"
    "2fa4|inet4|mta|auth|ann@here.example|eva@away.example|eva@away.example|1|2|3|0|frozen|5|lost\n"
)


def queue(shown: str, tmp_path: Path, **patterns: str) -> CommandQueue:
    log = tmp_path / "log"
    note = f"import sys; open({str(log)!r}, 'a').write(' '.join(sys.argv[1:]) + chr(10))"
    words = {
        "list": [sys.executable, "-c", f"print({shown!r}, end='')"],
        "remove": [sys.executable, "-c", note, "remove", "{id}"],
        "thaw": [sys.executable, "-c", note, "thaw", "{id}"],
    }
    return CommandQueue(Queue.model_validate({"interval": 60, **words, **patterns}))


@pytest.mark.parametrize(
    ("shown", "patterns", "ids"),
    [
        (EXIM, {"entry": r"^ *\S+ +\S+ +(\S+-\S+-\S+) <"}, ("0t5C6f-0000c8-00", "1tHxyz-000111-2A")),
        (POSTFIX, {"entry": r"^([0-9A-Za-z]{6,})[*! ]", "frozen": r"^\S+!"}, ("4XyZ12345", "4XyZ6789A")),
        (OPENSMTPD, {"entry": r"^(\w+)\|"}, ("1fa4", "2fa4")),
        ("", {}, ()),
        ("Mail queue is empty\n", {"entry": r"^([0-9A-F]{6,})[*! ]"}, ()),
    ],
    ids=["exim", "postfix", "opensmtpd", "nothing", "postfix, empty"],
)
def test_the_lists_of_real_servers_are_read(
    tmp_path: Path, shown: str, patterns: dict[str, str], ids: tuple[str, ...]
) -> None:
    operator = queue(shown, tmp_path, **patterns)
    found = operator.entries("example")
    assert tuple(one.id for one in found) == ids
    assert [one.frozen for one in found] == [False, True][: len(ids)]
    assert [one.id for one in operator.entries("AWAY.example")] == list(ids[1:])


def test_bytes_that_are_no_text_are_shown_all_the_same() -> None:
    listed = b"1-2 <\xff@far.example>\n3-4 <ann@far.example>\n"
    show = [sys.executable, "-c", f"import sys; sys.stdout.buffer.write({listed!r})"]
    others = {"remove": ["true", "{id}"], "thaw": ["true", "{id}"], "entry": r"^(\S+) <"}
    operator = CommandQueue(Queue.model_validate({"interval": 60, "list": show, **others}))
    assert [one.id for one in operator.entries("far.example")] == ["1-2", "3-4"]


@pytest.mark.parametrize("entry", [r"^([0-9]+)? *\S", r"^([0-9]*)"])
def test_a_message_without_an_id_is_told(tmp_path: Path, entry: str) -> None:
    operator = queue("1 <ann@far.example>\n\x1b[2J <ben@far.example>\n", tmp_path, entry=entry)
    with pytest.raises(
        InconclusiveError, match=r"queue\.entry: its group holds no id where it finds «\\x1b\[2J"
    ):
        operator.entries("far.example")


def test_commands_get_the_message(tmp_path: Path) -> None:
    operator = queue("", tmp_path)
    operator.remove("1-2")
    operator.thaw("3-4")
    assert (tmp_path / "log").read_text("ascii") == "remove 1-2\nthaw 3-4\n"


def test_a_command_that_fails_is_no_verdict() -> None:
    broken = [sys.executable, "-c", "import sys; sys.exit('out of order')", "{id}"]
    operator = CommandQueue(
        Queue.model_validate({"interval": 60, "list": broken, "remove": broken, "thaw": broken})
    )
    with pytest.raises(InconclusiveError, match=r"queue\.list.*out of order"):
        operator.entries("x")
    with pytest.raises(InconclusiveError, match=r"queue\.thaw"):
        operator.thaw("1")
