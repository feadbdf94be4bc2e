import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from harness.outcome import DIALOGUE, Outcome, Stage, Treatment

OUTCOMES = st.builds(
    Outcome, treatment=st.sampled_from(Treatment), stage=st.sampled_from(DIALOGUE), late=st.booleans()
)


@given(OUTCOMES)
def test_what_is_written_is_read_back(outcome: Outcome) -> None:
    assert Outcome.parse(str(outcome)) == outcome


@given(st.text(max_size=40))
def test_anything_else_is_refused_with_the_notation(text: str) -> None:
    assume(" at " not in text)
    with pytest.raises(ValueError, match="VERDICT at STAGE"):
        Outcome.parse(text)


@pytest.mark.parametrize(
    "text", ["deny", "at rcpt", "delaydeny at rcpt", "+deny at rcpt", "delay+ at rcpt", "deny at lunch"]
)
def test_near_misses_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no outcome"):
        Outcome.parse(text)


def test_a_late_pass_is_a_delay() -> None:
    assert Outcome.parse("delay at helo") == Outcome(Treatment.PASS, Stage.HELO, late=True)
