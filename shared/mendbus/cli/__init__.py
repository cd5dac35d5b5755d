"""The command line, `mendbus`: exit status 0 = done, 1 = it failed, 2 = wrong usage or settings."""


def main() -> None:
    """Runs the command that the arguments name, and exits."""
    from mendbus.cli.app import run

    run()
