"""The configuration of the reference MTA: every mistake is named before anything listens."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from harness import settings
from harness.reference_mta.__main__ import main
from harness.reference_mta.config import EXAMPLE, Config
from harness.reference_mta.defects import UnknownMutantError, find
from harness.reference_mta.passwords import hash_password
from harness.reference_mta.verifiers import Account
from harness.settings import SettingsError
from harness.settings.secret import Secret

DIGEST = "aGFzaA" * 7 + "A="  # 32 bytes, as scrypt makes them
GOOD = """
[server]
hostname = "mail.castle.example"
listen = "127.0.0.1"
port = 0
allow_public = false
proxy_protocol = true
delay = 20
max_recipients = 20
size_limit = 1000000
idle_timeout = 60
state = "mta-state"

[dns]
server = "127.0.0.1:5353"
timeout = 2
attempts = 3

[relay]
from_hosts = ["127.0.0.1", "203.0.113.0/24", "2001:db8::/32"]

[[domain]]
name = "castle.example"
users = ["alice", "postmaster"]
catch_all = false
bounce_recipients = ["alice"]

[[dnsbl]]
name = "traps"
zones = ["traps.blocklist.example"]

[dnsbl_policy]
threshold = 2

[greylist]
delay = 60
timeout = 28800
lifetime = 5184000
whitelist_hosts = ["*.bulkmail.example"]
when_unreachable = "pass"

[tls]
names = ["mail.castle.example"]

[auth.users]
alice = "scrypt$16384$c2FsdA==$%s"

[outgoing]
route = "smarthost"
smarthost = "192.0.2.1:25"
port = 25
interval = 300
lifetime = 345600
timeout = 61

[srs]
secret = "hush"
lifetime = 21

[delivery]
format = "maildir"
filters = "filters"

[spf]
mode = "mark"

[dkim]
mode = "reject"

