import json
import string
from pathlib import Path

import pytest

from harness.grants.addresses import DNS, IPV6
from harness.grants.greylist import CLOCK
from harness.grants.mail import MAILBOX, QUEUE
from harness.grants.sending import LOCAL_ONLY, SINK
from harness.outcome import Stage, Treatment
from harness.profile.claims import load
from harness.profile.model import Profile
from harness.profile.tables import GreylistPart
from harness.rules import Catalogue
from harness.settings import SettingsError
from tests.certificate_file import self_signed

GOOD = """
name = "staging"

[server]
address = "127.0.0.1"
port = 2525
hostname = "mx.example.org"

[clients]
route = "proxy-v2"
networks = ["198.18.0.0/15"]

[dns]
listen = ["127.0.0.1:5353"]

[policy]
delay = 20

[[domain]]
name = "example.org"
users = ["ann", "ben"]
bounce_recipients = ["ann"]

[rules]
without = ["dnsbl.*", "greylist.*"]

[rules.expect."helo.plain-ip"]
outcome = "deny at rcpt"
reason = "refused at RCPT, see its manual"
"""


LIST = '[[dnsbl]]\nname = "one"\nzones = ["bl.example"]\n'


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.below(Path("scenarios"))


def read(folder: Path, catalogue: Catalogue, content: str) -> Profile:
    file = folder / "profile.toml"
    file.write_text(content, "utf-8")
    return load(file, catalogue)


@pytest.mark.parametrize(
    ("overridden", "outcome", "follower", "let_through"),
    [
        ("bounce.bogus", "deny at data", "bounce.legal", Stage.DATA),
        ("bounce.bogus", "deny at rcpt", "bounce.legal", Stage.RCPT),
        ("bounce.bogus", "delay at data", "bounce.legal", Stage.RCPT),
        ("data.header-syntax", "deny at data", "bounce.legal", Stage.RCPT),  # where it is told anyway
        ("mail.no-helo", "deny at data", "tls.starttls-offered", Stage.TLS),  # nothing more is said there
        ("mail.no-helo", "deny at data", "auth.plain-initial", Stage.AUTH),
    ],
)
def test_who_is_let_through_is_so_when_the_latest_refusal_of_an_override_is_told(
    tmp_path: Path, catalogue: Catalogue, overridden: str, outcome: str, follower: str, let_through: Stage
) -> None:
    more = f'[rules.expect."{overridden}"]\noutcome = "{outcome}"\nreason = "by a filter of its own"\n'
    profile = read(tmp_path, catalogue, GOOD.replace("at rcpt", "at helo") + more)
    (promised,) = profile.expectation(catalogue[follower])[0]
    assert (promised.treatment, promised.stage) == (Treatment.PASS, let_through)


@pytest.mark.parametrize(
    ("overridden", "outcome", "follower", "promised"),
    [
        ("mail.no-helo", "pass at mail", "tls.state-reset", ["pass at mail"]),
        (
            "mail.no-helo",
            "deny at mail with 554",
            "tls.state-reset",
            ["deny at mail with 554", "delay+deny at mail with 554"],
        ),
        ("bounce.bogus", "deny at data", "bounce.tag-in-front", ["deny at data"]),
        ("auth.wrong-password", "deny at auth with 554", "auth.unknown-user", ["deny at auth with 554"]),
        ("rcpt.unknown-user", "pass at rcpt", "delivery.no-catch-all", ["pass at rcpt"]),
        # Who gets through as well shows nothing of what others earn.
        (
            "bounce.bogus",
            'pass at rcpt", "deny at rcpt with 554',
            "bounce.tag-in-front",
            ["deny at rcpt with 554"],
        ),
        # What two rules say each for itself is not the same, though one dialect has one word for both.
        ("connect.rdns-missing", "pass at connect", "connect.rdns-mismatch", ["delay at connect"]),
        ("rcpt.illegal-chars", "pass at rcpt", "rcpt.leading-dot", ["deny at rcpt"]),
    ],
)
def test_a_rule_that_borrows_an_offence_follows_the_override_of_the_rule_about_it(
    tmp_path: Path, catalogue: Catalogue, overridden: str, outcome: str, follower: str, promised: list[str]
) -> None:
    more = f'[rules.expect."{overridden}"]\noutcome = ["{outcome}"]\nreason = "so says its manual"\n'
    expected, reason = read(tmp_path, catalogue, GOOD + more).expectation(catalogue[follower])
    assert [str(one) for one in expected] == promised
    assert reason == (
        f"as {overridden}: so says its manual" if promised[-1] in outcome or outcome in promised else ""
    )
    own = f'[rules.expect."{follower}"]\noutcome = ["{outcome}"]\nreason = "its own"\n'
    profile = read(tmp_path, catalogue, GOOD + more + own)
    assert profile.expectation(catalogue[follower])[1] == "its own"


