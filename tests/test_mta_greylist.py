"""The greylist: its judgement with the clock passed in, its memory, and the operator's hand on it."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.reference_mta.__main__ import main
from harness.reference_mta.greylist import (
    LISTS,
    Greylist,
    GreylistEntry,
    Standing,
    Times,
    Triplet,
    UnreachableError,
    judge,
)
from harness.reference_mta.operator import DATABASE

TIMES = Times(delay=60, timeout=28800, lifetime=5184000)
TRIPLET = Triplet.of("192.0.2.7", "Sender@Client.Example", "alice@castle.example")
MOMENTS = st.floats(0, 2e9, allow_nan=False)
WRITER = """
import sys
from pathlib import Path
from harness.reference_mta.greylist import Greylist, Times, Triplet
store = Greylist(Path(sys.argv[1]), Times(60, 28800, 5184000))
number = 0
while True:
    store.add("white", Triplet.of("192.0.2.7", f"s{number}@client.example", "alice@castle.example"))
    print(number, flush=True)
    number += 1
"""


CONFIGURATION = """
[server]
hostname = "mail.castle.example"
state = "{state}"

[dns]
server = "127.0.0.1:5353"

[[domain]]
name = "castle.example"
"""


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path, clock: Clock) -> Iterator[Greylist]:
    greylist = Greylist(tmp_path / DATABASE, TIMES, clock)
    yield greylist
    greylist.close()


def attempt(store: Greylist, triplet: Triplet = TRIPLET) -> Standing:
    standing = store.look(triplet)
    store.note(triplet, standing)
    return standing


@pytest.mark.parametrize(
    ("which", "waited", "expected"),
    [
        ("grey", 0, Standing.EARLY),
        ("grey", 60, Standing.EARLY),
        ("grey", 60.001, Standing.RIPE),
        ("grey", 28800, Standing.RIPE),
        ("grey", 28800.001, Standing.EXPIRED),
        ("white", 5184000, Standing.KNOWN),
        ("white", 5184000.001, Standing.LAPSED),
        ("black", 0, Standing.BLACK),
        ("black", 1e9, Standing.BLACK),
    ],
)
def test_the_limits_are_judged_exactly(which: str, waited: float, expected: Standing) -> None:
    assert judge(GreylistEntry(TRIPLET, which, 0.0, 0.0), waited, TIMES) is expected


def test_what_is_on_no_list_is_new() -> None:
    assert judge(None, 0.0, TIMES) is Standing.NEW


@given(st.sampled_from(LISTS), MOMENTS, MOMENTS, MOMENTS)
def test_a_standing_belongs_to_its_list(which: str, first: float, last: float, now: float) -> None:
    possible = {
        "grey": {Standing.EARLY, Standing.RIPE, Standing.EXPIRED},
        "white": {Standing.KNOWN, Standing.LAPSED},
        "black": {Standing.BLACK},
    }
    assert judge(GreylistEntry(TRIPLET, which, first, last), now, TIMES) in possible[which]


@given(st.sampled_from(["grey", "white"]), st.lists(st.integers(0, 10**7), min_size=2))
def test_time_moves_a_standing_forward_only(which: str, moments: list[int]) -> None:
    order = [Standing.EARLY, Standing.RIPE, Standing.EXPIRED, Standing.KNOWN, Standing.LAPSED]
    entry = GreylistEntry(TRIPLET, which, 0.0, 0.0)
    reached = [order.index(judge(entry, float(moment), TIMES)) for moment in sorted(moments)]
    assert reached == sorted(reached)


def test_a_patient_client_becomes_known(store: Greylist, clock: Clock) -> None:
    assert attempt(store) is Standing.NEW
    clock.now += 30
    assert attempt(store) is Standing.EARLY
    clock.now += 31  # counted from the first attempt
    assert attempt(store) is Standing.RIPE
    assert attempt(store) is Standing.KNOWN


def test_looking_changes_nothing(store: Greylist) -> None:
    assert store.look(TRIPLET) is Standing.NEW
    assert store.look(TRIPLET) is Standing.NEW
    assert [store.entries(which) for which in LISTS] == [[], [], []]


def test_use_moves_the_expiry_on_and_disuse_starts_over(store: Greylist, clock: Clock) -> None:
    store.add("white", TRIPLET)
    for _ in range(3):
        clock.now += 5_000_000
        assert attempt(store) is Standing.KNOWN
    clock.now += 5_184_001
    assert attempt(store) is Standing.LAPSED
    assert attempt(store) is Standing.EARLY


def test_a_late_retry_starts_over(store: Greylist, clock: Clock) -> None:
    attempt(store)
    clock.now += 28801
    assert attempt(store) is Standing.EXPIRED
    assert attempt(store) is Standing.EARLY
    clock.now += 61
    assert attempt(store) is Standing.RIPE


def test_the_black_list_forgets_nothing(store: Greylist, clock: Clock) -> None:
    store.add("black", TRIPLET)
    clock.now += 1e9
    assert attempt(store) is Standing.BLACK
    assert attempt(store) is Standing.BLACK


@pytest.mark.parametrize(
    "other",
    [
        Triplet.of("192.0.2.8", TRIPLET.sender, TRIPLET.recipient),
        Triplet.of(TRIPLET.client, "", TRIPLET.recipient),
        Triplet.of(TRIPLET.client, TRIPLET.sender, "bruno@castle.example"),
    ],
)
def test_every_part_of_a_triplet_counts(store: Greylist, other: Triplet) -> None:
    store.add("white", TRIPLET)
    assert store.look(other) is Standing.NEW


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_letter_case_does_not_count(client: str, sender: str, recipient: str) -> None:
    kept = Triplet.of(client, sender, recipient)
    assert Triplet.of(kept.client, kept.sender, kept.recipient) == kept
    assert kept.sender == sender.lower()


@given(st.lists(st.tuples(st.sampled_from(LISTS), st.integers(0, 3), st.integers(0, 2)), max_size=12))
def test_a_triplet_is_on_one_list_at_a_time(changes: list[tuple[str, int, int]]) -> None:
    store = Greylist(Path(":memory:"), TIMES, Clock())
    expected: dict[Triplet, str] = {}
    for which, client, sender in changes:
        triplet = Triplet.of(f"192.0.2.{client}", f"s{sender}@client.example", "alice@castle.example")
        store.add(which, triplet)
        expected[triplet] = which
    found = {entry.triplet: which for which in LISTS for entry in store.entries(which)}
    assert found == expected
    store.close()


def test_quotes_in_an_address_are_data(store: Greylist) -> None:
    nasty = Triplet.of("192.0.2.7", "'; DROP TABLE triplet; --@x.example", "a\"'@castle.example")
    store.add("white", nasty)
    assert [entry.triplet for entry in store.entries("white")] == [nasty]


def test_removal_tells_whether_it_was_there(store: Greylist) -> None:
    store.add("white", TRIPLET)
    assert not store.remove("black", TRIPLET)
    assert store.remove("white", TRIPLET)
    assert not store.remove("white", TRIPLET)
    assert store.look(TRIPLET) is Standing.NEW


def test_time_advances_for_one_client(store: Greylist) -> None:
    other = Triplet.of("2001:DB8::7", TRIPLET.sender, TRIPLET.recipient)
    attempt(store), attempt(store, other)
    store.advance("2001:db8::7", 61)
    assert store.look(TRIPLET) is Standing.EARLY
    assert store.look(other) is Standing.RIPE


def test_the_list_survives_a_new_start(tmp_path: Path, clock: Clock) -> None:
    first = Greylist(tmp_path / DATABASE, TIMES, clock)
    attempt(first)
    first.close()
    clock.now += 61
    second = Greylist(tmp_path / DATABASE, TIMES, clock)
    assert attempt(second) is Standing.RIPE
    second.close()


def test_a_killed_process_forgets_nothing(tmp_path: Path) -> None:
    file = tmp_path / DATABASE
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(file)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        told = [int(writer.stdout.readline()) for _ in range(200)]
        writer.send_signal(signal.SIGKILL)
        told += [int(line) for line in writer.stdout.read().splitlines()]
    assert writer.returncode == -signal.SIGKILL
    store = Greylist(file, TIMES)
    kept = {entry.triplet.sender for entry in store.entries("white")}
    store.close()
    assert {f"s{number}@client.example" for number in told} <= kept


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(UnreachableError, match="absent"):
        Greylist(tmp_path / "absent" / DATABASE, TIMES)


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_bytes(b"no database at all " * 100)
    with pytest.raises(UnreachableError, match="not a database"):
        Greylist(tmp_path / DATABASE, TIMES)


def test_a_store_out_of_reach_is_told_and_comes_back(store: Greylist) -> None:
    store.cut(TRIPLET.client, off=True)
    for use in (
        lambda: store.look(TRIPLET),
        lambda: store.add("white", TRIPLET),
        lambda: store.remove("white", TRIPLET),
        lambda: store.entries("white", TRIPLET.client),
    ):
        with pytest.raises(UnreachableError):
            use()
    assert store.look(Triplet.of("192.0.2.8", "", "")) is Standing.NEW
    store.cut(TRIPLET.client, off=False)
    assert store.look(TRIPLET) is Standing.NEW


def test_a_closed_store_is_out_of_reach(tmp_path: Path) -> None:
    store = Greylist(tmp_path / DATABASE, TIMES)
    store.close()
    with pytest.raises(UnreachableError):
        store.look(TRIPLET)


# The operator's command line


def configuration(folder: Path) -> str:
    """The file of a server whose state is in that folder."""
    file = folder / "mta.toml"
    file.write_text(CONFIGURATION.format(state=folder), "utf-8")
    return str(file)


@pytest.fixture
def config(tmp_path: Path) -> str:
    Greylist(tmp_path / DATABASE, TIMES).close()
    return configuration(tmp_path)


def test_an_operator_adds_lists_and_removes(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    triplet = [config, "black", "192.0.2.7", "Sender@Client.Example", "alice@castle.example"]
    assert main(["greylist", "add", *triplet]) == 0
    assert main(["greylist", "list", config, "black"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("black 192.0.2.7 <sender@client.example> <alice@castle.example> since ")
    assert main(["greylist", "list", config, "black", "192.0.2.8"]) == 0
    assert main(["greylist", "list", config, "white"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["greylist", "remove", *triplet]) == 0
    assert main(["greylist", "remove", *triplet]) == 1
    assert "no such entry on the black list" in capsys.readouterr().out


@pytest.mark.parametrize("action", ["add", "remove"])
@pytest.mark.parametrize("given", [[], ["192.0.2.7"], ["192.0.2.7", "s@client.example"]])
def test_a_triplet_must_be_whole(
    config: str, action: str, given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["greylist", action, config, "white", *given])
    assert ended.value.code == 2
    assert "are required: " in capsys.readouterr().err
    assert main(["greylist", "list", config, "white"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["drop", "{config}", "white"], "drop"),
        (["list", "{config}", "pink"], "pink"),
    ],
)
def test_an_operators_mistakes_are_named(
    config: str, arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["greylist", *(argument.format(config=config) for argument in arguments)])
    assert ended.value.code == 2
    assert named in capsys.readouterr().err


def test_a_server_that_has_not_run_has_no_greylist(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["greylist", "list", configuration(tmp_path), "white"]) == 2
    assert f"has no {DATABASE}; start the server once" in capsys.readouterr().err
    assert main(["greylist", "list", f"{tmp_path}/none.toml", "white"]) == 2
    assert "none.toml" in capsys.readouterr().err


def test_entries_are_listed_for_programs(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["greylist", "add", config, "grey", "192.0.2.7", "", "c@d.example"]) == 0
    assert main(["greylist", "list", config, "grey", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    wanted = {"list": "grey", "client": "192.0.2.7", "sender": "", "recipient": "c@d.example"}
    assert {key: entry[key] for key in wanted} == wanted


def test_a_broken_database_is_told_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / DATABASE).write_bytes(b"no database at all " * 100)
    assert main(["greylist", "list", configuration(tmp_path), "white"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