[mutation]
names = ["helo.plain-ip:off"]
""".replace("%s", DIGEST)


def read(folder: Path, content: str) -> Config:
    file = folder / "mta.toml"
    file.write_text(content, "utf-8")
    return settings.read(file, Config)


def test_a_good_configuration_is_read(tmp_path: Path) -> None:
    config = read(tmp_path, GOOD)
    assert config.dns.server == ("127.0.0.1", 5353)
    assert [str(network) for network in config.relay.from_hosts] == [
        "127.0.0.1/32",
        "203.0.113.0/24",
        "2001:db8::/32",
    ]
    hosted = config.hosted("CASTLE.example")
    assert hosted is not None
    assert hosted.bounce_recipients == ("alice",)
    assert config.hosted("elsewhere.example") is None


def test_the_servers_own_names_are_local(tmp_path: Path) -> None:
    config = read(tmp_path, GOOD)
    for name in ("MAIL.castle.example", "localhost"):
        own = config.hosted(name)
        assert own is not None
        assert own.users == ("postmaster",)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("[server]", "[sever]", "sever: unknown key; did you mean 'server'"),
        ("[server]", "[server", "is not valid TOML"),
        ("port = 0", "port = true", "server.port: must be a whole number, without quotes (found true)"),
        ("port = 0", 'port = "25"', "server.port: must be a whole number, without quotes"),
        ('hostname = "mail.castle.example"', 'hostname = "mail.castle.example."', "ends in a dot; write"),
        ('listen = "127.0.0.1"', 'listen = "localhost"', "server.listen: 'localhost' is no IP address"),
        ('listen = "127.0.0.1"', 'listen = "fe80::1%eth0"', "server.listen: 'fe80::1%eth0' has a zone"),
        ('hostname = "mail.castle.example"', "", "server.hostname: is required"),
        ('hostname = "mail.castle.example"', 'hostname = "mail castle"', "server.hostname"),
        ('hostname = "mail.castle.example"', 'hostname = "-"', "server.hostname"),
        ("listen =", "lisen =", "server.lisen: unknown key; did you mean 'listen'"),
        ('"127.0.0.1"\nport', '"localhost"\nport', "write it in numbers"),
        ('"127.0.0.1"\nport', '"0.0.0.0"\nport', "0.0.0.0 is not loopback; set allow_public"),
        ('"127.0.0.1"\nport', '"::"\nport', ":: is not loopback; set allow_public"),
        ("port = 0", "port = 65536", "server.port"),
        ("port = 0", "port = -1", "server.port"),
        ("allow_public = false", 'allow_public = "perhaps"', "server.allow_public"),
        ("proxy_protocol = true", "proxy_protocol = 3", "server.proxy_protocol"),
        ("delay = 20", "delay = -1", "server.delay"),
        ("delay = 20", "delay = 601", "server.delay"),
        ("delay = 20", "delay = nan", "server.delay"),
        ("max_recipients = 20", "max_recipients = 0", "server.max_recipients"),
        ("size_limit = 1000000", "size_limit = 10", "server.size_limit"),
        ("idle_timeout = 60", "idle_timeout = 0", "server.idle_timeout"),
        ('state = "mta-state"', "", "server.state: is required"),
        ('state = "mta-state"', "state = 7", "server.state"),
        ('"127.0.0.1:5353"', '"127.0.0.1"', "write 127.0.0.1:53"),
        ('"127.0.0.1:5353"', '"ns.example:53"', "write it in numbers"),
        ('"127.0.0.1:5353"', '"127.0.0.1:70000"', "1 to 65535"),
        ("timeout = 2\n", "timeout = 0\n", "dns.timeout"),
        ("attempts = 3", "attempts = 0", "dns.attempts"),
        ("attempts = 3", "atempts = 3", "dns.atempts: unknown key; did you mean 'attempts'"),
        ('"203.0.113.0/24"', '"0.0.0.0/0"', "open relay"),
        ('"203.0.113.0/24"', '"198.0.0.0/7"', "open relay"),
        ('"2001:db8::/32"', '"::/0"', "open relay"),
        ('"203.0.113.0/24"', '"203.0.113.1/24"', "relay.from_hosts"),
        ('"203.0.113.0/24"', '"castle"', "write an address or a network"),
        ("from_hosts", "from_host", "relay.from_host: unknown key; did you mean 'from_hosts'"),
        ('name = "castle.example"', "", "domain.0.name: is required"),
        ('name = "castle.example"', 'name = "castle..example"', "domain.0.name"),
        ('users = ["alice", "postmaster"]', 'users = "alice"', "domain.0.users"),
        ("catch_all = false", "catch_al = false", "domain.0.catch_al: unknown key; did you mean 'catch_all'"),
        ("catch_all = false", "catch_all = 7", "domain.0.catch_all"),
        ("catch_all = false", 'format = "mbx"', "domain.0.format"),
        (
            'users = ["alice", "postmaster"]',
            'users = ["alice@castle.example"]',
            "domain.0.users.0: 'alice@castle",
        ),
        ('users = ["alice", "postmaster"]', 'users = ["alice", ""]', "domain.0.users.1: '' is no local part"),
        ('users = ["alice", "postmaster"]', 'users = ["a b"]', "domain.0.users.0: 'a b' has a blank"),
        ("catch_all = false", 'aliases = { info = ["nobody"] }', "leads to 'nobody'"),
        ("catch_all = false", 'aliases = { info = ["<a@far.example>"] }', "leads to '<a@far.example>'"),
        ("catch_all = false", 'aliases = { info = ["A <a@far.example>"] }', "without < > and words"),
        ("catch_all = false", 'aliases = { info = ["a@b@c, e@far.example"] }', "leads to 'a@b@c, e@far"),
        ("catch_all = false", 'aliases = { info = ["müller@far.example"] }', "leads to 'müller@far"),
        ("catch_all = false", 'aliases = { info = ["a\\tb@far.example"] }', "leads to 'a"),
        ("catch_all = false", 'aliases = { info = ["a@far..example"] }', "leads to 'a@far..example'"),
        ('format = "maildir"', 'format = "mbx"', "delivery.format"),
        ('bounce_recipients = ["alice"]', "bounce_recipients = 7", "domain.0.bounce_recipients"),
        ('zones = ["traps.blocklist.example"]', "zones = []", "dnsbl.0.zones"),
        ('zones = ["traps.blocklist.example"]', 'zones = ["a b"]', "dnsbl.0.zones.0"),
        ('name = "traps"', 'name = ""', "dnsbl.0.name"),
        ("threshold = 2", "threshold = 0", "dnsbl_policy.threshold"),
        ("delay = 60", "delay = 0", "greylist.delay"),
        ("delay = 60", "delay = 28800", "longer than delay"),
        ("timeout = 28800", "timeout = 0", "greylist.timeout"),
        ("lifetime = 5184000", "lifetime = -3", "greylist.lifetime"),
        ('["*.bulkmail.example"]', '"*.bulkmail.example"', "greylist.whitelist_hosts"),
        ('when_unreachable = "pass"', 'when_unreachable = "hope"', "greylist.when_unreachable"),
        ('names = ["mail.castle.example"]', "names = 7", "tls.names"),
        ('names = ["mail.castle.example"]', 'names = ["-"]', "tls.names"),
        (f'"scrypt$16384$c2FsdA==${DIGEST}"', '"sesame"', "auth.users.alice: is no password hash"),
        ("scrypt$16384", "scrypt$16383", "is no password hash"),
        ("scrypt$16384", "scrypt$1000000000000", "is no password hash"),
        ("scrypt$16384", "scrypt$²", "is no password hash"),
        ("$c2FsdA==", "$?", "is no password hash"),
        ("$c2FsdA==", "$", "is no password hash"),
        (f"${DIGEST}", "$aGFzaA==", "is no password hash"),
        ("port = 25\n", "port = 0\n", "outgoing.port"),
        ('route = "smarthost"', 'route = "pigeon"', "outgoing.route"),
        ('route = "smarthost"', 'route = "mx"', "outgoing: smarthost: name it"),
        ('smarthost = "192.0.2.1:25"\n', "", "outgoing: smarthost: name it"),
        ('"192.0.2.1:25"', '"mail.solnet.example"', "outgoing.smarthost"),
        ("interval = 300", "interval = 0", "outgoing.interval"),
        ("lifetime = 345600", "lifetime = -1", "outgoing.lifetime"),
        ("timeout = 61\n", 'timeout = "soon"\n', "outgoing.timeout"),
        ('secret = "hush"', "secret = 7", "srs.secret"),
        ("lifetime = 21", "lifetime = 366", "srs.lifetime"),
        ('names = ["helo.plain-ip:off"]', "", "mutation.names: is required"),
        ('mode = "mark"', 'mode = "on"', "spf.mode"),
        ('mode = "mark"', 'made = "mark"', "spf.made: unknown key; did you mean 'mode'"),
        ('mode = "reject"', 'mode = "drop"', "dkim.mode"),
        ("[mutation]", "[mutations]", "did you mean 'mutation'"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, old: str, new: str, named: str) -> None:
    assert old in GOOD
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, GOOD.replace(old, new, 1))
    assert named in str(caught.value)
    assert "mta.toml" in str(caught.value)
    assert not any(problem.startswith("domain: ") for problem in caught.value.problems)


def test_a_public_address_is_taken_when_told(tmp_path: Path) -> None:
    told = GOOD.replace('"127.0.0.1"\nport', '"0.0.0.0"\nport').replace("public = false", "public = true")
    assert read(tmp_path, told).server.listen == "0.0.0.0"


def test_without_domains_there_is_nothing_to_serve(tmp_path: Path) -> None:
    begin, end = GOOD.index("[[domain]]"), GOOD.index("[[dnsbl]]")
    with pytest.raises(SettingsError, match="domain: is required"):
        read(tmp_path, GOOD[:begin] + GOOD[end:])


def test_an_unknown_mutation_is_named_with_the_nearest() -> None:
    with pytest.raises(UnknownMutantError, match=r"did you mean 'helo\.plain-ip:off'"):
        find("helo.plane-ip:off")


def test_a_hash_shows_in_no_error_and_no_print(tmp_path: Path) -> None:
    assert DIGEST not in repr(read(tmp_path, GOOD))
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, GOOD.replace("scrypt$16384", "sesame$16384"))
    assert DIGEST not in str(caught.value)


def test_the_example_is_a_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--example"]) == 0
    shown = capsys.readouterr().out
    assert shown == EXAMPLE
    config = read(tmp_path, shown)
    assert config.server.hostname == "mail.castle.example"
    assert read(tmp_path, shown.replace("# proxy_protocol", "proxy_protocol")).server.proxy_protocol
    made = hash_password("sesame", cost=2)
    assert read(tmp_path, f'{shown}alice = "{made}"\n').auth.users == {"alice": Account.of(Secret(made))}


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("port = 0", "port = 99999", "server.port"),
        ("helo.plain-ip:off", "helo.plane-ip:off", "did you mean 'helo.plain-ip:off'"),
        ('"127.0.0.1"\nport', '"0.0.0.0"\nport', "not loopback"),
        ('state = "mta-state"', 'state = "/dev/null/mta"', "server.state /dev/null/mta: "),
        ('state = "mta-state"', 'state = "bad.toml"', "may make"),
        ('filters = "filters"', 'filters = "filtres"', "filtres: is not there; name the folder"),
        ('filters = "filters"', 'filters = "bad.toml"', "bad.toml: is no folder"),
    ],
)
def test_the_command_says_one_line_and_ends(tmp_path: Path, old: str, new: str, named: str) -> None:
    file = tmp_path / "bad.toml"
    file.write_text(GOOD.replace(old, new, 1), "utf-8")
    done = run(str(file))
    assert done.returncode == 2
    assert named in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_a_port_that_is_taken_is_told(tmp_path: Path) -> None:
    (tmp_path / "filters").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        file = tmp_path / "mta.toml"
        content = GOOD.replace("port = 0", f"port = {port}").replace("mta-state", str(tmp_path / "state"))
        file.write_text(content, "utf-8")
        done = run(str(file))
    assert done.returncode == 2
    assert str(port) in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [[], ["--nonsense"], ["a.toml", "b.toml"], ["a.toml", "--contrl"]])
def test_wrong_arguments_get_the_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status: object = main(arguments)
    except SystemExit as ended:
        status = ended.code
    said = capsys.readouterr()
    assert status == 2
    assert "smtp-harness mta" in said.err + said.out
    assert said.err.count("\n") == bool(arguments)


def test_a_password_is_hashed_from_standard_input() -> None:
    done = run("hash-password", given="sesame\n")
    assert done.returncode == 0
    assert done.stdout.startswith("scrypt$")
    assert "sesame" not in done.stdout


def run(*arguments: str, given: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "harness.reference_mta", *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=os.environ | {"PYTHONWARNINGS": "default"},
    )


def test_the_example_holds_with_what_is_commented_out_as_well(tmp_path: Path) -> None:
    told = EXAMPLE.replace("scrypt$...", hash_password("secret")).replace('"none"   ', '"smarthost"')
    (tmp_path / "plain.toml").write_text(EXAMPLE, "utf-8")
    (tmp_path / "whole.toml").write_text(re.sub(r"(?m)^# (?=\w+ = )", "", told), "utf-8")
    assert settings.read(tmp_path / "plain.toml", Config).outgoing.route == "none"
    whole = settings.read(tmp_path / "whole.toml", Config)
    assert whole.outgoing.smarthost == ("127.0.0.1", 2626)
    assert whole.spam.spamd
    assert whole.delivery.filters
    assert whole.srs.secret
    assert whole.auth.users
