"""One object makes a form of report known to all who write and show them."""

from pathlib import Path

import pytest

from harness.results import formats
from harness.results.filing import Filing
from harness.results.formats import FORMATS, shown
from harness.results.model import Status
from harness.results.report_format import Format, View
from tests.result_builder import case, rule, run

WORD = Format("word", ".txt", lambda run, _: run.name.encode())
LAMP = Format("lamp", "", lambda run, view: f"{run.counts[Status.PASSED]} of {view.width}".encode())


@pytest.mark.parametrize(("data_alone", "suffixes"), [(False, {".html", ".json", ".txt"}), (True, {".json"})])
def test_a_form_with_a_suffix_has_its_file_and_the_latest(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, data_alone: bool, suffixes: set[str]
) -> None:
    monkeypatch.setattr(formats, "FORMATS", (*FORMATS, WORD, LAMP))
    result = run(rule("a.one", case(Status.PASSED)))
    filing = Filing(tmp_path, data_alone=data_alone)
    filing.take(result)
    assert {path.suffix for path in filing.written} == suffixes
    assert {path.suffix for path in tmp_path.glob("latest.*")} == suffixes
    assert data_alone or (tmp_path / "latest.txt").read_text("utf-8") == result.name
    assert filing.written[0].suffix == ".json"  # which is read back


def test_a_form_without_a_suffix_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "FORMATS", (*FORMATS, WORD, LAMP))
    table, _, last = shown(run(rule("a.one", case(Status.PASSED))), View(70)).rpartition("\n")
    assert last == "1 of 70"
    assert "not testable" in table
