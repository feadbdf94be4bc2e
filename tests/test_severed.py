"""Where a server serves nobody any more, it is told whose dialogues it broke off just before."""

from harness.runs.severed import JUST_BEFORE, NAMED, Severed


def severed(*dialogues: tuple[str, float]) -> Severed:
    found = Severed()
    for rule, moment in dialogues:
        found.note(rule, [moment])
    return found


def test_the_rules_are_told_whose_dialogues_were_broken_off_the_last_first() -> None:
    found = severed(("eod.late", 99.5), ("eod.early", 99.0), ("eod.late", 98.5))
    assert found.before(100.0, served=0.0) == "just before, it broke off dialogues of eod.late, eod.early"


def test_what_was_long_ago_or_before_an_innocent_was_served_or_is_the_trouble_itself_is_not() -> None:
    found = severed(("old", 100.0 - JUST_BEFORE - 1), ("survived", 97.0), ("victim", 101.0))
    assert found.before(100.0, served=98.0) == ""


def test_a_few_are_named() -> None:
    found = severed(*((f"rule-{number}", 99.0 + number / 100) for number in range(NAMED + 2)))
    assert found.before(100.0, served=0.0).endswith("rule-3, rule-2 and 2 rules more")
