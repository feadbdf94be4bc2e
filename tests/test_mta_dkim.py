"""DKIM: signatures of the RFCs and of fresh keys, and what becomes of them over live SMTP."""

import base64
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from fake_dns import ServFail
from harness.reference_mta.mail import signatures
from harness.reference_mta.mail.dkim import without_results_of
from harness.reference_mta.mail.signatures import read, verify
from harness.world.signing import Algorithm, Canonical, Signer
from tests.mta_process import MESSAGE, TO, TRUSTED, WHITELISTED, RunningMta, running_mta

HOST = "mail.castle.example"
HEADER = """\
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>
"""
BODY = "\nHi.\n\nWe lost the game. Are you hungry yet?\n\nJoe.\n"
RFC_8463 = """\
DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
"""
RFC_6376 = """\
DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;
      c=simple/simple; q=dns/txt; i=joe@football.example.com;
      h=Received : From : To : Subject : Date : Message-ID;
      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB
        4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut
        KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV
        4bmp/YzhwvcubU4=;
Received: from client1.football.example.com  [192.0.2.1]
      by submitserver.example.com with SUBMISSION;
      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)
"""
RSA = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQD"
KEYS = {
    "brisbane._domainkey.football.example.com": "v=DKIM1; k=ed25519; "
    "p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    "test._domainkey.football.example.com": f"v=DKIM1; k=rsa; p={RSA}"
    "kHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ"
    "/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB",
    "brisbane._domainkey.example.com": f"v=DKIM1; p={RSA}"
    "wIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTNh5ijSsq631uBItLa7od"
    "+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB",
}
PLAIN = (HEADER + BODY).replace("\n", "\r\n").encode()

KEY = Ed25519PrivateKey.generate()
RECORD = f"v=DKIM1; k=ed25519; p={base64.b64encode(KEY.public_key().public_bytes_raw()).decode()}"


def by_hand(
    tags: str, canonical: Canonical = Canonical.SIMPLE, fields: str = "From", body: str = BODY[1:]
) -> bytes:
    """The plain message with a signature that no library has made.

    `tags` has `{b}` where the signature goes, and what else there is to say; `fields` are the last of their
    name, which are signed; `body` is the part of the body that is signed, whose forms are all the same.
    """
    body_hash = base64.b64encode(hashlib.sha256(wire(body)).digest()).decode()
    start = f"v=1; a=ed25519-sha256; c={canonical}/simple; d=hand.example; s=hand; bh={body_hash};"
    field = f"DKIM-Signature:{tags.replace('{start}', start)}"
    chosen = [line for name in fields.split() for line in HEADER.split("\n") if line.startswith(f"{name}:")]
    text = [*chosen, re.sub(r"\s*\{b\}\s*", "", field)]
    if canonical is Canonical.RELAXED:
        pairs = [re.sub(r"\s+", " ", one).split(":", 1) for one in text]
        text = [f"{name.lower()}:{value.strip()}" for name, value in pairs]
    signature = base64.b64encode(KEY.sign(hashlib.sha256(wire("\n".join(text))).digest())).decode()
    return wire(field.replace("{b}", signature) + "\n") + PLAIN


def result_of(message: bytes, record: str = RECORD) -> tuple[str, str]:
    """What the topmost signature of a message comes to, and why."""
    found = read(message)[0]
    if not found.result:
        found = verify(message, found, record)
    return found.result, found.reason


def wire(text: str) -> bytes:
    return text.replace("\n", "\r\n").encode()


def said_of(mta: RunningMta, content: bytes, client: str = WHITELISTED) -> str:
    """The refusal of a message, or its Authentication-Results fields, unfolded."""
    kept = set(mta.mail("mail/alice@castle.example"))
    with mta.connect(client) as talk:
        talk.greet()
        assert talk.code("MAIL FROM:<joe@football.example.com>") == 250
        assert talk.code(TO) == 250
        assert talk.code("DATA") == 354
        talk.send(content + b".\r\n")
        answer = talk.reply()
    if not answer.startswith("250"):
        return answer
    (delivered,) = set(mta.mail("mail/alice@castle.example")) - kept
    header = delivered.partition(b"\r\n\r\n")[0].decode() + "\r\n"
    fields = re.findall(r"^Authentication-Results: ((?:.+\r\n[ \t])*.*)\r\n", header, re.MULTILINE)
    return "\n".join(field.replace("\r\n\t", " ") for field in fields)


