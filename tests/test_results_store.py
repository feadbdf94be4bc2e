"""Result files: what was written is read back, whole, and never overwritten."""

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from harness.results.model import Dialogue, Line, Query, ReplyFact, RunResult, Status, aggregate
from harness.results.store import from_json, load, save, to_json
from tests.result_builder import case, full_run, rule, run

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SECONDS = st.floats(min_value=0, max_value=1e6, allow_nan=False)
DIALOGUES = st.builds(
    Dialogue,
    label=TEXT,
    client_address=TEXT,
    client_name=TEXT,
    outcome=TEXT,
    lines=st.tuples(st.builds(Line, at=SECONDS, direction=st.sampled_from("CS*"), text=TEXT)),
    queries=st.tuples(st.builds(Query, at=SECONDS, name=TEXT, type=TEXT, answer=TEXT, transport=TEXT)),
    replies=st.tuples(
        st.builds(
            ReplyFact,
            stage=TEXT,
            code=st.none() | st.integers(200, 599),
            enhanced=st.none() | TEXT,
            text=TEXT,
            seconds=SECONDS,
            late=st.none() | st.booleans(),
        )
    ),
    ending=TEXT,
)
RUNS = st.builds(
    lambda status, dialogue, text: run(rule("a.one", case(status, dialogue, name=text, reason=text))),
    st.sampled_from(Status),
    DIALOGUES,
    TEXT,
)


@settings(max_examples=50, deadline=None)
@given(RUNS)
def test_what_is_written_is_read_back(result: RunResult) -> None:
    assert from_json(to_json(result), "memory") == result


def test_a_lone_surrogate_costs_no_report() -> None:
    assert b"?" in to_json(run(rule("a.one", case(Status.FAILED, reason="\ud800"))))


def test_runs_of_the_same_second_do_not_overwrite_each_other(tmp_path: Path) -> None:
    first, second = run(rule("a.one")), run(rule("a.one", status=Status.FAILED))
    paths = [save(result, tmp_path)[0] for result in (first, second)]
    assert len(set(paths)) == 2
    assert [load(path) for path in paths] == [first, second]
    assert load(tmp_path / "latest.json") == second
    assert (tmp_path / "latest.html").read_text("utf-8").startswith("<!doctype html>")


def test_without_a_page_there_is_only_the_data(tmp_path: Path) -> None:
    assert [path.suffix for path in save(full_run(), tmp_path, page=False)] == [".json"]
    assert not list(tmp_path.glob("*.html"))


def test_a_rule_passes_only_if_every_case_that_applies_did() -> None:
    passed, failed = case(Status.PASSED), case(Status.FAILED)
    assert aggregate([passed, case(Status.NOT_APPLICABLE)]) is Status.PASSED
    assert aggregate([passed, case(Status.NOT_TESTABLE)]) is Status.NOT_TESTABLE
    assert aggregate([passed, case(Status.INCONCLUSIVE)]) is Status.INCONCLUSIVE
    assert aggregate([passed, failed, case(Status.INCONCLUSIVE)]) is Status.FAILED
    assert aggregate([case(Status.NOT_APPLICABLE)]) is Status.NOT_APPLICABLE
    assert aggregate([]) is Status.NOT_TESTABLE


def test_a_file_from_before_there_were_events_is_read() -> None:
    old = json.loads(to_json(full_run(rules=5)))
    for told in old["rules"]:
        for variant in told["cases"]:
            for attempt in variant["tries"]:
                del attempt["events"]
                attempt["operator"] = [{"at": 1.0, "act": "thaw 17", "shown": ""}]
                for talk in attempt["dialogues"]:
                    del talk["began"]
                    talk["queries"] = [
                        {key: query[key] for key in ("at", "name", "type", "answer", "transport")}
                        for query in talk["queries"]
                    ]
                    for fact in talk["replies"]:
                        del fact["missed"]
    read = from_json(json.dumps(old).encode(), "old.json")
    tried = [attempt for told in read.rules for variant in told.cases for attempt in variant.tries]
    assert tried
    assert all(attempt.operator[0].act == "thaw 17" and attempt.events == () for attempt in tried)
    assert all(talk.began is None for attempt in tried for talk in attempt.dialogues)