def test_a_delay_that_an_override_takes_back_is_promised_by_no_rule_that_follows_it(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    late = {rule.id for rule in catalogue if all(one.late for one in rule.expect)}
    follow = {"dnsbl.two", "dnsbl.threshold-stops", "dnsbl.test-point"}
    without = ", ".join(f'"{one}"' for one in ("greylist.*", *(late - follow - {"helo.plain-ip"})))
    text = GOOD.replace("delay = 20", "delay = 0").replace('"dnsbl.*", "greylist.*"', without)
    more = '[rules.expect."dnsbl.two"]\noutcome = "drop at rcpt"\nreason = "at once"\n'
    read(tmp_path, catalogue, text + LIST + more)


def test_a_good_profile_is_read(tmp_path: Path, catalogue: Catalogue) -> None:
    profile = read(tmp_path, catalogue, GOOD)
    expectation, reason = profile.expectation(catalogue["helo.plain-ip"])
    assert [str(outcome) for outcome in expectation] == ["deny at rcpt"]
    assert reason == "refused at RCPT, see its manual"
    assert not profile.claims(catalogue["dnsbl.one"])
    assert DNS.lacking(profile) == ""
    assert "clock" in CLOCK.lacking(profile)


def test_what_a_server_holds_back_comes_on_top_of_the_time_for_a_reply(
    tmp_path: Path, catalogue: Catalogue
) -> None:
    assert read(tmp_path, catalogue, GOOD).patience == 60.0 + 20.0
    paused = GOOD.replace("[policy]", "[dialect]\npause = 70\n[policy]")
    assert read(tmp_path, catalogue, paused).patience == 60.0 + 70.0 + 20.0
    tarpit = GOOD.replace("[policy]", "[dialect]\nrefusals_take = 9\n[policy]")
    assert read(tmp_path, catalogue, tarpit).patience == 60.0 + 9.0 + 20.0
    scanned = GOOD.replace("[clients]", "scan = 120\n[clients]")
    assert read(tmp_path, catalogue, scanned).patience == 120.0 + 20.0


@pytest.mark.parametrize(
    ("server", "route", "granted"),
    [
        ("192.0.2.1", "proxy-v2", True),
        ("192.0.2.1", "bind", False),
        ("2001:db8::1", "bind", True),
        ("127.0.0.1", "bind", True),
    ],
)
def test_ipv6_clients_of_an_ipv4_server(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    catalogue: Catalogue,
    server: str,
    route: str,
    granted: bool,
) -> None:
    monkeypatch.setattr("harness.profile.model.is_of_this_host", lambda network: True)  # as in a sandbox
    content = GOOD.replace('"198.18.0.0/15"', '"198.18.0.0/15", "2001:db8::/32"')
    content = content.replace('address = "127.0.0.1"', f'address = "{server}"').replace("proxy-v2", route)
    assert (IPV6.lacking(read(tmp_path, catalogue, content)) == "") == granted


@pytest.mark.parametrize(
    ("parts", "counting"),
    [
        ('["client"]', ["client"]),
        ('["client", "sender domain"]', ["client", "sender domain"]),
        ('["sender", "client"]', ["client", "sender", "sender domain"]),
        ('["client", "sender", "recipient"]', ["client", "sender", "sender domain", "recipient"]),
    ],
)
def test_the_domain_of_a_sender_counts_with_him(
    tmp_path: Path, catalogue: Catalogue, parts: str, counting: list[str]
) -> None:
    greylist = read(tmp_path, catalogue, f"{GOOD}\n[greylist]\nparts = {parts}\n").greylist
    assert greylist
    assert [part.value for part in GreylistPart if greylist.counts(part)] == counting


@pytest.mark.parametrize(
    ("parts", "mend"),
    [
        ('["sender"]', 'let "client" be among them'),
        ("[]", 'let "client" be among them'),
        ('["client", "sender", "sender domain"]', "name one of the two"),
        ('["client", "client"]', "is there twice; leave one out"),
        ('["client", "domain"]', "greylist.parts"),
    ],
)
def test_parts_that_no_greylist_goes_by(tmp_path: Path, catalogue: Catalogue, parts: str, mend: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, catalogue, f"{GOOD}\n[greylist]\nparts = {parts}\n")
    assert mend in str(caught.value)


DRY_RUN = 'command"\ncommand = ["exim4", "-bh", "{client}"]'


def test_a_dry_run_delivers_nothing(tmp_path: Path, catalogue: Catalogue) -> None:
    profile = read(tmp_path, catalogue, GOOD.replace('proxy-v2"', DRY_RUN))
    for capability in (MAILBOX, SINK, QUEUE, LOCAL_ONLY):
        assert "dry run" in capability.lacking(profile)


@pytest.mark.parametrize(
    "table",
    [
        '[mailbox]\nmaildir = "/var/mail/{user}"',
        '[sink]\nnetworks = ["127.0.1.0/24"]',
        "[queue]\ninterval = 5",
        '[local_only]\nclosed = ["192.0.2.1"]',
    ],
)
def test_a_dry_run_has_no_table_about_delivery(tmp_path: Path, catalogue: Catalogue, table: str) -> None:
    assert read(tmp_path, catalogue, f"{GOOD}\n{table}\n")
    with pytest.raises(SettingsError, match="dry run") as caught:
        read(tmp_path, catalogue, GOOD.replace('proxy-v2"', DRY_RUN) + f"\n{table}\n")
    assert f"leave out {table.splitlines()[0]}" in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("[server]", "[sever]", "did you mean 'server'"),
        ("port = 2525", "prt = 2525", "server.prt: unknown key; did you mean 'port'"),
        ("port = 2525", "port = 99999", "server.port"),
        ('address = "127.0.0.1"', 'address = "mx.example.org"', "is no IP address"),
        ('"198.18.0.0/15"', '"198.18.0.0/99"', "clients.networks"),
        ('"198.18.0.0/15"', '"8.8.8.0/24"', "not reserved for testing"),
        ('"198.18.0.0/15"', "", "name the networks to choose from"),
        ('"proxy-v2"', '"direct"', "no address can be chosen"),
        ('"proxy-v2"', '"bind"', "is not of this host, so route bind cannot use it"),
        (
            '"proxy-v2"\nnetworks = ["198.18.0.0/15"]',
            '"bind"\nnetworks = ["127.1.0.0/16"]\ntrusted = ["192.0.2.0/24"]',
            "clients.trusted: 192.0.2.0/24 is not of this host",
        ),
        (
            "[clients]",
            '[clients]\nrefused = ["198.19.1.0/24"]',
            "clients: refused: 198.19.1.0/24 shares addresses with 198.18.0.0/15 of networks",
        ),
        (
            "[clients]",
            '[clients]\ntrusted = ["192.0.2.9/32"]\nrefused = ["192.0.2.0/24"]',
            "refused: 192.0.2.0/24 shares addresses with 192.0.2.9/32 of trusted",
        ),
        ('"proxy-v2"', '"command"', "a command goes with route"),
        ('"proxy-v2"', '"command"\ncommand = ["exim4", "-bh"]', "{client} must stand in it"),
        ('"proxy-v2"', '"proxy-v2"\ndelays = "wait"', "has 0 groups"),
        ('"proxy-v2"', '"proxy-v2"\ndelays = "(wait"', "no regular expression"),
        (
            '"proxy-v2"',
            '"proxy-v2"\ndelays = "(a{99999999999999})"',
            "clients.delays: '(a{99999999999999})' is no",
        ),
        ('"proxy-v2"', '"teleport"', "clients.route"),
        ('"127.0.0.1:5353"', '"127.0.0.1"', "write 127.0.0.1:5353"),
        ('"127.0.0.1:5353"', '"127.0.0.1:70000"', "0 to 65535"),
        ("delay = 20", "delay = -1", "policy.delay"),
        ("delay = 20", "delay = 0", "policy.delay is 0 and a delay is promised"),
        (
            "delay = 20",
            "delay = 0",
            "(under [dialect.answers] as unverified_host, failed_lookup, unq",
        ),
        ("delay = 20", "delay = 0", 'in [rules.expect."mail.delay-repeated"], [rules.expect."rcpt.delay-'),
        ('name = "example.org"', "", "domain.0.name: is required"),
        ('"greylist.*"]', '"gerylist.*"]', "matches no rule"),
        (', "greylist.*"]', "]", "there is no [greylist]"),
        ('"dnsbl.*", ', "", "there is no [[dnsbl]]; describe it or put dnsbl.* under"),
        ('"dnsbl.*", ', "", "more are claimed, as all rules are unless [rules] says otherwise; but"),
        ('without = ["dnsbl.*", ', 'claim = ["dnsbl.one"]\nwithout = [', "rules: dnsbl.one is claimed; but"),
        ('."helo.plain-ip"]', '."helo.plane-ip"]', "did you mean 'helo.plain-ip'"),
        ('."helo.plain-ip"]', '."dnsbl.one"]', "is not claimed"),
        ("deny at rcpt", "denied at rcpt", "is no outcome"),
        ('"deny at rcpt"', "[5]", "rules.expect.helo.plain-ip.outcome.0: must be a text in quotes (found 5)"),
        (
            "[server]",
            "[dialect.answers]\nlisted = []\n[server]",
            "must be a text in quotes (found a list)",
        ),
        ('"127.0.0.1:5353"', '["mx", 99999]', "dns.listen.0: must be a text in quotes (found a list)"),
        ('reason = "refused at RCPT, see its manual"', "", "reason: is required"),
        ("bounce_recipients", "#", "no [[domain]] has bounce_recipients"),
        ("[server]", "[server", "is not valid TOML"),
        ("port = 2525", "port = true", "server.port: must be a whole number, without quotes (found true)"),
        ("port = 2525", 'port = "25"', 'server.port: must be a whole number, without quotes (found "25")'),
        ("port = 2525", "port = 25.0", "server.port: must be a whole number, without quotes (found 25.0)"),
        (
            "port = 2525",
            "port = 2024-05-01",
            "server.port: 2024-05-01 is a date or a time; write it in quotes",
        ),
        ("port = 2525", "port = [25]", "server.port: must be a whole number, without quotes (found a list)"),
        ("delay = 20", "delay = true", "policy.delay: must be a number, without quotes (found true)"),
        ("delay = 20", 'delay = "20"', "policy.delay: must be a number, without quotes"),
        ("delay = 20", "delay = nan", "policy.delay"),
        ("delay = 20", "delay = inf", "policy.delay"),
        ('users = ["ann", "ben"]', "users = [1]", "domain.0.users.0: must be a text in quotes (found 1)"),
        ('users = ["ann", "ben"]', 'users = "ann"', "domain.0.users: must be a list in brackets"),
        (
            'users = ["ann", "ben"]',
            'users = ["ann\\n"]',
            "domain.0.users.0: 'ann\\n' has a blank",
        ),
        ('users = ["ann", "ben"]', 'users = ["ann", "ANN"]', "domain.0.users: 'ANN' is there twice"),
        ('users = ["ann", "ben"]', 'users = ["ann"]\ncatch_all = 1', "catch_all: must be true or false"),
        ('hostname = "mx.example.org"', 'hostname = "mx.example.org."', "write 'mx.example.org'"),
        ('hostname = "mx.example.org"', 'hostname = "bücher.example"', "write 'xn--bcher-kva.example'"),
        ('hostname = "mx.example.org"', 'hostname = "127.0.0.1"', "is no name but an address"),
        ('name = "example.org"', 'name = "a b.example"', "domain.0.name: 'a b.example' has a blank"),
        ('address = "127.0.0.1"', 'address = "localhost"', "server.address: 'localhost' is no IP address"),
        ('address = "127.0.0.1"', 'address = "fe80::1%eth0"', "server.address: 'fe80::1%eth0' has a zone"),
        (
            "[rules]",
            '[[domain]]\nname = "EXAMPLE.org"\nusers = ["x"]\n[rules]',
            "domain: 'example.org' is there",
        ),
        (
            "[rules]",
            '[forward]\nrecipient = "a@x.example"\ntarget = "b@y.example"\n[rules]',
            "no [[domain]]",
        ),
        ("[rules]", f"{LIST}{LIST}[rules]", "dnsbl: 'one' is there twice"),
        (
            "[rules]",
            LIST + LIST.replace('"one"', '"two"') + "[rules]",
            "is a zone of 'one' and of 'two'",
        ),
        (
            "[rules]",
            LIST.replace('e"]', 'e", "BL.example"]') + "[rules]",
            "'bl.example' is there twice",
        ),
    ],
)
def test_mistakes_are_named(tmp_path: Path, catalogue: Catalogue, old: str, new: str, named: str) -> None:
    assert old in GOOD
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, catalogue, GOOD.replace(old, new, 1))
    assert named in str(caught.value)
    assert "profile.toml" in str(caught.value)


