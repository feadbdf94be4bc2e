"""One clock for everything in a play: its dialogues, and all that was done beside them."""

from harness.results.course import courses
from harness.results.model import Event, OperatorAct, Status, Try
from harness.results.timeline import Kind, moments
from tests.result_builder import dialogue, reply


def tried(*dialogues: object, **more: object) -> Try:
    return Try(Status.PASSED, "", dialogues, **more)  # type: ignore[arg-type]


def test_dialogues_and_acts_stand_in_the_order_of_time() -> None:
    first = dialogue(reply("connect", 220), label="first attempt", began=0.0)
    retry = dialogue(reply("connect", 220), label="retry", began=3.0)
    moved = Event(1.5, "clock", "the greylist's clock is moved on by 58.00 s", "greylist.delay is 60 s")
    (course,) = courses(tried(retry, first, events=(moved,)))
    assert [(entry.at, entry.who) for entry in course.entries] == [
        (0.0, "client"),
        (1.5, "clock"),
        (3.0, "client"),
    ]
    assert course.entries[1].shown == "greylist.delay is 60 s"


def test_calls_of_the_server_tell_the_time_since_the_one_before() -> None:
    calls = [
        dialogue(called=f"mail.{name}", began=began, outcome="nothing was taken")
        for name, began in (("d1.example", 1.0), ("d2.example", 1.2), ("d1.example", 2.5))
    ]
    (course,) = courses(tried(*calls))
    one, other, again = (entry.text for entry in course.entries)
    assert one.startswith("calls mail.d1.example until")
    assert "again" not in other
    assert "again, 1.50 s after call 1 began" in again


def test_the_plays_are_apart_and_on_one_clock() -> None:
    talks = [
        dialogue(reply("connect", 220), label="client", began=1.0, is_of_twin=twin) for twin in (False, True)
    ]
    listed = Event(0.5, "DNS", "198.18.0.7 is put on bl.example", is_of_twin=False)
    offence, twin = courses(tried(*talks, events=(listed,)))
    assert (offence.title, twin.title) == ("The offence", "The innocent twin")
    assert offence.entries[0].text == listed.text
    assert twin.entries == ()  # the dialogue says it all
    assert [talk.label for talk in twin.dialogues] == ["client"]


def test_what_was_done_during_a_dialogue_stands_in_it() -> None:
    talk = dialogue(reply("connect", 220), reply("rcpt", 451, seconds=1.0), began=10.0)
    inside, before = Event(10.5, "outage", "the greylist is out of reach"), Event(9.0, "DNS", "published")
    rows = moments(talk, (before, inside))
    (act,) = [row for row in rows if row.kind is Kind.ACT]
    assert (act.clock, act.who) == ("10.500", "outage")
    assert rows == sorted(rows, key=lambda row: row.at)
    assert rows[0].at >= 10.0


def test_files_without_a_clock_are_shown_with_what_they_have() -> None:
    talk = dialogue(reply("connect", 220), label="client")
    (course,) = courses(tried(talk, operator=(OperatorAct(1.0, "thaw 17", ""),)))
    assert [(entry.who, entry.text) for entry in course.entries] == [("operator", "thaw 17")]
    assert moments(talk)[-1].at == talk.lines[-1].at


def test_a_course_without_end_says_what_it_leaves_out() -> None:
    events = tuple(Event(float(number), "DNS", "published") for number in range(1000))
    (course,) = courses(tried(events=events))
    assert len(course.entries) + course.left_out == 1000
    assert course.left_out > 0
