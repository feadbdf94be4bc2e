"""Real mail servers in a sandbox."""

import argparse
from collections.abc import Callable

from harness.commands.base import Commands, UsageError, add_command, default_scenarios
from harness.settings.arguments import text, whole

# What each action takes beside the name of a system, by the options' own names; «--» what follows that.
TAKES = {
    "list": (),
    "install": (),
    "up": ("--profile", "--delay"),
    "down": (),
    "run": ("--profile", "--delay", "--"),
    "doctor": ("--profile", "--delay"),
    "discover": ("--profile", "--delay", "--"),
    "mutants": ("--profile", "--delay", "--only", "--parallel", "--together"),
    "spf-suite": ("--delay", "--"),
}


def add(commands: Commands) -> None:
    """Its options."""
    parser = add_command(
        commands,
        "system",
        run,
        "set up a real mail server in a sandbox, and run the scenarios against it",
        "smtp-harness system install exim && smtp-harness system run exim -- -k greylist",
        "needs root; nothing of this machine's own mail or network set-up is touched\n"
        "exit status: 0 done, 2 it could not be done; else as pytest, doctor, discover, mutants, spf-suite",
    )
    parser.add_argument(
        "action",
        choices=list(TAKES),
    )
    parser.add_argument("name", type=text, nargs="?", metavar="NAME", help="of the system; `list` shows them")
    parser.add_argument(
        "--profile",
        type=text,
        help="another one of the system's, with the set-up that it describes",
    )
    parser.add_argument(
        "--delay",
        type=whole(1),
        metavar="SECONDS",
        help="of its delays, whole ones: real servers know no shorter (default: 1)",
    )
    parser.add_argument(
        "--only", action="append", type=text, metavar="PATTERN", help="for `mutants`: of their names"
    )
    parser.add_argument(
        "--parallel", type=whole(1), metavar="N", help="for `mutants`: runs at a time (default: 1)"
    )
    parser.add_argument(
        "--together", type=whole(1), metavar="N", help="for `mutants`: in one sandbox (default: 1)"
    )
    parser.add_argument(
        "pytest",
        nargs="*",
        metavar="-- ARGUMENT",
        help="of pytest for `run`, of discover, of spf-suite (the first is its FILE)",
    )


def run(options: argparse.Namespace) -> int:
    """Returns the exit status; raises `UsageError`."""
    from harness.systems import commands
    from harness.systems.sandbox import SandboxError
    from harness.systems.system import UnknownSystemError

    _refuse_what_it_does_not_take(options)
    if options.action == "list":
        return commands.show_all()
    if not options.name:
        raise UsageError(f"system {options.action}: name a system; smtp-harness system list shows them")
    if options.action == "spf-suite" and not options.pytest:
        raise UsageError(f"system spf-suite {options.name}: name the suite as well, rfc7208-tests.yml")
    name, profile, more = options.name, options.profile or "", options.pytest
    delay = options.delay or 1
    acts: dict[str, Callable[[], int]] = {
        "install": lambda: commands.install(name),
        "up": lambda: commands.up(name, profile, delay),
        "down": lambda: commands.down(name),
        "run": lambda: commands.run(name, profile, delay, default_scenarios(), more),
        "doctor": lambda: commands.doctor(name, profile, delay),
        "discover": lambda: commands.discover(name, profile, delay, more),
        "mutants": lambda: commands.mutants(
            name,
            profile,
            delay,
            default_scenarios(),
            options.only or ["*"],
            parallel=options.parallel or 1,
            together=options.together or 1,
        ),
        "spf-suite": lambda: commands.spf_suite(name, delay, more),
    }
    try:
        return acts[options.action]()
    except (SandboxError, UnknownSystemError) as error:
        raise UsageError(str(error)) from None


def _refuse_what_it_does_not_take(options: argparse.Namespace) -> None:
    """Raises `UsageError` for an option that the action would leave unheard."""
    given = {
        "--profile": options.profile,
        "--delay": options.delay,
        "--only": options.only,
        "--parallel": options.parallel,
        "--together": options.together,
        "--": options.pytest,
    }
    for option, value in given.items():
        if value and option not in TAKES[options.action]:
            shown = option if option != "--" else f"what follows ({' '.join(options.pytest)})"
            raise UsageError(f"system {options.action}: {shown} chooses nothing there; leave it out")
    if options.action == "list" and options.name:
        raise UsageError(f"system list: it lists all systems; leave {options.name} out")
