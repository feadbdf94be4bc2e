"""How a scenario ends when it does not simply pass: every ending but a bug is one of these."""


class ScenarioEnd(Exception):
    """Base of the endings; the text is the reason, a sentence for the report."""


class FailedError(ScenarioEnd):
    """The server did something else than it documents."""


class NeverCameError(FailedError):
    """Something was awaited and did not come: evidence only where that of an innocent twin came."""


class InconclusiveError(ScenarioEnd):
    """What was seen proves nothing, one way or the other."""


class NotTestableError(ScenarioEnd):
    """The profile does not grant what the scenario needs."""


class NotApplicableError(ScenarioEnd):
    """The profile does not claim the rule."""
