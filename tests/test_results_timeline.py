"""The transcript: lines, DNS questions and waiting on one clock."""

from dataclasses import replace

from harness.results.model import Line, Query, Repeat, StepFact
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
    rows = moments(dialogue(lines=lines, queries=(asked,), steps=()))
    assert [row.kind for row in rows] == [Kind.CLIENT, Kind.QUESTION, Kind.SERVER]
    assert rows[1].clock == "0.200"
    assert rows[1].text == "A x.example → NXDOMAIN (udp)"


def test_a_dialogue_without_end_loses_its_middle_and_says_so() -> None:
    lines = tuple(Line(float(number), "S", f"line {number}") for number in range(1000))
    rows = moments(dialogue(lines=lines, queries=(), steps=()))
    (gap,) = [row for row in rows if row.kind is Kind.GAP]
    assert gap.text.startswith(f"{1000 - len(rows) + 1} lines left out")
    assert (rows[0].text, rows[-1].text) == ("line 0", "line 999")


def test_a_reply_that_never_came_takes_no_mark_from_another() -> None:
    talk = dialogue(reply("mail", None, ""), reply("rcpt", 550, "no", seconds=2.0, late=True))
    (wait,) = [row for row in moments(talk) if row.kind is Kind.WAIT]
    assert wait.text == "reply held back 2.00 s"


def test_a_reply_has_its_mark_whatever_another_one_says() -> None:
    """Of two replies with one code in one step the second was held back, and at its line it stands."""
    first, held = reply("", 250).replies[0], reply("", 250, "later", seconds=1.0, late=True).replies[0]
    lines = (
        Line(0.0, "C", "RSET"),
        Line(0.0, "C", "NOOP"),
        Line(0.1, "S", "250 OK"),
        Line(1.1, "S", "250 later"),
    )
    step = StepFact("", "RSET NOOP", 0.0, (replace(first, line=2), replace(held, line=3)))
    rows = moments(dialogue(lines=lines, steps=(step,)))
    (place,) = [number for number, row in enumerate(rows) if row.kind is Kind.WAIT]
    assert rows[place + 1].text == "250 later"


def test_what_came_before_the_client_was_introduced_takes_no_mark() -> None:
    talk = (("S", "220 ours"), ("C", "EHLO us"), ("S", "250 ours"), ("C", "XCLIENT ADDR=192.0.2.7"))
    then = (("S", "220 theirs"), ("C", "EHLO them"), ("S", "250 theirs"))
    lines = tuple(Line(float(at), direction, text) for at, (direction, text) in enumerate(talk + then))
    greeting, held = reply("connect", 220), reply("helo", 250, seconds=1.0, late=True)
    held = replace(held, replies=(replace(held.replies[0], line=6),))
    rows = moments(dialogue(lines=lines, steps=(greeting, held)))
    (place,) = [number for number, row in enumerate(rows) if row.kind is Kind.WAIT]
    assert rows[place + 1].text == "250 theirs"


def test_a_question_that_was_asked_again_stands_once_with_its_moments() -> None:
    again = (Repeat(0.4, "NXDOMAIN", "udp"), Repeat(0.9, "NXDOMAIN", "udp"))
    asked = Query(0.2, "x.example", "A", "NXDOMAIN", "udp", 3, again)
    rows = moments(dialogue(lines=(), queries=(asked,), steps=(), began=1.0))
    assert [row.text for row in rows] == [
        "A x.example → NXDOMAIN (udp); asked 3 times, again at 1.400, 1.900"
    ]


def test_another_answer_to_the_same_question_is_told_when_it_came() -> None:
    again = (Repeat(0.8, "NOERROR 127.0.0.2", "tcp"),)
    asked = Query(0.2, "x.example", "A", "no answer (scripted)", "udp", 2, again)
    first, second = moments(dialogue(lines=(), queries=(asked,), steps=()))
    assert first.text == "A x.example → no answer (scripted) (udp)"
    assert (second.at, second.text) == (0.8, "asked again: A x.example → NOERROR 127.0.0.2 (tcp)")


def test_a_reply_that_came_too_soon_shows_the_threshold_that_it_missed() -> None:
    talk = dialogue(reply("connect", 220), reply("helo", 550, "no", seconds=0.01, missed=1.8))
    (row,) = [row for row in moments(talk) if row.kind is Kind.MISSED]
    assert row.text == "reply after 0.01 s: too soon, held back is 1.80 s or more"
    assert row.bar
    assert row.bar.took < row.bar.missed
    assert row.bar.start + row.bar.missed <= 1000


def test_a_reply_that_was_held_back_without_reason_shows_what_was_wanted() -> None:
    talk = dialogue(reply("connect", 220), reply("helo", 250, seconds=2.1, late=True, missed=1.0))
    (row,) = [row for row in moments(talk) if row.kind is Kind.MISSED]
    assert row.text == "reply held back 2.10 s: less than 1.00 s was wanted"
