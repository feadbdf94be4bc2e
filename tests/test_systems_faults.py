"""A real server that breaks down, before a run or in the middle of it: what is said, and what never is."""

import contextlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.results.model import RunResult, Status
from harness.results.store import load, newest
from harness.systems import commands, sandbox
from harness.systems.image import Image
from harness.systems.sandbox import Sandbox, SandboxError
from harness.systems.system import Parameters, System

PROFILE, DESCRIPTION = "profile.toml", "system.toml"
ALL_BUT_EXIM = ("greylistd", "spamd")
NAMESPACES = ("mnt", "net", "pid")
QUICK = "(test_bounce_to_one_who_never_sends and castle and not TLS)"  # refused at once, and the first
HELD = "localbox or test_name_that_does_not_resolve"  # for as long as the delay is

IMPATIENT = {"root/etc/exim4/exim4.conf": [("DELAY = @delay@s", "DELAY = 0s")]}  # for rules without delays

Edits = dict[str, list[tuple[str, str]]]  # file of the system -> what is replaced by what
Start = Callable[..., AbstractContextManager[Sandbox]]

LETS_GO = """
import socket, time
deadline = time.monotonic() + 20
while True:
    try:
        socket.create_server(("127.0.0.1", 25)).close()
        break
    except OSError:
        assert time.monotonic() < deadline
        time.sleep(0.02)
"""  # Exim waits for 30 seconds when the port is not free yet
COMES_UP = """
import socket, time
deadline = time.monotonic() + 20
while True:
    try:
        socket.create_connection(("127.0.0.1", 25), 1).close()
        break
    except ConnectionRefusedError:
        assert time.monotonic() < deadline
        time.sleep(0.02)
"""
HOLDS_THE_PORT = """
import signal, socket
listener = socket.create_server(("127.0.0.1", 25))
signal.pause()
"""


def _obstacle() -> str:
    return sandbox.obstacle() or Image(System.named("exim")).missing


pytestmark = pytest.mark.skipif(bool(_obstacle()), reason=_obstacle() or "it can be made")


@dataclass(frozen=True)
class Ended:
    """A run that is over: exit status, results, and what was printed."""

    status: int
    result: RunResult
    printed: str

    @property
    def rules(self) -> dict[str, Status]:
        return {rule.id: rule.status for rule in self.result.rules}

    @property
    def note(self) -> str:
        """Why not everything was tried."""
        return " ".join(self.result.notes)

    def first_doubt(self, rule: str) -> str:
        """Why the first try of a rule's first case proved nothing."""
        (found,) = [one for one in self.result.rules if one.id == rule]
        return found.cases[0].tries[0].reason


Run = Callable[..., Ended]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Starts Exim in a sandbox, with some of its files edited; nothing of it is left afterwards."""

    @contextlib.contextmanager
    def running(
        *, delay: int = 1, without: tuple[str, ...] = ALL_BUT_EXIM, edits: Edits | None = None
    ) -> Iterator[Sandbox]:
        original = System.named("exim")
        folder = tmp_path / "exim"
        shutil.copytree(original.folder, folder, symlinks=True)
        for name, pairs in (edits or {}).items():
            text = (folder / name).read_text("utf-8")
            for old, new in pairs:
                assert text.count(old) == 1, old
                text = text.replace(old, new)
            (folder / name).write_text(text, "utf-8")
        place = tmp_path / "place"
        place.mkdir()
        with contextlib.ExitStack() as stack:
            with sandbox.running(
                System.at(folder), Image(original).archive, place, Parameters(delay), without
            ) as box:
                inside = Path(f"/proc/{box.pid}")
                for kind in NAMESPACES:  # held open, so that no other sandbox gets its number
                    stack.enter_context((inside / "ns" / kind).open("rb"))
                seen = set(_namespaces_of(inside))
                yield box
            assert _inhabitants(seen) == []
            assert str(place) not in Path("/proc/mounts").read_text("utf-8")

    return running


@pytest.fixture
def run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs some scenarios in a sandbox; the commands in `fault` are run after the first try."""

    def scenarios(box: Sandbox, select: str, *options: str, fault: list[list[str]] | None = None) -> Ended:
        reports = tmp_path / "reports"
        arguments = ["-p", "tests.fault_plugin", f"--fault={json.dumps(fault or [])}", "-k", select]
        status = commands.run_scenarios(
            box, Path("scenarios"), [*arguments, f"--reports={reports}", *options]
        )
        printed = capfd.readouterr()
        return Ended(status, load(newest(reports)), printed.out + printed.err)

    return scenarios


