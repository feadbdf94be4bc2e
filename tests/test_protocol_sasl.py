"""The mechanisms of AUTH, message by message: nothing here listens, and nobody is asked for an account."""

import base64
import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.reference_mta.protocol.cram_md5 import CramMd5, challenge_of, digest_of
from harness.reference_mta.protocol.sasl import (
    Challenge,
    Credentials,
    Login,
    Mechanism,
    Plain,
    Proof,
    SaslError,
    decoded,
    prompt_of,
)
from harness.reference_mta.protocol.saslprep import PreparationError, prepared
from harness.reference_mta.protocol.scram import Scram, ScramVerifier, read_final, read_first, server_nonce
from harness.settings.secret import Secret
from tests.scram_client import ScramClient

PENCIL = ScramVerifier.of("pencil", base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)
RFC_7677 = (  # §3, the client's messages and the server's in turn
    b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
    b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
)
FIRST, ANSWER, FINAL, SIGNATURE = RFC_7677


def scram(nonce: str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0") -> Scram:
    return Scram(lambda _: PENCIL, lambda: nonce)


def cram(password: str = "tanstaaftanstaaf") -> CramMd5:
    return CramMd5(b"<1896.697170952@postoffice.reston.mci.net>", lambda _: Secret(password))


ALL: list[Callable[[], Mechanism]] = [Plain, Login, cram, scram]


# Lines


@given(st.binary())
def test_a_challenge_is_what_its_base64_says(data: bytes) -> None:
    reply = prompt_of(Challenge(data))
    assert reply.startswith("334 ")
    assert decoded(reply.removeprefix("334 ")) == data


@pytest.mark.parametrize("line", ["*", "!", "AAA", "AAAA=", "é", "=", "AA AA", "AAAA\n"])
def test_what_is_no_base64_is_told(line: str) -> None:
    with pytest.raises(SaslError, match=r"^501 5\."):
        decoded(line)


@pytest.mark.parametrize(
    ("line", "initial", "data"), [("", False, b""), ("=", True, b""), ("YQ==", True, b"a")]
)
def test_nothing_has_two_spellings(line: str, initial: bool, data: bytes) -> None:
    assert decoded(line, initial=initial) == data


@pytest.mark.parametrize("mechanism", ALL)
@given(messages=st.lists(st.binary(), min_size=1, max_size=4))
def test_whatever_comes_is_read_or_refused(mechanism: Callable[[], Mechanism], messages: list[bytes]) -> None:
    begun = mechanism()
    with contextlib.suppress(SaslError):
        for message in messages:
            step = begun.step(message)
            if not isinstance(step, Challenge):
                assert not isinstance(step, Proof) or not step.right
                return


# PLAIN and LOGIN


@given(
    st.text(st.characters(exclude_characters="\0", codec="utf-8")),
    st.binary().filter(lambda raw: b"\0" not in raw),
)
def test_credentials_come_through_unchanged(user: str, password: bytes) -> None:
    found = Credentials("", user, password.decode("utf-8", "surrogateescape"))
    assert Plain().step(b"\0" + user.encode() + b"\0" + password) == found
    login = Login()
    assert login.begin() == Challenge(b"Username:")
    assert login.step(user.encode()) == Challenge(b"Password:")
    assert login.step(password) == found


@pytest.mark.parametrize("message", [b"", b"alice", b"\0alice", b"\0alice\0x\0", b"a\0b\0c\0d"])
def test_what_is_no_message_of_plain_is_told(message: bytes) -> None:
    with pytest.raises(SaslError, match=r"^501 5\."):
        Plain().step(message)


# CRAM-MD5


def test_the_example_of_rfc_2195_holds() -> None:
    assert cram().begin() == Challenge(b"<1896.697170952@postoffice.reston.mci.net>")
    assert cram().step(b"tim b913a602c7eda7a495b4e6e7334d3890") == Proof("", "tim", right=True)
    assert cram("another").step(b"tim b913a602c7eda7a495b4e6e7334d3890") == Proof("", "tim", right=False)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"tim",
        b"tim b913a602c7eda7a495b4e6e7334d389",
        b"tim B913A602C7EDA7A495B4E6E7334D3890",
        b"b913a602c7eda7a495b4e6e7334d3890",
        b" b913a602c7eda7a495b4e6e7334d3890",
        b"tim b913a602c7eda7a495b4e6e7334d3890 ",
    ],
)
def test_what_is_no_response_of_cram_md5_is_told(message: bytes) -> None:
    with pytest.raises(SaslError, match=r"^501 5\."):
        cram().step(message)


