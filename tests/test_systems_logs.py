"""What is kept of a sandbox in which something died: the ends of its logs, of the latest ones only."""

from pathlib import Path

import pytest

from harness.systems import logs
from harness.systems.logs import Death

GONE = Death("greylistd", 1, "out of memory")


def test_logs_are_kept_below_their_names_and_large_ones_by_their_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(logs, "LARGEST", 4)
    written, where = tmp_path / "log", logs.folder(tmp_path / "sandbox", 12)
    (written / "exim4").mkdir(parents=True)
    (written / "exim4" / "mainlog").write_text("what comes last", "utf-8")
    (written / "link").symlink_to("/etc/hostname")
    logs.keep(written, where, [GONE, Death("spamd", -11, "nothing")])
    assert (where / "exim4" / "mainlog").read_text("utf-8") == "last"
    assert not (where / "link").exists()
    assert logs.told(where) == (
        "greylistd ended with 1: out of memory\nspamd was killed by signal 11: nothing\n"
        f"the logs of that sandbox are in {tmp_path}/logs/12/"
    )


def test_only_the_latest_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(logs, "KEPT", 2)
    (tmp_path / "log").mkdir()
    for process in (3, 1, 2):
        logs.keep(tmp_path / "log", logs.folder(tmp_path / "sandbox", process), [GONE])
    assert {folder.name for folder in (tmp_path / "logs").iterdir()} == {"1", "2"}


def test_nothing_is_told_where_nobody_died(tmp_path: Path) -> None:
    assert logs.told(tmp_path) == ""


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (b"", "it printed nothing"),
        (b"up\r\n\xff\x1b]0;title\x07\xe2\x80\xae\n", "up\\r\n\ufffd\\x1b]0;title\\x07\\u202e"),
        (b"a" * 100000 + "\u00e9".encode() * 20, "a" * 1480 + "\u00e9" * 20),
    ],
    ids=["nothing", "escapes", "much"],
)
def test_the_end_of_a_log_is_harmless(tmp_path: Path, written: bytes, told: str) -> None:
    (tmp_path / "log").write_bytes(written)
    assert logs.tail(tmp_path / "log") == told
