"""A message that got its 250 survives kill -9 at any moment; hundreds of kills: `python -m bench.kill`."""

import secrets
from pathlib import Path

from bench.kill import run

KILLS = 24


def test_nothing_acknowledged_is_lost_when_the_server_is_killed(tmp_path: Path) -> None:
    seed = secrets.randbits(32)
    tally = run(tmp_path, KILLS, seed)
    print(f"seed {seed}: {tally}")
    assert tally.lost == [], f"seed {seed}"
    assert len(tally.acknowledged) > KILLS, "the clients hardly got a word in"