def test_two_lists_may_read_different_answers_of_one_zone(tmp_path: Path, catalogue: Catalogue) -> None:
    lists = [
        LIST + 'answers = ["127.0.0.2"]\n',
        LIST.replace('"one"', '"two"') + 'answers = ["127.0.0.4/30"]\n',
    ]
    assert len(read(tmp_path, catalogue, GOOD.replace("[rules]", f"{''.join(lists)}[rules]", 1)).dnsbl) == 2
    lists[1] = lists[1].replace("127.0.0.4/30", "127.0.0.0/29")
    with pytest.raises(SettingsError, match="give each list the answers that count for it"):
        read(tmp_path, catalogue, GOOD.replace("[rules]", f"{''.join(lists)}[rules]", 1))


def test_domains_are_compared_in_lower_case(tmp_path: Path, catalogue: Catalogue) -> None:
    content = GOOD.replace('"example.org"', '"Example.ORG"').replace(
        "[rules]", '[filter]\nuser = "ann@EXAMPLE.org"\n[rules]', 1
    )
    profile = read(tmp_path, catalogue, content)
    assert profile.domain[0].name == "example.org"
    assert profile.filter
    assert profile.filter.user == "ann@example.org"


def test_a_missing_file_is_named(tmp_path: Path, catalogue: Catalogue) -> None:
    with pytest.raises(SettingsError, match="no such file"):
        load(tmp_path / "absent.toml", catalogue)


