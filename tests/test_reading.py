"""Files that somebody else wrote are read within bounds, and what is wrong with one is one sentence."""

import json
import os
import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.cli import main
from harness.profile.model import Profile
from harness.reference_mta.config import Config
from harness.results.store import ResultFileError, load
from harness.settings import SettingsError, read, read_toml, reading
from harness.spf_suite.suite import load as load_suite

DEEP = 10_000


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"x = " + b"[" * DEEP, "line 1: more than 40 levels within each other; write it flat"),
        (b"\nx = " + b"{a=" * DEEP, "line 2: more than 40 levels"),
        (b"\n\n" + b"a." * DEEP + b"a = 1", "line 3: more than 40 levels"),
        (b"[" + b"a." * DEEP + b"a]", "line 1: more than 40 levels"),
        (b"x = 1\ny = " + b"9" * DEEP, "line 2: a number or key of 10000 characters; at most 1000 fit"),
        (b"x = 0x" + b"f" * DEEP, "line 1: a number or key of 10002 characters"),
        (b"x = 'a'\ny = '\xff'", "line 2: the byte 0xff is not UTF-8; save the file as UTF-8"),
        ("x = 1".encode("utf-16"), "is in UTF-16; save it as UTF-8"),
        (b"x = '\0'", "is not valid TOML"),
        (b"x = ", "is not valid TOML"),
    ],
)
def test_toml_that_is_none_is_told_in_a_sentence(tmp_path: Path, content: bytes, named: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        read_toml(file)
    assert str(caught.value).startswith(f"{file}: {named}")
    assert "\n" not in str(caught.value)


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    file = tmp_path / "marked.toml"
    file.write_text("x = 1", "utf-8-sig")
    assert read_toml(file) == {"x": 1}


def test_brackets_and_dots_in_strings_and_comments_are_no_levels(tmp_path: Path) -> None:
    file = tmp_path / "flat.toml"
    many = "[." * 100
    file.write_text(
        f"a = '{many}' # {many}\nb = \"{many}\\\"[\"\nc = '''{many}\n{many}'''\nd = 1.5\n", "utf-8"
    )
    assert read_toml(file)["d"] == 1.5


@pytest.mark.parametrize("kind", ["folder", "pipe", "device", "socket", "gigabytes", "absent", "unreadable"])
def test_what_is_no_file_is_never_waited_for(tmp_path: Path, kind: str) -> None:
    place, named = tmp_path / "thing", f"is a {kind} and no file; name a file"
    with socket.socket(socket.AF_UNIX) as held:
        match kind:
            case "folder":
                place.mkdir()
            case "pipe":
                os.mkfifo(place)
            case "device":
                place = Path("/dev/zero")
            case "socket":
                held.bind(str(place))
                named = "cannot be read (No such device or address); check the path and its permissions"
            case "gigabytes":
                place.touch()
                os.truncate(place, 3 << 30)  # a hole, which takes no room
                named = "has more than 4 MiB, which no such file needs; shorten it"
            case "absent":
                named = "there is no such file; check the path"
            case "unreadable":
                place = tmp_path / "loop"
                place.symlink_to(place)
                named = "cannot be read (Too many levels of symbolic links)"
        with pytest.raises(SettingsError) as caught:
            read_toml(place)
        assert str(caught.value).startswith(f"{place}: {named}")


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":' * 100_000, b"1" * DEEP, b"\xff", b"", b"[]"])
def test_a_result_file_that_is_none_is_told_in_a_sentence(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "run.json"
    file.write_bytes(content)
    with pytest.raises(ResultFileError) as caught:
        load(file)
    assert str(caught.value).startswith(f"{file}: ")
    assert "; " in str(caught.value)


def test_a_result_file_with_deep_values_is_told_in_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    head = {"format": "smtp-harness/results", "version": 2}
    file.write_text(json.dumps(head)[:-1] + ', "rules": ' + "[" * 900 + "]" * 900 + "}", "utf-8")
    with pytest.raises(ResultFileError, match="take the file as it was written"):
        load(file)


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('"rules": [{}, {"id": "\\ud800"}]', "has wrong fields: rules.1.id: has half of a character (a lone"),
        ('"rules": [{"\\udfff": 5}]', "has wrong fields: a key of rules.0: has half of a character"),
        ('"\\udfff": 5', "has wrong fields: a key: has half of a character"),
        ('"name": "\\ud83d\\ude00"', "has wrong fields: started: Field required"),
    ],
)
def test_half_a_character_in_a_result_file_is_told_with_its_field(
    tmp_path: Path, text: str, named: str
) -> None:
    file = tmp_path / "run.json"
    file.write_text(f'{{"format": "smtp-harness/results", "version": 4, {text}}}', "utf-8")
    with pytest.raises(ResultFileError) as caught:
        load(file)
    assert named in str(caught.value)
    assert str(caught.value).endswith("; take the file as it was written, or run again")


@pytest.mark.parametrize("place", ["/dev/zero", "pipe", "."])
def test_a_result_file_is_a_file(tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    with pytest.raises(ResultFileError, match="and no file; name a file"):
        load(Path(place))


def test_commands_tell_it_in_one_line_and_end_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for words in (
        ["doctor", str(pipe)],
        ["compare", str(pipe), str(pipe)],
        ["mta", str(pipe)],
        ["spf-suite", str(pipe)],
    ):
        assert main(words) == 2
        assert capsys.readouterr().err.count("\n") == 1


SLOW = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
WORDS = st.sampled_from(
    [
        "[",
        "]",
        "{",
        "}",
        "=",
        ".",
        ",",
        '"',
        "'",
        '"""',
        "#",
        "\n",
        "a",
        "server",
        "port",
        "9" * 50,
        "true",
        "1979-05-27",
    ]
)


@SLOW
@given(
    st.one_of(
        st.binary(max_size=200), st.lists(WORDS, max_size=60).map(lambda words: "".join(words).encode())
    )
)
def test_whatever_stands_in_a_file_is_read_or_told(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "any"
    file.write_bytes(content)
    for model in (Profile, Config):
        with pytest.raises(SettingsError) as caught:
            read(file, model)
        assert str(caught.value).startswith(str(file))
    with pytest.raises(SettingsError):
        load_suite(file)
    with pytest.raises(ResultFileError):
        load(file)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@SLOW
@given(VALUES)
def test_whatever_stands_in_a_result_file_is_told(tmp_path: Path, value: object) -> None:
    file = tmp_path / "any.json"
    head = {"format": "smtp-harness/results", "version": 2, "rules": value}
    file.write_text(json.dumps(head), "utf-8")
    with pytest.raises(ResultFileError) as caught:
        load(file)
    assert "; " in str(caught.value)


def test_a_bound_is_one_byte_sharp(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 1024)
    assert reading.content(file, 1024) == b"x" * 1024
    file.write_bytes(b"x" * 1025)
    with pytest.raises(reading.UnreadableError, match="more than 1 KiB"):
        reading.content(file, 1024)
