"""Sessions of pytest whose scenarios meet no server: they end as they say themselves."""

import pytest

CONFTEST = """
import contextlib
from fake_dns import FakeDns
from harness import settings
from harness.embedded.servers import PROFILE
from harness.judge import Judge
from harness.plugin import session
from harness.profile.model import Profile
from harness.results.model import ServerFacts
from harness.runs.run import Run
from harness.world.endpoints import endpoints_of
from harness.world.internet import Internet

@contextlib.contextmanager
def without_a_server(wish):
    content = settings.read_toml(PROFILE)
    content["server"]["port"] = 25  # that nobody calls
    content["dns"] = {{"listen": ["127.0.0.1:5353"]}}
    content["deviation"] = {deviations}
    profile = settings.check(PROFILE, content, Profile)
    judge = Judge(profile.policy.delay, lambda since, until: 0.0)
    internet = Internet(FakeDns(), profile)
    run = Run(profile, wish.catalogue, internet, endpoints_of(profile, internet), judge)
    run.trouble = lambda server=None, like=None: ""  # innocent clients are served
    yield run

session.open_run = without_a_server
session.begin = lambda run: (run, ServerFacts("", (), (), {{}}))
"""


def session(
    pytester: pytest.Pytester, *arguments: str, deviations: list[dict[str, object]] | None = None
) -> pytest.RunResult:
    """A session in a process of its own, with this list of known deviations in the profile."""
    pytester.makeconftest(CONFTEST.format(deviations=deviations or []))
    return pytester.runpytest_subprocess("-p", "no:hypothesispytest", *arguments, timeout=300)
