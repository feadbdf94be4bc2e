"""Why no alias of a profile shows anything: each with its own reason, and nothing untrue of any."""

from collections.abc import Iterator

from harness.wording import counted
from harness.world.sut_mail import REST, MailFacts

SHOWN = 3  # aliases in one reason


def why_none(mail: MailFacts, *, many: bool) -> str:
    """Why none leads to one user, or to `many`, in such a way that it shows, and what to describe."""
    wanted = "several users who have a mailbox each" if many else "one user, who has a mailbox of his own"
    told = list(_reasons(mail, many=many))
    if not told:
        return f'no [[domain]] has an alias other than "*"; describe one that leads to {wanted}'
    more = f"; and {counted(len(told) - SHOWN, 'more alias', 'more aliases')}" if len(told) > SHOWN else ""
    return f"{'; '.join(told[:SHOWN])}{more}: describe an alias that leads to {wanted}"


def _reasons(mail: MailFacts, *, many: bool) -> Iterator[str]:
    for domain in mail.profile.domain:
        for name in domain.aliases:
            if name == REST:
                continue
            targets, unfit = mail.followed(domain, name)
            if not unfit and not mail.tell_apart(targets):
                unfit = f"leads to {', '.join(targets)}, in whose mailbox the mail of others lies as well"
            if not unfit and (len(targets) > 1) != many:
                unfit = f"leads to {counted(len(targets), 'user')}"
            yield f"{name}@{domain.name} {unfit or 'has a namesake for other users in a domain before it'}"
