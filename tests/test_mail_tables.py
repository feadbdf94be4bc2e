"""The tables of a profile about what becomes of a message: each right, and each key wrong once."""

from pathlib import Path

import pytest

from harness import settings
from harness.grants.mail import FILTER, MAILBOX, QUEUE, QUEUE_OPERATOR, SPAM
from harness.grants.sending import FORWARD, LOCAL_ONLY, SINK, SMARTHOST, SRS
from harness.profile.model import Profile
from harness.verdicts import NotTestableError
from harness.world.sut_mail import MailFacts
from harness.world.unfit_aliases import why_none

SERVER = """
name = "staging"
server = { address = "127.0.0.1", hostname = "mx.example.org" }
dns = { listen = ["127.0.0.1:5353"] }
policy = { delay = 20 }

[[domain]]
name = "example.org"
users = ["ann", "ben"]
aliases = { friends = ["ann", "ben@example.net"], "*" = ["ann"] }
"""
TABLES = """
[mailbox.imap]
address = "127.0.0.1:993"
name = "imap.example.org"
user = "{user}"
password = "sesame"

[sink]
networks = ["127.0.0.0/24"]
port = 2526

[queue]
interval = 300
list = ["exim", "-bp"]
remove = ["exim", "-Mrm", "{id}"]
thaw = ["exim", "-Mt", "{id}"]
entry = '^ *\\S+ +\\S+ +(\\S+) <'
frozen = "frozen"

[filter]
user = "ann@example.org"
spam_folder = ".Junk"
list_address = "talk@lists.example"
list_folder = ".Lists"
body_word = "foobar"
body_folder = ".Foobar"
dnsbl_folder = ".Doubtful"

[smarthost]
host = "127.0.0.9:2526"
server = "127.0.0.1:2527"

[local_only]
server = "127.0.0.1:2528"
closed = ["192.0.2.1"]

[forward]
recipient = "moved@example.org"
target = "moved@faraway.example"

[srs]
domain = "example.org"
lifetime = 21
make = ["srs", "{sender}", "{days}"]

[spam]
threshold = 5.0
"""
AFTER = (
    MAILBOX,
    SINK,
    QUEUE,
    QUEUE_OPERATOR,
    FILTER,
    SMARTHOST,
    LOCAL_ONLY,
    FORWARD,
    SRS,
    SPAM,
)


def read(folder: Path, content: str) -> Profile:
    file = folder / "profile.toml"
    file.write_text(content, "utf-8")
    return settings.read(file, Profile)


def test_every_table_grants_what_it_is_for(tmp_path: Path) -> None:
    profile = read(tmp_path, SERVER + TABLES)
    assert [capability.lacking(profile) for capability in AFTER] == [""] * len(AFTER)
    assert profile.domain[0].takes_everyone
    assert profile.domain[0].leads_to("friends") == ("ann@example.org", "ben@example.net")
    assert "sesame" not in repr(profile)


def test_what_is_not_there_is_told_with_its_table(tmp_path: Path) -> None:
    profile = read(tmp_path, SERVER)
    assert all("the profile has no [" in capability.lacking(profile) for capability in AFTER)


