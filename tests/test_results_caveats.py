"""Runs that are no whole ones: each is marked, and what can be held against what."""

from dataclasses import replace

import pytest

from harness.results.comparable import ComparisonError
from harness.results.compare import Direction, compare
from harness.results.compare_text import render
from harness.results.html import page
from harness.results.model import LEFT_OPEN, Caveat, CaveatKind, RunResult, ServerFacts, Status
from harness.results.store import from_json, to_json
from harness.results.terminal import table
from tests.result_builder import SERVER, case, dialogue, reply, rule, run

WHOLE = run(*(rule(f"a.rule-{number}") for number in range(9)))
DEAD = "it was given up: an innocent client got no further than connect: nobody listens"


def marked(kind: CaveatKind, *rules: str, said: str = "it was so", of: RunResult = WHOLE) -> RunResult:
    return replace(of, caveats=(Caveat(kind, said, rules),))


def test_a_mark_is_read_back_and_shown_in_every_report() -> None:
    result = marked(CaveatKind.INTERRUPTED, "a.rule-8", said="it was interrupted by <b>")
    assert from_json(to_json(result), "memory") == result
    assert "Not a whole run:</strong> it was interrupted by &lt;b&gt;" in page(result)
    shown = table(result, 100, False)
    assert "not a whole run\n    it was interrupted by <b>\n    not decided: a.rule-8" in shown


def test_a_file_of_the_version_before_is_a_whole_run() -> None:
    old = to_json(WHOLE).replace(b'"version":3', b'"version":2')
    old = old.replace(b',"caveats":[]', b"").replace(b',"varying":[]', b"")
    assert b"caveats" not in old
    assert from_json(old, "memory") == WHOLE


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (marked(CaveatKind.MUTANT), WHOLE, "the run before was of a server that was broken on purpose"),
        (WHOLE, marked(CaveatKind.MUTANT), "the run after was of a server that was broken on purpose"),
        (marked(CaveatKind.UNTRIED), WHOLE, "the run before tried nothing"),
    ],
)
def test_what_says_nothing_is_refused(before: RunResult, after: RunResult, said: str) -> None:
    with pytest.raises(ComparisonError, match=said):
        compare(before, after)


@pytest.mark.parametrize("which", ["before", "after"])
def test_what_was_not_selected_is_told_and_not_compared(which: str) -> None:
    left_out = [f"a.rule-{number}" for number in range(3, 9)]
    part = marked(CaveatKind.PART, *left_out, said="-k something", of=replace(WHOLE, rules=WHOLE.rules[:3]))
    comparison = compare(part, WHOLE) if which == "before" else compare(WHOLE, part)
    assert (comparison.rules, comparison.exit_status) == ((), 0)
    said = f"The run {which} is no whole one: -k something; of 6 rules what it left out is not compared."
    assert comparison.doubts == (said,)


def test_of_a_rule_of_which_a_part_was_selected_the_common_cases_count() -> None:
    both = run(rule("a.one", case(name="first"), case(Status.FAILED, name="second")))
    one = marked(CaveatKind.PART, "a.one", of=run(rule("a.one", case(name="first"))))
    assert compare(both, one).rules == ()
    worse = marked(CaveatKind.PART, "a.one", of=run(rule("a.one", case(Status.FAILED, name="first"))))
    assert [change.direction for change in compare(both, worse).rules] == [Direction.WORSE]


def test_what_was_not_decided_when_the_run_ended_is_no_longer_tested() -> None:
    left = case(Status.INCONCLUSIVE, name="second", reason=LEFT_OPEN, tries=())
    before = run(rule("a.one", case(name="first"), case(name="second")), rule("a.two"), rule("a.three"))
    after = run(rule("a.one", case(name="first"), left), rule("a.three"))
    comparison = compare(before, marked(CaveatKind.INTERRUPTED, "a.one", "a.two", of=after))
    assert {change.rule: change.direction for change in comparison.rules} == {
        "a.one": Direction.UNTESTED,
        "a.two": Direction.UNTESTED,
    }
    assert comparison.exit_status == 3


def test_a_server_that_is_gone_is_one_line() -> None:
    gone = [rule(one.id, case(Status.INCONCLUSIVE, reason=f"{one.id} is lost")) for one in WHOLE.rules]
    silent = replace(run(*gone), server=ServerFacts("", (), (), {}))
    given_up = Caveat(CaveatKind.GIVEN_UP, DEAD), Caveat(CaveatKind.UNTRIED, "it tried nothing")
    comparison = compare(WHOLE, replace(silent, caveats=given_up))
    shown = render(comparison, colour=False)
    worse = [line for line in shown.splitlines() if line.startswith("worse")]
    assert worse == ["worse    9 rules, passed -> inconclusive: a.rule-0, a.rule-1, a.rule-2 and 6 more"]
    assert f"The run after is no whole one: {DEAD}." in shown
    assert (comparison.server, comparison.exit_status) == ((), 1)


def test_what_is_another_on_each_connection_is_not_compared_and_all_else_is() -> None:
    names = ("greeting", "ehlo", "keywords.SIZE", "tls.fingerprint")

    def says(joke: str, size: str, fingerprint: str, version: str) -> RunResult:
        talk = dialogue(reply("connect", 220, joke), reply("helo", 250, joke), reply("mail", 250, joke))
        server = ServerFacts(
            joke,
            (f"SIZE {size}", version),
            SERVER.keywords_tls,
            {"fingerprint": fingerprint, "version": version},
            names,
        )
        return run(rule("a.one", case(Status.PASSED, talk)), server=server)

    comparison = compare(says("knock", "1", "5f", "TLSv1.3"), says("who", "2", "77", "TLSv1.2"))
    assert [change.what for change in comparison.server] == ["EHLO keywords in clear text", "TLS version"]
    assert comparison.server[0].before == "TLSv1.3"
    assert [change.what for change in comparison.replies] == ["reply at mail"]
    assert "not compared, for it differs from connection to connection: ehlo, greeting" in render(
        comparison, colour=False
    )


def test_another_code_is_told_where_only_the_words_vary() -> None:
    def greeted(code: int, joke: str) -> RunResult:
        talk = dialogue(reply("connect", code, joke))
        return run(rule("a.one", case(Status.PASSED, talk)), server=replace(SERVER, varying=("greeting",)))

    assert len(compare(greeted(220, "knock"), greeted(554, "who")).replies) == 1
