"""Accounts in a directory (LDAP): who of them may send, names of whatever characters, no directory at all."""

from collections.abc import Callable

import pytest

from harness.scenario import (
    Account,
    Client,
    Directory,
    Expect,
    Outage,
    Secret,
    Stage,
    Sut,
    Treatment,
    each,
    rule,
)

from .test_auth import logged_in, looks_like_a_wrong_password

# Names that are nobody's. One that stands as it is in a filter (RFC 4515 §3), the name of an entry (RFC 4514
# §2.4) or the address of a directory (RFC 4516 §2.1) finds the account, several of them, or an error.
WRITTEN: dict[str, Callable[[str], str]] = {
    "star": lambda name: "*",
    "star for the end": lambda name: f"{name[:-1]}*",
    "condition": lambda name: f"{name})(objectClass=*",
    "alternative": lambda name: f"{name})(|(objectClass=*",
    "parenthesis": lambda name: "(",
    "backslash and digits": lambda name: f"{name[:-1]}\\{ord(name[-1]):02x}",
    "percent and digits": lambda name: f"{name[:-1]}%{ord(name[-1]):02x}",
    "number sign and digits": lambda name: f"#04{len(name.encode()):02x}{name.encode().hex()}",
    "quotation marks": lambda name: f'"{name}"',
    "quotation mark": lambda name: f'{name}"',
    "backslash": lambda name: f"{name}\\",
    "comma": lambda name: f"{name},dc=example",
    "semicolon": lambda name: f"{name};dc=example",
    "plus": lambda name: f"{name}+cn={name}",
    "angle brackets": lambda name: f"<{name}>",
    "question marks": lambda name: f"{name}?uid?sub?",
}


@rule("auth.directory-object-class")
@each("outsider")
def test_account_of_another_class(
    client: Client, offence: bool, outsider: Account, directory: Directory, expect: Expect
) -> None:
    user, secret = client.account()
    if offence:
        directory.vouch_for(outsider)  # or it is refused for its password
        user, secret = outsider.user, outsider.secret
    expect(logged_in(client, user, secret), whenever=True)


@rule("auth.directory-name-is-data")
@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN)
def test_name_that_means_something(
    client: Client, offence: bool, sut: Sut, expect: Expect, written: Callable[[str], str]
) -> None:
    user, secret = client.account()
    name = written(user)
    expect.applicable(name not in sut.account_names, "there is an account of that very name")
    attempt = logged_in(client, name if offence else user, secret)
    expect(attempt, whenever=True)
    if offence:
        looks_like_a_wrong_password(attempt, name, client, expect)


@rule("auth.directory-name-is-data")
@each("odd_account")
def test_user_whose_name_has_such_characters(
    client: Client, offence: bool, odd_account: Account, expect: Expect
) -> None:
    secret = odd_account.secret
    expect(logged_in(client, odd_account.user, "not-" + secret if offence else secret), whenever=True)


@rule("auth.directory-down")
@pytest.mark.parametrize("password", ["right", "wrong", "empty"])
def test_directory_out_of_reach(
    client: Client, directory_outage: Outage, expect: Expect, password: str
) -> None:
    user, secret = client.account()
    before = logged_in(client.another("another host, before"), user, secret).auth
    expect.given(before.treatment is Treatment.PASS, f"the account is not let in anyway: {before}")
    directory_outage.cut(client.address)
    given = {"right": secret, "wrong": "not-" + secret, "empty": Secret("")}[password]
    attempt = logged_in(client, user, given)
    if password == "empty":  # noqa: S105 - which is no password, whatever a directory would say
        expect.turned_away(attempt, Stage.AUTH)
    else:
        expect(attempt, whenever=True)  # a directory may be waited for
    directory_outage.end()
    expect.accepts(logged_in(client.another("another host, after"), user, secret), Stage.AUTH)
