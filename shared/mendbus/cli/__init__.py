"""The command line, `mendbus`: exit status 0 = done, 1 = it failed, 2 = wrong usage or settings."""

import sys

_INTERRUPTED = 130


def main() -> None:
    """Runs the command that the arguments name, and exits."""
    try:
        from mendbus.cli.app import run

        run()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
