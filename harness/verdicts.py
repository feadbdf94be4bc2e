"""How a scenario ends when it does not simply pass: every ending but a bug is one of these."""


class ScenarioEnd(Exception):
    """Base of the endings; the text is the reason, a sentence for the report."""


class EvidenceError(ScenarioEnd):
    """An ending that rests on what the server did; `seen` is how that showed, where more is told."""

    def __init__(self, reason: str, seen: BaseException | None = None) -> None:
        """As every ending, with a sentence."""
        super().__init__(reason)
        self.seen = seen


def seen_in(ending: BaseException | None) -> BaseException | None:
    """What an ending was made of: itself, where no more is told."""
    return ending.seen if isinstance(ending, EvidenceError) and ending.seen else ending


class FailedError(EvidenceError):
    """The server did something else than it documents."""


class NeverCameError(FailedError):
    """Something was awaited and did not come: evidence only where that of an innocent twin came.

    `token` is what is found in the message that was awaited, where it was one.
    """

    def __init__(self, reason: str, token: str = "") -> None:
        """As every ending, with a sentence."""
        super().__init__(reason)
        self.token = token


class UndeliveredError(NeverCameError):
    """A message was taken and never came to the mailbox of its recipient."""


class MisfiledError(FailedError):
    """A message lies in its mailbox, and not as messages are kept there: evidence about the keeping only."""


class InconclusiveError(EvidenceError):
    """What was seen proves nothing, one way or the other."""


class CameLateError(InconclusiveError):
    """What was awaited came, and later than it may: how slow a server is proves nothing."""


class BrokenOffError(InconclusiveError):
    """The run is over before what was waited for has come."""

    def __init__(self) -> None:
        """There is nothing more to say."""
        super().__init__("the run was broken off")


class UnreadableMailError(InconclusiveError):
    """A message cannot be read because of how it is kept, which is another rule's affair."""


class NotTestableError(ScenarioEnd):
    """The profile does not grant what the scenario needs; `lacks` is the capability, where it is one."""

    def __init__(self, reason: str, lacks: str = "") -> None:
        """As every ending, with a sentence."""
        super().__init__(reason)
        self.lacks = lacks


class NotApplicableError(ScenarioEnd):
    """The profile does not claim the rule."""


class EndedAsDocumentedError(NotApplicableError):
    """What would have followed is not to be seen, for the connection ended as the profile says it may."""