@given(st.text(st.characters(codec="utf-8"), min_size=1), st.text(st.characters(codec="utf-8"), min_size=1))
def test_a_digest_is_right_for_its_challenge_alone(user: str, password: str) -> None:
    one, other = challenge_of("mx.example"), challenge_of("mx.example")
    response = user.encode() + b" " + digest_of(Secret(password), one)
    assert CramMd5(one, lambda _: Secret(password)).step(response) == Proof("", user, right=True)
    assert CramMd5(other, lambda _: Secret(password)).step(response) == Proof("", user, right=False)


# SCRAM


def test_the_example_of_rfc_7677_holds() -> None:
    dialogue = scram()
    assert dialogue.begin() == Challenge()
    assert dialogue.step(FIRST) == Challenge(ANSWER)
    assert dialogue.step(FINAL) == Challenge(SIGNATURE)
    assert dialogue.step(b"") == Proof("", "user", right=True)


def test_words_behind_the_end_are_refused() -> None:
    dialogue = scram()
    dialogue.step(FIRST)
    dialogue.step(FINAL)
    with pytest.raises(SaslError, match=r"^501 "):
        dialogue.step(FINAL)


@settings(deadline=None, max_examples=25)
@given(
    user=st.text(st.sampled_from("aZé,= .0"), min_size=1, max_size=9).filter(lambda name: name.strip(" ")),
    acts_for=st.one_of(st.just(""), st.text(st.sampled_from("aZ,=.0"), min_size=1, max_size=9)),
    flag=st.sampled_from("ny"),
    extensions=st.sampled_from([("", ""), (",x=1", ""), ("", ",y=a=b"), (",x=1,z=é", ",q=2")]),
)
def test_a_client_with_the_password_is_right(
    user: str, acts_for: str, flag: str, extensions: tuple[str, str]
) -> None:
    client = ScramClient(user, "pencil", acts_for=acts_for, flag=flag, extensions=extensions)
    dialogue = Scram(lambda _: PENCIL)
    answer = dialogue.step(client.first())
    assert isinstance(answer, Challenge)
    signature = dialogue.step(client.final(answer.data))
    assert signature == Challenge(client.expected)
    assert dialogue.step(b"") == Proof(acts_for, user, right=True)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"p=dHz", b"p=dHy"),  # another proof
        (
            b"k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            b"k0,p=dHzbZapWIk4jUhN+Ute9yg==",
        ),  # a short one
        (b"c=biws", b"c=eSws"),  # the header was "n,,", and is said to have been "y,,"
        (b"c=biws", b"c=bixhPWJvYiw="),  # nobody was to be acted for
        (b"$k0", b"$k1"),  # another nonce
        (b"%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", b""),  # the client's part alone
        (b"k0,p=", b"k0,x=1,p="),  # an extension that no proof covers
    ],
)
def test_a_change_on_the_way_is_found(old: bytes, new: bytes) -> None:
    assert old in FINAL
    dialogue = scram()
    dialogue.step(FIRST)
    assert dialogue.step(FINAL.replace(old, new)) == Proof("", "user", right=False)


def test_a_change_of_the_first_message_is_found() -> None:
    dialogue = scram()
    dialogue.step(FIRST.replace(b"n,,", b"y,,"))
    assert dialogue.step(FINAL) == Proof("", "user", right=False)