def test_a_queue_without_commands_is_no_operators_queue(tmp_path: Path) -> None:
    profile = read(tmp_path, SERVER + "[queue]\ninterval = 300\n")
    assert QUEUE.lacking(profile) == ""
    assert "commands" in QUEUE_OPERATOR.lacking(profile)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("[mailbox.imap]", "[mailbox]\nmbox = '/m'\n[mailbox.imap]", "give one of maildir, mbox"),
        ("[mailbox.imap]", "[mailbox]\nmaildirs = '/m'\n[mailbox.imap]", "did you mean 'maildir'"),
        ('"127.0.0.1:993"', '"imap.example.org"', "mailbox.imap.address"),
        ('name = "imap.example.org"', "", "mailbox.imap.name: is required"),
        ('user = "{user}"', 'user = ""', "mailbox.imap.user"),
        ('password = "sesame"', "", "either password or password_env"),
        ('["127.0.0.0/24"]', "[]", "sink.networks"),
        ('["127.0.0.0/24"]', '["8.8.8.0/24"]', "not reserved for testing"),
        ('["127.0.0.0/24"]', '["2001:db8::/64"]', "is IPv6; name IPv4 networks"),
        ('["127.0.0.0/24"]', '["198.18.250.0/24"]', "no mail host can be played there"),
        ("port = 2526", "port = 0", "sink.port"),
        ("interval = 300", "interval = 0", "queue.interval"),
        ("interval = 300", "", "queue.interval: is required"),
        ('list = ["exim", "-bp"]', "", "both of list and remove"),
        ('"-Mrm", "{id}"', '"-Mrm"', "remove: {id} must stand in it"),
        ('"-Mt", "{id}"', '"-Mt"', "thaw: {id} must stand in it"),
        ("(\\S+) <", "\\S+ <", "has 0 groups; write one, around the message's id"),
        ("(\\S+) <", "(\\S+ <", "no regular expression"),
        (
            "(\\S+) <",
            "a{99999999999999}(b)",
            "(b)' is no regular expression: the repetition",
        ),
        ('frozen = "frozen"', 'frozen = "("', "queue.frozen"),
        (
            'frozen = "frozen"',
            "frozen = 'a{99999999999999}'",
            "queue.frozen: 'a{99999999999999}' is no regular",
        ),
        ('user = "ann@example.org"', 'user = "ann"', "is no mail address"),
        ('"talk@lists.example"', '"lists.example"', "filter.list_address"),
        ('body_word = "foobar"', 'body_word = ""', "filter.body_word"),
        ('body_word = "foobar"', 'body_word = "foo\\r\\nbar"', "filter.body_word: has a line end"),
        ('body_word = "foobar"', 'body_word = "fübar"', "filter.body_word: 'fübar' is not ASCII"),
        ('user = "{user}"', 'user = "x\\n{user}"', "mailbox.imap.user: has a line end"),
        ('password = "sesame"', 'password = "sesame\\n"', "the password has a line end or a NUL"),
        ("spam_folder", "spam_foldr", "did you mean 'spam_folder'"),
        ('body_folder = ".Foobar"', "body_folder = 1", "filter.body_folder"),
        ('list_folder = ".Lists"', "list_folder = 1", "filter.list_folder"),
        ('dnsbl_folder = ".Doubtful"', "dnsbl_folder = 1", "filter.dnsbl_folder"),
        ('host = "127.0.0.9:2526"', "", "smarthost.host: is required"),
        ('host = "127.0.0.9:2526"', 'host = "127.0.0.9"', "smarthost.host"),
        ('server = "127.0.0.1:2527"', 'server = "mx"', "smarthost.server"),
        ('server = "127.0.0.1:2528"', 'server = "mx"', "local_only.server"),
        ('closed = ["192.0.2.1"]', 'closed = ["mx"]', "is no IP address"),
        ('closed = ["192.0.2.1"]', 'closed = ["8.8.8.8"]', "may be anybody's"),
        ('recipient = "moved@example.org"', 'recipient = "moved"', "forward.recipient"),
        ('target = "moved@faraway.example"', "", "forward.target: is required"),
        ('domain = "example.org"\nlifetime', 'domain = ""\nlifetime', "srs.domain"),
        ("lifetime = 21", "lifetime = 0", "srs.lifetime"),
        (', "{days}"]', "]", "make: {days} must stand in it"),
        ('"{sender}", ', "", "make: {sender} must stand in it"),
        ("threshold = 5.0", "threshold = 0", "spam.threshold"),
        ('"*" = ["ann"]', '"*" = []', "domain.0.aliases.*: is empty; name at least one"),
        ('"*" = ["ann"]', '"a@b" = ["ann"]', "aliases.a@b: 'a@b' is no local part; write what"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, old: str, new: str, named: str) -> None:
    content = SERVER + TABLES
    assert old in content
    with pytest.raises(settings.SettingsError) as caught:
        read(tmp_path, content.replace(old, new, 1))
    assert named in str(caught.value)


@pytest.mark.parametrize("key", ["entry", "frozen"])
def test_an_expression_without_end_is_a_mistake(tmp_path: Path, key: str) -> None:
    deep = "(" * 2000 + ")" * 2000
    with pytest.raises(settings.SettingsError) as caught:
        read(tmp_path, f"{SERVER}[queue]\ninterval = 300\n{key} = '{deep}'\n")
    assert f"queue.{key}: '(((" in str(caught.value)
    assert "brackets too deep within each other; write it with fewer" in str(caught.value)
    assert len(str(caught.value)) < 400


TWO_DOMAINS = """
[[domain]]
name = "example.org"
users = ["ann", "ben"]
aliases = { info = ["ann"] }

[[domain]]
name = "example.net"
users = ["ann", "ben"]
aliases = { info = ["ann"] }
"""


def with_mailbox(folder: Path, mailbox: str, rest: str = "") -> MailFacts:
    """What scenarios know of a server with two domains that keeps its mail so."""
    return MailFacts(read(folder, SERVER.partition("\n[[domain]]")[0] + TWO_DOMAINS + mailbox + rest))


def test_two_addresses_are_two_users_where_each_has_a_mailbox(tmp_path: Path) -> None:
    facts = with_mailbox(tmp_path, '[mailbox]\nmaildir = "/srv/{domain}/{user}"\n')
    ((here, there),) = facts.namesakes
    assert (here.targets, there.targets) == (("ann@example.org",), ("ann@example.net",))
    assert [alias.address for alias in facts.aliases] == ["info@example.org"]  # its namesake is tried as such
    system_users = with_mailbox(tmp_path, '[mailbox]\nmaildir = "/home/{user}/Maildir"\n')
    assert [alias.targets for alias in system_users.aliases] == [("ann@example.org",), ("ann@example.net",)]
    assert system_users.namesakes == ()


def test_one_account_for_all_tells_nobodys_mail_apart(tmp_path: Path) -> None:
    imap = '[mailbox.imap]\naddress = "127.0.0.1:993"\nname = "imap"\nuser = "staging"\npassword = "x"\n'
    assert with_mailbox(tmp_path, imap).aliases == ()


