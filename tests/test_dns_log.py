"""Who asked what: filters, order, bounds, waiting."""

import threading

import pytest

from fake_dns import FakeDns, ServFail
from fake_dns.log import SEGMENT
from tests.dns_asking import Question, ask, ask_raw


@pytest.fixture
def dns() -> FakeDns:
    dns = FakeDns()
    dns.zone("k3.example")
    dns.publish("mx7.k3.example", "A", "198.18.0.7")
    return dns


def test_an_entry_says_it_all(dns: FakeDns) -> None:
    ask(dns, Question("MX7.k3.example"))
    (entry,) = dns.queries()
    assert (entry.client, entry.transport, entry.name, entry.type, entry.answer) == (
        "127.0.0.1",
        "udp",
        "mx7.k3.example",
        "A",
        "NOERROR 198.18.0.7",
    )


def test_filters(dns: FakeDns) -> None:
    for name in ("k3.example", "mx7.k3.example", "a.b.k3.example", "xk3.example", "other.example"):
        ask(dns, Question(name))
        ask(dns, Question(name, "MX"))
    under = [entry.name for entry in dns.queries(under="K3.example.", type="MX")]
    assert under == ["k3.example", "mx7.k3.example", "a.b.k3.example"]
    assert len(dns.queries()) == len(dns.queries(under=".")) == 10
    assert dns.queries(under="nobody.example") == []
    sixth = dns.queries()[5]
    assert dns.queries(since=sixth.at)[0] == sixth
    ask(dns, Question("mx7.k3.example"))
    assert len(dns.queries(under="mx7.k3.example")) == 3


def test_times_rise(dns: FakeDns) -> None:
    for _ in range(5):
        ask(dns, Question("mx7.k3.example"))
    times = [entry.at for entry in dns.queries()]
    assert times == sorted(times)


def test_unusual_octets_are_escaped(dns: FakeDns) -> None:
    head = Question("x.example").packet()[:12]
    ask_raw(dns, head + b"\x05a.\n\xff\\\x07example\x00\x00\x01\x00\x01")
    assert dns.queries()[0].name == r"a\046\010\255\092.example"
    assert dns.queries(under=r"a\.\010\255\\.example") == dns.queries()


def test_what_cannot_be_read_belongs_to_no_name(dns: FakeDns) -> None:
    ask_raw(dns, Question("mx7.k3.example").packet()[:-1])
    ask(dns, Question("mx7.k3.example"))
    assert [entry.name for entry in dns.queries()] == ["", "mx7.k3.example"]
    assert [entry.name for entry in dns.queries(under=".")] == ["mx7.k3.example"]


def test_a_long_answer_is_cut_short(dns: FakeDns) -> None:
    dns.publish("long.k3.example", "TXT", "x" * 4000)
    ask(dns, Question("long.k3.example", "TXT"))
    assert len(dns.queries()[0].answer) < 250


def test_a_log_is_bounded_and_counts_what_it_drops() -> None:
    dns = FakeDns(log_limit=1)
    packet = Question("x.example").packet()
    for _ in range(3 * SEGMENT):
        ask_raw(dns, packet)
    kept = len(dns.queries())
    assert dns.dropped > 0
    assert kept + dns.dropped == 3 * SEGMENT
    assert len(dns.queries(under="example")) == kept


def test_a_query_that_came_already_needs_no_waiting(dns: FakeDns) -> None:
    ask(dns, Question("mx7.k3.example", "MX"))
    ask(dns, Question("mx7.k3.example"))
    entry = dns.wait_for_query("mx7.k3.example", "A", timeout=0)
    assert entry == dns.queries()[1]
    assert entry is not None
    assert dns.wait_for_query("mx7.k3.example", None, timeout=0) == dns.queries()[0]
    assert dns.wait_for_query("k3.example", None, timeout=0) is None
    assert dns.wait_for_query("mx7.k3.example", "A", timeout=0, since=entry.at + 1) is None


def test_a_query_to_come_ends_the_waiting(dns: FakeDns) -> None:
    dns.script("late.k3.example", "A", ServFail())
    others = threading.Thread(
        target=lambda: [ask(dns, Question(name)) for name in ("a.k3.example", "late.k3.example")]
    )
    timer = threading.Timer(0.05, others.start)
    timer.start()
    entry = dns.wait_for_query("late.k3.example", "A", timeout=10)
    timer.join()
    others.join()
    assert entry is not None
    assert entry.answer == "SERVFAIL"