@pytest.mark.parametrize("nonce", ["fyko+d2lbbFgONRv9qkxdawL", "fyko+d2lbbFgONRv9qkxdawLx", "x"])
def test_a_nonce_of_the_clients_own_is_found(nonce: str) -> None:
    client = ScramClient("user", "pencil")
    dialogue = scram("3rfcNHYJY1ZVvWVs7j")
    answer = dialogue.step(client.first())
    assert isinstance(answer, Challenge)
    assert dialogue.step(client.final(answer.data, nonce=nonce)) == Proof("", "user", right=False)


def test_a_dialogue_is_not_played_again() -> None:
    dialogue = Scram(lambda _: PENCIL)
    dialogue.step(FIRST)
    assert dialogue.step(FINAL) == Proof("", "user", right=False)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"n=user,r=abc",
        b"n,n=user,r=abc",
        b"N,,n=user,r=abc",
        b"p=tls-unique,,n=user,r=abc",
        b"p=tls-exporter,a=bob,n=user,r=abc",
        b"p,,n=user,r=abc",
        b"n,bob,n=user,r=abc",
        b"n,a=,n=user,r=abc",
        b"n,,m=new,n=user,r=abc",
        b"n,,n=user,r=abc,m=new",
        b"n,,n=,r=abc",
        b"n,,n=us=er,r=abc",
        b"n,,n=us=2cer,r=abc",
        b"n,,n=us\0er,r=abc",
        b"n,,n=\xc2\xad,r=abc",  # a soft hyphen, of which nothing is left
        b"n,,n=\xee\x80\x80,r=abc",
        b"n,,n=\xff,r=abc",
        b"n,,n=user",
        b"n,,n=user,r=",
        b"n,,n=user,r=a c",
        b"n,,n=user,r=\xc3\xa9",
        b"n,,r=abc,n=user",
        b"n,,n=user,r=abc\n",
        b"n,,n=user,r=abc,",
    ],
)
def test_what_is_no_first_message_is_told(message: bytes) -> None:
    with pytest.raises(SaslError, match=r"^501 5\."):
        read_first(message)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"c=biws,r=abc",
        b"c=,r=abc,p=AAAA",
        b"c=biws,r=abc,p=",
        b"c=biws,r=abc,p=A",
        b"c=biws,p=AAAA,r=abc",
        b"r=abc,c=biws,p=AAAA",
        b"c=biws,r=a,b,p=AAAA",
        b"c=biws,r=abc,p=AAAA\n",
        b"c=biws,r=abc,p=\xff",
    ],
)
def test_what_is_no_last_message_is_told(message: bytes) -> None:
    with pytest.raises(SaslError, match=r"^501 5\."):
        read_final(message)


def test_names_are_read_without_their_escapes() -> None:
    first = read_first(b"y,a=a=2Cb,n=c=3Dd=2C\xc2\xaae\xc2\xad,r=x")
    assert (first.acts_for, first.user) == ("a,b", "c=d,ae")


def test_nonces_may_stand_in_messages_and_differ() -> None:
    nonces = {server_nonce() for _ in range(100)}
    assert len(nonces) == 100
    assert all(read_first(f"n,,n=u,r={nonce}".encode()).nonce == nonce for nonce in nonces)


# SASLprep


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("I\u00adX", "IX"),  # RFC 4013 §3
        ("user", "user"),
        ("USER", "USER"),
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),
        ("", ""),
        ("\u0627\u0628", "\u0627\u0628"),
    ],
)
def test_texts_are_prepared(text: str, form: str) -> None:
    assert prepared(text) == form


@pytest.mark.parametrize(
    "text", ["\u0007", "\u0627\u0031", "\u0627a\u0628", "a\ue000", "\ud800", "\u200e", "\U000e0001"]
)
def test_other_texts_have_no_form(text: str) -> None:
    with pytest.raises(PreparationError):
        prepared(text)


def test_what_is_stored_has_known_characters_only() -> None:
    assert prepared("\u0221") == "\u0221"
    with pytest.raises(PreparationError, match=r"Unicode 3\.2"):
        prepared("\u0221", stored=True)


@given(st.text())
def test_a_form_is_its_own_form(text: str) -> None:
    with contextlib.suppress(PreparationError):
        assert prepared(prepared(text)) == prepared(text)
