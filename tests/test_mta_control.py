"""The control channel: every operation, every mistake, and the end."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.reference_mta.config import Config
from harness.reference_mta.control import Control
from harness.reference_mta.defects import find
from harness.reference_mta.greylist import LISTS, Greylist, Times, Triplet
from harness.reference_mta.mail.queue_commands import QueueCommands
from harness.reference_mta.mail.srs import Srs
from harness.reference_mta.policy import Policy
from harness.reference_mta.reached import Reached
from tests.mta_process import FROM, STRANGER, TO, RunningMta, running_mta

TRIPLET = {"client": STRANGER, "sender": "sender@client.example", "recipient": "alice@castle.example"}
CONFIG = Config.model_validate(
    {
        "server": {"hostname": "mail.castle.example", "state": "no-such-state"},
        "dns": {"server": "127.0.0.1:53"},
        "domain": [{"name": "castle.example"}],
        "srs": {"secret": "hush"},
    }
)


async def nameless(client: str) -> str:
    return ""


OTHERS = (QueueCommands(CONFIG.server.state), Srs(CONFIG), nameless)
STUBBORN = find("greylist.manual:off")
NEVER = Times(60, 28800, 5184000)


@pytest.fixture(scope="module")
def mta(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMta]:
    with running_mta(tmp_path_factory.mktemp("mta")) as running:
        yield running
        assert running.ask(op="stop") == {"ok": True}
        assert running.process.wait(10) == 0


@pytest.fixture(autouse=True)
def _forget(mta: RunningMta) -> None:
    """No triplet of the test before."""
    mta.ask(op="outage", client=STRANGER, on=False)
    for which in LISTS:
        for entry in mta.ask(op="greylist", action="list", list=which)["entries"]:
            mta.ask(op="greylist", action="remove", list=which, **entry)


def attempt(mta: RunningMta) -> int:
    """The reply code of a stranger's RCPT."""
    with mta.connect(STRANGER) as client:
        client.greet()
        assert client.code(FROM) == 250
        return client.code(TO)


def test_time_is_advanced_for_a_client(mta: RunningMta) -> None:
    assert attempt(mta) == 451
    assert mta.ask(op="advance", client="192.0.2.8", seconds=61) == {"ok": True}
    assert attempt(mta) == 451
    assert mta.ask(op="advance", client=STRANGER, seconds=61) == {"ok": True}
    assert attempt(mta) == 250


@pytest.mark.parametrize(("which", "code"), [("white", 250), ("black", 550), ("grey", 451)])
def test_entries_are_added_listed_and_removed(mta: RunningMta, which: str, code: int) -> None:
    assert mta.ask(op="greylist", action="add", list=which, **TRIPLET) == {"ok": True}
    assert attempt(mta) == code
    listing = {"op": "greylist", "action": "list", "list": which}
    assert mta.ask(**listing) == {"ok": True, "entries": [TRIPLET]}
    assert mta.ask(**listing, client=STRANGER) == {"ok": True, "entries": [TRIPLET]}
    assert mta.ask(**listing, client="192.0.2.8") == {"ok": True, "entries": []}
    assert mta.ask(op="greylist", action="remove", list=which, **TRIPLET) == {"ok": True}
    assert mta.ask(**listing) == {"ok": True, "entries": []}


def test_an_outage_begins_and_ends(mta: RunningMta) -> None:
    assert attempt(mta) == 451
    assert mta.ask(op="outage", client=STRANGER, on=True) == {"ok": True}
    assert attempt(mta) == 250, "mail passes while the store is out of reach"
    assert "UnreachableError" in mta.ask(op="greylist", action="add", list="white", **TRIPLET)["error"]
    assert mta.ask(op="outage", client=STRANGER, on=False) == {"ok": True}
    assert attempt(mta) == 451


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        ({"op": "reboot"}, "reboot"),
        ({}, "op"),
        ({"op": ["advance"]}, "TypeError"),
        ({"op": "advance", "client": STRANGER}, "seconds"),
        ({"op": "advance", "client": STRANGER, "seconds": "soon"}, "soon"),
        ({"op": "greylist", "action": "list", "list": "pink"}, "pink"),
        ({"op": "greylist", "action": "paint", "list": "white", **TRIPLET}, "paint"),
        ({"op": "greylist", "action": "add", "list": "white", "client": STRANGER}, "sender"),
        ({"op": "greylist", "action": "add", "list": "white", **TRIPLET, "sender": 7}, "AttributeError"),
        ({"op": "greylist"}, "list"),
        ({"op": "outage", "client": STRANGER}, "on"),
    ],
)
def test_mistakes_are_told(mta: RunningMta, request_: dict[str, Any], named: str) -> None:
    answer = mta.ask(**request_)
    assert list(answer) == ["error"]
    assert named in answer["error"]


@pytest.mark.parametrize(
    "line", ["", "{", "reboot", "[]", "7", "null", '"stop"', '{"op": "stop"', "[" * 5000]
)
def test_what_is_no_request_is_told(mta: RunningMta, line: str) -> None:
    assert list(mta.control(line)) == ["error"]
    assert mta.ask(op="advance", client="192.0.2.9", seconds=1) == {"ok": True}


@given(st.binary(max_size=60))
def test_any_line_gets_one_answer(line: bytes) -> None:
    store = Greylist(Path(":memory:"), NEVER)
    answer, go_on = asyncio.run(Control(store, *OTHERS).answer(line))
    assert go_on
    assert list(json.loads(json.dumps(answer))) == ["error"]
    store.close()


def test_the_defect_that_keeps_entries() -> None:
    store = Greylist(Path(":memory:"), NEVER)
    store.add("white", Triplet(**TRIPLET))
    removal = json.dumps({"op": "greylist", "action": "remove", "list": "white", **TRIPLET}).encode()
    assert asyncio.run(
        Control(store, *OTHERS, parts=STUBBORN.change(Policy()).greylisting).answer(removal)
    ) == ({"ok": True}, True)
    assert len(store.entries("white")) == 1
    assert asyncio.run(Control(store, *OTHERS).answer(removal)) == ({"ok": True}, True)
    assert store.entries("white") == []
    store.close()


def test_which_parts_were_reached_and_for_whom_is_told_where_it_is_noted() -> None:
    store, reached = Greylist(Path(":memory:"), NEVER), Reached(lambda: "")
    policy = STUBBORN.watch(Policy(note=reached.note))
    control = Control(store, *OTHERS, parts=policy.greylisting, reached=reached)
    removal = {"op": "greylist", "action": "remove", "list": "white", **TRIPLET}
    asyncio.run(control.answer(json.dumps(removal).encode()))
    told, _ = asyncio.run(control.answer(b'{"op": "reached"}'))
    assert told["parts"] == {"greylist.manual:off": sorted([STRANGER, TRIPLET["sender"]])}
    assert "error" in asyncio.run(Control(store, *OTHERS).answer(b'{"op": "reached"}'))[0]
    store.close()


def test_the_process_ends_when_its_starter_leaves(tmp_path: Path) -> None:
    with running_mta(tmp_path) as mta, mta.connect(STRANGER) as client:
        client.greet()
        assert mta.process.stdin is not None
        mta.process.stdin.close()
        assert mta.process.wait(10) == 0
        assert client.reply() == ""
    assert (tmp_path / "mta.log").read_text("utf-8") == ""


def test_the_process_ends_on_a_signal(tmp_path: Path) -> None:
    with running_mta(tmp_path) as mta:
        mta.process.terminate()
        assert mta.process.wait(10) == 0
    assert (tmp_path / "mta.log").read_text("utf-8") == ""