def test_a_password_comes_from_one_place(
    tmp_path: Path, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = GOOD + '\n[auth]\nuser = "ann"\npassword_env = "STAGING_PASSWORD"\n'
    with pytest.raises(SettingsError, match="export the password"):
        read(tmp_path, catalogue, account)
    monkeypatch.setenv("STAGING_PASSWORD", "from outside")
    profile = read(tmp_path, catalogue, account)
    assert profile.auth is not None
    assert profile.auth.secret.reveal() == "from outside"
    with pytest.raises(SettingsError, match="either password or password_env"):
        read(tmp_path, catalogue, account + 'password = "x"\n')


def test_a_password_never_shows_in_an_error_or_a_print(tmp_path: Path, catalogue: Catalogue) -> None:
    account = GOOD + '\n[auth]\nuser = "ann"\npassword = "sesame"\n'
    assert "sesame" not in repr(read(tmp_path, catalogue, account))
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, catalogue, account + "surplus = 1\n")
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("character", ["\r", "\n", "\0", "\x7f", "\x1b", "é", "a", "7", " "])
def test_only_marks_are_illegal_in_addresses(tmp_path: Path, catalogue: Catalogue, character: str) -> None:
    for characters in (f"%{character}/", character):
        toml = GOOD.replace("delay = 20", f"delay = 20\nillegal_characters = {json.dumps(characters)}")
        with pytest.raises(SettingsError) as caught:
            read(tmp_path, catalogue, toml.replace("\x7f", r"\u007f"))
        assert f"policy.illegal_characters: {character!r} is no punctuation mark" in str(caught.value)


