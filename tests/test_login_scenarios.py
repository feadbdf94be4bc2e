"""What scenarios of AUTH hold against what is said to names that nobody has."""

import pytest

from scenarios.wiki.test_auth import says_the_name

WRONG = "5.7.8 Authentication failed for Alice"


@pytest.mark.parametrize(
    ("text", "name", "alike"),
    [
        ("5.7.8 Authentication failed for nobody", "nobody", True),
        ("5.7.8 Authentication failed for", "", True),
        ("5.7.8 Authentication failed for (", "(", True),
        ("5.7.8 There is no nobody", "nobody", False),
        ("5.7.8 Authentication failed for somebody", "nobody", False),
        ("5.7.8 Authentication failed", "nobody", False),
    ],
)
def test_a_name_that_is_said_back_gives_nothing_away(text: str, name: str, alike: bool) -> None:
    assert says_the_name(text, name, WRONG, "alice") is alike


def test_white_space_tells_names_apart_where_none_is_said_back() -> None:
    assert not says_the_name("5.7.8 Authentication  failed", "nobody", "5.7.8 Authentication failed", "alice")
