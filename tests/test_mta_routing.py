"""Where aliases lead, over configurations as an operator writes them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import settings
from harness.reference_mta.config import Config
from harness.reference_mta.mail.routing import route

BASE = {
    "server": {"hostname": "mail.castle.example", "state": "mta-state"},
    "dns": {"server": "127.0.0.1:5353"},
}
DOMAINS = [
    {
        "name": "Castle.example",
        "users": ["alice", "bruno", "postmaster"],
        "aliases": {
            "info": ["alice"],
            "Team": ["bruno", "alice"],
            "bruno": ["bruno", "alice"],
            "far": ["friend@Elsewhere.example"],
            "over": ["info@garden.example"],
            "deep": ["info"],
            "ring": ["knot"],
            "knot": ["ring"],
            "pair": ["ring", "alice"],
        },
    },
    {"name": "garden.example", "users": ["carla"], "aliases": {"info": ["carla"], "*": ["carla"]}},
    {"name": "meadow.example", "users": ["dora"], "catch_all": True},
]


def configured(*domains: object) -> Config:
    return settings.check("mta.toml", BASE | {"domain": domains}, Config)


CONFIG = configured(*DOMAINS)


@pytest.mark.parametrize(
    ("recipient", "mailboxes"),
    [
        ("alice@castle.example", ["alice@castle.example"]),
        ("ALICE@castle.example", ["alice@castle.example"]),
        ("alice=tag@castle.example", ["alice@castle.example"]),
        ("prvs=alice@castle.example", ["alice@castle.example"]),
        ("info@castle.example", ["alice@castle.example"]),
        ("INFO@CASTLE.example", ["alice@castle.example"]),
        ("info=shop@castle.example", ["alice@castle.example"]),
        ("team@castle.example", ["bruno@castle.example", "alice@castle.example"]),
        ("bruno@castle.example", ["bruno@castle.example", "alice@castle.example"]),
        ("deep@castle.example", ["alice@castle.example"]),
        ("over@castle.example", ["carla@garden.example"]),
        ("info@garden.example", ["carla@garden.example"]),
        ("anybody@garden.example", ["carla@garden.example"]),
        ("postmaster@garden.example", ["carla@garden.example"]),
        ("postmaster@castle.example", ["postmaster@castle.example"]),
        ("postmaster@meadow.example", ["postmaster@meadow.example"]),
        ("Anybody@meadow.example", ["anybody@meadow.example"]),
        ("dora=x@meadow.example", ["dora@meadow.example"]),
        ("ring@castle.example", ["ring@castle.example"]),
        ("pair@castle.example", ["ring@castle.example", "alice@castle.example"]),
        ("postmaster@mail.castle.example", ["postmaster@mail.castle.example"]),
    ],
)
def test_a_recipient_leads_to_mailboxes(recipient: str, mailboxes: list[str]) -> None:
    routes = route(CONFIG, [recipient])
    assert routes.remote == {}
    assert sorted(routes.local) == sorted(mailboxes)
    assert set(routes.local.values()) == {(recipient,)}


def test_a_mailbox_knows_who_led_to_it_and_is_there_once() -> None:
    recipients = [
        "info@castle.example",
        "bruno@castle.example",
        "alice@castle.example",
        "info@castle.example",
    ]
    assert route(CONFIG, recipients).local == {
        "alice@castle.example": ("info@castle.example", "bruno@castle.example", "alice@castle.example"),
        "bruno@castle.example": ("bruno@castle.example",),
    }


def test_elsewhere_is_reached_directly_or_by_an_alias() -> None:
    routes = route(CONFIG, ["Guest@Elsewhere.example", "far@castle.example"])
    assert routes.local == {}
    assert routes.remote == {
        "Guest@elsewhere.example": ("Guest@Elsewhere.example",),
        "friend@elsewhere.example": ("far@castle.example",),
    }


@pytest.mark.parametrize("name", ["unheard-of", "SRS0=ABCDEFGH=AB=source.example=alice", "srs1=x==alice"])
def test_a_name_that_nobody_has_is_no_mailbox(name: str) -> None:
    routes = route(CONFIG, [f"{name}@castle.example"])
    assert routes.local == {}
    assert list(routes.remote) == [f"{name}@castle.example".lower()]


def test_a_long_chain_of_aliases_ends() -> None:
    chain = {f"a{number}": [f"a{number + 1}"] for number in range(5000)}
    config = configured({"name": "castle.example", "users": ["a5000"], "aliases": chain})
    assert len(route(config, ["a0@castle.example"]).local) == 1
    assert list(route(config, ["a4970@castle.example"]).local) == ["a5000@castle.example"]


@given(
    st.dictionaries(
        st.sampled_from("abcdef*"), st.lists(st.sampled_from("abcdefuv"), min_size=1, max_size=4), max_size=7
    ),
    st.sampled_from("abcdefuvxyz"),
)
def test_every_recipient_leads_somewhere_and_every_user_on_the_way_gets_it(
    aliases: dict[str, list[str]], name: str
) -> None:
    domain = {"name": "castle.example", "users": list("abcdefuv"), "aliases": aliases}
    routes = route(configured(domain), [f"{name}@castle.example"])
    if name in "xyz" and "*" not in aliases:
        assert (list(routes.remote), routes.local) == ([f"{name}@castle.example"], {})
        return
    local = routes.local
    reached, waiting = set[str](), [name]
    while waiting:
        here = waiting.pop()
        targets = aliases.get(here, [] if here in "abcdefuv" else aliases.get("*", []))
        if here not in reached:
            reached.add(here)
            waiting += targets
    ends = {here for here in reached if here not in aliases and (here in "abcdefuv" or "*" not in aliases)}
    assert local
    assert {f"{end}@castle.example" for end in ends} <= set(local)
    assert set(local) <= {f"{here}@castle.example" for here in reached}


@pytest.mark.parametrize(
    ("aliases", "named"),
    [
        ({"info": []}, "domain.0.aliases.info"),
        ({"info": "alice"}, "domain.0.aliases.info"),
        ({"info": ["nobody"]}, "domain.0.aliases.info: leads to 'nobody'"),
        ({"info": ["nobody@garden.example"]}, "domain.0.aliases.info: leads to 'nobody@garden.example'"),
        ({"info": ["alice@"]}, "name a local part of this domain, or a whole address"),
        ({"info": ["@castle.example"]}, "name a local part of this domain, or a whole address"),
        ({"info": [""]}, "name a local part of this domain, or a whole address"),
        ({"info@castle.example": ["alice"]}, "write what stands before the @"),
        ({"": ["alice"]}, "write what stands before the @"),
        ({"info": ["alice"], "INFO": ["alice"]}, "merge the two"),
    ],
)
def test_aliases_that_lead_nowhere_are_named(aliases: object, named: str) -> None:
    domains = (
        {"name": "castle.example", "users": ["alice"], "aliases": aliases},
        {"name": "garden.example"},
    )
    with pytest.raises(settings.SettingsError) as caught:
        configured(*domains)
    assert named in str(caught.value)
    assert Path("mta.toml") == caught.value.path
