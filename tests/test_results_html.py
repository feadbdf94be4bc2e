"""The page: one file that needs nothing else, and on which nothing of the server's comes alive."""

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from harness.results.html import page
from harness.results.model import Delivery, Event, OperatorAct, Status, Try
from tests.result_builder import SERVER, case, dialogue, full_run, reply, rule, run

HOSTILE = [
    "<script>document.title='owned'</script>",
    '"><img src=x onerror="document.title=\'owned\'">',
    "</details></main><h1>all passed</h1>",
    "{{ 7 * 7 }} {% raw %}",
    "\x1b[2J\x00\u202egotcha",
]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--virtual-time-budget=2000",
]


class Outline(HTMLParser):
    """What a page is made of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs


def hostile_page() -> str:
    talk = dialogue(
        *(reply("rcpt", 550, text) for text in HOSTILE), client_name=HOSTILE[1], ending=HOSTILE[0]
    )
    mail = Delivery(
        HOSTILE[0], HOSTILE[1], HOSTILE[2], tuple((bad, bad) for bad in HOSTILE), "\n".join(HOSTILE)
    )
    acts = tuple(OperatorAct(0.5, bad, bad) for bad in HOSTILE)
    broken = rule(
        "a.bad",
        case(
            Status.FAILED,
            talk,
            reason=HOSTILE[0],
            name=HOSTILE[1],
            observed=HOSTILE[2],
            tries=(Try(Status.FAILED, HOSTILE[0], (talk,), (mail,), acts),),
        ),
    )
    facts = SERVER.__class__(HOSTILE[0], (HOSTILE[1],), (HOSTILE[2],), {"subject": HOSTILE[0]})
    return page(run(broken, rule("a.good"), server=facts, notes=(HOSTILE[0],)))


def test_nothing_of_the_server_becomes_markup() -> None:
    tame, hostile = Outline(page(run(rule("a.bad")))), Outline(hostile_page())
    assert hostile.tags.count("script") == tame.tags.count("script")
    assert "img" not in hostile.tags
    assert hostile.tags.count("h1") == 1
    assert not any(name.startswith("on") for name, _ in hostile.attributes)
    text = hostile_page()
    assert "49" not in re.findall(r"7 \* 7|49", text)
    assert not {"\x1b", "\x00", "\u202e"} & set(text)


def test_the_page_needs_nothing_else() -> None:
    outline = Outline(page(full_run()))
    links = [value or "" for name, value in outline.attributes if name in ("src", "href")]
    assert all(link.startswith(("#", "data:")) for link in links)
    assert "link" not in outline.tags


def test_every_rule_is_there_with_its_statement_and_its_evidence() -> None:
    result = full_run()
    text = page(result)
    for one in result.rules:
        assert f'id="{one.id}"' in text
    assert "refuses it at RCPT" in text
    assert "EHLO mx.c1.example.org" in text
    assert "7.0.18.198.in-addr.arpa" in text
    assert len(text) < 3_000_000


def test_a_delivered_message_is_there_with_its_folder() -> None:
    mail = Delivery(
        "ann@example.org", ".Junk", "/var/mail/ann/.Junk/new/1", (("X-Spam-Flag", "YES"),), "X-Spam-Flag: YES"
    )
    text = page(run(rule("a.b", case(tries=(Try(Status.PASSED, "", (), (mail,)),)))))
    for part in ("ann@example.org", ".Junk", "/var/mail/ann/.Junk/new/1", "X-Spam-Flag", "YES"):
        assert part in text


def test_what_the_operator_did_and_saw_is_there() -> None:
    acts = (OperatorAct(1.25, "list the queue: what mentions x.example", "17 frozen <lost@x.example>"),)
    text = page(run(rule("a.b", case(tries=(Try(Status.PASSED, "", (), (), acts),)))))
    for part in ("1.250", "list the queue: what mentions x.example", "17 frozen &lt;lost@x.example&gt;"):
        assert part in text


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_browser_shows_it_and_runs_nothing_of_the_server(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(hostile_page(), "utf-8")
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert "<title>owned" not in done.stdout
    assert "2 of 2 rules" in done.stdout  # the filter has run and counted
    assert "CONSOLE" not in done.stderr, done.stderr


def test_the_style_of_one_table_reaches_no_other() -> None:
    css = re.search(r"<style>(.*?)</style>", page(run(rule("a.b"))), re.DOTALL)
    assert css
    placed = [
        (selector.strip(), body)
        for selector, body in re.findall(r"([^{}]+)\{([^{}]*)\}", css[1])
        if re.search(r"\b(td|th|tr|thead)\b", selector)
        and re.search(r"width|align:|display|clip|nowrap|padding|border", body)
    ]
    assert placed
    loose = [selector for selector, body in placed if "vertical-align: top" not in body]
    assert all(re.search(r"\.(transcript|fields|course)", selector) for selector in loose)


def test_a_message_and_a_transcript_are_tables_of_their_own_kind() -> None:
    mail = Delivery("ann@example.org", "", "/mail/1", (("Subject", "Hello"),), "Subject: Hello")
    text = page(run(rule("a.b", case(tries=(Try(Status.PASSED, "", (dialogue(reply("mail")),), (mail,)),)))))
    assert text.count('<table class="fields">') == 1
    assert text.count('<table class="transcript">') == 1


def test_line_ends_of_a_message_are_line_ends_and_a_bare_one_is_seen() -> None:
    mail = Delivery("ann@example.org", "", "/mail/1", (), "Subject: Hello\r\n\r\nbare\rone")
    text = page(run(rule("a.b", case(tries=(Try(Status.PASSED, "", (), (mail,)),)))))
    assert "Subject: Hello\n\nbare\\rone" in text


def test_what_needs_a_look_has_the_statement_and_failures_first() -> None:
    text = page(run(rule("a.unclear", status=Status.INCONCLUSIVE), rule("z.bad", status=Status.FAILED)))
    look = text[text.index("What needs a look") : text.index('class="server"')]
    assert look.index("The statement of z.bad.") < look.index("The statement of a.unclear.")


def test_a_large_run_keeps_its_failures_and_says_what_is_not_shown() -> None:
    good = [
        rule(f"a.good-{number}", case(Status.PASSED, dialogue(*[reply("rcpt", 250, "taken " * 20)] * 50)))
        for number in range(20)
    ]
    failing = dialogue(reply("connect", 220, "the failing one"))
    text = page(run(*good, rule("z.bad", case(Status.FAILED, failing))), most=30_000)
    assert "the failing one" in text
    assert "are not on this page" in text
    assert "Left out here" in text
    assert len(text) < 30_000 + len(page(run(*good), most=0)) + 20_000
    assert "are not on this page" not in page(run(rule("z.bad", case(Status.FAILED, failing))))


def test_events_of_a_hostile_server_are_escaped() -> None:
    events = tuple(Event(0.5, bad, bad, bad) for bad in HOSTILE)
    text = page(run(rule("a.b", case(tries=(Try(Status.PASSED, "", (), events=events),)))))
    assert "img" not in Outline(text).tags
    assert not {"\x1b", "\x00", "\u202e"} & set(text)
