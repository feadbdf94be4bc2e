"""The server of a session, as its profile describes it."""

from pathlib import Path

import pytest

from harness import settings
from harness.embedded.servers import PROFILE
from harness.plugin.keys import MISTAKE, SUT
from harness.profile.model import Profile
from harness.world.sut import Sut


def described(config: pytest.Config) -> Sut | None:
    """Read when it is asked for first; None for a mistake in it, which is kept: see `require_described`."""
    if SUT in config.stash or MISTAKE in config.stash:
        return config.stash.get(SUT, None)
    file = Path(config.option.smtp_sut) if config.option.smtp_sut else PROFILE
    try:
        config.stash[SUT] = Sut(settings.read(file, Profile))
    except settings.SettingsError as error:
        config.stash[MISTAKE] = str(error)
    return config.stash.get(SUT, None)


def require_described(config: pytest.Config) -> None:
    """Scenarios are to be run: a mistake in the profile is told; raises `pytest.UsageError`."""
    if described(config) is None:
        raise pytest.UsageError(config.stash[MISTAKE])
