"""The command line: one thin file a verb, that parses, calls and prints."""

import os
import sys


def main() -> None:
    """Run the command line; the entry point of `silverprint`."""
    from silverprint.cli.app import run

    sys.exit(run(sys.argv[1:], debug="SILVERPRINT_DEBUG" in os.environ))