def test_all_marks_of_ascii_may_be_illegal(tmp_path: Path, catalogue: Catalogue) -> None:
    toml = GOOD.replace("delay = 20", f"delay = 20\nillegal_characters = {json.dumps(string.punctuation)}")
    assert read(tmp_path, catalogue, toml).policy.illegal_characters == string.punctuation


@pytest.mark.parametrize("name", ["X: a\r\nb", "X-Mark:", "X Mark", "X-Märk", "X\0", ""])
def test_a_mark_is_the_name_of_a_header_field(tmp_path: Path, catalogue: Catalogue, name: str) -> None:
    with pytest.raises(SettingsError, match=r"dialect\.mark: .* is no name of a header field"):
        read(tmp_path, catalogue, f"{GOOD}\n[dialect]\nmark = {json.dumps(name)}\n")


IMAP = 'address = "127.0.0.1:993"\nname = "mx.example.org"\npassword = "x"\n'


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ('[tls]\nname = "mx.example.org"\nca_file = "{}"', "tls.ca_file"),
        (
            f'[mailbox.imap]\n{IMAP}ca_file = "{{}}"',
            "mailbox.imap.ca_file",
        ),
        (
            f'[[domain]]\nname = "b.example"\nusers = ["a"]\n[domain.mailbox.imap]\n{IMAP}ca_file = "{{}}"',
            "domain.1.mailbox.imap.ca_file",
        ),
    ],
)
def test_an_authority_that_is_none_is_told_before_the_run(
    tmp_path: Path, catalogue: Catalogue, table: str, key: str
) -> None:
    certificate = self_signed(tmp_path)
    key_alone = certificate.read_text("utf-8").partition("-----END CERTIFICATE-----\n")[2]
    (tmp_path / "key.pem").write_text(key_alone, "utf-8")
    (tmp_path / "cut.pem").write_bytes(certificate.read_bytes()[:200])
    (tmp_path / "empty.pem").touch()
    for name, said in (
        ("absent.pem", "there is no such file; check the path"),
        (".", "is a folder and no file; name a file"),
        ("key.pem", "has no certificate in it; name a file with one"),
        ("cut.pem", "has no certificate in it"),
        ("empty.pem", "has no certificate in it"),
    ):
        with pytest.raises(SettingsError) as caught:
            read(tmp_path, catalogue, f"{GOOD}\n{table.format(name)}\n")
        assert f"profile.toml: {key}: {tmp_path / name}: {said}" in str(caught.value)
    read(tmp_path, catalogue, f"{GOOD}\n{table.format(certificate.name)}\n")


def test_paths_count_from_the_folder_of_the_profile(tmp_path: Path, catalogue: Catalogue) -> None:
    paths = """
[tls]
name = "mx.example.org"
ca_file = "tls/ca.pem"

[mailbox]
maildir = "mail/{user}"
"""
    (tmp_path / "tls").mkdir()
    self_signed(tmp_path).rename(tmp_path / "tls/ca.pem")
    profile = read(tmp_path, catalogue, GOOD + paths)
    assert profile.tls
    assert profile.mailbox
    assert profile.tls.ca_file == tmp_path / "tls/ca.pem"
    assert profile.mailbox.maildir == f"{tmp_path}/mail/{{user}}"
    absolute = read(tmp_path, catalogue, GOOD + paths.replace('"mail/', '"/srv/mail/'))
    assert absolute.mailbox
    assert absolute.mailbox.maildir == "/srv/mail/{user}"
