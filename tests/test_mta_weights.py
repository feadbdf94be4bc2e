"""Block lists of the reference MTA: their weights, white lists among them, asked in turn or at once."""

from pathlib import Path

import pytest

from fake_dns import Late, NoAnswer, listing_name
from tests.mta_here import Spoken, speaking
from tests.mta_process import WHITELISTED

ZONES = ("first", "second", "third")


def lists(*weights: int, more: str = "", policy: str = "") -> str:
    """A configuration with a list of each weight: the first zone, the second …"""
    entries = (
        f'[[dnsbl]]\nname = "{zone}"\nzones = ["{zone}.blocklist.example"]\nweight = {weight}\n{more}\n'
        for zone, weight in zip(ZONES, weights, strict=False)
    )
    return "".join(entries) + f"[dnsbl_policy]\n{policy}\n"


def listed(mta: Spoken, *zones: str, value: str = "127.0.0.2") -> None:
    """The client that is used here is on those lists."""
    for zone in zones:
        name = listing_name(WHITELISTED, f"{zone}.blocklist.example")
        mta.dns.publish(name, "A", value)
        mta.dns.publish(name, "TXT", f"Reason of {zone}")


def outcome(mta: Spoken) -> str:
    """Whether the client is refused, marked, or passes untouched."""
    heard = mta.play(WHITELISTED)
    if heard["rcpt"].startswith("550"):
        return "refused"
    assert heard["end"].startswith("250")
    return "marked" if "X-DNSbl-Warning" in mta.mail("alice@castle.example")[-1] else "untouched"


def asked(mta: Spoken) -> list[str]:
    """The lists that were asked about the client."""
    return [zone for zone in ZONES if mta.dns.queries(listing_name(WHITELISTED, f"{zone}.blocklist.example"))]


@pytest.mark.parametrize(
    ("weights", "threshold", "on", "expected"),
    [
        ((1, 1, 1), 2, "first second", "refused"),
        ((1, 1, 1), 3, "first second", "marked"),
        ((1, 1, 1), 3, "first second third", "refused"),
        ((2, 1, 1), 2, "first", "refused"),
        ((1, 1, 1), 2, "first", "marked"),
        ((1, 1, 1), 1, "third", "refused"),
        ((2, 2, 1), 3, "first third", "refused"),
        ((2, 2, -2), 3, "first second third", "marked"),
        ((2, 2, -2), 3, "first second", "refused"),
        ((2, 2, -2), 3, "first third", "untouched"),
        ((1, 1, -3), 2, "first third", "untouched"),
        ((-3, 2, 2), 2, "first second third", "marked"),
        ((1, 1, -3), 2, "third", "untouched"),
    ],
)
@pytest.mark.parametrize("order", ["sequence", "parallel"])
def test_the_sum_of_weights_decides(
    tmp_path: Path, weights: tuple[int, ...], threshold: int, on: str, expected: str, order: str
) -> None:
    policy = f'threshold = {threshold}\norder = "{order}"'
    with speaking(tmp_path, lists(*weights, policy=policy)) as mta:
        listed(mta, *on.split())
        assert outcome(mta) == expected


@pytest.mark.parametrize(
    ("weights", "order", "on", "expected"),
    [
        ((1, 1, 1), "sequence", "first second", "first second"),
        ((2, 1, 1), "sequence", "first", "first"),
        ((1, 1, 1), "sequence", "first", "first second third"),
        ((1, 1, 1), "parallel", "first second", "first second third"),
        ((2, 1, -1), "sequence", "first", "first second third"),
        ((2, -1, 1), "sequence", "first", "first second third"),
        ((-1, 2, 1), "sequence", "second", "first second"),
        ((-1, 3, 1), "sequence", "first second", "first second"),
    ],
)
def test_lists_are_asked_while_they_may_count(
    tmp_path: Path, weights: tuple[int, ...], order: str, on: str, expected: str
) -> None:
    with speaking(tmp_path, lists(*weights, policy=f'order = "{order}"')) as mta:
        listed(mta, *on.split())
        mta.play(WHITELISTED)
        assert asked(mta) == expected.split()


