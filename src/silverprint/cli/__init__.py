"""The command line: one thin file a verb, that parses, calls and prints."""

import os
import sys


def main() -> None:
    """Run the command line; the entry point of `silverprint`."""
    from silverprint.cli.app import run

    # Torch's idle threads spin, unless told otherwise before it is loaded; then two jobs on the same
    # cores hold each other up, five times and more.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    sys.exit(run(sys.argv[1:], debug="SILVERPRINT_DEBUG" in os.environ))
