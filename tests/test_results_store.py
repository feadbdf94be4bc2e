"""Result files: what was written is read back, whole, and never overwritten."""

import contextlib
import json
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.results.compare import compare
from harness.results.formats import filed
from harness.results.model import (
    Caveat,
    CaveatKind,
    Dialogue,
    Line,
    Query,
    ReplyFact,
    RunResult,
    Status,
    StepFact,
    aggregate,
)
from harness.results.store import (
    ReportError,
    ResultFileError,
    from_json,
    load,
    newest,
    prepare,
    save,
    to_json,
)
from tests.result_builder import case, dialogue, full_run, reply, rule, run

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
SECONDS = st.floats(min_value=0, max_value=1e6, allow_nan=False)
REPLIES = st.builds(
    ReplyFact,
    code=st.integers(200, 599),
    enhanced=st.none() | TEXT,
    text=TEXT,
    seconds=SECONDS,
    late=st.none() | st.booleans(),
    line=st.none() | st.integers(0, 1000),
)
DIALOGUES = st.builds(
    Dialogue,
    label=TEXT,
    client_address=TEXT,
    client_name=TEXT,
    outcome=TEXT,
    lines=st.tuples(st.builds(Line, at=SECONDS, direction=st.sampled_from("CS*"), text=TEXT)),
    queries=st.tuples(st.builds(Query, at=SECONDS, name=TEXT, type=TEXT, answer=TEXT, transport=TEXT)),
    steps=st.tuples(
        st.builds(
            StepFact,
            stage=TEXT,
            sent=TEXT,
            at=st.none() | SECONDS,
            replies=st.lists(REPLIES, max_size=3).map(tuple),
        )
    ),
    ending=TEXT,
    is_of_twin=st.booleans(),
    called=TEXT,
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
    paths = [save(result, tmp_path, filed())[0] for result in (first, second)]
    assert len(set(paths)) == 2
    assert [load(path) for path in paths] == [first, second]
    assert load(tmp_path / "latest.json") == second
    assert (tmp_path / "latest.html").read_text("utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize("kind", list(CaveatKind))
def test_a_run_that_is_no_whole_one_does_not_become_the_latest(tmp_path: Path, kind: CaveatKind) -> None:
    whole, part = run(rule("a.one")), run(rule("a.one"), caveats=(Caveat(kind, "it was so"),))
    save(whole, tmp_path, filed())
    (told, _) = save(part, tmp_path, filed())
    assert (load(told), load(tmp_path / "latest.json")) == (part, whole)
    assert newest(tmp_path) == told


@contextlib.contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file can be larger: writing goes wrong in the middle, as on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(("room", "kept"), [(0.5, 0), (1.5, 1)])
def test_where_there_is_no_room_no_half_file_is_left_and_the_latest_stays(
    tmp_path: Path, room: float, kept: int
) -> None:
    before, after = run(rule("a.one")), run(rule("a.one", status=Status.FAILED))
    save(before, tmp_path, filed())
    files = {file.name for file in tmp_path.iterdir()}
    size = int(len(to_json(after)) * room)
    full = r"reports cannot be written there \(File too large\)"
    with room_for(size), pytest.raises(ReportError, match=full) as told:
        save(after, tmp_path, filed())
    left = {file.name for file in tmp_path.iterdir()} - files
    assert left == {path.name for path in told.value.written}
    assert [load(path) for path in told.value.written] == [after] * kept
    assert load(tmp_path / "latest.json") == before


def test_where_the_latest_cannot_be_changed_the_reports_are_there(tmp_path: Path) -> None:
    (tmp_path / "latest.json").mkdir()
    with pytest.raises(ReportError, match=r"is there and whole, and latest\.\* is as it was") as told:
        save(run(rule("a.one")), tmp_path, filed())
    assert len(told.value.written) == 2
    assert {file.name for file in tmp_path.iterdir()} == {
        "latest.json",
        *(path.name for path in told.value.written),
    }


def test_a_folder_that_cannot_be_is_told_beforehand(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for folder, said in (
        (file, f"{file}: reports go to a folder, and {file} is none; move {file} away"),
        (file / "below", f"and {file} is none"),
        (Path("/proc/reports"), "reports cannot be written there (No such file or directory)"),
    ):
        with pytest.raises(ReportError) as told:
            prepare(folder)
        assert said in str(told.value)
    with room_for(0), pytest.raises(ReportError, match="File too large"):
        prepare(tmp_path / "new")
    prepare(tmp_path / "new")
    assert not [*(tmp_path / "new").iterdir()]


def test_without_a_page_there_is_only_the_data(tmp_path: Path) -> None:
    assert [path.suffix for path in save(full_run(), tmp_path, filed(data_alone=True))] == [".json"]
    assert not list(tmp_path.glob("*.html"))


def test_a_rule_passes_only_if_every_case_that_applies_did() -> None:
    passed, failed = case(Status.PASSED), case(Status.FAILED)
    assert aggregate([passed, case(Status.NOT_APPLICABLE)]) is Status.PASSED
    assert aggregate([passed, case(Status.NOT_TESTABLE)]) is Status.NOT_TESTABLE
    assert aggregate([passed, case(Status.INCONCLUSIVE)]) is Status.INCONCLUSIVE
    assert aggregate([passed, failed, case(Status.INCONCLUSIVE)]) is Status.FAILED
    assert aggregate([case(Status.NOT_APPLICABLE)]) is Status.NOT_APPLICABLE
    assert aggregate([]) is Status.NOT_TESTABLE


def as_version_3(result: RunResult) -> dict[str, Any]:
    """As harnesses wrote it that knew no steps: a list of replies, one for each stage that was told."""
    old: dict[str, Any] = json.loads(to_json(result)) | {"version": 3}
    tries = [one for told in old["rules"] for variant in told["cases"] for one in variant["tries"]]
    for talk in [talk for one in tries for talk in one["dialogues"]]:
        called, is_of_twin = talk.pop("called"), talk.pop("is_of_twin")
        talk["label"] = ("twin: " if is_of_twin else "") + talk["label"]
        assert not called or called in talk["label"]
        nothing = {"code": None, "enhanced": None, "text": "", "seconds": 1.0, "late": False, "missed": None}
        talk["replies"] = [
            {"stage": step["stage"], **(step["replies"][-1] if step["replies"] else nothing)}
            for step in talk.pop("steps")
        ]
        for fact in talk["replies"]:
            fact.pop("line", None)
    return old


def test_a_file_from_before_there_were_steps_is_read() -> None:
    talks = (
        dialogue(
            reply("connect", 220), reply("helo", 250, "mx\nSIZE 1"), reply("mail", None), label="client"
        ),
        dialogue(reply("connect", 220), label="client", is_of_twin=True),
        dialogue(label="the server calls mail.d1.example", called="mail.d1.example"),
    )
    written = run(rule("a.one", case(Status.FAILED, *talks)))
    read = from_json(json.dumps(as_version_3(written)).encode(), "old.json")
    first, twin, call = read.rules[0].cases[0].tries[0].dialogues
    assert [(talk.label, talk.is_of_twin, talk.called) for talk in (first, twin, call)] == [
        ("client", False, ""),
        ("client", True, ""),
        ("the server calls mail.d1.example", False, "mail.d1.example"),
    ]
    assert [(step.stage, step.reply and step.reply.text) for step in first.steps] == [
        ("connect", "OK"),
        ("helo", "mx\nSIZE 1"),
        ("mail", None),
    ]
    assert not compare(read, written).replies


@pytest.mark.parametrize("damage", [None, 17, "text", [17], [{}]])
def test_an_old_file_that_was_altered_is_refused_with_a_sentence(damage: object) -> None:
    old = as_version_3(run(rule("a.one", case(Status.FAILED, dialogue(reply("connect", 220))))))
    for place in ("replies", "label"):
        broken = json.loads(json.dumps(old))
        broken["rules"][0]["cases"][0]["tries"][0]["dialogues"][0][place] = damage
        if (place, damage) == ("label", "text"):
            continue
        with pytest.raises(ResultFileError, match="has wrong fields"):
            from_json(json.dumps(broken).encode(), "old.json")
    for part in ("rules", "cases", "tries", "dialogues"):
        broken = json.loads(json.dumps(old).replace(f'"{part}": [', f'"{part}": 1, "other": ['))
        with pytest.raises(ResultFileError, match="has wrong fields"):
            from_json(json.dumps(broken).encode(), "old.json")


def test_a_file_from_before_there_were_events_is_read() -> None:
    old = as_version_3(full_run(rules=5))
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


def test_a_file_that_knew_one_suite_is_read() -> None:
    result = run(rule("a.one"), rule("a.two"))
    content = json.loads(to_json(result))
    (suite,) = content.pop("suites")
    older = content | {"version": 3, "suite": {"name": suite["name"], "rules": suite["rules"]}}
    for one in older["rules"]:
        for key in ("suite", "group", "chapter"):
            del one[key]
    read = from_json(json.dumps(older).encode(), "older.json")
    assert read.suites == ({"name": "wiki", "title": "wiki", "rules": ("a.one", "a.two")},)
    assert [one.suite for one in read.rules] == ["wiki", "wiki"]
    assert [chapter.suite for chapter in read.chapters] == ["wiki"]
    with pytest.raises(ResultFileError, match="suite"):
        from_json(json.dumps(older | {"suite": ["wiki"]}).encode(), "older.json")