def test_lists_are_asked_at_once_when_that_is_their_order(tmp_path: Path) -> None:
    apart = {}
    for order in ("sequence", "parallel"):
        with speaking(tmp_path / order, lists(1, 1, 1, policy=f'order = "{order}"')) as mta:
            listed(mta, *ZONES)
            for zone in ZONES:
                name = listing_name(WHITELISTED, f"{zone}.blocklist.example")
                mta.dns.script(name, "A", Late(0.3))
            assert mta.play(WHITELISTED)["rcpt"].startswith("550")
            asked = [query.at for query in mta.dns.queries("blocklist.example", "A")]
            apart[order] = asked[-1] - asked[0]
    assert apart["parallel"] < 0.3 <= apart["sequence"]


@pytest.mark.parametrize(
    ("more", "value", "expected"),
    [
        ("", "127.0.0.2", "refused"),
        ("", "127.3.2.1", "refused"),
        ("", "127.0.0.1", "untouched"),
        ("", "127.255.255.254", "untouched"),
        ("", "192.0.2.1", "untouched"),
        ('answers = ["127.0.0.4/30", "127.0.0.9"]', "127.0.0.2", "untouched"),
        ('answers = ["127.0.0.4/30", "127.0.0.9"]', "127.0.0.3", "untouched"),
        ('answers = ["127.0.0.4/30", "127.0.0.9"]', "127.0.0.5", "refused"),
        ('answers = ["127.0.0.4/30", "127.0.0.9"]', "127.0.0.9", "refused"),
        ('answers = ["127.0.0.1"]', "127.0.0.1", "refused"),
    ],
)
def test_a_listing_is_an_answer_that_counts(tmp_path: Path, more: str, value: str, expected: str) -> None:
    with speaking(tmp_path, lists(2, more=more)) as mta:
        listed(mta, "first", value=value)
        assert outcome(mta) == expected


def test_one_answer_of_several_is_enough(tmp_path: Path) -> None:
    for second, expected in (("127.0.0.4", "refused"), ("127.0.0.8", "untouched")):
        with speaking(tmp_path / second, lists(2, more='answers = ["127.0.0.4"]')) as mta:
            listed(mta, "first", value="127.0.0.2")
            listed(mta, "first", value=second)
            assert outcome(mta) == expected


def test_a_group_weighs_once(tmp_path: Path) -> None:
    group = '[[dnsbl]]\nname = "group"\nzones = ["first.blocklist.example", "second.blocklist.example"]\n'
    for weight, expected in ((2, "marked"), (3, "refused")):
        with speaking(
            tmp_path / str(weight), f"{group}weight = {weight}\n[dnsbl_policy]\nthreshold = 3\n"
        ) as mta:
            listed(mta, "first", "second")
            assert outcome(mta) == expected


def test_the_refusal_names_what_speaks_against_the_client(tmp_path: Path) -> None:
    with speaking(tmp_path, lists(2, 2, -1)) as mta:
        listed(mta, *ZONES)
        reply = mta.play(WHITELISTED)["rcpt"]
        for word in ("first.blocklist.example", "Reason of first", "Reason of second", "2 block lists"):
            assert word in reply
        assert "third" not in reply


def test_a_refusal_by_one_list_names_it(tmp_path: Path) -> None:
    tables = lists(1) + '[answers."dnsbl.one"]\naction = "refuse"\ncode = 571\n'
    with speaking(tmp_path, tables) as mta:
        listed(mta, "first")
        reply = mta.play(WHITELISTED)["rcpt"]
        assert reply.startswith("571")
        assert "listed by 1 block list:" in reply
        assert "Reason of first" in reply


@pytest.mark.parametrize("order", ["sequence", "parallel"])
def test_a_list_that_does_not_answer_counts_for_nothing(tmp_path: Path, order: str) -> None:
    with speaking(tmp_path, lists(2, 2, policy=f'order = "{order}"')) as mta:
        mta.dns.script(listing_name(WHITELISTED, "first.blocklist.example"), "A", NoAnswer())
        assert outcome(mta) == "untouched"
        listed(mta, "second")
        assert outcome(mta) == "refused"
