"""The parameters of the DSN extension (RFC 3461 §4) by their grammar."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.reference_mta.protocol.limits import InFlight, Limits
from harness.reference_mta.protocol.machine import Machine
from harness.reference_mta.protocol.parameters import (
    LONGEST_ENVELOPE_ID,
    LONGEST_ORIGINAL,
    ParameterError,
    read_parameters,
    read_xtext,
)

OFFERED = frozenset(("DSN", "8BITMIME"))
CHARACTERS = st.characters(min_codepoint=0x20, max_codepoint=0x7E)
KEYWORDS = {"MAIL": ("RET", "ENVID"), "RCPT": ("NOTIFY", "ORCPT")}
XTEXT = r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*"
WHAT_IT_SAYS = {  # each as RFC 3461 writes it down, for values of ASCII; what xtext stands for is left aside
    "RET": re.compile(r"(?i)FULL|HDRS"),
    "ENVID": re.compile(rf"(?=.{{1,100}}$){XTEXT}"),
    "NOTIFY": re.compile(r"(?i)NEVER|(?:SUCCESS|FAILURE|DELAY)(?:,(?:SUCCESS|FAILURE|DELAY))*"),
    "ORCPT": re.compile(rf"(?=.{{1,500}}$)[^\s\x00-\x1f()<>@,;:\\\".\[\]=\x7f]+;{XTEXT}"),
}


def encoded(text: str, plain: str) -> str:
    """Text in xtext; the characters of `plain` stand for themselves where they may."""
    as_is = set(plain) - set("+= ")
    return "".join(char if char in as_is else f"+{ord(char):02X}" for char in text)


def taken(verb: str, text: str) -> bool:
    """Whether parameters are taken; what is refused is refused with 501."""
    try:
        read_parameters(text, verb, OFFERED)
    except ParameterError as error:
        refusal = str(error)
    else:
        return True
    assert refusal.startswith("501 5.5.4 ")
    return False


@given(st.text(CHARACTERS, min_size=1, max_size=60), st.text(CHARACTERS))
def test_whatever_prints_has_a_form_that_is_taken_and_read_back(text: str, plain: str) -> None:
    value = encoded(text, plain)
    assert read_xtext(value) == text
    assert taken("MAIL", f" ENVID={value}") == (len(value) <= LONGEST_ENVELOPE_ID)
    assert taken("RCPT", f" ORCPT=rfc822;{value}") == (len(f"rfc822;{value}") <= LONGEST_ORIGINAL)


@given(
    st.sampled_from(list(WHAT_IT_SAYS)),
    st.one_of(
        st.text(max_size=30),
        st.lists(
            st.sampled_from([*"aZ0+=;,. \t\r\n\0\x7f", "+41", "+0A", "+4g", "é", "ſ", "ı", "rfc822;"]),
            max_size=12,
        ).map("".join),
        st.lists(
            st.sampled_from(["never", "Success", "FAILURE", "DELAY", "", "FULL", "hdrs"]), max_size=4
        ).map(",".join),
    ),
)
def test_nothing_else_is_taken(keyword: str, value: str) -> None:
    verb = "MAIL" if keyword in KEYWORDS["MAIL"] else "RCPT"
    try:
        found = read_parameters(f" {keyword}={value}", verb, OFFERED)
    except ParameterError:
        return
    assert found.values == {keyword: value}, "as given, so that it can go on unchanged"
    assert WHAT_IT_SAYS[keyword].fullmatch(value)
    decoded = read_xtext(value) or ""
    assert decoded.isascii()
    assert decoded.isprintable()


@pytest.mark.parametrize(
    ("verb", "text"),
    [
        ("MAIL", " RET=FOO"),
        ("MAIL", " RET="),
        ("MAIL", " RET"),
        ("MAIL", " RET=FULL RET=FULL"),
        ("MAIL", " RET=FULL ret=HDRS"),
        ("MAIL", " RET=HDRſ"),
        ("MAIL", " BODY=8BıTMIME"),
        ("MAIL", " ENVID="),
        ("MAIL", " ENVID"),
        ("MAIL", " ENVID=a ENVID=a"),
        ("MAIL", " ENVID=a+0D+0AX-Injected:+20yes"),
        ("MAIL", " ENVID=a+09b"),
        ("MAIL", " ENVID=a+E9"),
        ("MAIL", " ENVID=é"),
        ("MAIL", " ENVID=a+7F"),
        ("MAIL", " ENVID=a+2b"),
        ("MAIL", " ENVID=a+"),
        ("MAIL", " ENVID=a=b"),
        ("MAIL", " ENVID=" + "x" * 101),
        ("RCPT", " NOTIFY="),
        ("RCPT", " NOTIFY"),
        ("RCPT", " NOTIFY=BAD"),
        ("RCPT", " NOTIFY=NEVER,FAILURE"),
        ("RCPT", " NOTIFY=NEVER,NEVER"),
        ("RCPT", " NOTIFY=SUCCESS,success"),
        ("RCPT", " NOTIFY=SUCCESS,"),
        ("RCPT", " NOTIFY=ſUCCESS"),
        ("RCPT", " NOTIFY=SUCCESS NOTIFY=SUCCESS"),
        ("RCPT", " ORCPT=a@b"),
        ("RCPT", " ORCPT=rfc822;"),
        ("RCPT", " ORCPT=rfc 822;a"),
        ("RCPT", " ORCPT=rfc@822;a"),
        ("RCPT", " ORCPT=rfc822;a+0Ab"),
        ("RCPT", " ORCPT=rfc822;é"),
        ("RCPT", " ORCPT=utf-8;é+2Bx"),
        ("RCPT", " ORCPT=utf-8;é\u202ex"),
        ("RCPT", " ORCPT=rfc822;" + "x" * 494),
        ("RCPT", " ORCPT=rfc822;a ORCPT=rfc822;a"),
    ],
)
def test_what_is_malformed_or_there_twice_is_refused(verb: str, text: str) -> None:
    assert not taken(verb, text)


@pytest.mark.parametrize(
    ("verb", "text"),
    [
        ("MAIL", " RET=full ENVID=+20"),
        ("MAIL", " ENVID=" + "x" * 100),
        ("RCPT", " NOTIFY=never"),
        ("RCPT", " NOTIFY=Delay,SUCCESS,failure ORCPT=x_400;" + "x" * 494),
        ("RCPT", " ORCPT=UTF-8;é\\x{20AC}@b.example"),
    ],
)
def test_what_is_well_formed_is_taken(verb: str, text: str) -> None:
    assert taken(verb, text)


@pytest.mark.parametrize(("asked", "code"), [(" SMTPUTF8", "250"), ("", "553")])
def test_an_original_recipient_beyond_ascii_needs_its_extension(asked: str, code: str) -> None:
    machine = Machine(Limits(), InFlight(1000))
    told = []
    said = f"EHLO x\r\nMAIL FROM:<>{asked}\r\nRCPT TO:<a@b.example> ORCPT=utf-8;é@b.example\r\n"
    machine.receive(said.encode())
    while event := machine.next_event():
        reply = event.answer or "250-x\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 DSN"
        machine.answered(reply)
        told.append(reply[:3])
    assert told == ["250", "250", "250", code]


def test_a_parameter_that_is_not_listed_is_not_known() -> None:
    for verb, text in (("MAIL", " RET=HDRS"), ("RCPT", " NOTIFY=NEVER")):
        with pytest.raises(ParameterError, match=r"^555 5\.5\.4 "):
            read_parameters(text, verb, frozenset(("SIZE",)))