@pytest.fixture(scope="module", params=["mark", "reject"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def mta(mode: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningMta]:
    with running_mta(tmp_path_factory.mktemp("mta"), extra=f'[dkim]\nmode = "{mode}"\n') as server:
        for name, record in KEYS.items():
            server.dns.publish(name, "TXT", record)
        yield server


def test_the_signatures_of_the_rfcs_pass(mta: RunningMta) -> None:
    assert said_of(mta, wire(RFC_8463) + PLAIN) == (
        f"{HOST}; dkim=pass header.d=football.example.com header.s=brisbane header.a=ed25519-sha256 "
        "header.b=/gCrinpc; dkim=pass header.d=football.example.com header.s=test header.a=rsa-sha256 "
        "header.b=F45dVWDf"
    )
    assert said_of(mta, wire(RFC_6376) + PLAIN).startswith(f"{HOST}; dkim=pass header.d=example.com ")


@pytest.mark.parametrize(
    "message",
    [
        RFC_6376 + HEADER + BODY.replace("lost", "won"),
        RFC_6376 + HEADER.replace("dinner", "supper") + BODY,
        RFC_6376 + "From: someone@else.example\n" + HEADER + BODY,
        RFC_6376.replace("b=AuUo", "b=BuUo") + HEADER + BODY,
    ],
    ids=["body", "subject", "second From", "signature"],
)
def test_a_false_signature_is_refused_or_marked(mta: RunningMta, mode: str, message: str) -> None:
    said = said_of(mta, wire(message))
    assert said.startswith("550 5.7.20" if mode == "reject" else f"{HOST}; dkim=fail reason=")


def test_one_true_signature_is_enough(mta: RunningMta) -> None:
    said = said_of(mta, wire(RFC_8463.replace("b=F45d", "b=G45d")) + PLAIN)
    assert re.findall(r"dkim=(\w+)", said) == ["pass", "fail"]


@pytest.mark.parametrize("algorithm", Algorithm)
@pytest.mark.parametrize("canonical", Canonical)
def test_fresh_keys_and_no_key_at_all(mta: RunningMta, algorithm: Algorithm, canonical: Canonical) -> None:
    signer = Signer(f"{algorithm.value[:3]}-{canonical}.example", algorithm)
    message = signer.signed(PLAIN, canonical)
    said = said_of(mta, message)
    assert said.startswith(f'{HOST}; dkim=permerror reason="no key for the signature" ')
    mta.dns.publish(signer.key_name, "TXT", signer.record)
    assert said_of(mta, message).startswith(f"{HOST}; dkim=pass header.d={signer.domain} ")


def test_the_key_of_somebody_else(mta: RunningMta, mode: str) -> None:
    signer = Signer("wrong.example")
    mta.dns.publish(signer.key_name, "TXT", Signer("wrong.example", forged=True).record)
    said = said_of(mta, signer.signed(PLAIN))
    assert said.startswith("550 5.7.20" if mode == "reject" else f"{HOST}; dkim=fail reason=")


def test_a_key_that_dns_does_not_tell_is_no_reason_to_refuse(mta: RunningMta) -> None:
    signer = Signer("down.example", Algorithm.ED25519)
    mta.dns.script(signer.key_name, "TXT", ServFail())
    assert said_of(mta, signer.signed(PLAIN)).startswith(
        f'{HOST}; dkim=temperror reason="DNS did not answer"'
    )


@pytest.mark.parametrize("testing", [False, True])
def test_a_false_signature_beside_one_whose_key_dns_does_not_tell_is_put_off(
    mta: RunningMta, mode: str, testing: bool
) -> None:
    signer, false = (
        Signer(f"later-{testing}.example", Algorithm.ED25519),
        RFC_6376.replace("b=AuUo", "b=BuUo"),
    )
    mta.dns.script(signer.key_name, "TXT", ServFail())
    message = wire(false) + signer.signed(PLAIN)
    if testing:
        tester = Signer("right-and-testing.example")
        mta.dns.publish(tester.key_name, "TXT", f"{tester.record}; t=y")
        message = tester.signed(message)
    said = said_of(mta, message)
    if mode == "reject":
        assert said.startswith("451 4.7.5 ")
    else:
        assert re.findall(r"dkim=(\w+)", said) == ["pass"] * testing + ["fail", "temperror"]


def test_a_true_signature_makes_up_for_a_false_one_and_one_without_an_answer(mta: RunningMta) -> None:
    signer = Signer("silent.example", Algorithm.ED25519)
    mta.dns.script(signer.key_name, "TXT", ServFail())
    false = wire(RFC_6376.replace("b=AuUo", "b=BuUo"))
    said = said_of(mta, false + wire(RFC_6376) + signer.signed(PLAIN))
    assert re.findall(r"dkim=(\w+)", said) == ["fail", "pass", "temperror"]


def test_mail_without_signature_and_mail_of_relay_hosts(mta: RunningMta) -> None:
    assert said_of(mta, MESSAGE) == f"{HOST}; dkim=none"
    assert said_of(mta, MESSAGE, TRUSTED) == ""


def test_results_in_the_name_of_this_server_are_removed(mta: RunningMta) -> None:
    forged = (
        f"Authentication-Results: {HOST}; dkim=pass header.d=bank.example\r\n"
        f"authentication-results:\r\n (sent (well; known) by\r\n\tus) {HOST.upper()} 1; dkim=pass\r\n"
        "Authentication-Results: other.example;\r\n\tdkim=fail\r\n"
    )
    assert said_of(mta, forged.encode() + MESSAGE) == f"{HOST}; dkim=none\nother.example; dkim=fail"


@pytest.mark.parametrize(
    ("written", "removed"),
    [
        (HOST, True),
        (f'"{HOST}"', True),
        ('"mail\\.castle.ex\\ample"', True),
        ('"mail.\r\n castle.example"', False),
        (f"(sent (well; known) by\r\n\tus)\r\n {HOST.upper()} 1", True),
        (f"(a \\) b){HOST}(c)", True),
        (f"{HOST}/1", True),
        (f"not{HOST}", False),
        (f"{HOST}.client.example", False),
        (f"other.example ({HOST})", False),
        (f'"{HOST}', True),
        (f"({HOST}", True),
        ("", True),
        ("(" * 1_000_000 + ")" * 1_000_000 + HOST, True),
        ("(" * 1_000_000 + HOST, True),
        ('"' + "\\" * 1_000_000 + HOST, True),
    ],
)
def test_results_are_this_servers_by_their_first_word(written: str, removed: bool) -> None:
    field = f"Authentication-Results: {written}; dkim=pass\r\n".encode()
    assert without_results_of(HOST, field + PLAIN) == (PLAIN if removed else field + PLAIN)


@pytest.mark.parametrize("end", [b"", b"\r\nmore\r\n"])
def test_a_message_without_header_has_no_results_to_remove(end: bytes) -> None:
    content = f"\r\nAuthentication-Results: {HOST}; dkim=pass\r\n".encode() + end
    assert without_results_of(HOST, content) == content


def test_without_the_setting_nothing_is_added_or_asked(tmp_path: Path) -> None:
    with running_mta(tmp_path) as server:
        assert said_of(server, wire(RFC_6376) + PLAIN) == ""
        assert server.dns.queries(type="TXT") == []


@pytest.mark.parametrize(
    ("change", "result", "reason"),
    [
        (lambda record: record, "pass", ""),
        (lambda record: f"{record}; h=sha1:sha256; s=*; t=y", "pass", ""),
        (lambda record: f"{record}; s=email:other", "pass", ""),
        (lambda record: record.replace("k=", "s = * : x ;k=") + ";", "pass", ""),
        (lambda record: f"{record}; s=tlsrpt : email; ", "pass", ""),
        (lambda record: f"{record}; s=other:x", "permerror", "the key is not for mail"),
        (lambda record: f"{record}; s=*; s=*", "permerror", ""),
        (lambda record: re.sub("p=.*", "p=", record), "permerror", "the key is revoked"),
        (lambda record: "v=DKIM1", "permerror", "the record has no key"),
        (lambda record: "nothing", "permerror", ""),
        (lambda record: record + "A" * 800, "permerror", "the key is too long"),
        (lambda record: f"{record}; h=sha1", "permerror", "the key is not for sha256"),
        (lambda record: f"{record}; s=tlsrpt", "permerror", "the key is not for mail"),
        (lambda record: record.replace("k=rsa", "k=ed25519"), "permerror", "the key is of another kind"),
        (lambda record: record.replace("p=M", "p=%"), "permerror", ""),
        (lambda record: "v=DKIM2; " + record[9:], "permerror", "bad version"),
    ],
)
def test_what_a_key_record_may_say(change: object, result: str, reason: str) -> None:
    assert callable(change)
    signer = Signer("key.example")
    message = signer.signed(PLAIN)
    (signature,) = read(message)
    assert signature.key_name == signer.key_name
    found = verify(message, signature, change(signer.record))
    assert found.result == result
    assert reason in found.reason


def test_sha1_and_unreadable_signatures_do_not_count() -> None:
    old = wire(RFC_6376.replace("rsa-sha256", "rsa-sha1")) + PLAIN
    assert [one.result for one in read(old)] == ["permerror"]
    assert [one.result for one in read(b"DKIM-Signature: v=1; a\r\n" + PLAIN)] == ["permerror"]
    assert [one.result for one in read(b" DKIM-Signature: v=1; a\r\n" + PLAIN)] == ["permerror"]


@pytest.mark.parametrize("names", ["To:Subject", "", "From-Other:XFrom"])
def test_a_signature_that_does_not_sign_from_does_not_count(names: str) -> None:
    fields = " ".join(name for name in names.split(":") if "From" not in name)
    signed = by_hand(f" {{start}} h={names}; b={{b}}", fields=fields)
    assert result_of(signed) == ("permerror", "From is not signed")


@pytest.mark.parametrize("names", ["From", "to : FROM", "from:from", "To\n\t:\n\tFrom"])
def test_a_signature_that_signs_from_counts(names: str) -> None:
    fields = " ".join(name.strip().capitalize() for name in dict.fromkeys(names.split(":")))
    assert result_of(by_hand(f" {{start}} h={names}; b={{b}}", fields=fields)) == ("pass", "")


@pytest.mark.parametrize("canonical", Canonical)
@pytest.mark.parametrize(
    "tags",
    [
        " {start} h=From; b={b}",
        "{start} h=From; b={b};",
        " {start} h=From; b=\n\t{b}\n\t; t=1",
        "b={b};{start} h=From",
        "\n b\n\t=\n {b} ;{start} h=From",
        " {start} h=From;b \t= {b} \n\t;\n ",
        " {start} h=From; z=Subject:x b=AAAA; b={b}",
        " {start} h=From; b={b}; note=\n b=AAAA",
    ],
    ids=["last", "closed", "white space", "first", "folded", "end of field", "in z", "in another tag"],
)
def test_the_b_tag_is_found_wherever_it_stands(tags: str, canonical: Canonical) -> None:
    signed = by_hand(tags, canonical)
    assert result_of(signed) == ("pass", "")
    for first, second in (("d=hand", "d=hans"), ("bh=", "bh= "), ("AAAA", "BBBB")):
        changed = signed.replace(first.encode(), second.encode(), 1)
        if changed != signed:
            assert result_of(changed)[0] == "fail"


@pytest.mark.parametrize("canonical", Canonical)
def test_a_signature_does_not_sign_itself(canonical: Canonical) -> None:
    signed = by_hand(" {start} h=From:DKIM-Signature:DKIM-Signature; b={b}", canonical)
    assert result_of(signed) == ("pass", "")
    assert result_of(wire(RFC_8463) + signed, KEYS["brisbane._domainkey.football.example.com"])[0] == "pass"
    second = read(wire(RFC_6376) + signed)[1]
    assert verify(wire(RFC_6376) + signed, second, RECORD).result == "fail", (
        "an added field is signed as none"
    )


@pytest.mark.parametrize(
    ("ways", "result"),
    [
        ("dns/txt", "pass"),
        ("dns/txt:x", "pass"),
        ("x/y\n : DNS/TXT", "pass"),
        ("x", "permerror"),
        ("dns/txt/x", "permerror"),
        ("", "permerror"),
    ],
)
def test_one_known_way_to_the_key_is_enough(ways: str, result: str) -> None:
    assert result_of(by_hand(f" {{start}} q={ways}; h=From; b={{b}}"))[0] == result


@pytest.mark.parametrize(
    ("length", "result"),
    [("{all}", "pass"), ("0", "pass"), ("9", "pass"), ("{more}", "permerror"), ("9" * 76, "permerror")],
)
def test_no_more_of_the_body_is_signed_than_there_is(length: str, result: str) -> None:
    size = len(wire(BODY[1:]))
    length = length.format(all=size, more=size + 1)
    body = wire(BODY[1:])[: int(length)].decode().replace("\r\n", "\n")
    found = result_of(by_hand(f" {{start}} l={length}; h=From; b={{b}}", body=body))
    assert found == (result, "" if result == "pass" else "l= is larger than the body")


def test_a_canonical_form_that_nobody_knows() -> None:
    signed = by_hand(" {start} h=From; b={b}").replace(b"c=simple/simple", b"c=simple/neat")
    assert result_of(signed) == ("permerror", "c= is not known")


def test_an_rsa_key_that_is_too_short_signs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    signer = Signer("short.example")
    monkeypatch.setattr(signatures, "SHORTEST_KEY", 2049)
    assert result_of(signer.signed(PLAIN), signer.record) == ("permerror", "public key too small: 2048")


LONG = {
    "white space in b=": b"; b=A" + b"\r\n " * 300_000 + b"!",
    "white space in h=": b"; h=from" + b" " * 1_000_000 + b"x; b=AAAA",
    "names in h=": b"; h=" + b":".join(b"%d" % number for number in range(2000)) + b"; b=AAAA",
    "a run of white space": b"; b=" + b"A" * 100 + b"\t" * 101 + b"A" * 100,
}


@pytest.mark.parametrize("tags", LONG.values(), ids=list(LONG))
def test_what_no_signer_writes_is_not_looked_at(tags: bytes) -> None:
    start = b"DKIM-Signature: v=1; a=rsa-sha256; d=b.example; s=s; bh=AAAA"
    (found,) = read(start + tags + b"\r\n" + PLAIN)
    assert found.result == "permerror"
    assert found.reason in ("the signature is too long", "the header section is too large")


@pytest.mark.parametrize("field", [b"Subject:" + b"\r\n x" * 500_000, b"a:\r\n" * 500_000])
def test_a_header_that_is_too_large_has_no_signatures_that_count(field: bytes) -> None:
    (found,) = read(wire(RFC_6376) + field + b"\r\n" + PLAIN)
    assert (found.result, found.reason) == ("permerror", "the header section is too large")
    assert read(field + b"\r\n" + PLAIN) == []


def test_white_space_of_a_relaxed_body_is_read_in_no_time() -> None:
    signer = Signer("spread.example")
    message = signer.signed(PLAIN, Canonical.RELAXED)
    spread = message.replace(b"lost the", b"lost" + b" \t" * 1_000_000 + b"the").replace(
        b"Joe.\r\n", b"Joe. \t\r\n"
    )
    assert b"\t" in spread
    (signature,) = read(spread)
    assert verify(spread, signature, signer.record).result == "pass"
    assert verify(spread.replace(b"lost", b"won"), signature, signer.record).result == "fail"


def test_nothing_is_refused_for_a_domain_that_is_testing(mta: RunningMta) -> None:
    signer = Signer("testing.example")
    mta.dns.publish(signer.key_name, "TXT", f"{signer.record}; t=y:s")
    false = signer.signed(PLAIN).replace(b"lost", b"won")
    assert said_of(mta, false).startswith(
        f'{HOST}; dkim=fail reason="body hash mismatch, of a domain that is'
    )


def test_a_true_signature_of_a_domain_that_is_testing_makes_up_for_no_false_one(
    mta: RunningMta, mode: str
) -> None:
    signer = Signer("tested.example")
    mta.dns.publish(signer.key_name, "TXT", f"{signer.record}; t=y")
    said = said_of(mta, wire(RFC_6376.replace("b=AuUo", "b=BuUo")) + signer.signed(PLAIN))
    assert said.startswith("550 5.7.20") if mode == "reject" else "dkim=pass" in said


def test_a_signature_that_is_not_looked_at_may_be_the_true_one(mta: RunningMta, mode: str) -> None:
    false, true = wire(RFC_6376.replace("b=AuUo", "b=BuUo")), wire(RFC_6376) + PLAIN
    said = said_of(mta, false * 4 + true)
    assert re.findall(r"dkim=(\w+)", said) == ["fail"] * 4 + ["pass"]
    said = said_of(mta, false * 5 + true)
    assert re.findall(r"dkim=(\w+)", said) == ["fail"] * 5 + ["neutral"]
    assert said.endswith('dkim=neutral reason="only 5 signatures are looked at"')
    if mode == "reject":
        assert said_of(mta, false * 5 + PLAIN).startswith("550 5.7.20")


@given(
    st.lists(st.sampled_from([b"DKIM-Signature:", b" v=1;", b"b=", b"d=\xff", b"\r\n", b"h=from;", b"\0"]))
)
def test_no_message_breaks_the_reading(parts: list[bytes]) -> None:
    for one in read(b"".join(parts)):
        assert one.result in ("permerror", "")


@given(
    st.lists(st.sampled_from([b"Authentication-Results:", HOST.encode(), b"(", b")", b";", b"\r\n", b" x"]))
)
def test_no_forged_result_stays(parts: list[bytes]) -> None:
    content = b"".join(parts) + b"\r\n\r\nbody " + HOST.encode() + b"; dkim=pass\r\n"
    kept = without_results_of(HOST, content)
    assert kept.endswith(b"\r\n\r\nbody " + HOST.encode() + b"; dkim=pass\r\n") or kept.startswith(b"\r\n")
    assert without_results_of(HOST, kept) == kept