def _namespaces_of(process: Path) -> Iterator[str]:
    for kind in NAMESPACES:
        with contextlib.suppress(OSError):  # it ends meanwhile, or belongs to the system
            yield (process / "ns" / kind).readlink().name


def _inhabitants(namespaces: set[str]) -> list[str]:
    """Processes that live in one of these namespaces."""
    processes = Path("/proc").glob("[0-9]*")
    return [process.name for process in processes if not namespaces.isdisjoint(_namespaces_of(process))]


def service(box: Sandbox, program: str) -> int:
    """The process, as the host counts, of a service; it leads a process group of its own."""
    children = Path(f"/proc/{box.pid}/task/{box.pid}/children").read_text("ascii").split()
    lines = {int(child): Path(f"/proc/{child}/cmdline").read_text("utf-8") for child in children}
    (found,) = [child for child, line in lines.items() if program in line]
    return found


def signalled(name: str, group: int) -> list[str]:
    return ["kill", f"-{name}", "--", f"-{group}"]


def test_a_server_that_is_killed(start: Start, run: Run) -> None:
    with start(delay=8) as box:
        ended = run(box, f"{QUICK} or {HELD}", fault=[signalled("KILL", service(box, "exim4"))])
    assert ended.status == 1
    assert ended.rules == {
        "bounce.bogus": Status.PASSED,
        "helo.not-fqdn": Status.INCONCLUSIVE,
        "helo.dns-mismatch": Status.INCONCLUSIVE,
    }
    assert "at helo there was no reply: the server closed the connection" in ended.first_doubt(
        "helo.not-fqdn"
    )
    assert "in the middle of the run an innocent client got no further than connect" in ended.note
    assert "nobody listens at 127.0.0.1:25" in ended.note
    assert "Not everything was tried: in the middle of the run" in ended.printed


def test_a_server_that_hangs(start: Start, run: Run) -> None:
    impatient = {PROFILE: [("reply_timeout = 60.0", "reply_timeout = 1.0"), ("scan = 15.0", "scan = 1.0")]}
    with start(edits=impatient) as box:
        stop = [signalled("STOP", service(box, "exim4"))]
        ended = run(box, f"{QUICK} or test_user_that_nobody_knows", "--jobs=1", fault=stop)
    assert ended.status == 1
    assert ended.rules == {"bounce.bogus": Status.PASSED, "rcpt.unknown-user": Status.INCONCLUSIVE}
    assert ended.first_doubt("rcpt.unknown-user") == (
        "expected deny at rcpt, but at connect there was "
        "no reply: no whole reply to the greeting came in time; "
        "afterwards an innocent client got no further than connect: "
        "no whole reply to the greeting came in time"
    )


def test_a_server_that_is_restarted(start: Start, run: Run) -> None:
    with start(delay=5, without=("spamd",)) as box:  # without any service left the sandbox ends
        restart = [
            signalled("KILL", service(box, "exim4")),
            [sys.executable, "-c", LETS_GO],
            [*box.enter, "exim4", "-bd"],
            [sys.executable, "-c", COMES_UP],
        ]
        ended = run(box, f"{QUICK} or {HELD}", fault=restart)
    assert ended.rules.pop("bounce.bogus") is Status.PASSED
    assert "no reply" in ended.first_doubt("helo.not-fqdn")
    assert set(ended.rules.values()) <= {Status.PASSED, Status.INCONCLUSIVE}
    assert ended.status == (1 if Status.INCONCLUSIVE in ended.rules.values() else 0)
    assert "in the middle of the run" not in ended.note
    assert "dialogues were lost without a reason" in ended.note


def test_a_full_disk(start: Start, run: Run) -> None:
    with start(edits=IMPATIENT) as box:
        small = "mount -t tmpfs -o size=12m,mode=1777 spool /var/spool/exim4"
        subprocess.run([*box.enter, "sh", "-ec", small], check=True)
        fill = [*box.enter, "sh", "-c", "! cat /dev/zero > /var/spool/exim4/full 2> /dev/null"]
        ended = run(
            box, f"{QUICK} or test_user_that_nobody_knows or test_confirmed_host", "--jobs=1", fault=[fill]
        )
    assert ended.status == 1
    assert ended.rules == {
        "bounce.bogus": Status.PASSED,
        "connect.rdns-confirmed": Status.PASSED,
        "rcpt.unknown-user": Status.INCONCLUSIVE,
    }
    assert "at mail the server said 452 Space shortage" in ended.first_doubt("rcpt.unknown-user")