LAYOUTS = """
[[domain]]
name = "one.example"
users = ["ann"]
aliases = { "*" = ["ann"], info = ["office"], office = ["ann"], circle = ["circle"], far = ["x@far.example"] }

[[domain]]
name = "all.example"
users = ["ben"]
catch_all = true

[[domain]]
name = "strict.example"
users = ["cid", "dan"]
aliases = { both = ["cid", "dan"], out = ["cid@far.example"], guest = ["ann@one.example"], second = ["dan"] }
"""


@pytest.fixture
def layouts(tmp_path: Path) -> MailFacts:
    mailbox = '[mailbox]\nmaildir = "/srv/{domain}/{user}"\n'
    return MailFacts(read(tmp_path, SERVER.partition("\n[[domain]]")[0] + LAYOUTS + mailbox))


def test_each_kind_of_alias_of_each_domain_is_found(layouts: MailFacts) -> None:
    """Those that lead elsewhere or nowhere are none of them, and one leads to another alias."""
    found = {alias.address: alias.targets for alias in layouts.aliases}
    assert found == {
        "info@one.example": ("ann@one.example",),
        "guest@strict.example": ("ann@one.example",),
        "second@strict.example": ("dan@strict.example",),
    }
    (both,) = layouts.aliases_for_many
    assert (both.targets, both.others) == (
        ("cid@strict.example", "dan@strict.example"),
        ("ann@one.example", "ben@all.example"),
    )


@pytest.mark.parametrize(
    ("aliases", "many", "told"),
    [
        ("{}", False, 'no [[domain]] has an alias other than "*"; describe one that leads to one user'),
        ('{ "*" = ["ann"] }', True, 'other than "*"; describe one that leads to several users'),
        ('{ far = ["x@far.example"] }', False, "far@one.example leads to x@far.example, who is no user"),
        ('{ loop = ["loop"] }', False, "loop@one.example comes to loop@one.example twice"),
        ('{ both = ["ann", "ben"] }', False, "both@one.example leads to 2 users: describe an alias that"),
        (
            '{ info = ["ann"] }',
            True,
            "info@one.example leads to 1 user: describe an alias that leads to",
        ),
        ('{ info = ["eve"] }', False, "info@one.example leads to eve@one.example, whose filter may file"),
        (
            '{ a = ["x@y"], b = ["x@y"], c = ["x@y"], d = ["x@y"], e = ["x@y"] }',
            False,
            "and 2 more aliases: ",
        ),
    ],
)
def test_aliases_that_show_nothing_are_told_each_with_its_reason(
    tmp_path: Path, aliases: str, many: bool, told: str
) -> None:
    domain = f'[[domain]]\nname = "one.example"\nusers = ["ann", "ben", "eve"]\naliases = {aliases}\n'
    rest = '[mailbox]\nmaildir = "/srv/{domain}/{user}"\n[filter]\nuser = "eve@one.example"\n'
    facts = MailFacts(read(tmp_path, SERVER.partition("\n[[domain]]")[0] + f"\n{domain}{rest}"))
    assert not (facts.aliases_for_many if many else facts.aliases)
    assert told in why_none(facts, many=many)


def test_aliases_to_a_mailbox_that_others_share_are_told(tmp_path: Path) -> None:
    domain = '[[domain]]\nname = "one.example"\nusers = ["ann", "ben"]\naliases = { info = ["ann"] }\n'
    rest = '[mailbox]\nmaildir = "/srv/all"\n'
    facts = MailFacts(read(tmp_path, SERVER.partition("\n[[domain]]")[0] + f"\n{domain}{rest}"))
    assert "leads to ann@one.example, in whose mailbox the mail of others lies" in why_none(facts, many=False)


def test_what_nobody_has_is_told_by_an_asterisk_or_not_at_all(layouts: MailFacts) -> None:
    starred, caught = layouts.catch_alls
    assert (starred.targets, starred.untold) == (("ann@one.example",), False)
    assert starred.neighbours == ()  # a domain may have one user
    assert (caught.targets, caught.untold) == ((caught.address,), True)
    assert starred in layouts.leading
    assert caught not in layouts.leading
    assert [nobody.rpartition("@")[2] for _, nobody in layouts.without_catch_alls] == ["strict.example"]


@pytest.mark.parametrize(
    ("mailbox", "folder", "told"),
    [
        ('maildir = "/srv/{user}"', ".Junk", ""),
        ('maildir = "/srv/{user}"', "Junk", "write .Junk"),
        ('mbox = "/var/mail/{user}"', "Junk", "an mbox, which has no folders"),
    ],
)
def test_a_folder_is_one_that_the_mailbox_can_have(
    tmp_path: Path, mailbox: str, folder: str, told: str
) -> None:
    user = f'[filter]\nuser = "ann@example.org"\nspam_folder = "{folder}"\n'
    facts = with_mailbox(tmp_path, f"[mailbox]\n{mailbox}\n", user)
    if told:
        with pytest.raises(NotTestableError, match=told):
            facts.folder("spam_folder")
    else:
        assert facts.folder("spam_folder") == folder
