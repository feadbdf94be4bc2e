"""What a server shows of who it takes a sender for: header fields of the delivered message, or a refusal."""

import re
from dataclasses import dataclass

from harness.capabilities.mailbox import Delivered
from harness.world.conversation import Attempt, Step

RESULTS = ("none", "neutral", "pass", "fail", "softfail", "temperror", "permerror")
OLD_NAMES = {"error": "temperror", "unknown": "permerror", "hardfail": "fail"}
COMMENT = re.compile(r"\((?:\\.|[^()\\])*\)")
PAIR = re.compile(r'([\w.-]+)\s*=\s*("(?:\\.|[^"\\])*"|[^\s;]*)')
SPF_METHOD = re.compile(rf"(?:^|;)\s*spf\s*=\s*({'|'.join(RESULTS)}|hardfail)\b([^;]*)", re.IGNORECASE)
ABOUT_HELO = re.compile(r"\bsmtp\.helo\s*=", re.IGNORECASE)  # RFC 8601 §2.7.2
ABOUT_SENDER = re.compile(r"\bsmtp\.mailfrom\s*=", re.IGNORECASE)
DKIM_METHOD = re.compile(r"(?:^|;)\s*dkim\s*=\s*(\w+)([^;]*)", re.IGNORECASE)
OF_DOMAIN = re.compile(r"\bheader\.(?:d|i)\s*=\s*\"?(?:[^\s\"@]*@)?([\w.-]+)", re.IGNORECASE)
SPEAKS_OF_SPF = re.compile(
    r"\bSPF\b|sender policy|openspf|spf_|not permitted by|does not permit", re.IGNORECASE
)
CODES = ("5.7.23", "5.7.24", "4.7.23", "4.7.24", "4.4.3")  # RFC 7372 §3.2, RFC 7208 §8.6


@dataclass(frozen=True)
class Shown:
    """A result, the words of the sender's domain where they are shown, and where all that stood."""

    result: str
    explanation: str | None
    where: str


def spf_mark(found: Delivered) -> str:
    """The result for the sender that a delivered message shows; empty when it shows none."""
    shown = in_message(found, null_sender=False)
    return shown.result if shown else ""


def dkim_results(found: Delivered, domain: str) -> list[str]:
    """The results for signatures of a domain in Authentication-Results (RFC 8601 §2.7.1), in order."""
    return [
        method[1].lower()
        for value in found.headers("Authentication-Results")
        for method in DKIM_METHOD.finditer(_without_comments(value))
        if domain.lower() in (name.lower() for name in OF_DOMAIN.findall(method[2]))
    ]


def in_message(found: Delivered, *, null_sender: bool) -> Shown | None:
    """The topmost Received-SPF field about the sender, or else Authentication-Results; None without any."""
    fields = [_received_spf(value) for value in found.headers("Received-SPF")]
    wanted = ("helo", "") if null_sender else ("mailfrom", "")
    about_sender = [shown for identity, shown in fields if identity in wanted and shown]
    for shown in (*about_sender, *(shown for _, shown in fields if shown)):
        return shown
    methods = [
        (method, Shown(_result(method[1]), None, f"Authentication-Results: {value}"))
        for value in found.headers("Authentication-Results")
        for method in SPF_METHOD.finditer(_without_comments(value))
    ]
    about = ABOUT_HELO if null_sender else ABOUT_SENDER
    for method, shown in methods:
        if about.search(method[2]):
            return shown
    return next((shown for method, shown in methods if null_sender or not ABOUT_HELO.search(method[2])), None)


def in_refusal(attempt: Attempt) -> Shown | None:
    """What the first refusal says of SPF; None when there is none, or it is about something else."""
    step = refusal(attempt)
    if step is None or step.reply is None:
        return None
    coded = step.reply.enhanced in CODES
    if not coded and not SPEAKS_OF_SPF.search(step.prose):
        return None
    text, code = step.prose, " ".join(filter(None, (str(step.code), step.reply.enhanced)))
    if step.code < 500:
        result = "temperror"
    elif step.reply.enhanced == "5.7.24" or re.search(r"perm(anent)?\s*error", text, re.IGNORECASE):
        result = "permerror"
    else:
        result = "softfail" if "softfail" in text.lower() else "fail"
    return Shown(result, text, f"at {step.stage}: {code} {text}")


def refusal(attempt: Attempt) -> Step | None:
    """The first step that was not accepted; None when all were."""
    return next((step for step in attempt.staged if step.reply is None or step.code >= 400), None)


def _received_spf(value: str) -> tuple[str, Shown | None]:
    """The identity that a field is about, if it says, and what it shows."""
    word = re.match(r"\s*(\w+)", value)
    result = _result(word[1]) if word else ""
    pairs = {name.lower(): _unquoted(text) for name, text in PAIR.findall(_without_comments(value))}
    if result not in RESULTS:
        return "", None
    shown = Shown(result, pairs.get("explanation"), f"Received-SPF: {value}")
    return pairs.get("identity", "").lower(), shown


def _result(word: str) -> str:
    return OLD_NAMES.get(word.lower(), word.lower())


def _without_comments(value: str) -> str:
    """The value without its comments, the innermost first; quoted strings may hold parentheses."""
    quoted: list[str] = []

    def keep(match: re.Match[str]) -> str:
        quoted.append(match[0])
        return f"\0{len(quoted) - 1}\0"

    bare = re.sub(r'"(?:\\.|[^"\\])*"', keep, value)
    while (shorter := COMMENT.sub(" ", bare)) != bare:
        bare = shorter
    return re.sub(r"\0(\d+)\0", lambda match: quoted[int(match[1])], bare)


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text[1:-1]) if text.startswith('"') else text