def test_dns_out_of_reach(start: Start, run: Run) -> None:
    with start(edits=IMPATIENT) as box:
        elsewhere = f"echo nameserver 127.0.0.9 > {box.root}/etc/resolv.conf"
        ended = run(
            box,
            f"{QUICK} or test_no_list_is_asked_after_enough_hits",
            "--jobs=1",
            fault=[["sh", "-c", elsewhere]],
        )
    assert ended.status == 1
    assert ended.rules == {"bounce.bogus": Status.PASSED, "dnsbl.threshold-stops": Status.INCONCLUSIVE}
    doubt = ended.first_doubt("dnsbl.threshold-stops")
    assert doubt.startswith("expected delay+drop at rcpt, but at rcpt the server said 250")
    assert "no list was asked about" in doubt
    assert "as it was at the beginning" in doubt


def test_dns_out_of_reach_from_the_beginning(start: Start, run: Run) -> None:
    with start(edits=IMPATIENT) as box:
        (box.root / "etc/resolv.conf").write_text("nameserver 127.0.0.9\n")
        ended = run(box, QUICK)
    assert ended.status == 1
    assert ended.rules == {"bounce.bogus": Status.INCONCLUSIVE}
    assert "it asked our DNS nothing in a whole dialogue" in ended.note


def test_spamassassin_is_killed(start: Start, run: Run) -> None:
    with start(without=("greylistd",), edits=IMPATIENT) as box:
        kill = signalled("KILL", service(box, "spamd"))
        select = "test_attached_program or test_address_header or test_message_of_a_client_on_no_list"
        ended = run(box, select, "--jobs=1", fault=[kill])
        maildir = box.root / "var/mail/castle.example/alice/new"
        classified = ["X-Spam-Status" in mail.read_text("utf-8") for mail in maildir.iterdir()]
    assert ended.status == 0
    assert set(ended.rules.values()) == {Status.PASSED}
    assert {True, False} == set(classified)


def test_greylistd_is_killed(start: Start, run: Run) -> None:
    others = "test_user_that_nobody_knows or test_client_on_no_list"
    with start(without=("spamd",), edits=IMPATIENT) as box:
        kill = signalled("KILL", service(box, "greylistd"))
        resting = "test_unknown_triplet or test_retry_at_once or test_host_on_the_whitelist"
        ended = run(box, f"{QUICK} or {others} or {resting}", "--jobs=1", fault=[kill])
    assert ended.status == 1
    assert "are not greylisted at rcpt, other than at the beginning" in " ".join(ended.printed.split())
    assert ended.rules == {
        "bounce.bogus": Status.PASSED,
        "dnsbl.none": Status.PASSED,
        "rcpt.unknown-user": Status.PASSED,
        "greylist.first-defer": Status.INCONCLUSIVE,  # it was there at the beginning, and is out of order
        "greylist.early-retry": Status.INCONCLUSIVE,
        "greylist.host-whitelist": Status.INCONCLUSIVE,
    }
    assert "the first attempt of an unknown triplet was not deferred" in ended.first_doubt(
        "greylist.host-whitelist"
    )


def test_nobody_gets_through_without_the_greylist(start: Start, run: Run) -> None:
    defers = """  defer   condition   = ${if !exists{GREYLISTD}}

  # greylist.blacklisted
"""
    edits = {"root/etc/exim4/exim4.conf": [("  # greylist.blacklisted\n", defers)]}
    with start(without=("spamd",), edits=edits) as box:
        ended = run(box, "test_store_out_of_reach")
    assert ended.rules == {"greylist.daemon-down": Status.FAILED}  # the profile promises that mail is taken
    assert "expected pass at rcpt, but at rcpt the server said 451" in ended.first_doubt(
        "greylist.daemon-down"
    )


def test_a_port_that_is_taken(start: Start) -> None:
    holder = f"""
[[service]]
name = "holder"
command = ["/usr/bin/python3", "-c", {json.dumps(HOLDS_THE_PORT)}]
ready = {{ tcp = "127.0.0.1:25" }}

[[service]]
name = "exim"
"""
    edits = {DESCRIPTION: [('\n[[service]]\nname = "exim"\n', holder)]}
    with (
        pytest.raises(SandboxError, match=r"somebody else listens at 127\.0\.0\.1:25 already"),
        start(edits=edits),
    ):
        pass


def test_a_profile_of_another_server(start: Start, run: Run) -> None:
    other = {PROFILE: [('hostname = "mail.castle.example"', 'hostname = "mx.harbour.example"')]}
    with start(edits=other) as box:
        ended = run(box, HELD)
    assert ended.status == 1
    assert set(ended.rules.values()) == {Status.INCONCLUSIVE}
    assert "it says «220 mail.castle.example ESMTP Exim" in ended.note
    assert "and nowhere mx.harbour.example; until that is mended nothing can be judged" in ended.note
