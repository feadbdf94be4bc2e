"""Words that no server can know: random letters, made up anew for each run."""

import secrets

# No digits: content filters take 4e9d0b for an address, and a dial-up's host. No vowels: no word that means
# anything. No hyphen, dot, plus, underscore or equals sign: servers cut local parts at such, and somebody may
# have what is left.
LETTERS = "bcdfghjkmnpqrstvwxz"
LENGTH = 14  # letters, of which a server has no user, host or domain by chance


def made_up(length: int = LENGTH) -> str:
    """A word of so many letters."""
    return "".join(secrets.choice(LETTERS) for _ in range(length))
