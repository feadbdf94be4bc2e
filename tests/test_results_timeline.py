"""The transcript: lines, DNS questions and waiting on one clock."""

from harness.results.model import Line, Query
from harness.results.timeline import Kind, moments
from tests.result_builder import dialogue, reply


def test_a_held_back_reply_shows_its_wait_just_before_it() -> None:
    talk = dialogue(
        reply("connect", 220),
        reply("helo", 250, "mail.example.org\nSIZE 1000", seconds=1.0, late=True),
        reply("mail", 250),
    )
    rows = moments(talk)
    (place,) = [number for number, row in enumerate(rows) if row.kind is Kind.WAIT]
    assert rows[place].text == "reply held back 1.00 s"
    assert rows[place + 1].text == "250-mail.example.org"


def test_questions_stand_between_the_lines_by_their_time() -> None:
    lines = (Line(0.0, "C", "EHLO x"), Line(0.5, "S", "250 OK"))
    asked = Query(0.2, "x.example", "A", "NXDOMAIN", "udp")
    rows = moments(dialogue(lines=lines, queries=(asked,), replies=()))
    assert [row.kind for row in rows] == [Kind.CLIENT, Kind.QUESTION, Kind.SERVER]
    assert rows[1].clock == "0.200"
    assert rows[1].text == "A x.example → NXDOMAIN (udp)"


def test_a_dialogue_without_end_loses_its_middle_and_says_so() -> None:
    lines = tuple(Line(float(number), "S", f"line {number}") for number in range(1000))
    rows = moments(dialogue(lines=lines, queries=(), replies=()))
    (gap,) = [row for row in rows if row.kind is Kind.GAP]
    assert gap.text.startswith(f"{1000 - len(rows) + 1} lines left out")
    assert (rows[0].text, rows[-1].text) == ("line 0", "line 999")


def test_a_reply_that_never_came_takes_no_mark_from_another() -> None:
    talk = dialogue(reply("mail", None, ""), reply("rcpt", 550, "no", seconds=2.0, late=True))
    (wait,) = [row for row in moments(talk) if row.kind is Kind.WAIT]
    assert wait.text == "reply held back 2.00 s"


def test_what_came_before_the_client_was_introduced_takes_no_mark() -> None:
    talk = (("S", "220 ours"), ("C", "EHLO us"), ("S", "250 ours"), ("C", "XCLIENT ADDR=192.0.2.7"))
    then = (("S", "220 theirs"), ("C", "EHLO them"), ("S", "250 theirs"))
    lines = tuple(Line(float(at), direction, text) for at, (direction, text) in enumerate(talk + then))
    facts = reply("connect", 220), reply("helo", 250, seconds=1.0, late=True)
    rows = moments(dialogue(lines=lines, replies=facts))
    (place,) = [number for number, row in enumerate(rows) if row.kind is Kind.WAIT]
    assert rows[place + 1].text == "250 theirs"
