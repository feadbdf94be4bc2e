"""Recipients: local parts that no user has, and whom a bounce is for."""

from harness import settings
from harness.embedded.servers import PROFILE
from harness.profile.model import Profile
from harness.world.cast import each_of
from harness.world.made_up import LENGTH, made_up
from harness.world.sut import Sut


def sut(*domains: dict[str, object]) -> Sut:
    content = settings.read_toml(PROFILE)
    content["domain"] += domains
    return Sut(settings.check(PROFILE, content, Profile))


def test_a_made_up_word_has_letters_only_and_is_another_each_time() -> None:
    words = {made_up() for _ in range(100)}
    assert len(words) == 100
    assert all(len(word) == LENGTH and word.isascii() and word.isalpha() for word in words)


def test_whoever_is_unknown_has_that_name_everywhere() -> None:
    one, other = sut(), sut()
    assert one.nobody != other.nobody
    unknown = [one.unknown_recipient, *(nobody for _, nobody in one.mail.without_catch_alls)]
    unknown += [rest.address for rest in one.mail.catch_alls]
    assert len(unknown) > 2
    assert {address.partition("@")[0] for address in unknown} == {one.nobody}


def test_a_parked_domain_takes_no_bounce_that_would_tell_anything() -> None:
    known = sut(
        {"name": "parked.example", "users": ["Postmaster"]},
        {"name": "living.example", "users": ["postmaster", "eve"]},
    )
    parked, living = known.profile.domain[-2:]
    assert (known.no_postmaster(parked), known.no_postmaster(living)) == ("", "eve@living.example")
    tried = [name for name, _ in each_of("listless_domain", known)]
    assert living.name in tried
    assert parked.name not in tried
