"""Runs the reference MTA: `smtp-harness mta CONFIG.toml`, or with `--control` for whoever starts it."""

import argparse
import sys
from collections.abc import Sequence

from harness import settings
from harness.reference_mta.certificate import CertificateError
from harness.reference_mta.command_line import PROGRAM, fill
from harness.reference_mta.defects import UnknownMutantError
from harness.reference_mta.greylist import UnreachableError
from harness.reference_mta.operator import OperatorError
from harness.reference_mta.service import FolderError, ListenError
from harness.settings.arguments import WRONG, Parser, bare

TROUBLE = (
    settings.SettingsError,
    UnknownMutantError,
    UnreachableError,
    CertificateError,
    ListenError,
    FolderError,
    OperatorError,
    OSError,
)


def main(arguments: Sequence[str]) -> int:
    """Run what the arguments ask for; returns the exit status. Raises `SystemExit` for wrong ones."""
    parser = Parser(PROGRAM)
    fill(parser, arguments)
    return run(parser.parse_args(arguments)) if arguments else bare(parser)


def run(options: argparse.Namespace) -> int:
    """Run what was asked for; returns the exit status."""
    try:
        status: int = options.act(options)
    except BrokenPipeError:  # whoever reads has seen enough
        raise
    except TROUBLE as error:
        print(f"{PROGRAM}: {_told(error)}", file=sys.stderr)
        return WRONG
    return status


def _told(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
